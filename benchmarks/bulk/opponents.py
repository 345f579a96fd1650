"""
What others make of the same bulk result, in an environment of their own (``requirements-opponents.txt``), into DuckDB.

``python benchmarks/bulk/opponents.py WAY ...``; imports nothing of this project. Both Salesforce clients insist on
https, so their requests to the benchmark's server are led to http by an adapter; nothing else is touched.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import requests
from requests.adapters import HTTPAdapter

SOQL = "SELECT Id FROM MessagingSession"  # the server's one result does not depend on it


class _Plain(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **more)


def _session() -> requests.Session:
    session = requests.Session()
    session.mount("https://", _Plain())
    return session


def _client(url: str) -> Any:
    from simple_salesforce import Salesforce

    return Salesforce(instance_url=url.replace("http://", "https://"), session_id="a.b.c", session=_session())


def _loaded(files: list[str], folder: Path) -> int:
    """CSV files as one table, with DuckDB's own guess at types."""
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("CREATE TABLE sessions AS FROM read_csv($files, header = true)", {"files": files})
        return int(connection.execute("SELECT count(*) FROM sessions").fetchall()[0][0])


def simple_salesforce(url: str, folder: Path) -> int:
    """bulk2 download to CSV files, then DuckDB."""
    results = _client(url).bulk2.MessagingSession.download(SOQL, path=str(folder), max_records=50_000)
    return _loaded([result["file"] for result in results], folder)


def dagster_salesforce(url: str, folder: Path) -> int:
    """query_to_csv, then DuckDB."""
    from dagster_salesforce.resource import SalesforceObject

    sessions = SalesforceObject.model_construct(name="MessagingSession")
    object.__setattr__(sessions, "__pydantic_private__", {"_salesforce": _client(url)})
    results = sessions.query_to_csv(SOQL, folder, batch_size=50_000, wait=0)
    return _loaded([str(result.file) for result in results], folder)


def dlt_source(url: str, folder: Path) -> int:
    """dlt's verified Salesforce source (Bulk API 1.0): its client and its records, put together as its resources do."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    from salesforce.helpers.client import InstanceAuth, make_salesforce_client
    from salesforce.helpers.records import get_records

    auth = InstanceAuth(session_id="a.b.c", instance_url=url.replace("http://", "https://"))
    records = get_records(make_salesforce_client(auth, _session()), "MessagingSession")
    database = str(folder / "w.duckdb")
    pipeline = dlt.pipeline(
        "sessions", pipelines_dir=str(folder / "dlt"), destination=dlt.destinations.duckdb(database), dataset_name="d"
    )
    pipeline.run(dlt.resource(records, name="sessions", write_disposition="replace"))
    with duckdb.connect(database) as connection:
        return int(connection.execute("SELECT count(*) FROM d.sessions").fetchall()[0][0])


WAYS = {way.__name__: way for way in (simple_salesforce, dagster_salesforce, dlt_source)}

MODULES = {
    "simple_salesforce": "simple_salesforce",
    "dagster_salesforce": "dagster_salesforce.resource",
    "dlt_source": "salesforce",
}


def _peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_000


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dlt-source", type=Path, help="folder sources/salesforce of dlt's verified sources")
    given = parser.parse_args()
    if given.dlt_source:
        sys.path.insert(0, str(given.dlt_source.parent))
    importlib.import_module(MODULES[given.way])  # before the clock, as the project's own
    began, used = time.perf_counter(), time.process_time()
    landed = WAYS[given.way](given.url, given.folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"rows": landed, "seconds": seconds, "cpu": cpu, "megabytes": _peak_megabytes()}))
