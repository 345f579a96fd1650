"""The model ``session_kpis``: what each figure is, and when it can not be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES
from conversation_pipeline.schemas.marts import SESSION_KPIS
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS, MESSAGING_SESSION_METRICS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import AGENT_WORK, QUEUES, USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage.models import run_model

DAY = datetime(2026, 11, 18, tzinfo=UTC)
NOON = DAY + timedelta(hours=12)
SESSION, CALL = "0Mw000000000001AAA", "0LQ000000000001AAA"
RITA, JON = "005AA0000001111ABC", "005AA0000002222ABC"
CHAT, PHONE = "00GAA0000001111ABC", "00GAA0000002222ABC"
Row = dict[str, Any]


def at(second: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=second)


def session(**values: Any) -> Row:
    """A session of ten minutes, by bot and agent."""
    usual = {"start_time": NOON, "accept_time": at(60), "end_time": at(600), "agent_type": "BotToAgent"}
    return {"id": SESSION, "created_date": NOON, "is_deleted": False} | usual | values


def call(**values: Any) -> Row:
    usual = {"call_type": "Inbound", "call_start_date_time": NOON, "call_end_date_time": at(600)}
    return {"id": CALL, "created_date": NOON} | usual | values


def said(role: str, second: float, **values: Any) -> Row:
    """A message of the session, read an hour after noon."""
    usual = {"entry_type": "Message", "sender_role": role, "transcripted_timestamp": at(second), "fetched_at": at(3600)}
    return {"conversation_identifier": "c", "entry_identifier": str(second), "messaging_session_id": SESSION} | (
        usual | values
    )


def work(place: int = 1, **values: Any) -> Row:
    """A piece of work that was accepted after a minute and closed after ten."""
    usual = {"status": "Closed", "user_id": RITA, "request_date_time": at(place), "accept_date_time": at(59 + place)}
    closed = {"close_date_time": at(600), "handle_time": 500 + place, "speed_to_answer": 59}
    return {"id": f"0Bz{place}", "work_item_id": SESSION, "created_date": NOON} | usual | closed | values


def metric(kind: str, value: int | None, *, place: int = 1) -> Row:
    return {
        "id": f"m{place}",
        "messaging_session_id": SESSION,
        "messaging_session_metric_type": kind,
        "messaging_session_metric_value": value,
        "system_modstamp": at(700 + place),
        "created_date": at(660),
    }


def table(dataset: Dataset, rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], dataset.schema)


def kpis(
    interaction: Row,
    *entries: Row,
    works: Sequence[Row] = (),
    metrics: Sequence[Row] = (),
    days: Sequence[date] = (DAY.date(),),
    queues: Sequence[Row] = (),
) -> Row:
    """The only row of the model."""
    is_call = interaction["id"] == CALL
    inputs = {
        "messaging_sessions": table(MESSAGING_SESSIONS, [] if is_call else [interaction]),
        "voice_calls": table(VOICE_CALLS, [interaction] if is_call else []),
        "conversation_entries": table(CONVERSATION_ENTRIES, entries),
        "days_with_entries": pa.table({"day": pa.array(days, pa.date32())}),
        "messaging_session_metrics": table(MESSAGING_SESSION_METRICS, metrics),
        "agent_work": table(AGENT_WORK, works),
        "messaging_channels": table(MESSAGING_CHANNELS, []),
        "users": table(USERS, [{"id": RITA, "name": "Rita"}, {"id": JON, "name": "Jon"}]),
        "queues": table(QUEUES, queues),
    }
    with run_model("session_kpis", inputs, {"day_start": DAY, "day_end": DAY + timedelta(days=1)}) as rows:
        [row] = rows.read_all().to_pylist()
    assert row.keys() == {field.name for field in SESSION_KPIS.fields}
    return dict(row)


def test_a_response_is_timed_from_the_message_just_before_it() -> None:
    """Of several messages in a row the last is what is answered, by the first that follows."""
    found = kpis(session(), said("EndUser", 70), said("EndUser", 80), said("Agent", 110), said("Agent", 150))

    assert (found["agent_response_count"], found["average_agent_response_time"]) == (1, 30)


def test_end_users_respond_to_bots_as_to_agents() -> None:
    """The end user's response times run from an agent's or a bot's message."""
    found = kpis(session(), said("Chatbot", 0), said("EndUser", 10), said("Agent", 80), said("EndUser", 100.5))

    assert (found["average_end_user_response_time"], found["max_end_user_response_time"]) == (15.25, 20.5)


