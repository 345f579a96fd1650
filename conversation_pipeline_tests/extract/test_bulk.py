"""Bulk CSV to rows: the same as by REST, whatever the dialect; spoilt pages refused; killed runs gone on with."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline.extract import on_platform
from conversation_pipeline.extract.bulk import BulkRoad, CsvPage, windows_of
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.salesforce.bulk import Bulk, Polling
from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.errors import IncompleteAnswer, SalesforceError, TransientError, WindowTooLarge
from conversation_pipeline.salesforce.query import Query
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.schemas.fields import flag, instant, number, record_id, text, whole_number
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.notes import Notes
from conversation_pipeline_tests.salesforce.conftest import IMPATIENT, FaultServer, Org, says

THINGS = Dataset(
    name="things",
    grain="one row a thing",
    group=Group.ON_PLATFORM,
    key=("id",),
    partition_by="created_date",
    sobject="Thing",
    fields=(
        record_id(),
        text("Name", "Text."),
        whole_number("Count", "Whole number."),
        number("Score", "Number."),
        flag("IsDeleted", "Flag."),
        instant("CreatedDate", "Instant."),
        text("Owner.Name", "A parent's field.", name="owner_name"),
        text("Hidden", "Not visible here."),
    ),
)
SEEN = Selection(THINGS, THINGS.fields[:-1], ("Hidden",))
COLUMNS = [str(field.api_name) for field in SEEN.fields]
ID = "0Mw000000000001AAA"
ROW = {
    "Id": ID, "Name": "a", "Count": "3", "Score": "0.5", "IsDeleted": "true",
    "CreatedDate": "2026-11-18T09:36:04.000Z", "Owner.Name": "Jo",
}  # fmt: skip
CREATED = datetime(2026, 11, 18, 9, 36, 4, tzinfo=UTC)
DAYS = ["2026-11-17", "2026-11-18", "2026-11-19"]
AT_ONCE = Polling(first=0.001, longest=0.002, patience=30.0)


def written(rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> bytes:
    """CSV as the service writes it: every value quoted."""
    out = io.StringIO(newline="")
    table = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writerow(columns)
    table.writerows([row[name] for name in columns] for row in rows)
    return out.getvalue().encode()


def read(tmp_path: Path, body: bytes, records: int, drift: Counter[str] | None = None) -> list[dict[str, Any]]:
    page = CsvPage(io.BytesIO(body), records, SEEN, Counter() if drift is None else drift)
    rows: list[dict[str, Any]] = pa.Table.from_batches(page.batches(), THINGS.schema).to_pylist()
    return rows


def one(tmp_path: Path, **values: str) -> dict[str, Any]:
    """A page's only row, with some values of its own."""
    [row] = read(tmp_path, written([ROW | values]), 1)
    return row


def test_a_row_with_every_type(tmp_path: Path) -> None:
    """Each column has its declared type, a parent's field its own name, and a hidden column is null."""
    assert one(tmp_path) == {
        "id": ID, "name": "a", "count": 3, "score": 0.5, "is_deleted": True, "created_date": CREATED,
        "owner_name": "Jo", "hidden": None,
    }  # fmt: skip


def test_empty_is_null(tmp_path: Path) -> None:
    """Salesforce writes null as nothing, quoted or not."""
    empty = one(tmp_path, **dict.fromkeys(COLUMNS[1:], ""))
    bare = read(tmp_path, written([]) + ID.encode() + b",,,,,,\n", 1)

    assert [value for name, value in empty.items() if name != "id"] == [None] * 7
    assert bare == [empty]


@pytest.mark.parametrize("value", ["NA", "N/A", "null", "NULL", "nan", "None", "#N/A", "-", " ", "true", "0"])
def test_text_stays_text(tmp_path: Path, value: str) -> None:
    """What other readers take for null, a number or a flag is what somebody wrote."""
    assert one(tmp_path, Name=value)["name"] == value


@pytest.mark.parametrize("zone", [".000Z", ".000+0000", ".000+00:00", "Z"])
def test_instants_in_every_spelling(tmp_path: Path, zone: str) -> None:
    """UTC, however it is spelled."""
    assert one(tmp_path, CreatedDate=f"2026-11-18T09:36:04{zone}")["created_date"] == CREATED


