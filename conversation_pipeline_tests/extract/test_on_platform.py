"""From a SOQL page to columns (on-platform reference 2.2 to 2.4; traps 10, 21 and 22)."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.extract.on_platform import Selection, begun_before, select, to_batch
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.errors import ObjectUnavailable
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.custom import with_custom_fields
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline_tests.salesforce.conftest import Org

DAY = Window.of_day("2026-11-18")
FROM_SALESFORCE = [dataset for dataset in DATASETS if dataset.sobject is not None]


def page(*records: dict[str, Any]) -> bytes:
    return json.dumps({"totalSize": len(records), "done": True, "records": records}).encode()


def value(dataset: Dataset, column: str, record: dict[str, Any]) -> Any:
    [found] = to_batch(page({"Id": "0MwAA0000002222"} | record), dataset).column(column).to_pylist()
    return found


@pytest.mark.parametrize("dataset", FROM_SALESFORCE, ids=lambda dataset: dataset.name)
def test_rows_have_the_dataset_s_schema(dataset: Dataset) -> None:
    """Types and columns are those that are declared, whatever the page carries."""
    assert to_batch(page(), dataset).schema == dataset.schema
    assert to_batch(page({"Id": "0MwAA0000002222"}), dataset).schema == dataset.schema


@pytest.mark.parametrize("number", [3, 3.0])
def test_whole_numbers_are_read_in_every_spelling(number: float) -> None:
    """The service writes 3 or 3.0 and means the same."""
    assert value(VOICE_CALLS, "number_of_holds", {"NumberOfHolds": number}) == 3


@pytest.mark.parametrize(
    "text", ["2026-11-18T12:00:00.250+0000", "2026-11-18T12:00:00.250Z", "2026-11-18T13:00:00.250+01:00"]
)
def test_instants_are_read_in_every_spelling(text: str) -> None:
    """With +0000, with Z, or in another zone: one instant, to the millisecond."""
    instant = datetime(2026, 11, 18, 12, 0, 0, 250_000, tzinfo=UTC)

    assert value(MESSAGING_SESSIONS, "start_time", {"StartTime": text}) == instant


@pytest.mark.parametrize("parent", [None, {"ConversationIdentifier": None}, {}])
def test_a_parent_that_is_not_there_is_null(parent: Any) -> None:
    """An empty lookup comes as null in place of the parent."""
    assert value(MESSAGING_SESSIONS, "conversation_identifier", {"Conversation": parent}) is None


def test_a_parent_s_column_is_read() -> None:
    """A path leads through the parent."""
    parent = {"attributes": {"type": "Conversation"}, "ConversationIdentifier": "uuid"}

    assert value(MESSAGING_SESSIONS, "conversation_identifier", {"Conversation": parent}) == "uuid"


def test_record_ids_have_18_characters() -> None:
    """Whichever form the service sent."""
    assert value(MESSAGING_SESSIONS, "id", {"Id": "0MwAA0000002222"}) == "0MwAA00000022220AA"
    assert value(MESSAGING_SESSIONS, "owner_id", {"OwnerId": "005AA0000001111AAA"}) == "005AA0000001111AAA"


def test_columns_that_a_page_lacks_are_null() -> None:
    """A column that field-level security hides is there, empty."""
    assert value(MESSAGING_SESSIONS, "status", {}) is None


@pytest.mark.parametrize(("told", "text"), [("a\u0000b", "a\u0000b"), (5, "5"), ({"a": 1}, '{"a":1}')])
def test_texts_are_kept_whatever_they_are(told: Any, text: str) -> None:
    """A value that is no text is kept as its JSON."""
    assert value(MESSAGING_SESSIONS, "status", {"Status": told}) == text


def test_the_selection_is_what_is_wanted_and_visible(org: Org) -> None:
    """A hidden column is left out and named; one query carries all the others."""
    org.control.post("hide", object="MessagingSession", fields=["EndUserLanguage", "EndTime"])

    selection = select(org.query(), MESSAGING_SESSIONS)

    assert set(selection.missing) == {"EndUserLanguage", "EndTime"}
    assert len(selection.fields) == len(MESSAGING_SESSIONS.fields) - 2
    assert "EndTime" not in selection.soql(DAY)


def test_an_absent_object_is_told(org: Org) -> None:
    """An org without Voice has no VoiceCall."""
    org.control.post("hide", object="VoiceCall", absent=True)

    with pytest.raises(ObjectUnavailable, match="VoiceCall"):
        select(org.query(), VOICE_CALLS)


@pytest.mark.parametrize("dataset", FROM_SALESFORCE, ids=lambda dataset: dataset.name)
def test_what_is_asked_for_is_what_the_org_holds(dataset: Dataset, org: Org) -> None:
    """For every dataset: each record of the day (or of the snapshot) once, deleted ones included."""
    window = DAY if dataset.partitioned else None
    truth = org.control.get("truth/records", sobject=dataset.sobject, **({"day": "2026-11-18"} if window else {}))
    selection = select(org.query(), dataset)

    bodies = [one.body for one in org.query().pages(selection.soql(window), all_rows=True)]
    rows = pa.Table.from_batches([to_batch(body, dataset) for body in bodies], dataset.schema)

    wanted = [record["Id"] for record in truth["records"] if dataset.sobject != "Group" or record["Type"] == "Queue"]
    assert rows[dataset.key[0]].to_pylist() == sorted(wanted)


def test_a_snapshot_has_no_window(org: Org) -> None:
    """Users are read as they are now, whenever they were created."""
    assert "WHERE" not in select(org.query(), USERS).soql(None)


def test_records_begun_before_the_lake_are_found(org: Org) -> None:
    """A session created before the first day, be it months, is found while it goes on; one that had ended is not."""
    start = datetime(2026, 11, 17, tzinfo=UTC)
    ages = {"open": None, "late": start + timedelta(hours=2), "over": start - timedelta(hours=1)}
    inserted = org.control.post(
        "records",
        insert=[
            {
                "sobject": "MessagingSession",
                "CreatedDate": (start - timedelta(days=200)).isoformat(),
                "EndTime": end.isoformat() if end else None,
            }
            for end in ages.values()
        ],
    )["inserted"]

    found = begun_before(org.query(), MESSAGING_SESSIONS, start, start)

    assert set(found["id"].to_pylist()) & set(inserted) == set(inserted[:2])
    assert org.seen() == ["token", "describe", "query_all"]


def test_nothing_begun_before_in_an_org_without_the_object(org: Org) -> None:
    """No object, no records: an empty table of the declared columns."""
    org.control.post("hide", object="VoiceCall", absent=True)
    start = datetime(2026, 11, 17, tzinfo=UTC)

    assert begun_before(org.query(), VOICE_CALLS, start, start) == VOICE_CALLS.schema.empty_table()


def test_a_condition_on_an_end_needs_the_column(org: Org) -> None:
    """Where the end is hidden, a session may go on for all that is known: it is not left out."""
    org.control.post("hide", object="MessagingSession", fields=["EndTime"])
    selection = Selection.of(MESSAGING_SESSIONS, org.query().describe("MessagingSession"))

    assert "EndTime" not in selection.soql(DAY, still_going_at=DAY.start)


def custom(dataset: Dataset, *names: str) -> Dataset:
    [found] = with_custom_fields([dataset], [f"{dataset.sobject}.{name}" for name in names])
    return found


@pytest.mark.parametrize("kind", ["base64", "address", "location"])
def test_a_column_that_is_no_one_value_is_not_read(kind: str, org: Org) -> None:
    """Content and compound fields are left out and named, even where a setting asks for them as text."""
    org.control.post("schema", object="MessagingSession", add={"name": "Extra__c", "type": kind})

    selection = select(org.query(), custom(MESSAGING_SESSIONS, "Extra__c"))

    assert selection.unfit == ("Extra__c",)
    assert "Extra__c" not in selection.soql(DAY)


@pytest.mark.parametrize("given", ["string", "datetime"])
def test_a_column_of_another_type_is_not_read(given: str, org: Org) -> None:
    """A number that became a text, or a date and time, does not become a wrong number: it is left out and named."""
    org.control.post("schema", object="VoiceCall", change={"name": "NumberOfHolds", "type": given})

    selection = select(org.query(), VOICE_CALLS)

    assert selection.unfit == ("NumberOfHolds",)


def test_a_formula_is_not_read(org: Org) -> None:
    """Its value changes and no stamp of the record moves, so a column of it would go stale unseen."""
    added = {"name": "Score__c", "type": "double", "calculated": True, "values": [1.0]}
    org.control.post("schema", object="MessagingSession", add=added)

    selection = select(org.query(), custom(MESSAGING_SESSIONS, "Score__c:number"))

    assert selection.calculated == ("Score__c",)
    assert "Score__c" not in selection.soql(DAY)
    assert any("calculated by a formula" in reason for reason in selection.findings)


@pytest.mark.parametrize(
    ("hidden", "unfilterable", "cursor"),
    [
        ([], [], "SystemModstamp"),
        ([], ["SystemModstamp"], "LastModifiedDate"),
        (["SystemModstamp"], [], "LastModifiedDate"),
        (["SystemModstamp"], ["LastModifiedDate"], None),
    ],
)
def test_the_cursor_is_the_surest_field_that_a_condition_may_name(
    hidden: list[str], unfilterable: list[str], cursor: str | None, org: Org
) -> None:
    """SystemModstamp, else LastModifiedDate, and only if describe calls it filterable; else nothing tells a change."""
    org.control.post("hide", object="MessagingSession", fields=hidden)
    for name in unfilterable:
        change = {"name": name, "type": "datetime", "filterable": False}
        org.control.post("schema", object="MessagingSession", change=change)

    assert select(org.query(), MESSAGING_SESSIONS).cursor == cursor


def test_records_at_the_edges_of_a_day_are_of_one_day(org: Org) -> None:
    """Midnight is the day's that begins; the next midnight is not; ties do not get lost between pages."""
    midnight, next_midnight = DAY.start.isoformat(), DAY.end.isoformat()
    ties = [{"sobject": "MessagingSession", "CreatedDate": midnight} for _ in range(7)]
    late = [{"sobject": "MessagingSession", "CreatedDate": next_midnight}]
    inserted = org.control.post("records", insert=[*ties, *late])["inserted"]
    org.control.post("switches", query_page_rows=3)
    selection = select(org.query(), MESSAGING_SESSIONS)

    pages = org.query().pages(selection.soql(DAY), all_rows=True)
    found = [record["Id"] for one in pages for record in json.loads(one.body)["records"]]

    assert [identifier for identifier in found if identifier in inserted] == sorted(inserted[:7])


@pytest.mark.parametrize("dataset", FROM_SALESFORCE, ids=lambda dataset: dataset.name)
def test_lookups_are_kept_as_ids(dataset: Dataset, org: Org) -> None:
    """Whatever objects a lookup may point at, its id is what is asked for: Bulk knows no TYPEOF."""
    selection = select(org.query(), dataset)

    lookups = [field for field in selection.fields if field.record_id]
    assert lookups
    assert "TYPEOF" not in selection.soql(None)
    assert {str(field.api_name).count(".") for field in lookups} == {0}


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_a_date_knows_no_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is the same day wherever the reader is."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    dataset = custom(MESSAGING_SESSIONS, "Due__c:date")

    found = value(dataset, "due__c", {"Due__c": "2026-11-18"})

    monkeypatch.undo()
    time.tzset()
    assert found == date(2026, 11, 18)
