"""From an archive's rows to canonical entries: payloads, texts, visibility, conversations, and what has no place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pytest

from conversation_pipeline import archives
from conversation_pipeline.extract.archive import (
    NO_CONVERSATION,
    NO_TIME,
    Identifiers,
    entries,
    parts_promised,
    unplaced,
)
from conversation_pipeline.extract.entries import Drift
from conversation_pipeline_tests.archives.conftest import table, zipped

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
RECORD, OTHER = "0dwAA0000000001AAA", "0dwAA0000000002AAA"
Row = dict[str, Any]


def known() -> pa.Table:
    return pa.table({"id": [RECORD], "conversation_identifier": ["c-1"]})


def row(**told: Any) -> Row:
    return {
        "conversation_identifier": "c-1",
        "entry_identifier": "e-1",
        "transcripted_timestamp": NOON,
        "is_identifier_made_up": False,
    } | told


def canonical(*rows: Row, drift: Drift | None = None) -> list[Row]:
    batch = pa.RecordBatch.from_pylist(list(rows), schema=archives.ENTRIES)
    told: list[Row] = entries(batch, Identifiers(known), drift or Drift()).to_pylist()
    return told


def plain(text: str | None, *, spaced: bool = False, **content: Any) -> str:
    message = {
        "messageType": "StaticContentMessage",
        "inReplyToMessageId": "A0000000-0000-0000-0000-00000000000B",
        "staticContent": {"formatType": "Text", "text": text, **content},
    }
    separators = None if spaced else (",", ":")
    return json.dumps({"entryType": "Message", "id": "m", "abstractMessage": message}, separators=separators)


BUTTONS = json.dumps(
    {
        "entryType": "Message",
        "id": "m",
        "abstractMessage": {
            "messageType": "ChoicesMessage",
            "choices": {
                "formatType": "Buttons",
                "text": "Which?",
                "optionItems": [{"optionIdentifier": "1", "titleItem": {"title": "This"}}],
            },
        },
    },
    separators=(",", ":"),
)
PAYLOADS = [
    plain("Hello"),
    plain(""),
    plain(None),
    plain("\u00e4\n\u2028"),
    plain("cited", citationContent={"citations": [{"citedReference": {"url": "https://a.example"}}]}),
    BUTTONS,
    '{"entryType":"Note"}',
    "no JSON",
    None,
]


def test_plain_texts_read_all_at_once_tell_what_they_tell_one_by_one() -> None:
    """The quick way for what most entries are gives the same as the reading of any payload."""
    quick = canonical(*(row(payload=payload) for payload in (plain("Hello"), plain(""), plain(None), plain("ä"))))
    # With spaces no payload is taken for plain text, so it is read one by one.
    slow = canonical(*(row(payload=plain(text, spaced=True)) for text in ("Hello", "", None, "ä")))

    assert [{**one, "payload": None} for one in quick] == [{**one, "payload": None} for one in slow]


def test_each_payload_s_columns_stand_in_its_own_row() -> None:
    """Plain texts and other payloads in one batch do not change places."""
    together = canonical(*(row(payload=payload) for payload in PAYLOADS))
    alone = [canonical(row(payload=payload))[0] for payload in PAYLOADS]

    assert together == alone


def test_a_message_s_choices_have_their_columns() -> None:
    """Options are read from the payload as on every other road."""
    [told] = canonical(row(payload=BUTTONS))

    assert (told["message_type"], told["format_type"], told["text"]) == ("ChoicesMessage", "Buttons", "Which?")
    assert told["options"] == [{"option_identifier": "1", "title": "This"}]


def test_what_an_entry_answers_is_spelt_as_its_identifier() -> None:
    """Identifiers are in lower case wherever they stand."""
    [told] = canonical(row(payload=plain("Yes")))

    assert told["in_reply_to_entry_identifier"] == "a0000000-0000-0000-0000-00000000000b"


def test_a_text_alone_is_a_message_that_a_person_reads() -> None:
    """Layouts without payloads tell a text only; it is a message of text type, and its visibility is not known."""
    [told] = canonical(row(text="Hello"))

    kinds = told["entry_type"], told["message_type"], told["format_type"], told["visibility"]
    assert (told["text"], kinds) == ("Hello", ("Message", "StaticContentMessage", "Text", None))


def test_the_payload_s_text_comes_before_the_archive_s() -> None:
    """Where both tell a text, the payload is read by the rules of the other roads."""
    [told] = canonical(row(payload=plain("as sent"), text="as rendered"))

    assert told["text"] == "as sent"


def test_a_blank_text_says_nothing() -> None:
    """An entry of another kind is no message because its text cell is empty."""
    [told] = canonical(row(text="  ", entry_type="RoutingResult"))

    assert (told["text"], told["message_type"]) == (None, None)


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        (["don&#39;t", "a &amp; b"], ["don't", "a & b"]),
        (["don&#39;t", "a < b"], ["don&#39;t", "a < b"]),
        (["a & b", "&amp; is an entity"], ["a & b", "&amp; is an entity"]),
        (["no entity"], ["no entity"]),
    ],
    ids=["all escaped", "bare mark-up", "bare ampersand", "none"],
)
def test_entities_are_characters_where_all_texts_are_written_so(texts: list[str], read: list[str]) -> None:
    """A text that talks about an entity is left as it is written."""
    assert [one["text"] for one in canonical(*(row(text=text) for text in texts))] == read


@pytest.mark.parametrize(("entry_type", "visibility"), [("Note", "Internal"), ("Message", None)])
def test_visibility_is_not_made_up(entry_type: str, visibility: str | None) -> None:
    """Exports tell none: it is not known, but of notes, which no end user ever sees."""
    [told] = canonical(row(payload=json.dumps({"entryType": entry_type})))

    assert (told["entry_type"], told["visibility"]) == (entry_type, visibility)


def test_a_conversation_is_found_by_its_record_id() -> None:
    """An archive that tells only record ids is joined with the org's conversations."""
    told = canonical(
        row(conversation_identifier=None, conversation_id=RECORD),
        row(conversation_identifier=None, conversation_id=OTHER),
        row(conversation_identifier="c-9", conversation_id=RECORD),
    )

    assert [one["conversation_identifier"] for one in told] == ["c-1", None, "c-9"]