@pytest.mark.parametrize(
    ("value", "number"), [("3", 3), ("3.0", 3), ("-2.00", -2), ("9007199254740993", 2**53 + 1), ("9.0", 9)]
)
def test_whole_numbers_with_and_without_a_point(tmp_path: Path, value: str, number: int) -> None:
    """3.0 is 3, and no digit is lost on the way."""
    assert one(tmp_path, Count=value)["count"] == number


def test_ids_get_their_18_characters(tmp_path: Path) -> None:
    """Short and long ids of one column become the same."""
    rows = [ROW | {"Id": "0MwA0000000001A"}, ROW | {"Id": ID}]

    assert [row["id"] for row in read(tmp_path, written(rows), 2)] == ["0MwA0000000001AKAQ", ID]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=8))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Quotes, commas, line breaks of any kind, emoji, right-to-left, formulas: byte for byte."""
    rows = [ROW | {"Id": f"0Mw{place:015}", "Name": one} for place, one in enumerate(texts)]

    told = read(tmp_path_factory.mktemp("any"), written(rows), len(rows))

    assert [row["name"] for row in told] == [one or None for one in texts]


def test_the_longest_text_that_salesforce_keeps(tmp_path: Path) -> None:
    """131,072 characters of four bytes, in several rows, and one far beyond any block."""
    texts = ["\U0001f600" * 131_072] * 6 + ['"' * 10_000_000, "short"]
    rows = [ROW | {"Id": f"0Mw{place:015}", "Name": one} for place, one in enumerate(texts)]

    assert [row["name"] for row in read(tmp_path, written(rows), 8)] == texts


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_both_line_endings(tmp_path: Path, ending: str) -> None:
    """A job may end its rows either way."""
    body = written([ROW, ROW]).decode().replace("\n", ending).encode()

    assert len(read(tmp_path, body, 2)) == 2


def test_columns_in_another_order(tmp_path: Path) -> None:
    """Columns are found by name, whatever their case (D8)."""
    body = written([ROW], [*reversed(COLUMNS)]).replace(b'"Count"', b'"COUNT"')

    assert read(tmp_path, body, 1) == [one(tmp_path)]


def test_a_column_that_was_not_asked_for_is_told(tmp_path: Path) -> None:
    """It is left out and counted as drift (D8)."""
    drift: Counter[str] = Counter()

    assert read(tmp_path, written([ROW | {"More": "x"}], [*COLUMNS, "More"]), 1, drift) == [one(tmp_path)]
    assert drift == {"unexpected column More": 1}


def test_byte_order_mark_and_nul_are_dropped(tmp_path: Path) -> None:
    """Neither is what anybody wrote."""
    body = b"\xef\xbb\xbf" + written([ROW | {"Name": "a\0b"}]).replace(b"Score", b"Sc\0ore")

    assert read(tmp_path, body, 1)[0]["name"] == "ab"


@pytest.mark.parametrize("body", [b"", written([])], ids=["empty", "header"])
def test_no_rows(tmp_path: Path, body: bytes) -> None:
    """An empty body and a header alone are a page without rows."""
    assert read(tmp_path, body, 0) == []


WHOLE = written([ROW | {"Name": "my card is 4111"}] * 3)
SPOILT = {
    "cut between rows": (WHOLE[: WHOLE.rindex(b'\n"') + 1], "has 2 rows where the service says 3"),
    "cut in a row": (WHOLE[:-30], "too many or too few values"),
    "cut in quotes": (WHOLE[: WHOLE.rindex(b"card")], "too many or too few values"),
    "one row more": (WHOLE + WHOLE[WHOLE.rindex(b'\n"') + 1 :], "has 4 rows"),
    "empty": (b"", "has 0 rows"),
    "a column renamed": (WHOLE.replace(b'"Name"', b'"Nom"'), "Name is missing"),
    "a column missing": (written([ROW] * 3, COLUMNS[:-1]), "Owner.Name is missing"),
    "a column twice": (written([ROW] * 3, [*COLUMNS, "Id"]), "is there twice"),
    "HTML": (b"<html><body>Maintenance</body></html>", "does not begin with the names"),
    "no UTF-8": (WHOLE.replace(b"4111", b"\xff\xfe"), "no UTF-8"),
    "no date": (WHOLE.replace(b"2026-11-18T", b"my card 41"), "is no timestamp"),
    "no number": (WHOLE.replace(b'"3"', b'"4111"').replace(b"4111", b"four"), "no whole number"),
    "half a number": (WHOLE.replace(b'"3"', b'"3.5"'), "no whole number"),
    "no flag": (WHOLE.replace(b'"true"', b'"yes"'), "is no bool"),
}


@pytest.mark.parametrize("fault", list(SPOILT))
def test_a_spoilt_page_is_refused(tmp_path: Path, fault: str) -> None:
    """Nothing of it is handed on, and the error says what is wrong without a word of the page (D7, D9)."""
    body, reason = SPOILT[fault]
    page = CsvPage(io.BytesIO(body), 3, SEEN, Counter())

    with pytest.raises(IncompleteAnswer, match=reason) as error:
        list(page.batches())

    assert page.handed_on == 0
    assert "4111" not in repr(error.value) + repr(error.value.__cause__)


def test_days_make_few_windows() -> None:
    """Days that follow one another are one window, so one job."""
    assert windows_of(["2026-11-02", "2026-11-01", "2026-11-04", "2026-11-01"]) == [
        Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)),
        Window(datetime(2026, 11, 4, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC)),
    ]
    assert windows_of(None) == [None]


def road_of(org: Org, folder: Path, **more: Any) -> BulkRoad:
    bulk = Bulk(org.connection(), retry=IMPATIENT, polling=AT_ONCE, page_records=5)
    return BulkRoad(bulk, Notes(str(folder / "staging"), "bulk-jobs"), **more)


def rows_of(batches: Iterator[pa.RecordBatch], promised: int) -> list[dict[str, Any]]:
    """Lands in memory."""
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, MESSAGING_SESSIONS.schema).sort_by("id").to_pylist()
    assert len(rows) == promised
    return rows


def selected(org: Org) -> Selection:
    return on_platform.select(org.query(), MESSAGING_SESSIONS)


def by_rest(org: Org, days: Sequence[str]) -> list[dict[str, Any]]:
    """The truth by the other road."""
    query = Query(org.connection(), retry=IMPATIENT)
    pages = [
        page
        for window in windows_of(days)
        for page in query.pages(on_platform.select(query, MESSAGING_SESSIONS).soql(window), all_rows=True)
    ]
    table = pa.Table.from_batches(
        [on_platform.to_batch(page.body, MESSAGING_SESSIONS) for page in pages], MESSAGING_SESSIONS.schema
    )
    return table.sort_by("id").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "dialect",
    [
        {},
        {"bulk_int_with_point": True, "bulk_datetime_zone": "+0000"},
        {"bulk_null_quoted": False, "bulk_row_order": "created"},
    ],
    ids=str,
)
def test_the_same_rows_as_by_rest(org: Org, tmp_path: Path, dialect: dict[str, Any]) -> None:
    """Both roads give the same rows of three days, value for value."""
    org.control.post("switches", bulk_page_rows=5, **dialect)

    rows = road_of(org, tmp_path).land(selected(org), DAYS, rows_of)

    assert len(rows) > 10
    assert rows == by_rest(org, DAYS)


def test_one_job_for_many_days(org: Org, tmp_path: Path) -> None:
    """Three days cost one job, its polls, its pages and its deletion; nothing is left behind."""
    org.control.post("switches", bulk_page_rows=1_000, bulk_after_polls=1)
    road = road_of(org, tmp_path)
    road.bulk.page_records = 1_000

    road.land(selected(org), DAYS, rows_of)

    seen = [name for name in org.seen() if name not in ("token", "describe")]
    assert seen == ["create", "get", "get", "results", "delete"]
    assert road.notes.all() == {}


@pytest.mark.parametrize(("more", "listed"), [(0, []), (-1, ["result_pages"])])
def test_many_pages_are_read_by_their_list(org: Org, tmp_path: Path, more: int, listed: list[str]) -> None:
    """Of ten pages each leads to the next; of more, one call asks for their list, and each row comes once."""
    org.control.post("switches", bulk_after_polls=0)
    truth = by_rest(org, DAYS)
    road, selection = road_of(org, tmp_path), selected(org)
    road.bulk.page_records = -(-len(truth) // 10) + more
    before = len(org.seen())

    assert road.land(selection, DAYS, rows_of) == truth

    seen = [name for name in org.seen()[before:] if name not in ("token", "describe", "results")]
    assert seen == ["create", "get", *listed, "delete"]


def test_days_without_rows(org: Org, tmp_path: Path) -> None:
    """No rows is an answer too."""
    assert road_of(org, tmp_path).land(selected(org), ["2025-01-01"], rows_of) == []


def test_a_window_that_is_too_large_is_cut(org: Org, tmp_path: Path) -> None:
    """What takes the org too long is asked for in halves, and each row comes once."""
    org.control.post("switches", bulk_timeout_rows=8, bulk_after_polls=0)

    rows = road_of(org, tmp_path).land(selected(org), DAYS, rows_of)

    assert rows == by_rest(org, DAYS)
    assert 2 < org.seen().count("create") < 12


def test_an_hour_that_is_too_large_is_for_the_other_road(org: Org, tmp_path: Path) -> None:
    """Below an hour nothing is cut any more; the caller asks by REST."""
    insert = [{"sobject": "MessagingSession", "CreatedDate": f"2026-11-18T12:00:0{second}.000Z"} for second in range(9)]
    org.control.post("records", insert=insert)
    org.control.post("switches", bulk_timeout_rows=8, bulk_after_polls=0)
    road = road_of(org, tmp_path)

    with pytest.raises(WindowTooLarge):
        road.land(selected(org), ["2026-11-18"], rows_of)


def test_a_run_that_broke_off_goes_on_with_its_job(org: Org, tmp_path: Path) -> None:
    """A second run within the hour pays for no second job, and none for what was cut."""

    def broken(batches: Iterator[pa.RecordBatch], promised: int) -> None:
        next(batches)
        raise TransientError("the disk was full")

    org.control.post("switches", bulk_timeout_rows=30, bulk_after_polls=0)
    with pytest.raises(TransientError):
        road_of(org, tmp_path).land(selected(org), DAYS, broken)
    created = org.seen().count("create")

    rows = road_of(org, tmp_path).land(selected(org), DAYS, rows_of)

    assert rows == by_rest(org, DAYS)
    assert org.seen().count("create") == created
    assert (road_of(org, tmp_path).bulk.jobs(), road_of(org, tmp_path).notes.all()) == ([], {})


def test_a_result_that_is_gone_is_asked_for_anew(org: Org, tmp_path: Path) -> None:
    """A job that vanished halfway is replaced by another, and the rows are landed from the start (D10)."""
    road = road_of(org, tmp_path)
    road.bulk.ahead = 1
    calls: list[int] = []

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> list[dict[str, Any]]:
        calls.append(promised)
        if len(calls) == 1:
            road.bulk.delete(road.bulk.jobs()[0].id)
        return rows_of(batches, promised)

    org.control.post("switches", bulk_page_rows=2)
    assert road.land(selected(org), DAYS, into) == by_rest(org, DAYS)
    assert len(calls) == 2


def test_an_old_job_is_not_gone_on_with(org: Org, tmp_path: Path) -> None:
    """What a run left behind longer ago than that is ended, and the org's present is asked for."""
    road = road_of(org, tmp_path)
    old = road.bulk.create("SELECT Id FROM MessagingSession", "MessagingSession", all_rows=True)
    started_at = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    note = {"started_at": started_at, "dataset": "messaging_sessions", "sobject": "MessagingSession"}
    road.notes.write("messaging_sessions-old", note | {"job_id": old.id})

    road.land(selected(org), DAYS, rows_of)

    assert (road.bulk.jobs(), road.notes.all()) == ([], {})


