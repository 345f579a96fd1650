"""The pool of execution users: their allowances add up, and who is not let in does not hold up the others (issue 4)."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.salesforce.auth import ClientCredentials
from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.errors import ConversationUnreadable, NoUserLeft, RecordUnavailable
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONVERSATION_DATA, QuietHours
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline_tests.salesforce.conftest import DAY, IMPATIENT, SECRET, Org, setting, user_key

REFUSED = {"status": 403, "body": {"code": 403, "message": "no"}}
NOT_THERE = {"status": 404, "body": {"code": 404, "message": "no"}}
WRONG = {"status": 400, "body": {"code": 10018, "message": "no"}}


def read(api: ConversationData, identifier: str) -> int:
    return api.read(identifier, *DAY).entries


@pytest.fixture
def identifiers(org: Org) -> Iterator[str]:
    """Conversations that the org knows, each asked for once."""
    names = [f"c0ffee00-0000-4000-8000-{number:012d}" for number in range(60)]
    org.control.post("records", insert=[{"sobject": "Conversation", "ConversationIdentifier": name} for name in names])
    return iter(names)


def refuse(org: Org, identifier: str, **effect: Any) -> None:
    org.control.post("faults", conversation_identifier=identifier, effect=effect or REFUSED)


# Who is set aside, and what becomes of its work


@pytest.mark.parametrize("state", ["locked", "without_permission"])
@pytest.mark.parametrize("before", [0, 4], ids=["from the start", "in the middle"])
def test_a_user_that_is_not_let_in_is_set_aside_and_the_others_go_on(
    state: str, before: int, org: Org, identifiers: Iterator[str]
) -> None:
    """One of two users is locked or loses its permission: every conversation is read all the same."""
    api = org.conversation_data(users=2)
    for identifier in itertools.islice(identifiers, before):
        read(api, identifier)
    org.put_user(1, state)

    assert [read(api, identifier) for identifier in itertools.islice(identifiers, 6)] == [0] * 6
    assert list(api.set_aside) == [setting(1)]


def test_a_user_with_a_wrong_secret_is_set_aside(org: Org, identifiers: Iterator[str]) -> None:
    """The reason names the entry of the setting, what the token endpoint said and what to do; never the secret."""
    wrong = ClientCredentials(org.url, org.grant(1).client_id, SECRET)
    api = ConversationData([org.user(1, wrong), org.user(2)], org.store, "org", retry=IMPATIENT)

    read(api, next(identifiers))
    read(api, next(identifiers))

    reason = api.set_aside[setting(1)]
    assert reason.startswith(f"{setting(1)} (client ")
    assert "invalid_client" in reason
    assert "check the client id and the client secret" in reason
    assert SECRET not in reason


def test_who_is_set_aside_is_asked_no_more(org: Org, identifiers: Iterator[str]) -> None:
    """A locked user costs one token request, however much is read."""
    org.put_user(1, "locked")
    api = org.conversation_data(users=2)

    for identifier in itertools.islice(identifiers, 8):
        read(api, identifier)

    assert org.seen().count("token") == 2


def test_a_reading_that_waits_for_a_user_who_is_set_aside_does_not_ask_it(org: Org, identifiers: Iterator[str]) -> None:
    """One request in flight at a time: the second reading gets its turn only to learn that nobody is left."""
    org.put_user(1, "locked")
    org.control.post("faults", route="oauth.token", effect={"stall_seconds": 0.2})
    api = org.conversation_data(rate=replace(CONVERSATION_DATA, in_flight=1))

    def one(identifier: str) -> bool:
        with pytest.raises(NoUserLeft):
            read(api, identifier)
        return True

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, itertools.islice(identifiers, 2))) == [True, True]
    assert org.seen().count("token") == 1


def test_setting_a_user_aside_is_told_once(
    org: Org, identifiers: Iterator[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one warning that names the entry."""
    org.put_user(1, "locked")
    api = org.conversation_data(users=2)

    with caplog.at_level(logging.WARNING, "conversation_pipeline"), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda identifier: read(api, identifier), itertools.islice(identifiers, 8)))

    assert [record.message for record in caplog.records if "is set aside" in record.message] == [
        api.set_aside[setting(1)]
    ]


def test_nothing_is_lost_when_a_user_is_locked_under_many_readings(org: Org, identifiers: Iterator[str]) -> None:
    """Eight threads, three users, one of which is locked on the way: each conversation is read."""
    api = org.conversation_data(users=3)
    wanted = list(itertools.islice(identifiers, 40))

    def one(numbered: tuple[int, str]) -> int:
        number, identifier = numbered
        if number == 12:
            org.put_user(2, "locked")
        return read(api, identifier)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, enumerate(wanted))) == [0] * 40
    assert set(api.set_aside) <= {setting(2)}