def test_what_has_no_place_says_why() -> None:
    """A row without a time or without a known conversation belongs to no day."""
    rows = [row(), row(transcripted_timestamp=None), row(conversation_identifier=None)]
    batch = pa.RecordBatch.from_pylist(rows, schema=archives.ENTRIES)

    assert unplaced(batch).to_pylist() == [None, NO_TIME, NO_CONVERSATION]


def test_what_no_schema_knows_is_counted() -> None:
    """Unknown entry types are kept and told as drift."""
    drift = Drift()

    canonical(row(payload='{"entryType":"SurveyStarted"}'), row(payload=plain("Hello")), drift=drift)

    assert drift.seen == {"entry_type SurveyStarted": 1}


def test_a_manifest_promises_parts(tmp_path: Path) -> None:
    """Any part's manifest says how many there are; a spoilt part and one without a manifest say nothing."""
    (tmp_path / "x_1.zip").write_bytes(b"PK\x03\x04 half")
    (tmp_path / "x_2.zip").write_bytes(zipped(("a.csv", table([{"identifier": "1"}]))))
    (tmp_path / "x_3.zip").write_bytes(zipped(("manifest.json", b'{"part": 3, "parts": 4}')))
    paths = [str(tmp_path / f"x_{part}.zip") for part in (1, 2, 3)]

    from_all, from_two = (parts_promised(some, pa.fs.LocalFileSystem()) for some in (paths, paths[:2]))

    assert (from_all, from_two) == (4, None)
