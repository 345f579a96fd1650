"""From Data Cloud's pages to rows: spellings, types, payloads, and the SQL that asks for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.extract.data_cloud import Entries, arrow_stream, discover, entries_sql, json_page, v2_batch
from conversation_pipeline.extract.data_cloud.payloads import from_payloads
from conversation_pipeline.extract.entries import Drift
from conversation_pipeline.extract.entries.flattening import NOTHING, flat
from conversation_pipeline.extract.entries.payload import read_payload
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.errors import FieldUnavailable, IncompleteAnswer, ObjectUnavailable
from conversation_pipeline.schemas.conversations import ENTRIES_DATA_CLOUD

NOON = datetime(2026, 11, 18, 12, 0, 0, 123_000, UTC)
ID = "0889229a-7d52-4bdb-a8fe-e59a85060eb9"


def message(body: Mapping[str, Any], kind: str = "StaticContentMessage", member: str = "staticContent") -> str:
    return json.dumps({"entryType": "Message", "abstractMessage": {"messageType": kind, member: body}})


def read(drift: Drift | None = None, erased: tuple[str, ...] = (), **told: Any) -> list[dict[str, Any]]:
    """The rows of one entry, told as a query of Data Cloud does."""
    row = {"id": ID, "conversation_identifier": "c-1", "conversation_id": "0dwAA0000000001AAA", "created_date": NOON}
    entries = Entries(ENTRIES_DATA_CLOUD, NOON, drift or Drift(), erased)
    page = pa.Table.from_pylist([{**row, **told}])
    return [row for batch in entries.batches(page) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("MESSAGE", "Message"),
        ("PARTICIPANT_CHANGED", "ParticipantChanged"),
        ("ParticipantChanged", "ParticipantChanged"),
        ("text", "Message"),
        ("SURVEY_STARTED", "SurveyStarted"),
        ("AdminOptedIn", "AdminOptedIn"),
    ],
)
def test_types_are_spelled_as_on_the_other_roads(told: str, meant: str) -> None:
    """Off-core spelling, documented spelling, and types that nobody published."""
    assert read(entry_type=told)[0]["entry_type"] == meant


def test_a_type_that_is_not_told_is_the_payloads() -> None:
    """The payload says what it is."""
    assert read(payload_text='{"entryType":"RoutingResult"}')[0]["entry_type"] == "RoutingResult"


def test_unknown_types_are_drift() -> None:
    """Kept, and counted."""
    drift = Drift()

    read(drift, entry_type="SURVEY_STARTED")

    assert drift.seen == {"entry_type SurveyStarted": 1}


@pytest.mark.parametrize("told", ["END_USER", "End User", "EndUser"])
def test_roles_are_spelled_as_on_the_other_roads(told: str) -> None:
    """Three ways to write an end user."""
    assert read(sender_role=told)[0]["sender_role"] == "EndUser"


@pytest.mark.parametrize(("told", "meant"), [("Visible", "Default"), ("Not Visible", "Internal"), (None, None)])
def test_visibility_is_spelled_as_on_the_other_roads(told: str | None, meant: str | None) -> None:
    """Not Visible is what an end user never sees."""
    assert read(visibility=told, modality="Messaging")[0]["visibility"] == meant


def test_ids_have_eighteen_characters_and_uuids_lower_case() -> None:
    """As everywhere in the lake."""
    [row] = read(id=ID.upper(), source_id="0LQAA000HGuhcih", source_object="VoiceCall")

    assert (row["entry_identifier"], row["voice_call_id"]) == (ID, "0LQAA000HGuhcih4YA")


def test_seconds_become_milliseconds() -> None:
    """DurationSecondsCount is a number with decimals."""
    assert read(duration_seconds=1.25)[0]["client_duration_ms"] == 1250


def test_the_servers_time_is_creation_where_it_is_not_told() -> None:
    """Every entry has a day."""
    assert read()[0]["transcripted_timestamp"] == NOON


def test_a_conversation_that_is_not_there_goes_by_its_record_id() -> None:
    """And is counted."""
    entries = Entries(ENTRIES_DATA_CLOUD, NOON, Drift())
    page = pa.table({"id": [ID], "conversation_id": ["0dwAA0000000001AAA"], "created_date": [NOON]})

    [batch] = entries.batches(page)

    assert batch["conversation_identifier"].to_pylist() == ["0dwAA0000000001AAA"]
    assert entries.unresolved == 1


def test_entries_without_an_id_keep_a_name() -> None:
    """The same entry has the same name the next time."""
    names = {read(id=None, payload_text="hello")[0]["entry_identifier"] for _ in range(2)}

    assert len(names) == 1
    assert names.pop().startswith("unnamed-")


def test_texts_choices_and_plain_words_are_read() -> None:
    """One page with all three, and an entry without a payload."""
    choices = {"formatType": "Buttons", "text": "Which?", "optionItems": [{"optionIdentifier": "1", "title": "One"}]}
    payloads = [
        message({"formatType": "Text", "text": "hi"}),
        message(choices, "ChoicesMessage", "choices"),
        "just words",
        None,
    ]
    page = pa.table(
        {"id": list("abcd"), "conversation_identifier": ["c"] * 4, "created_date": [NOON] * 4, "payload_text": payloads}
    )

    [batch] = Entries(ENTRIES_DATA_CLOUD, NOON, Drift()).batches(page)

    assert batch["text"].to_pylist() == ["hi", "Which?", "just words", None]
    assert batch["format_type"].to_pylist() == ["Text", "Buttons", "Text", None]
    assert batch["payload"].to_pylist() == [payloads[0], payloads[1], None, None]


@pytest.mark.parametrize("erased", ["c-1", "0LQAA000HGuhcih4YA"])
def test_who_was_erased_is_left_out(erased: str) -> None:
    """By conversation, session or call."""
    assert read(erased=(erased,), source_id="0LQAA000HGuhcih4YA") == []


@pytest.mark.parametrize(
    "instant",
    [
        "2026-11-18T12:00:00.123Z",
        "2026-11-18 12:00:00.123+00",
        "2026-11-18 12:00:00.123 UTC",
        "2026-11-18T12:00:00.123",
    ],
)
def test_instants_are_read_in_every_spelling(instant: str) -> None:
    """Of query-sql, of v2, and without a zone, which is UTC."""
    page = {"metadata": [{"name": "t", "type": "TimestampTZ"}], "data": [[instant], [None]]}

    assert json_page(json.dumps(page).encode())["t"].to_pylist() == [NOON, None]


def test_half_an_emoji_spoils_no_page() -> None:
    """What somebody cut a text in the middle of is read as the replacement character."""
    page = b'{"metadata":[{"name":"t","type":"Varchar"}],"data":[["cut \\ud83d"]]}'

    assert json_page(page)["t"].to_pylist() == ["cut \ufffd"]


def test_numbers_may_come_as_text() -> None:
    """v2 writes decimals as text with eighteen decimals."""
    batch = {"metadata": {"n": {"type": "DECIMAL"}}, "data": [["1.500000000000000000"], [2]]}

    assert v2_batch(json.dumps(batch).encode())["n"].to_pylist() == [1.5, 2.0]


def test_columns_of_v2_are_sorted_by_their_place() -> None:
    """Whichever base places have, and in whichever order they come."""
    columns = {"b": {"type": "VARCHAR", "placeInOrder": 2}, "a": {"type": "VARCHAR", "placeInOrder": 1}}

    assert v2_batch(json.dumps({"metadata": columns, "data": [["x", "y"]]}).encode()).to_pylist() == [
        {"a": "x", "b": "y"}
    ]


@pytest.mark.parametrize(
    "page",
    [b"{", b'{"data":[["a"]],"metadata":[]}', b'{"data":[["a"]],"metadata":[{"name":"x"}],"returnedRows":2}'],
    ids=["cut", "ragged", "short"],
)
def test_pages_that_do_not_add_up_are_asked_for_again(page: bytes) -> None:
    """Never with a value in the message."""
    with pytest.raises(IncompleteAnswer, match="ask again"):
        json_page(page)


def test_a_stream_that_is_cut_is_no_chunk() -> None:
    """Wherever it is cut."""
    sink = pa.BufferOutputStream()
    table = pa.table({"a": ["words of a customer"] * 100})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    whole = sink.getvalue().to_pybytes()

    with pytest.raises(IncompleteAnswer) as told:
        arrow_stream(whole[: len(whole) * 2 // 3])

    assert "words" not in str(told.value)


class Shown:
    """What metadata shows."""

    def __init__(self, **objects: tuple[str, ...]) -> None:
        self.objects = objects

    def columns(self, object_name: str) -> tuple[str, ...]:
        if object_name not in self.objects:
            raise ObjectUnavailable(object_name)
        return self.objects[object_name]


ENOUGH = ("Id", "ConversationId", "CreatedDate", "PayloadText")


def shown(spelling: str) -> tuple[str, ...]:
    return tuple(spelling.format(name) for name in ENOUGH)


def test_names_are_found_in_the_spelling_that_is_there() -> None:
    """Today's names come before those of older pages."""
    older = Shown(std__ConversationEntryDmo__dlm=shown("std__{}__c"))

    objects = discover(older, {})  # type: ignore[arg-type]

    assert objects.tables["ConversationEntry"].name == "std__ConversationEntryDmo__dlm"
    assert 'e."std__PayloadText__c" AS "payload_text"' in _sql(older)