def test_a_job_that_its_run_is_still_at_is_left_alone(org: Org, tmp_path: Path) -> None:
    """However long ago another run began it: that run was seen at it lately."""
    road = road_of(org, tmp_path)
    live = road.bulk.create("SELECT Id FROM MessagingSession", "MessagingSession", all_rows=True)
    now = datetime.now(UTC)
    begun, seen = (now - timedelta(hours=2)).isoformat(), (now - timedelta(minutes=2)).isoformat()
    note = {"started_at": begun, "seen_at": seen, "sobject": "MessagingSession", "job_id": live.id}
    road.notes.write("messaging_sessions-other", note)

    road.land(selected(org), DAYS, rows_of)

    assert [job.id for job in road.bulk.jobs()] == [live.id]
    assert road.notes.all() == {"messaging_sessions-other": note}


def test_a_run_tells_that_it_is_still_at_its_job(org: Org, tmp_path: Path) -> None:
    """While pages come in the job's note says again and again when its run was seen."""
    org.control.post("switches", bulk_page_rows=5)
    road = road_of(org, tmp_path, renew_after=0.0)
    seen: list[str] = []

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> None:
        for _ in batches:
            seen.extend(note["seen_at"] for note in road.notes.all().values())

    road.land(selected(org), DAYS, into)

    assert len(set(seen)) > 1


