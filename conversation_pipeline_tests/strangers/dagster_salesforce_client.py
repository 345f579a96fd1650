"""Asks a simulated org by dagster-salesforce and prints the answers as one line of JSON: url, token, folder."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from dagster_salesforce import SalesforceResource
from dagster_salesforce.credentials import SalesforceSessionCredentials


def main(url: str, token: str, folder: str) -> None:
    """Connect, describe, read one object by a Bulk query job."""
    resource = SalesforceResource(
        credentials=SalesforceSessionCredentials(session_id=token, instance_url=url, version="66.0")
    )
    sobject = resource.get_object_client("MessagingSession")
    ids, told = [], []
    for page in sobject.query_to_csv(sobject.get_query(), Path(folder), batch_size=2_000, wait=0):
        with Path(str(page.file)).open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        ids += [row["Id"] for row in rows]
        told.append([page.number_of_records, len(rows)])
    print(
        json.dumps(
            {
                "organization": resource.check_connection()["organization_name"],
                "objects": resource.get_available_objects(),
                "daily": resource.get_limits()["DailyApiRequests"]["Max"],
                "columns": list(sobject.fields),
                "ids": ids,
                "pages": told,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