def test_names_that_are_given_count() -> None:
    """Of an object and of a column."""
    own = Shown(Mine__dlm=(*shown("ssot__{}__c"), "Body__c"))
    names = {"ConversationEntry": "Mine__dlm", "ConversationEntry.PayloadText": "Body__c"}

    assert 'e."Body__c" AS "payload_text"' in _sql(own, names)


def test_entries_without_what_is_needed_are_an_error() -> None:
    """An entry has a conversation."""
    with pytest.raises(FieldUnavailable, match="no ConversationId"):
        discover(Shown(ssot__ConversationEntry__dlm=("ssot__Id__c", "ssot__CreatedDate__c")), {})  # type: ignore[arg-type]


def test_joins_go_by_key_qualifier_as_well() -> None:
    """Null and empty are one."""
    both = {"ssot__ConversationEntry__dlm": (*shown("ssot__{}__c"), "KQ_Id__c")}
    both["ssot__Conversation__dlm"] = ("ssot__Id__c", "ssot__ExternalRecordId__c", "KQ_Id__c")

    assert """COALESCE(c."KQ_Id__c", '') = COALESCE(e."KQ_Id__c", '')""" in _sql(Shown(**both))


def test_ids_that_are_there_twice_are_ranked() -> None:
    """Of several sources the row that was changed last counts."""
    told = Shown(ssot__ConversationEntry__dlm=shown("ssot__{}__c"))

    assert "ROW_NUMBER() OVER" in _sql(told, one_each=True)
    assert "ROW_NUMBER() OVER" not in _sql(told)