def test_when_none_is_left_each_is_named_with_its_reason(org: Org, identifiers: Iterator[str]) -> None:
    """One error for all: what to mend is in it, user by user."""
    org.put_user(1, "locked")
    api = ConversationData(
        [org.user(1), org.user(2, ClientCredentials(org.url, org.grant(2).client_id, SECRET))],
        org.store,
        "org",
        retry=IMPATIENT,
    )

    with pytest.raises(NoUserLeft) as raised:
        read(api, next(identifiers))

    told = str(raised.value)
    assert re.search(rf"{setting(1)} .* is set aside: .*{setting(2)} .* is set aside: .*invalid_client", told)
    assert SECRET not in told


def test_when_none_is_left_nothing_more_is_asked(org: Org, identifiers: Iterator[str]) -> None:
    """Asking again would only lock users out."""
    org.put_user(1, "locked")
    api = org.conversation_data()
    with pytest.raises(NoUserLeft):
        read(api, next(identifiers))
    before = len(org.seen())

    with pytest.raises(NoUserLeft):
        read(api, next(identifiers))

    assert len(org.seen()) == before


# What speaks against a conversation, not against users


@pytest.mark.parametrize(("users", "requests"), [(1, 1), (2, 2), (3, 2)])
def test_a_conversation_that_is_not_there_sets_nobody_aside(org: Org, users: int, requests: int) -> None:
    """404 is about the conversation, once a second user was told so; a third one is not bothered."""
    api = org.conversation_data(users=users)

    with pytest.raises(RecordUnavailable):
        read(api, "00000000-0000-4000-8000-000000000000")

    assert api.set_aside == {}
    assert org.seen().count("entries") == requests


def test_a_user_who_finds_nothing_that_another_one_reads_is_set_aside(org: Org, identifiers: Iterator[str]) -> None:
    """A wrong token may look like 404: its share of the conversations is read by the others, and the reason is told."""
    org.control.post("faults", user=org.clients[1]["username"], effect=NOT_THERE)
    api = org.conversation_data(users=3)

    assert [read(api, identifier) for identifier in itertools.islice(identifiers, 6)] == [0] * 6

    assert list(api.set_aside) == [setting(1)]
    assert api.set_aside[setting(1)].endswith("check that this one is of the same org and may read entries.")


def test_a_404_and_a_403_are_a_404(org: Org, identifiers: Iterator[str]) -> None:
    """Of two users one may read nothing: what the other one does not find is not there."""
    identifier = next(identifiers)
    org.control.post("faults", user=org.clients[1]["username"], effect=REFUSED)
    org.control.post("faults", user=org.clients[2]["username"], effect=NOT_THERE)

    with pytest.raises(RecordUnavailable):
        read(org.conversation_data(users=2), identifier)


def test_a_conversation_that_is_called_wrong_again_and_again_is_unreadable(
    org: Org, identifiers: Iterator[str]
) -> None:
    """400 three times: the error names the conversation, nobody is set aside, and the next one is read."""
    api = org.conversation_data(users=2)
    identifier = next(identifiers)
    refuse(org, identifier, **WRONG)

    with pytest.raises(ConversationUnreadable, match=f"400 10018: .* so it was 3 times for conversation {identifier}"):
        read(api, identifier)

    assert org.seen().count("entries") == 3
    assert api.set_aside == {}
    assert read(api, next(identifiers)) == 0


def test_a_conversation_that_is_called_wrong_once_is_read(org: Org, identifiers: Iterator[str]) -> None:
    """A 400 may be a slip of the service."""
    identifier = next(identifiers)
    org.control.post("faults", conversation_identifier=identifier, times=1, effect=WRONG)

    assert read(org.conversation_data(), identifier) == 0


def test_with_fewer_tries_a_conversation_is_unreadable_sooner(org: Org, identifiers: Iterator[str]) -> None:
    """The retry's own bound is kept, and the error is still about the conversation."""
    identifier = next(identifiers)
    refuse(org, identifier, **WRONG)

    with pytest.raises(ConversationUnreadable):
        read(org.conversation_data(retry=Retry(attempts=1)), identifier)

    assert org.seen().count("entries") == 1


def test_a_conversation_that_is_called_wrong_on_the_last_try_is_unreadable(
    org: Org, identifiers: Iterator[str]
) -> None:
    """Passing faults used up the tries before: the error is about the conversation all the same."""
    identifier = next(identifiers)
    org.control.post("faults", conversation_identifier=identifier, times=IMPATIENT.attempts - 1, effect={"status": 502})
    refuse(org, identifier, **WRONG)

    with pytest.raises(ConversationUnreadable):
        read(org.conversation_data(), identifier)


def test_a_conversation_refused_to_everyone_is_unreadable(org: Org, identifiers: Iterator[str]) -> None:
    """403 to each of three users: each was asked once, nobody is set aside, and all go on with others."""
    api = org.conversation_data(users=3)
    identifier = next(identifiers)
    refuse(org, identifier)

    with pytest.raises(ConversationUnreadable, match=f"403.*conversation {identifier} is refused to every execution"):
        read(api, identifier)

    assert org.seen().count("entries") == 3
    assert api.set_aside == {}
    assert read(api, next(identifiers)) == 0