def test_a_run_tells_that_it_waits_for_its_job(org: Org, tmp_path: Path) -> None:
    """Each look at the job may renew its note, also that of a job which was complete before."""
    org.control.post("switches", bulk_after_polls=3)
    road = road_of(org, tmp_path, renew_after=0.0)
    written: list[str] = []

    class Watched(Notes):
        def write(self, name: str, note: dict[str, Any]) -> None:
            written.append(note.get("seen_at", ""))
            super().write(name, note)

    road.notes = Watched(str(tmp_path / "staging"), "bulk-jobs")
    road.land(selected(org), DAYS, lambda batches, promised: None)

    assert len({seen_at for seen_at in written if seen_at}) >= 3


def test_a_job_seen_lately_but_begun_long_ago_is_not_gone_on_with(org: Org, tmp_path: Path) -> None:
    """A run that was killed after hours of waiting leaves rows of hours ago: its job is ended, another asked."""

    def broken(batches: Iterator[pa.RecordBatch], promised: int) -> None:
        raise TransientError("the disk was full")

    road = road_of(org, tmp_path)
    with pytest.raises(TransientError):
        road.land(selected(org), DAYS, broken)
    for name, note in road.notes.all().items():
        road.notes.write(name, note | {"started_at": (datetime.now(UTC) - timedelta(hours=2)).isoformat()})

    road.land(selected(org), DAYS, rows_of)

    assert org.seen().count("create") == 2
    assert (road.bulk.jobs(), road.notes.all()) == ([], {})


