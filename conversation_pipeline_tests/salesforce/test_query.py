"""Query paging (REST API developer guide, Query and QueryAll; on-platform reference 2.2 and 4, traps 10, 12 and 17)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    IncompleteAnswer,
    LocatorLost,
    ObjectUnavailable,
    PagingLoop,
    QueryTooLong,
)
from conversation_pipeline.salesforce.query import Query, StagedPage
from conversation_pipeline_tests.salesforce.conftest import IMPATIENT, FaultServer, Org, says

SESSIONS = "SELECT Id, IsDeleted FROM MessagingSession ORDER BY Id"


def ids(pages: Iterator[StagedPage]) -> list[str]:
    return [record["Id"] for page in pages for record in json.loads(page.body)["records"]]


def true_ids(org: Org) -> list[str]:
    return sorted(row["Id"] for row in org.control.get("truth/records", sobject="MessagingSession")["records"])


def page(ids: list[str], *, total: int, following: str | None = None) -> Any:
    """A page as the org sends it."""
    content = {"totalSize": total, "done": following is None, "records": [{"Id": one} for one in ids]}
    return says(json.dumps(content | ({"nextRecordsUrl": following} if following else {})).encode())


@pytest.fixture
def asking(line: Connection) -> Query:
    """A query client that asks the fault server."""
    return Query(line, retry=IMPATIENT)


def test_pages_add_up(org: Org) -> None:
    """Every record once, in order, however small the pages are."""
    org.control.post("switches", query_page_rows=3)

    pages = list(org.query().pages(SESSIONS, all_rows=True))

    assert ids(iter(pages)) == true_ids(org)
    assert {one.records for one in pages[:-1]} == {3}
    assert {one.total_size for one in pages} == {len(true_ids(org))}


def test_an_empty_answer_is_one_page(org: Org) -> None:
    """No records are an answer too: it is staged, so that nothing is asked twice."""
    [only] = org.query().pages("SELECT Id FROM User WHERE Id = null", all_rows=False)

    assert (only.records, only.total_size) == (0, 0)


def test_soft_deleted_records_come_with_query_all(org: Org) -> None:
    """queryAll tells of deleted records, over all its pages; query does not."""
    gone = true_ids(org)[-1]
    org.control.post("records", delete=[gone])
    org.control.post("switches", query_page_rows=3)

    assert gone in ids(org.query().pages(SESSIONS, all_rows=True))
    assert gone not in ids(org.query().pages(SESSIONS, all_rows=False))


def test_a_page_that_lost_a_record_is_refused(org: Org) -> None:
    """Fewer records than totalSize: an error, and nothing of it is used."""
    org.control.post("faults", route="rest.query", effect={"drop_record": True})

    with pytest.raises(IncompleteAnswer, match="nothing of it is used"):
        list(org.query().pages(SESSIONS, all_rows=False))


def test_an_answer_without_done_is_asked_again(faults: FaultServer, asking: Query) -> None:
    """Paging ends on the service's word alone; an answer without it is spoilt."""
    faults.script = [says(b'{"totalSize":1,"records":[{"Id":"a"}]}'), page(["a"], total=1)]

    assert ids(asking.pages(SESSIONS, all_rows=False)) == ["a"]


def test_more_to_come_without_a_locator_is_refused(faults: FaultServer, asking: Query) -> None:
    """`done` is false and nothing says where to go on: the answer is not whole."""
    faults.script = [says(b'{"totalSize":2,"done":false,"records":[{"Id":"a"}]}')]

    with pytest.raises(IncompleteAnswer, match="promised 2 records and sent 1"):
        list(asking.pages(SESSIONS, all_rows=False))


def test_the_next_page_is_asked_for_as_the_org_says(faults: FaultServer, asking: Query) -> None:
    """nextRecordsUrl is followed verbatim, without the query."""
    faults.script = [page(["a"], total=2, following="/services/data/v66.0/query/01g-1"), page(["b"], total=2)]

    assert ids(asking.pages(SESSIONS, all_rows=True)) == ["a", "b"]
    assert [asked.path for asked in faults.asked] == [
        "/services/data/v66.0/queryAll",
        "/services/data/v66.0/query/01g-1",
    ]
    assert faults.asked[1].params == {}


def test_pages_in_a_circle_are_found_out(faults: FaultServer, asking: Query) -> None:
    """A locator that leads back to itself is an error, not an endless run."""
    there, back = "/services/data/v66.0/query/01g-1", "/services/data/v66.0/query/01g-2"
    faults.script = [page([], total=9, following=one) for one in (there, back, there)]

    with pytest.raises(PagingLoop, match="names the same next page twice"):
        list(asking.pages(SESSIONS, all_rows=False))


def test_pages_beyond_the_promise_are_refused(faults: FaultServer, asking: Query) -> None:
    """New locators for ever do not make an endless run either: the total was told."""
    faults.script = [page(["a"], total=2, following=f"/services/data/v66.0/query/01g-{n}") for n in range(9)]

    with pytest.raises(IncompleteAnswer, match="promised 2 records and sent 3"):
        list(asking.pages(SESSIONS, all_rows=False))