def test_many_conversations_refused_to_everyone_set_nobody_aside(org: Org, identifiers: Iterator[str]) -> None:
    """Thirty in a row, among users who have read before and can read still: the doubt is settled by asking again."""
    api = org.conversation_data(users=2)
    read(api, next(identifiers))

    for identifier in itertools.islice(identifiers, 30):
        refuse(org, identifier)
        with pytest.raises(ConversationUnreadable):
            read(api, identifier)

    assert api.set_aside == {}


def test_users_who_all_lose_their_permission_are_found_out(org: Org, identifiers: Iterator[str]) -> None:
    """After ten conversations in a row the last one that was read is refused as well: nobody is left."""
    api = org.conversation_data(users=2)
    read(api, next(identifiers))
    for place in (1, 2):
        org.put_user(place, "without_permission")
    for identifier in itertools.islice(identifiers, 9):
        with pytest.raises(ConversationUnreadable):
            read(api, identifier)

    with pytest.raises(NoUserLeft, match=r"entry 1 of .* grant the user .*entry 2 of .* grant the user"):
        read(api, next(identifiers))

    assert sorted(api.set_aside) == [setting(1), setting(2)]


def test_users_who_never_had_the_permission_are_found_out(org: Org, identifiers: Iterator[str]) -> None:
    """Ten conversations in a row, and none that was ever read."""
    org.control.post("faults", route="conversation_data.entries", effect=REFUSED)
    api = org.conversation_data(users=2)
    for identifier in itertools.islice(identifiers, 9):
        with pytest.raises(ConversationUnreadable):
            read(api, identifier)

    with pytest.raises(NoUserLeft):
        read(api, next(identifiers))


def test_one_conversation_asked_for_many_times_is_one_doubt(org: Org, identifiers: Iterator[str]) -> None:
    """A refresh that asks for the same refused conversation every few minutes does not empty the pool."""
    api = org.conversation_data(users=2)
    identifier = next(identifiers)
    refuse(org, identifier)

    for _ in range(25):
        with pytest.raises(ConversationUnreadable):
            read(api, identifier)

    assert api.set_aside == {}


# The budget of active conversations by the hour


class Clock:
    """A machine's clock and the time of day, moved by whoever sleeps."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def seconds(self) -> float:
        return self.now.timestamp()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def at_night(org: Org, clock: Clock, tmp_path: Path) -> ConversationData:
    """One conversation at a time by day, two from 22:00 on; time passes only where somebody waits."""
    store = SqliteQuotaStore(tmp_path / "clock.sqlite", clock=clock.seconds, clock_id="one", sleep=clock.pass_time)
    return ConversationData(
        [org.user(1)],
        store,
        "org",
        CONVERSATION_DATA,
        ACTIVE_CONVERSATIONS.with_count(1),
        IMPATIENT,
        QuietHours.parse("22:00-06:00", 2),
        clock=lambda: clock.now,
    )


@pytest.mark.parametrize(
    ("begun", "read_at"),
    [("21:50", "22:00"), ("12:00", "12:30"), ("23:00", "23:00"), ("05:29", "05:29"), ("05:30", "06:00")],
)
def test_the_budget_changes_while_a_reading_waits(
    begun: str, read_at: str, org: Org, identifiers: Iterator[str], tmp_path: Path
) -> None:
    """With one conversation active, another waits for the larger budget to begin, or for the first to be let go."""
    clock = Clock(datetime.fromisoformat(f"2026-11-18T{begun}:00+00:00"))
    api = at_night(org, clock, tmp_path)
    api.longest_page = 1000
    read(api, next(identifiers))

    read(api, next(identifiers))

    late = clock.now - datetime.fromisoformat(f"2026-11-18T{read_at}:00+00:00").astimezone(UTC)
    assert timedelta(0) <= late < timedelta(seconds=2)


def test_both_apis_spend_one_budget(org: Org, identifiers: Iterator[str]) -> None:
    """A conversation that Connect has read and one that the Conversation Data API has read are two active ones."""
    org.connect().read(next(identifiers), *DAY)
    read(org.conversation_data(), next(identifiers))

    assert org.store.usage("org/active_conversations").held == 2


def test_the_allowances_add_up(org: Org, identifiers: Iterator[str]) -> None:
    """Three users with two requests each: six conversations are read without a wait, by each user two."""
    api = org.conversation_data(users=3, rate=CONVERSATION_DATA.with_count(2))

    for identifier in itertools.islice(identifiers, 6):
        read(api, identifier)

    assert [org.store.usage(user_key(place)).held for place in (1, 2, 3)] == [2, 2, 2]
