"""The models ``conversation_entries`` and ``entry_conflicts``: each entry once, whichever roads told it (issue 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline_tests.storage.tellings import NOON, ROADS, Row, conflicts, said, uid, united

UNNAMED = "unnamed-0123456789abcdef0123456789abcdef"
AGENT, AGENT_18 = "005AA0000001111", "005AA0000001111AAA"


def shown(*told: Row) -> list[tuple[str, str | None, list[str]]]:
    """Road, text and the roads seen of each entry."""
    return [(row["road"], row["text"], row["roads_seen"]) for row in united(*told)]


def differing(*told: Row) -> list[str]:
    """Columns in which the roads differ."""
    return [row["column_name"] for row in conflicts(*told)]


def test_an_entry_of_all_roads_is_shown_once() -> None:
    """By conversation and identifier; the roads that told it are named in the order of the alphabet."""
    assert shown(*(said(road) for road in ROADS)) == [("conversation_data", "hello", sorted(ROADS))]


@pytest.mark.parametrize("fullest", range(len(ROADS)))
def test_the_fuller_road_is_shown(fullest: int) -> None:
    """Conversation Data API before Data Cloud before archive before Connect, whichever was read last."""
    roads = list(ROADS)[fullest:]

    [row] = united(*(said(road, read=place) for place, road in enumerate(roads)))

    assert (row["road"], row["fetched_at"]) == (roads[0], NOON)


def test_a_poorer_road_does_not_thin_out_a_fuller_one() -> None:
    """Connect has no payload and no visibility; what the fuller road told of them stays."""
    full = said("conversation_data", payload="{}", visibility="Default")
    thin = said("connect", read=9, message_type=None)

    [row] = united(full, thin)

    assert (row["payload"], row["visibility"], row["message_type"]) == ("{}", "Default", "StaticContentMessage")


def test_entries_of_several_conversations_are_told_apart_by_both() -> None:
    """The same identifier in another conversation is another entry."""
    assert len(united(said("conversation_data"), said("connect", conversation_identifier="c2"))) == 2


def test_an_entry_of_one_road_is_shown_as_that_road_told_it() -> None:
    """Whatever the other roads have or have not."""
    assert shown(said("archive", uid(1)), said("connect", uid(2), "bye")) == [
        ("archive", "hello", ["archive"]),
        ("connect", "bye", ["connect"]),
    ]


def test_a_conversation_that_data_cloud_knows_by_its_record_is_the_same() -> None:
    """Its identifier may reach Data Cloud later than its entries."""
    told = said("data_cloud", conversation_identifier="0dwAA0000000001AAA")
    known = {"id": "0dwAA0000000001AAA", "conversation_identifier": "c1", "created_date": NOON}

    [row] = united(said("conversation_data"), told, conversations=[known])

    assert (row["conversation_identifier"], row["roads_seen"]) == ("c1", ["conversation_data", "data_cloud"])


def test_an_entry_without_an_identifier_is_found_by_what_it_says() -> None:
    """Conversation, time, sender and text; it goes by the identifier that the other road has."""
    told = united(said("conversation_data"), said("archive", UNNAMED, second=1))

    assert [(row["entry_identifier"], row["roads_seen"]) for row in told] == [
        (uid(1), ["archive", "conversation_data"])
    ]


def test_a_named_telling_of_a_poorer_road_names_the_entry() -> None:
    """What the fuller road told is shown, under the identifier that only the poorer one knows."""
    [row] = united(said("conversation_data", UNNAMED), said("connect"))

    assert (row["road"], row["entry_identifier"]) == ("conversation_data", uid(1))


def test_an_identifier_of_data_cloud_s_own_is_none() -> None:
    """An entry's own is a UUID; a record id tells the entry of no other road."""
    [row] = united(said("conversation_data"), said("data_cloud", "0ewAA0000000001AAA"))

    assert (row["entry_identifier"], row["roads_seen"]) == (uid(1), ["conversation_data", "data_cloud"])


def test_an_identifier_that_two_roads_have_is_one_whatever_its_form() -> None:
    """Names come before texts: where both know it, nothing needs to be guessed."""
    [row] = united(said("conversation_data", "m-1"), said("data_cloud", "m-1", "other words"))

    assert (row["entry_identifier"], row["text"]) == ("m-1", "hello")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"second": 3}, id="three seconds later"),
        pytest.param({"text": "hello!"}, id="other text"),
        pytest.param({"conversation_identifier": "c2"}, id="other conversation"),
        pytest.param({"sender_role": "Agent", "sender_subject": AGENT}, id="other sender"),
    ],
)
def test_another_entry_without_an_identifier_stays_another(other: dict[str, Any]) -> None:
    """Nothing is merged that differs in any of the four."""
    assert len(united(said("conversation_data"), said("archive", UNNAMED, **other))) == 2