KILLED = """
import sys
from pathlib import Path
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline_tests.extract.test_bulk import DAYS, land_in_lake
from conversation_pipeline_tests.salesforce.conftest import Org
store = SqliteQuotaStore(Path(sys.argv[2]) / "other.sqlite")
land_in_lake(Org(sys.argv[1], store), Path(sys.argv[2]))
"""


def land_in_lake(org: Org, folder: Path) -> int:
    """Three days into a lake; returns the rows there."""
    lake = Lake(str(folder / "lake"))

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> int:
        receipts = lake.replace_days(MESSAGING_SESSIONS, DAYS, batches, run_id="r", road="bulk", promised=promised)
        return sum(receipt.rows for receipt in receipts.values())

    return road_of(org, folder).land(selected(org), DAYS, into)


@pytest.mark.parametrize(
    ("point", "passage", "jobs"),
    [
        (KillPoint.BULK_JOB_CREATED, 1, 2),
        (KillPoint.BULK_PAGE_READ, 1, 1),
        (KillPoint.BULK_PAGE_READ, 2, 1),
        (KillPoint.PARTITION_RENAMED, 2, 1),
    ],
)
def test_run_again_after_a_kill(
    org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: KillPoint, passage: int, jobs: int
) -> None:
    """After ``kill -9`` the next run publishes every row once, with the same job, and leaves no job behind (K6)."""
    org.control.post("switches", bulk_page_rows=5, bulk_after_polls=2)
    monkeypatch.setenv("CONVERSATION_KILL_AT", f"{point}:{passage}")
    killed = subprocess.run([sys.executable, "-c", KILLED, org.url, str(tmp_path)], check=False)
    monkeypatch.delenv("CONVERSATION_KILL_AT")
    assert killed.returncode == -9

    landed = land_in_lake(org, tmp_path)

    assert landed == len(by_rest(org, DAYS))
    assert org.seen().count("create") == jobs
    assert (road_of(org, tmp_path).bulk.jobs(), road_of(org, tmp_path).notes.all()) == ([], {})