def test_what_the_end_user_never_sees_is_no_message() -> None:
    """A note of a supervisor and an internal draft neither count nor stand between message and response."""
    hidden = said("Agent", 75, visibility="Internal"), said("Agent", 76, entry_type="Note")

    found = kpis(session(), said("EndUser", 70), *hidden, said("Agent", 90))

    assert (found["agent_message_count"], found["max_agent_response_time"]) == (1, 20)


def test_without_a_response_there_is_no_response_time() -> None:
    """Nobody answered: the count is none, and the time is not told."""
    found = kpis(session(), said("EndUser", 70))

    assert (found["agent_message_count"], found["average_agent_response_time"]) == (0, None)


def test_a_session_in_which_nobody_wrote_has_no_messages() -> None:
    """Its events tell that it was read to its end: the count is none, not unknown."""
    assert kpis(session(), said("System", 70, entry_type="SessionStatusChanged"))["agent_message_count"] == 0


@pytest.mark.parametrize(
    ("interaction", "entry", "days"),
    [
        pytest.param(session(end_time=None), said("Agent", 90), [DAY.date()], id="open"),
        pytest.param(session(), said("Agent", 90, fetched_at=at(599)), [DAY.date()], id="read before the end"),
        pytest.param(session(), said("Agent", 90, messaging_session_id="other"), [DAY.date()], id="no entries"),
        pytest.param(
            session(end_time=NOON + timedelta(days=1)),
            said("Agent", 90, fetched_at=NOON + timedelta(days=2)),
            [DAY.date()],
            id="a day was not read",
        ),
    ],
)
def test_messages_are_not_counted_until_all_were_told(interaction: Row, entry: Row, days: list[date]) -> None:
    """While more may come, a count would be a guess."""
    found = kpis(interaction, entry, days=days)

    assert (found["is_told_whole"], found["agent_message_count"]) == (False, None)


def test_a_session_across_midnight_is_measured_as_one() -> None:
    """It is of the day on which it was created; what was said after midnight counts there."""
    late = DAY + timedelta(hours=23, minutes=59)
    interaction = session(created_date=late, start_time=late, accept_time=late, end_time=late + timedelta(minutes=5))
    read = late + timedelta(hours=1)
    before = said("EndUser", 0, transcripted_timestamp=late + timedelta(seconds=50), fetched_at=read)
    after = said("Agent", 1, transcripted_timestamp=late + timedelta(seconds=80), fetched_at=read)

    found = kpis(interaction, before, after, days=[DAY.date(), DAY.date() + timedelta(days=1)])

    assert found["max_agent_response_time"] == 30


def test_first_responses_run_from_request_and_from_accept() -> None:
    """The two later metrics: from the first request of an agent, and from the accept."""
    found = kpis(session(), said("Agent", 90), works=[work(10)])

    assert found["service_rep_first_response_time"] == 80
    assert found["service_rep_accept_to_first_response_time"] == 30


def test_stored_metrics_are_the_newest_of_each_type() -> None:
    """One value a type, also of the types of later releases."""
    old, new = metric("AgentMessageCount", 3, place=1), metric("AgentMessageCount", 4, place=2)

    found = kpis(session(), metrics=[new, old, metric("ServiceRepAcceptToFirstResponseTime", 31, place=3)])

    assert found["stored_agent_message_count"] == 4
    assert found["stored_service_rep_accept_to_first_response_time"] == 31


def test_handle_time_is_of_all_works() -> None:
    """A session that was handed on is handled by both agents; who served last is its agent."""
    works = [work(1, status="Transferred"), work(100, user_id=JON)]

    found = kpis(session(), works=works)

    assert (found["handle_seconds"], found["transfer_count"], found["agent_count"]) == (1101, 1, 2)
    assert found["agent_name"] == "Jon"