def _sql(told: Shown, names: Mapping[str, str] | None = None, *, one_each: bool = False) -> str:
    return entries_sql(discover(told, names or {}), Window.of_day("2026-11-18"), one_each=one_each)  # type: ignore[arg-type]


_PLAIN = message({"formatType": "Text", "text": "Hello"})
_STATIC = {"messageType": "StaticContentMessage", "staticContent": {"formatType": "Text", "text": "Hello"}}
SHAPES = {
    "plain": _PLAIN,
    "spaces": _PLAIN.replace(":", " : ").replace(",", " ,\n "),
    "text first": message({"text": "Hello", "formatType": "Text"}),
    "escapes": message({"formatType": "Text", "text": 'She said "{no}"\\n\n\u2028 {"text":"x"}'}),
    "emoji": message({"formatType": "Text", "text": "🌲"}),
    "emoji as it is": _PLAIN.replace("Hello", "🌲 ü"),
    "half an emoji": _PLAIN.replace("Hello", "half \\ud83c"),
    "no text": message({"formatType": "Text"}),
    "empty text": message({"formatType": "Text", "text": ""}),
    "null": message({"formatType": "Text", "text": None}),
    "number": message({"formatType": "Text", "text": 5}),
    "citation": message(
        {"formatType": "Text", "text": "Hello", "citationContent": {"citations": [{"citedReference": {"url": "u"}}]}}
    ),
    "another format": message({"formatType": "RichLink", "text": "Hello"}),
    "another type": message({"formatType": "Text", "text": "Hello"}, "SurveyMessage"),
    "a body of another type": message({"formatType": "Text", "text": "Hello"}, "ChoicesMessage"),
    "no type": json.dumps({"abstractMessage": {"staticContent": {"formatType": "Text", "text": "Hello"}}}),
    "type last": json.dumps({"abstractMessage": dict(reversed(_STATIC.items()))}),
    "reply": _PLAIN.replace('"staticContent"', '"inReplyToMessageId": "C-1", "staticContent"'),
    "nested before": _PLAIN.replace('"staticContent"', '"references": [{"id": "r"}], "staticContent"'),
    "two messages": json.dumps({"abstractMessage": {**_STATIC, "messageType": None}, "updatedMessage": _STATIC}),
    "updated": _PLAIN.replace("abstractMessage", "updatedMessage"),
    "cut": _PLAIN[:-4],
    "no payload": None,
    "no message": '{"entryType":"Message"}',
}  # fmt: skip


def test_together_or_one_by_one_payloads_say_the_same() -> None:
    """What is read by the column equals what the table of formats reads of each, whatever stands beside it."""
    raw = pa.array(list(SHAPES.values()), pa.string())

    columns = from_payloads(raw, pa.array(["Message"] * len(raw)), [])

    told = dict(zip(SHAPES, zip(*(columns[name].to_pylist() for name in READ), strict=True), strict=True))
    assert told == {name: _one(payload) for name, payload in SHAPES.items()}


READ = ("message_type", "in_reply_to_entry_identifier", "format_type", "text", "links")


def _one(raw: str | None) -> tuple[Any, ...]:
    payload = read_payload(raw, [])
    body = flat(payload.content, []) if payload.content is not None else NOTHING
    format_type, text, _, _, _, links = body
    return payload.message_type, payload.in_reply_to, format_type, text, links
