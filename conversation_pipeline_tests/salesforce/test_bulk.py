"""Bulk API 2.0 query jobs: created once, waited for, read to the end, cleared away; no request without a purpose."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.salesforce.bulk import Bulk, JobState, Polling, QueryJob
from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.errors import (
    BulkUnavailable,
    IncompleteAnswer,
    JobFailed,
    LimitReached,
    LocatorLost,
    PagingLoop,
    RequestRefused,
    TransientError,
    WindowTooLarge,
)
from conversation_pipeline.salesforce.limits import BULK_QUERY_JOBS
from conversation_pipeline_tests.salesforce.conftest import IMPATIENT, Behaviour, FaultServer, Org, answer, says

SESSIONS = "SELECT Id, Status FROM MessagingSession"
AT_ONCE = Polling(first=0.001, longest=0.002, patience=30.0)
JOB = {"id": "750000000000001AAA", "operation": "queryAll", "object": "MessagingSession", "state": "JobComplete"}


def bulk_of(org: Org, **more: Any) -> Bulk:
    return Bulk(org.connection(), retry=IMPATIENT, **{"polling": AT_ONCE, "page_records": 4, **more})


def on(line: Connection, **more: Any) -> Bulk:
    """A client of the fault server."""
    return Bulk(line, retry=IMPATIENT, polling=AT_ONCE, **more)


def created(bulk: Bulk, soql: str = SESSIONS, **more: Any) -> QueryJob:
    return bulk.create(soql, "MessagingSession", all_rows=True, **more)


def text_of(bulk: Bulk, job: QueryJob, folder: Path, **more: Any) -> list[str]:
    """The result's rows, page by page, each without its header line."""
    rows: list[str] = []
    for page in bulk.pages(job, folder, **more):
        lines = page.file.read().decode().splitlines()[1:]
        page.file.close()
        assert len(lines) == page.records
        rows += lines
    return rows


def page(rows: Sequence[str], *, locator: str, records: int | None = None) -> Behaviour:
    body = "".join(f'"{row}"\n' for row in ("Id", *rows)).encode()
    told = len(rows) if records is None else records
    headers = ["Content-Type: text/csv", f"Sforce-Locator: {locator}", f"Sforce-NumberOfRecords: {told}"]
    return says(body, headers=headers)


def complete(records: int) -> QueryJob:
    return QueryJob(JOB["id"], "JobComplete", object="MessagingSession", number_records_processed=records)