def test_handle_time_waits_for_work_that_is_not_closed() -> None:
    """An agent still wraps up: the sum of the others is not the handle time."""
    still = work(100, user_id=JON, status="Opened", close_date_time=None, handle_time=None)

    assert kpis(session(), works=[work(1), still])["handle_seconds"] is None


def test_speed_to_answer_is_of_the_first_accepted_work() -> None:
    """Work that was declined has none; a transfer's is not the customer's first wait."""
    declined = work(1, status="Declined", accept_date_time=None, handle_time=None, speed_to_answer=None)

    found = kpis(session(), works=[declined, work(5, speed_to_answer=41), work(100, speed_to_answer=7)])

    assert found["speed_to_answer_seconds"] == 41


@pytest.mark.parametrize(
    ("interaction", "works", "abandoned"),
    [
        pytest.param(session(), [], False, id="accepted"),
        pytest.param(session(accept_time=None), [], True, id="an agent was asked for"),
        pytest.param(session(accept_time=None, agent_type="Bot"), [], False, id="bot alone"),
        pytest.param(session(accept_time=None, end_time=None), [], None, id="still waiting"),
        pytest.param(session(accept_time=None, agent_type=None), [], None, id="who was asked for is not told"),
        pytest.param(
            session(accept_time=None, agent_type=None),
            [work(status="Canceled", accept_date_time=None, abandoned_date_time=at(90))],
            True,
            id="work was abandoned",
        ),
        pytest.param(call(), [], True, id="caller hung up"),
        pytest.param(call(call_type="Outbound"), [], None, id="outbound call that nobody took"),
    ],
)
def test_abandonment(interaction: Row, works: list[Row], abandoned: bool | None) -> None:
    """Who asked for an agent, or called, and was gone before one accepted has given up."""
    assert kpis(interaction, works=works)["is_abandoned"] is abandoned


@pytest.mark.parametrize(
    ("agent_type", "ended_by", "expected"),
    [
        ("Bot", "Bot", (True, True)),
        ("Bot", "EndUser", (True, False)),
        ("Bot", None, (True, None)),
        ("BotToAgent", "Agent", (False, False)),
        ("Agent", "Agent", (None, None)),
    ],
)
def test_deflection_and_containment(
    agent_type: str, ended_by: str | None, expected: tuple[bool | None, bool | None]
) -> None:
    """Without an agent it is deflected; contained only if the bot came to the end; neither where no bot took part."""
    found = kpis(session(agent_type=agent_type, ended_by_type=ended_by))

    assert (found["is_deflected"], found["is_contained"]) == expected


def test_talk_is_the_call_without_menu_queue_and_hold() -> None:
    """From accept to end without the time on hold; the wait in the queue stands by itself."""
    times = {"call_queued_date_time": at(20), "call_accept_date_time": at(50), "customer_hold_duration": 100}

    found = kpis(call(**times))

    assert (found["queue_wait_seconds"], found["talk_seconds"], found["hold_seconds"]) == (30, 450, 100)


def test_talk_is_not_told_without_the_time_on_hold() -> None:
    """An unknown hold is not a hold of no time."""
    assert kpis(call(call_accept_date_time=at(50)))["talk_seconds"] is None


@pytest.mark.parametrize(
    ("interaction", "works", "queue"),
    [
        pytest.param(session(owner_id=CHAT), [work(original_group_id=PHONE)], PHONE, id="the work's"),
        pytest.param(session(owner_id=CHAT, accept_time=None), [], CHAT, id="its owner"),
        pytest.param(session(owner_id=RITA), [], None, id="owned by a user"),
        pytest.param(call(queue_name="Phone"), [], PHONE, id="the call's name for it"),
        pytest.param(call(queue_name="Twin"), [], None, id="two queues of that name"),
    ],
)
def test_the_queue_is_told_by_work_or_owner_or_call(interaction: Row, works: list[Row], queue: str | None) -> None:
    """Who gave up before there was any work has waited in a queue as well."""
    names = {CHAT: "Chat", PHONE: "Phone", "00G3": "Twin", "00G4": "Twin"}

    found = kpis(interaction, works=works, queues=[{"id": one, "name": name} for one, name in names.items()])

    assert found["queue_id"] == queue