def test_a_page_that_is_cut_between_rows_is_read_again(
    faults: FaultServer, line: Connection, store: SqliteQuotaStore, tmp_path: Path
) -> None:
    """A proxy that cut a page at a row's end and ended it politely costs one more request, and no row."""
    job = b'{"id":"750A","state":"JobComplete","object":"Thing","numberRecordsProcessed":3}'
    whole, cut = WHOLE, SPOILT["cut between rows"][0]
    headers = ["Content-Type: text/csv", "Sforce-Locator: null", "Sforce-NumberOfRecords: 3"]
    faults.script = [says(job), says(cut, headers=headers), says(whole, headers=headers), says(b"", status=204)]
    road = BulkRoad(Bulk(line, retry=IMPATIENT, polling=AT_ONCE), Notes(str(tmp_path), "bulk-jobs"))

    rows = road.land(SEEN, DAYS, lambda batches, promised: sum(batch.num_rows for batch in batches))

    assert rows == 3
    assert [asked.method for asked in faults.asked] == ["POST", "GET", "GET", "DELETE"]


def test_who_lands_learns_of_columns_that_came_unasked(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """The road knows them, by how many pages, when it has landed the rows."""
    job = b'{"id":"750A","state":"JobComplete","object":"Thing","numberRecordsProcessed":1}'
    headers = ["Content-Type: text/csv", "Sforce-Locator: null", "Sforce-NumberOfRecords: 1"]
    page = written([ROW | {"New__c": "x"}], [*COLUMNS, "New__c"])
    faults.script = [says(job), says(page, headers=headers), says(b"", status=204)]
    road = BulkRoad(Bulk(line, retry=IMPATIENT, polling=AT_ONCE), Notes(str(tmp_path), "bulk-jobs"))

    road.land(SEEN, DAYS, lambda batches, promised: list(batches))

    assert road.drift == {"unexpected column New__c": 1}


def test_a_page_that_stays_spoilt_is_given_up(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """After three readings the error is told, and the job stays for the next run."""
    job = b'{"id":"750A","state":"JobComplete","object":"Thing","numberRecordsProcessed":3}'
    headers = ["Content-Type: text/csv", "Sforce-Locator: null", "Sforce-NumberOfRecords: 3"]
    faults.script = [says(job), says(SPOILT["cut between rows"][0], headers=headers)]
    road = BulkRoad(Bulk(line, retry=IMPATIENT, polling=AT_ONCE), Notes(str(tmp_path), "bulk-jobs"))

    with pytest.raises(SalesforceError, match="has 2 rows where the service says 3"):
        road.land(SEEN, DAYS, lambda batches, promised: list(batches))

    assert [note["job_id"] for note in road.notes.all().values()] == ["750A"]
    assert len(faults.asked) == 4


def test_a_large_page_is_handed_on_as_it_comes(tmp_path: Path) -> None:
    """A page beyond the look-ahead does not wait in memory; a fault at its end is still told."""
    rows = [ROW | {"Id": f"0Mw{place:015}", "Name": "x" * 100_000} for place in range(1_000)]
    page = CsvPage(io.BytesIO(written(rows)), 1_001, SEEN, Counter())

    batches = page.batches()
    assert next(batches).num_rows > 0
    with pytest.raises(IncompleteAnswer, match="has 1,000 rows"):
        list(batches)
