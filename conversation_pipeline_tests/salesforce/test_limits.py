from __future__ import annotations

from datetime import timedelta

import pytest

from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONNECT, CONVERSATION_DATA, LOGINS, Limit

PUBLISHED = [CONVERSATION_DATA, ACTIVE_CONVERSATIONS, CONNECT, LOGINS]


def a_limit(**changes: object) -> Limit:
    values: dict[str, object] = {
        "name": "reads",
        "count": 90,
        "window": timedelta(seconds=60),
        "scope": "execution user",
        "source": "made up for a test",
    }
    return Limit(**(values | changes))  # type: ignore[arg-type]


def test_conversation_data_allows_ninety_requests_a_minute_and_eight_in_flight():
    """
    The published number, in a window a tenth of a second longer than the service's.
    """
    assert (CONVERSATION_DATA.count, CONVERSATION_DATA.seconds, CONVERSATION_DATA.in_flight) == (90, 60.1, 8)


@pytest.mark.parametrize("limit", PUBLISHED, ids=lambda limit: limit.name)
def test_a_published_limit_says_where_its_number_was_read_and_when(limit):
    """
    A number without a source and a date cannot be checked by the next reader.
    """
    assert "[doc], read 20" in limit.source


def test_scaling_changes_the_window_alone():
    """
    A benchmark at 1/20 of the time has the same count and the same requests in flight.
    """
    assert CONVERSATION_DATA.scaled(1 / 20) == Limit(
        name="conversation_data",
        count=90,
        window=timedelta(seconds=3.005),
        scope="execution user",
        source=CONVERSATION_DATA.source,
        in_flight=8,
    )


def test_another_count_leaves_the_rest_as_it_is():
    """
    An org with a raised allowance differs in the count, not in the window or the source.
    """
    raised = CONNECT.with_count(5_000)

    assert (raised.count, raised.window, raised.source) == (5_000, CONNECT.window, CONNECT.source)


def test_a_limit_reads_as_a_sentence_part():
    """
    Errors and metadata show a limit as people say it.
    """
    assert str(CONVERSATION_DATA) == "conversation_data: 90 per 60.1 s per execution user"


@pytest.mark.parametrize(
    "changes",
    [{"count": 0}, {"window": timedelta(0)}, {"in_flight": 0}],
    ids=["no request", "no window", "nothing in flight"],
)
def test_a_limit_that_lets_nothing_pass_is_refused(changes):
    """
    Whoever waits for such a limit would wait for ever, so it cannot be made.
    """
    with pytest.raises(ValueError, match="nothing"):
        a_limit(**changes)