def test_a_sender_is_the_same_in_any_spelling() -> None:
    """Ids of 15 and 18 characters, roles in any case; what a road does not tell of the sender speaks for nobody."""
    named = said("conversation_data", sender_role="Agent", sender_subject=AGENT)
    spelt = said("archive", UNNAMED, sender_role=None, sender_subject=AGENT_18)
    silent = said("connect", "unnamed-1", sender_role="agent", sender_subject=None)

    assert len(united(named, spelt, silent)) == 1


def test_equal_texts_are_matched_one_to_one() -> None:
    """Somebody who says the same twice within the tolerance said it twice, on each road."""
    named = [said("conversation_data", uid(n), "?", second=n * 0.4) for n in (1, 2, 3)]
    unnamed = [said("archive", f"unnamed-{n}", "?", second=0) for n in (1, 2, 3)]  # in whole seconds

    assert shown(*named, *unnamed) == [("conversation_data", "?", ["archive", "conversation_data"])] * 3


@pytest.mark.parametrize(("by_name", "without"), [(1, 2), (2, 1), (3, 5)])
def test_of_equal_texts_none_is_lost(by_name: int, without: int) -> None:
    """Where one road has more of them than the other, the rest stand alone."""
    named = [said("conversation_data", uid(n), "?", second=n / 10) for n in range(by_name)]
    unnamed = [said("archive", f"unnamed-{n}", "?", second=n / 10) for n in range(without)]

    assert len(united(*named, *unnamed)) == max(by_name, without)


def test_an_entry_told_by_name_is_no_candidate_for_the_same_road() -> None:
    """The archive names the first and not the second; its second is the other road's second."""
    named = [said("conversation_data", uid(n), "?", second=n) for n in (1, 2)]
    told = [said("archive", uid(1), "?", second=1), said("archive", UNNAMED, "?", second=2)]

    assert shown(*named, *told) == [("conversation_data", "?", ["archive", "conversation_data"])] * 2


def test_entries_that_no_road_names_are_matched_among_the_roads() -> None:
    """They go by the name that the fuller road made up, and are as many as the road with the most has."""
    cloud = [said("data_cloud", f"unnamed-{n}", "?", second=n) for n in (1, 2)]
    archive = [said("archive", f"unnamed-a{n}", "?", second=n) for n in (1, 2)]

    assert shown(*cloud, *archive) == [("data_cloud", "?", ["archive", "data_cloud"])] * 2


def test_events_are_found_by_their_type() -> None:
    """An entry without text says what its type says."""
    event = {"text": None, "entry_type": "ParticipantChanged", "message_type": None, "format_type": None}
    other = event | {"entry_type": "RoutingResult"}

    told = united(
        said("conversation_data", uid(1), **event),
        said("conversation_data", uid(2), **other),
        said("archive", "unnamed-1", **event | {"entry_type": "PARTICIPANT_CHANGED"}),
        said("archive", "unnamed-2", **other),
    )

    assert [row["entry_type"] for row in told] == ["ParticipantChanged", "RoutingResult"]


def test_a_road_that_tells_the_client_s_time_is_compared_by_it() -> None:
    """A device's clock may be minutes off: of the same entry every road tells the same."""
    off = NOON + timedelta(minutes=5)
    named = said("conversation_data", client_timestamp=off)
    only_client = said("archive", UNNAMED, client_timestamp=off, transcripted_timestamp=off)
    only_server = said("connect", UNNAMED, client_timestamp=None)

    assert len(united(named, only_client)) == 1
    assert len(united(named, only_server)) == 1