@pytest.mark.parametrize("elsewhere", ["http://localhost:1/next", "@localhost:1/next"])
def test_the_token_does_not_go_where_a_locator_points(elsewhere: str, faults: FaultServer, asking: Query) -> None:
    """Only paths of the org are followed."""
    faults.script = [page(["a"], total=2, following=elsewhere)]

    with pytest.raises(PagingLoop, match="no path of the org"):
        list(asking.pages(SESSIONS, all_rows=False))


def test_a_token_that_ends_between_pages_loses_the_locator(org: Org) -> None:
    """A locator belongs to the token that opened it; the whole query has to be asked again."""
    org.control.post("switches", query_page_rows=3)
    pages = org.query().pages(SESSIONS, all_rows=True)
    next(pages)
    org.control.post("tokens/expire")

    with pytest.raises(LocatorLost, match="the locator is gone"):
        next(pages)


def test_a_refused_login_between_pages_is_told_as_such(org: Org) -> None:
    """Asking the query again would not help, so the reason is not hidden behind a lost locator."""
    org.control.post("switches", query_page_rows=3)
    pages = org.query().pages(SESSIONS, all_rows=True)
    next(pages)
    org.control.post("tokens/expire")
    org.control.post("faults", route="oauth.token", effect={"status": 400, "body": {"error": "inactive_user"}})

    with pytest.raises(AuthenticationError, match="activate the run-as user"):
        next(pages)


def test_an_old_locator_is_lost(org: Org) -> None:
    """After two days an org forgets a cursor."""
    org.control.post("switches", query_page_rows=3, token_life_seconds=10**6)
    pages = org.query().pages(SESSIONS, all_rows=True)
    next(pages)
    org.control.post("clock", advance_seconds=2 * 86_400 + 1)

    with pytest.raises(LocatorLost):
        next(pages)


def test_a_page_that_breaks_off_is_asked_for_again(org: Org) -> None:
    """In the middle of a query one page is cut; it alone is asked for again."""
    org.control.post("switches", query_page_rows=3)
    org.control.post("faults", route="rest.query_more", nth=2, times=1, effect={"truncate": {"fraction": 0.5}})

    assert ids(org.query().pages(SESSIONS, all_rows=True)) == true_ids(org)


def test_describe_tells_what_the_user_may_see(org: Org) -> None:
    """A column hidden by field-level security is not there; its object's other columns are."""
    org.control.post("hide", object="MessagingSession", fields=["EndTime"])

    described = org.query().describe("MessagingSession")

    assert described.sees("StartTime")
    assert not described.sees("EndTime")


def test_describe_follows_lookups(org: Org) -> None:
    """A parent's column is visible through the relationship's name, not through the id's."""
    described = org.query().describe("MessagingSession")

    assert described.sees("Conversation.ConversationIdentifier")
    assert not described.sees("ConversationId.ConversationIdentifier")


def test_an_object_is_described_once(org: Org) -> None:
    """What an org looks like does not change within a run."""
    query = org.query()

    assert query.describe("User") is query.describe("User")
    assert org.seen() == ["token", "describe"]


def test_an_absent_object_is_told_with_what_to_do(org: Org) -> None:
    """The sentence names the object and what to enable or grant."""
    org.control.post("hide", object="VoiceCall", absent=True)

    with pytest.raises(ObjectUnavailable, match="no object VoiceCall, or this user may not see it: enable"):
        org.query().describe("VoiceCall")


def test_the_org_s_clock_is_not_metered(org: Org) -> None:
    """It is read from the list of versions, which costs nothing of the 24-hour allocation."""
    now = org.query().server_time()

    assert now.isoformat() == "2026-11-19T18:00:00+00:00"
    assert org.control.get("counters")["api_requests"] == 0


def test_a_query_that_fits_into_no_uri_is_not_sent(org: Org) -> None:
    """Beyond 12,000 bytes a proxy or the org may cut it (414, 431): the error says what to do instead."""
    long = f"SELECT Id FROM MessagingSession WHERE Name IN ({', '.join(repr(str(n)) for n in range(2_000))})"

    with pytest.raises(QueryTooLong, match=r"only Bulk API 2\.0 can carry it.*CONVERSATION_CUSTOM_FIELDS"):
        list(org.query().pages(long, all_rows=False))

    assert org.seen() == []


def test_record_counts_are_one_call(org: Org) -> None:
    """The org's own counts of several objects come together; one that it lacks is not among them."""
    org.control.post("hide", object="VoiceCall", absent=True)

    counts = org.query().record_counts(["MessagingSession", "User", "VoiceCall"])

    seen = org.query().count("MessagingSession", "", all_rows=False)
    assert counts["MessagingSession"] == seen > 0
    assert set(counts) == {"MessagingSession", "User"}
    assert org.seen()[:2] == ["token", "record_count"]