def test_a_job_from_creation_to_deletion(org: Org, tmp_path: Path) -> None:
    """One call each to create, poll twice, read three pages and delete: nothing is asked for without a purpose."""
    org.control.post("switches", bulk_page_rows=4, bulk_after_polls=1)
    bulk = bulk_of(org)

    job = bulk.wait(created(bulk))
    rows = text_of(bulk, job, tmp_path)
    bulk.delete(job.id)

    assert job.state == JobState.JOB_COMPLETE
    assert len(rows) == len(set(rows)) == job.number_records_processed > 4
    pages = -(-len(rows) // 4)
    assert org.seen() == ["token", "create", "get", "get", *["results"] * pages, "delete"]
    assert not any(file.name.startswith("tmp") for file in tmp_path.iterdir())


def test_a_lost_answer_leaves_no_job_behind(org: Org) -> None:
    """The job that was made by a request whose answer got lost is ended before another one is made (T13)."""
    org.control.post("switches", bulk_after_polls=5)
    org.control.post("faults", route="bulk_jobs.create", times=1, effect={"reset": True})
    bulk = bulk_of(org)

    job = created(bulk)

    assert [left.id for left in bulk.jobs()] == [job.id]
    assert org.seen() == ["token", "create", "list", "abort", "delete", "create", "list"]


def test_jobs_of_others_are_left_alone(org: Org) -> None:
    """Looking for an orphan ends neither jobs that are held by another run nor those of other objects."""
    org.control.post("switches", bulk_after_polls=5)
    bulk = bulk_of(org)
    held, other = created(bulk), bulk.create("SELECT Id FROM User", "User", all_rows=True)

    ended = bulk.end_orphans("MessagingSession", all_rows=True, within=timedelta(minutes=1), held=lambda: {held.id})

    assert ended == []
    assert {job.id for job in bulk.jobs()} == {held.id, other.id}


def test_a_job_that_its_run_has_not_noted_yet_is_left_alone(org: Org) -> None:
    """A job that is listed before its run knows its id is nobody's at the first look, and held at the second."""
    org.control.post("switches", bulk_after_polls=5)
    bulk = bulk_of(org)
    young = created(bulk)
    looks: Iterator[set[str]] = iter([set(), {young.id}])

    ended = bulk.end_orphans("MessagingSession", all_rows=True, within=timedelta(minutes=1), held=lambda: next(looks))

    assert (ended, [job.id for job in bulk.jobs()]) == ([], [young.id])


def test_who_holds_a_job_is_asked_once_the_jobs_are_listed(org: Org) -> None:
    """A job that another run begins and notes while the answer to a request is waited for is not ended."""
    org.control.post("switches", bulk_after_polls=5)
    bulk = bulk_of(org)
    listed: list[bool] = []

    def held() -> set[str]:
        listed.append("list" in org.seen())
        return set()

    young = created(bulk)
    ended = bulk.end_orphans("MessagingSession", all_rows=True, within=timedelta(minutes=1), held=held)

    assert listed == [True, True]
    assert [job.id for job in ended] == [young.id]


def test_a_job_list_of_many_pages_is_read_to_the_end(org: Org) -> None:
    """The next page of the job list is followed as it is told, on our own host."""
    org.control.post("switches", bulk_list_rows=2)
    bulk = bulk_of(org)
    made = {created(bulk).id for _ in range(5)}

    assert {job.id for job in bulk.jobs()} == made


@pytest.mark.parametrize("shape", ["resultChunks", "resultPages", "resultpages", "absent"])
def test_a_list_of_pages_gives_the_same_rows(org: Org, tmp_path: Path, shape: str) -> None:
    """However an org spells the list of result pages, and where it has none, each row comes once."""
    org.control.post(
        "switches", bulk_page_rows=2, bulk_after_polls=0, bulk_result_pages=shape, bulk_row_order="created"
    )
    bulk = bulk_of(org)
    job = bulk.wait(created(bulk))

    assert text_of(bulk, job, tmp_path, parallel=True) == text_of(bulk, job, tmp_path)


def test_listed_pages_do_not_wait_for_one_another(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """With the list of pages, as many as may be read ahead are asked for before the first of them has answered."""
    links = [{"resultUrl": f"/services/data/v66.0/page-{number}"} for number in range(3)]
    listing = says(json.dumps({"resultPages": links, "done": True}).encode())
    faults.script = [listing, *(page([str(number)], locator="null") for number in range(3))]

    pages = list(on(line, ahead=3).pages(complete(3), tmp_path, parallel=True))

    assert [found.number for found in pages] == [0, 1, 2]
    assert len(faults.asked) == 4


def test_a_reader_who_leaves_listed_pages_ends_the_reading_ahead(
    faults: FaultServer, line: Connection, tmp_path: Path
) -> None:
    """No more than the pages that may be read ahead are asked for."""
    links = [{"resultUrl": f"/services/data/v66.0/page-{number}"} for number in range(9)]
    listing = says(json.dumps({"resultPages": links, "done": True}).encode())
    faults.script = [listing, *(page([str(number)], locator="null") for number in range(9))]

    pages = on(line, ahead=2).pages(complete(9), tmp_path, parallel=True)
    next(pages).file.close()
    pages.close()  # type: ignore[attr-defined]

    assert len(faults.asked) <= 3


def test_the_allowance_of_jobs_is_shared_before_the_first_refusal(org: Org) -> None:
    """A job more than the quota store grants is not asked for, and the error says when to come back."""
    bulk = bulk_of(org, jobs_limit=BULK_QUERY_JOBS.with_count(1), jobs_patience=0.0)
    created(bulk)

    with pytest.raises(LimitReached, match=r"bulk_query_jobs: 1 per .* run it again in"):
        created(bulk)

    assert org.seen() == ["token", "create"]


def test_a_place_in_the_allowance_of_jobs_is_waited_for(org: Org) -> None:
    """Places become free one window after their answer (here a day of a second), and then the job is created."""
    bulk = bulk_of(org, jobs_limit=BULK_QUERY_JOBS.with_count(1).scaled(1 / 86_400))

    assert created(bulk).id != created(bulk).id


def test_a_token_that_expires_between_pages_is_renewed(org: Org, tmp_path: Path) -> None:
    """A locator outlives its token: the page is asked for again with a new one, and no row comes twice (T9)."""
    org.control.post("switches", bulk_page_rows=2, bulk_after_polls=0)
    org.control.post("faults", route="bulk_jobs.results", nth=2, effect={"expire_token": True})
    bulk = bulk_of(org)
    job = bulk.wait(created(bulk))

    rows = text_of(bulk, job, tmp_path)

    assert len(rows) == len(set(rows)) == job.number_records_processed
    assert org.seen().count("token") == 2


@pytest.mark.parametrize("effect", [{"reset": True}, {"truncate": 30}, {"html": True}, {"status": 503}], ids=str)
def test_a_spoilt_page_is_asked_for_again(org: Org, tmp_path: Path, effect: dict[str, Any]) -> None:
    """A page that breaks off, is cut, is HTML or is refused for a moment is read again, alone."""
    org.control.post("switches", bulk_page_rows=4, bulk_after_polls=0)
    bulk = bulk_of(org)
    job = bulk.wait(created(bulk))
    whole = text_of(bulk, job, tmp_path)
    before = org.seen().count("results")
    org.control.post("faults", route="bulk_jobs.results", nth=2, times=1, effect=effect)

    assert text_of(bulk, job, tmp_path) == whole
    assert org.seen().count("results") == 2 * before + 1


def test_an_unknown_object_falls_to_the_rest_road(org: Org) -> None:
    """An object that Bulk does not take is told apart from a query that is wrong."""
    org.control.post("switches", bulk_unsupported_objects="Conversation")

    with pytest.raises(BulkUnavailable):
        bulk_of(org).create("SELECT Id FROM Conversation", "Conversation", all_rows=True)
    with pytest.raises(RequestRefused) as refused:
        bulk_of(org).create("SELECT Nonsense FROM", "Conversation", all_rows=True)
    assert not isinstance(refused.value, BulkUnavailable)


def test_no_jobs_left_in_the_allowance(org: Org) -> None:
    """The 10,001st job of a day says so, and is not tried again."""
    org.control.post("limits", bulk_query_jobs=1)
    bulk = bulk_of(org)
    created(bulk)

    with pytest.raises(LimitReached):
        created(bulk)

    assert org.seen() == ["token", "create", "create"]


def test_a_query_that_times_out_asks_for_a_narrower_window(org: Org) -> None:
    """A job that failed for its size says so, and is not left behind."""
    org.control.post("switches", bulk_timeout_rows=3, bulk_after_polls=0)
    bulk = bulk_of(org)

    with pytest.raises(WindowTooLarge):
        bulk.wait(created(bulk))

    assert bulk.jobs() == []


def test_patience_ends(org: Org) -> None:
    """A job that does not end in time is aborted and deleted, and the error says for how long we waited."""
    org.control.post("switches", bulk_after_polls=1_000)
    bulk = bulk_of(org, polling=Polling(first=0.001, longest=0.002, patience=0.05))

    with pytest.raises(JobFailed, match=r"after 0 s and has been aborted"):
        bulk.wait(created(bulk))

    assert bulk.jobs() == []


def test_a_job_that_somebody_aborted_has_failed(org: Org) -> None:
    """An administrator may end a job in Setup; the run says so."""
    org.control.post("switches", bulk_after_polls=1_000)
    bulk = bulk_of(org)
    job = created(bulk)
    bulk.abort(job.id)

    with pytest.raises(JobFailed, match=r"is Aborted"):
        bulk.wait(job)


@pytest.mark.parametrize(
    "said",
    ["QUERY_TIMEOUT: too long", "InvalidBatch : Failed to process query: x", "Retried more than fifteen times"],
)
def test_what_says_that_a_window_is_too_large(faults: FaultServer, line: Connection, said: str) -> None:
    """Each known way in which the service tells that a query takes too long is heard."""
    failed = JOB | {"state": "Failed", "errorMessage": f"{said} SELECT Id WHERE Name = 'Jane'"}
    faults.script = [says(json.dumps(failed).encode()), says(b"", status=204)]

    with pytest.raises(WindowTooLarge) as error:
        on(line).wait(QueryJob(JOB["id"], "InProgress"))

    assert "Jane" not in str(error.value)


def test_a_job_that_is_gone_is_lost(org: Org, tmp_path: Path) -> None:
    """A result that expired between two pages says that another job is needed (D10)."""
    org.control.post("switches", bulk_page_rows=2, bulk_after_polls=0)
    bulk = bulk_of(org, ahead=1)
    job = bulk.wait(created(bulk))
    pages = bulk.pages(job, tmp_path)
    next(pages)
    bulk.delete(job.id)

    with pytest.raises(LocatorLost):
        list(pages)


def test_pages_that_do_not_add_up(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """Two records of three that the job has: nothing is used."""
    faults.script = [page(["a"], locator="L1"), page(["b"], locator="null")]

    with pytest.raises(IncompleteAnswer, match=r"has 3 records and its pages 2"):
        list(on(line).pages(complete(3), tmp_path))


def test_a_page_that_is_faster_than_its_reader(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """A page may have come to its end before the thread that asked for it runs on: it is handed on all the same."""
    faults.script = [page(["a"], locator="null")]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        found = [len(list(on(line).pages(complete(1), tmp_path))) for _ in range(150)]
    finally:
        sys.setswitchinterval(usual)

    assert found == [1] * 150


def test_equal_locators_are_a_loop(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """A page that leads back is an error, not an endless pull (D1)."""
    faults.script = [page(["a"], locator="L1")]

    with pytest.raises(PagingLoop):
        list(on(line).pages(complete(9), tmp_path))

    assert len(faults.asked) == 2


def test_a_page_without_a_count_is_no_page(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """A page that does not say how many records it has cannot be checked, so it is not used."""
    faults.script = [says(b'"Id"\n"a"\n', headers=["Content-Type: text/csv", "Sforce-Locator: null"])]

    with pytest.raises(IncompleteAnswer):
        list(on(line).pages(complete(1), tmp_path))


def test_locators_travel_as_they_came(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """A locator is opaque: signs that mean something in a URL arrive as they were."""
    faults.script = [page(["a"], locator="MTAw+/=&x"), page(["b"], locator="null")]

    list(on(line).pages(complete(2), tmp_path))

    assert faults.asked[1].params["locator"] == "MTAw+/=&x"


def test_a_reader_who_leaves_stops_the_reading_ahead(faults: FaultServer, line: Connection, tmp_path: Path) -> None:
    """No more than the pages that may be read ahead are asked for, and none of them stays on the disk."""
    faults.script = [page([str(number)], locator=f"L{number}") for number in range(20)]
    bulk = on(line, ahead=2, page_memory=1)

    pages = bulk.pages(complete(20), tmp_path)
    next(pages).file.close()
    pages.close()  # type: ignore[attr-defined]

    assert len(faults.asked) <= 3
    assert not any(file.name.startswith("tmp") for file in tmp_path.iterdir())


def test_an_answer_that_never_comes_is_given_up_after_its_tries(faults: FaultServer, line: Connection) -> None:
    """Each lost creation is followed by a look at the job list; after the last try the error is the transport's."""
    empty = says(b'{"done":true,"records":[]}')
    lost: Behaviour = lambda wire, asked: wire.send(answer(b"")[:20])  # noqa: E731
    faults.script = [lost, empty] * IMPATIENT.attempts

    with pytest.raises(TransientError, match=re.escape("POST /services/data/v66.0/jobs/query broke off")):
        created(on(line))

    assert [asked.method for asked in faults.asked] == ["POST", "GET"] * IMPATIENT.attempts


def test_a_throttled_creation_is_repeated_without_a_look(faults: FaultServer, line: Connection) -> None:
    """A refusal made no job, so none is looked for."""
    faults.script = [says(b"[]", status=429), says(json.dumps(JOB | {"state": "UploadComplete"}).encode())]

    assert created(on(line)).id == JOB["id"]
    assert [asked.method for asked in faults.asked] == ["POST", "POST"]