SPELLINGS = {
    "entities of Connect": ({"text": 'Tom & "Jo\'s" <3 \\'}, {"text": "Tom &amp; &quot;Jo&#39;s&quot; &lt;3 &#92;"}),
    "a customer's own entity": ({"text": "&amp; or &lt;"}, {"text": "&amp;amp; or &amp;lt;"}),
    "folded white space": ({"text": "one\ntwo "}, {"text": "one two"}),
    "types": ({"entry_type": "ParticipantChanged"}, {"entry_type": "PARTICIPANT_CHANGED"}),
    "roles": ({"sender_role": "EndUser"}, {"sender_role": "End User"}),
    "ids": ({"sender_subject": AGENT}, {"sender_subject": AGENT_18}),
    "uuids": ({"in_reply_to_entry_identifier": uid(0xABC)}, {"in_reply_to_entry_identifier": uid(0xABC).upper()}),
    "whole seconds": ({"client_timestamp": NOON + timedelta(milliseconds=734)}, {"client_timestamp": NOON}),
    "whole seconds of duration": ({"client_duration_ms": 4734}, {"client_duration_ms": 4000}),
}


@pytest.mark.parametrize(("one", "other"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_another_spelling_is_no_conflict(one: Row, other: Row) -> None:
    """What means the same is told alike."""
    assert differing(said("conversation_data", **one), said("connect", **other)) == []


def test_what_a_road_can_not_tell_is_no_conflict() -> None:
    """Null speaks against nothing, whichever road is the fuller."""
    full = said("conversation_data", visibility="Default", options=[{"option_identifier": "o", "title": "Yes"}])

    assert differing(full, said("archive", text=None, options=[]), said("connect", visibility=None)) == []


def test_a_time_of_the_client_s_in_place_of_the_server_s_is_no_conflict() -> None:
    """An archive without a time of the server has the client's in both columns."""
    client = NOON - timedelta(seconds=7)
    full = said("conversation_data", client_timestamp=client)

    assert differing(full, said("archive", client_timestamp=client, transcripted_timestamp=client)) == []


DIFFERENCES: dict[str, tuple[Any, Any]] = {
    "text": ("hello", "hello!"),
    "entry_type": ("Message", "Note"),
    "message_type": ("StaticContentMessage", "ChoicesMessage"),
    "format_type": ("Text", "RichLink"),
    "sender_role": ("EndUser", "Agent"),
    "sender_app_type": ("messaging", "iamessage"),
    "sender_subject": ("15550001111", "15550002222"),
    "sender_display_name": ("Mo", "Jo"),
    "modality": ("Messaging", "Voice"),
    "visibility": ("Default", "Internal"),
    "client_timestamp": (NOON, NOON + timedelta(seconds=1)),
    "client_duration_ms": (5000, 6000),
    "in_reply_to_entry_identifier": (uid(7), uid(8)),
    "options": ([{"option_identifier": "o", "title": "Yes"}], [{"option_identifier": "o", "title": "No"}]),
    "selected_options": ([{"option_identifier": "o", "title": "Yes"}], [{"option_identifier": "p", "title": "Yes"}]),
    "links": ([{"title": "t", "url": "https://a.invalid"}], [{"title": "t", "url": "https://b.invalid"}]),
}


@pytest.mark.parametrize("column", DIFFERENCES)
def test_a_difference_is_on_record(column: str) -> None:
    """Which column, which road told what, and what is shown instead."""
    one, other = DIFFERENCES[column]

    [row] = conflicts(said("conversation_data", read=2, **{column: one}), said("archive", **{column: other}))

    assert (row["column_name"], row["road"], row["shown_road"]) == (column, "archive", "conversation_data")
    assert (row["fetched_at"], row["shown_fetched_at"]) == (NOON + timedelta(hours=1), NOON + timedelta(hours=2))
    assert row["told"] != row["shown"]
    assert column not in ("text", "visibility") or (row["told"], row["shown"]) == (other, one)


def test_each_road_that_differs_is_on_record() -> None:
    """One row an entry, road and column."""
    told = conflicts(*(said(road, text=road, modality=road) for road in ROADS))

    assert [(row["road"], row["column_name"]) for row in told] == [
        (road, column) for road in ("archive", "connect", "data_cloud") for column in ("modality", "text")
    ]


# Redaction: other words under the same identifier and time (design, section 6).


def test_words_that_a_poorer_road_has_newer_are_shown() -> None:
    """What was taken back is not shown any more, nor is the payload that still has it; all else stays."""
    full = said("conversation_data", text="secret", payload='{"text":"secret"}', visibility="Default")

    [row] = united(full, said("connect", text="***", read=2))

    assert (row["text"], row["payload"]) == ("***", None)
    assert (row["road"], row["visibility"], row["fetched_at"]) == ("conversation_data", "Default", full["fetched_at"])


def test_a_redaction_is_a_conflict_of_the_fuller_road() -> None:
    """It is the one that has to be read again: its words are older than those that are shown."""
    [row] = conflicts(said("conversation_data", text="secret"), said("connect", text="***", read=2))

    assert (row["road"], row["told"], row["shown"]) == ("conversation_data", "secret", "***")
    assert (row["shown_road"], row["shown_fetched_at"]) == ("connect", NOON + timedelta(hours=2))


def test_once_the_fuller_road_was_read_again_its_words_are_shown() -> None:
    """Whatever it says now: the poorer road's difference stays on record."""
    told = [said("conversation_data", text="hello", read=3), said("connect", text="***", read=2)]

    assert [row["text"] for row in united(*told)] == ["hello"]
    assert [(row["road"], row["shown_road"]) for row in conflicts(*told)] == [("connect", "conversation_data")]


def test_of_the_poorer_roads_the_newest_counts() -> None:
    """An archive taken before a redaction does not bring the words back."""
    full = said("conversation_data", text="secret")

    [row] = united(full, said("archive", text="secret?", read=2), said("connect", text="***", read=3))

    assert row["text"] == "***"


def test_a_poorer_road_that_agrees_last_ends_it() -> None:
    """The newest reading says what the fuller road says: an older one that differs is no redaction."""
    [row] = united(said("conversation_data"), said("archive", text="***", read=2), said("connect", read=3))

    assert row["text"] == "hello"


def test_data_cloud_is_as_old_as_its_lag() -> None:
    """What it shows may be an hour old: words that the fuller road saw redacted meanwhile are not brought back."""
    full = said("conversation_data", text="***", read=2)

    assert [row["text"] for row in united(full, said("data_cloud", text="secret", read=2.5))] == ["***"]
    assert [row["text"] for row in united(full, said("data_cloud", text="###", read=3.5))] == ["###"]


@pytest.mark.parametrize(
    "newer",
    [
        pytest.param({"text": None}, id="no text"),
        pytest.param({"text": "hello", "second": 1}, id="the same text at another time"),
        pytest.param({"text": "***", "second": 1}, id="another text at another time"),
        pytest.param({"text": "hello "}, id="another spelling"),
    ],
)
def test_what_is_no_redaction_changes_nothing(newer: dict[str, Any]) -> None:
    """The same identifier, the same time, another text: nothing less."""
    [row] = united(said("conversation_data", payload="{}"), said("connect", read=2, **newer))

    assert (row["text"], row["payload"]) == ("hello", "{}")


# Whatever comes, in whatever order. Conversations do not touch each other, so that one run of the model tries many.

_TEXTS = st.sampled_from(["yes", "yes ", "no", "&amp;", "&", None])
_TELLING = st.tuples(
    st.sampled_from([*ROADS]),
    st.integers(1, 15).map(lambda n: f"c{n}"),
    st.one_of(st.integers(1, 3).map(uid), st.integers(1, 4).map(lambda n: f"unnamed-{n}")),
    _TEXTS,
    st.sampled_from([0, 0.4, 1, 1.9, 5, 6]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["EndUser", "Agent", None]),
)
_TELLINGS = st.lists(_TELLING, min_size=60, max_size=120, unique_by=lambda it: it[:3])


def rows_of(tellings: Sequence[tuple[Any, ...]]) -> list[Row]:
    return [
        said(road, identifier, text, second=second, read=read, conversation_identifier=conversation, sender_role=role)
        for road, conversation, identifier, text, second, read, role in tellings
    ]


@settings(max_examples=5)
@given(_TELLINGS, st.randoms(use_true_random=False))
def test_the_order_in_which_roads_arrive_does_not_matter(tellings: list[tuple[Any, ...]], shuffle: Any) -> None:
    """The union is a function of what the roads told; a road that is added a year later finds its place."""
    told = rows_of(tellings)
    in_another_order = list(told)
    shuffle.shuffle(in_another_order)

    assert united(*told) == united(*in_another_order)
    assert conflicts(*told) == conflicts(*in_another_order)


@settings(max_examples=8)
@given(_TELLINGS)
def test_every_telling_is_in_one_entry_and_no_road_twice(tellings: list[tuple[Any, ...]]) -> None:
    """Each entry once, none lost: the roads seen of all entries are all the tellings, road by road."""
    rows = united(*rows_of(tellings))
    keys = [(row["conversation_identifier"], row["entry_identifier"]) for row in rows]

    assert len(set(keys)) == len(keys)
    assert sorted(road for row in rows for road in row["roads_seen"]) == sorted(it[0] for it in tellings)
