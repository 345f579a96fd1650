"""Formats, encodings, columns and values, detected by content (bulk-export 4.2 to 4.4)."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from conversation_pipeline import archives
from conversation_pipeline_tests.archives.conftest import NOON, entries, entry, table, uid, zipped

LONG = random.Random(1).randbytes(5_000_000).hex()
INSTANT = datetime.fromtimestamp(NOON / 1000, UTC)


def lines(*rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def spelled_b(number):
    """An entry as the service's bulk upload takes it (spelling B)."""
    payload = {
        "conversationId": uid(7), "id": uid(number), "clientSentTimestamp": NOON, "clientDuration": 1200,
        "messageText": "Guten Tag", "sender": {"appType": "messaging", "subject": "s", "role": "EndUser"},
        "relatedRecords": ["0MwAA0000002222"], "contextParamMap": {"a": 1},
    }  # fmt: skip
    return {"type": "conversationEntry", "payload": payload}


def spelled_c(number):
    """An entry as Connect tells it (spelling C)."""
    return {
        "identifier": uid(number), "messageText": "Guten Tag", "clientTimestamp": NOON,
        "serverReceivedTimestamp": NOON + 5, "clientDuration": 0, "relatedRecords": ["0MwAA0000002222"],
        "sender": {"appType": "agent", "role": "Agent", "subject": "005"}, "entryPayload": {"entryType": "Message"},
    }  # fmt: skip


def test_a_table_is_read_into_the_canonical_columns(folder):
    """
    Spelling A: text cells become ids, times, lists; JSON in cells is opened, the payload stays as it is.
    """
    told = json.dumps({"entryType": "Message", "said": 'He said "ja",\n– und ging'}, ensure_ascii=False)
    rows, member = folder.member("e.csv", table([entry(1, entry_payload=told, client_duration=40)]))

    assert (member.format, member.encoding, member.delimiter) == ("csv", "utf-8", ",")
    assert {name: value for name, value in rows[0].items() if value is not None} == {
        "conversation_identifier": uid(10**6), "entry_identifier": uid(1), "entry_type": "Message",
        "sender_role": "Agent", "sender_app_type": "agent", "sender_subject": "005AA0000001111",
        "client_timestamp": datetime.fromtimestamp((NOON - 89) / 1000, UTC),
        "transcripted_timestamp": datetime.fromtimestamp((NOON + 1) / 1000, UTC), "client_duration_ms": 40,
        "related_records": ["0MwAA00000022220AA"], "payload": told, "road": "archive",
        "fetched_at": rows[0]["fetched_at"], "is_identifier_made_up": False,
        "archive": str(folder.path / "archive.zip"), "member": "e.csv", "member_row": 1,
    }  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_the_delimiter_is_found_on_the_header_line(folder, delimiter, line_end):
    """
    Comma, semicolon, tab or pipe, with either line end.
    """
    content = table(entries(3), delimiter=delimiter, lineterminator=line_end)

    assert len(folder.member("e.txt", content)[0]) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_recognised(folder, encoding):
    """
    By its mark, or by where its NULs stand.
    """
    content = table(entries(2, entry_type=None, message="Größe – 大"), encoding=encoding)
    rows, _ = folder.member("e.csv", content)

    assert [row["text"] for row in rows] == ["Größe – 大"] * 2


@pytest.mark.parametrize(("encoding", "text"), [("cp1252", "Größe – 5 €"), ("shift_jis", "こんにちは")])
def test_other_encodings_are_read_in_the_fallback_and_named(folder, encoding, text):
    """
    What is neither UTF-8 nor UTF-16 is read as configured; the provenance says in what.
    """
    content = table(entries(2, message=text), encoding=encoding)
    rows, member = folder.member("e.csv", content, fallback_encoding=encoding)

    assert ([row["text"] for row in rows], member.encoding) == ([text] * 2, encoding)


def test_characters_that_the_fallback_lacks_are_counted(folder):
    """
    They come out as the replacement character, and the member says how many there were.
    """
    content = table(entries(1, message="gr\xfc\x81n"), encoding="latin-1")
    _, member = folder.member("e.csv", content)

    assert member.notes["character that the encoding does not know"] == 1


def test_json_lines_with_a_wrapper(folder):
    """
    Spelling B: the conversation's line is no entry; text and the client's time are there, the payload is not.
    """
    content = lines({"type": "conversation", "payload": {"conversationId": uid(7)}}, spelled_b(1), spelled_b(2))
    rows, member = folder.member("e.jsonl", content)

    assert member.format == "json lines with wrapper"
    assert [row["entry_identifier"] for row in rows] == [uid(1), uid(2)]
    assert (rows[0]["conversation_identifier"], rows[0]["text"], rows[0]["client_duration_ms"]) == (
        uid(7), "Guten Tag", 1200,
    )  # fmt: skip
    assert rows[0]["transcripted_timestamp"] == INSTANT
    assert json.loads(rows[0]["extra"]) == {"contextParamMap": '{"a": 1}'}


def test_json_lines_without_a_wrapper(folder):
    """
    One entry a line.
    """
    content = lines(*(spelled_c(number) | {"conversationId": uid(7)} for number in (1, 2)))
    rows, member = folder.member("e.ndjson", content)

    assert (len(rows), member.format) == (2, "json lines")


def test_a_json_array_of_entries(folder):
    """
    Spelling C in one list.
    """
    content = json.dumps([spelled_c(number) | {"conversationIdentifier": uid(7)} for number in (1, 2)], indent=1)
    rows, member = folder.member("e.json", content.encode())

    assert (len(rows), member.format) == (2, "json array")


def test_a_json_array_of_conversations(folder):
    """
    Each with its list of entries.
    """
    told = [{"conversationIdentifier": uid(number), "entries": [spelled_c(number)]} for number in (1, 2)]
    rows, _ = folder.member("e.json", json.dumps(told).encode())

    assert [row["conversation_identifier"] for row in rows] == [uid(1), uid(2)]


@pytest.mark.parametrize(
    "name",
    ["entries", "conversationEntries", "conversation_entries", "messages", "transcript", "data", "records"],
)
def test_one_conversation_a_file(folder, name):
    """
    An object with its entries in a list of any of the known names, before or after its identifier.
    """
    told = {name: [spelled_c(1), spelled_c(2)], "conversationIdentifier": uid(7)}
    rows, member = folder.member(f"{uid(7)}.json", json.dumps(told, indent=2).encode())

    assert ([row["conversation_identifier"] for row in rows], member.format) == ([uid(7)] * 2, "json object")


def test_a_long_json_object_is_streamed(folder):
    """
    A list of entries that is longer than what is parsed at a time comes out whole.
    """
    told = {
        "conversationIdentifier": uid(7),
        "entries": [spelled_c(number) | {"pad": "x" * 900} for number in range(5_000)],
    }
    rows, member = folder.member("e.json", json.dumps(told).encode())

    assert (len({row["entry_identifier"] for row in rows}), member.outcome) == (5_000, "entries")


def test_pascal_case_columns_of_the_core_object(folder):
    """
    Spelling D: record ids instead of identifiers, the actor instead of the sender.
    """
    row = {
        "Id": "0dxAA0000003333", "ConversationId": "0dwAA0000004444", "ActorId": "005", "ActorName": "Rita",
        "ActorType": "END_USER", "EntryType": "MESSAGE", "EntryTime": "2025-11-18T12:00:00.000+0000", "Message": "Hola",
        "Seq": 3,
    }  # fmt: skip
    rows, member = folder.member("ConversationEntry.csv", table([row]))

    assert {name: rows[0][name] for name in ("entry_type", "sender_role", "sender_display_name", "text")} == {
        "entry_type": "Message", "sender_role": "EndUser", "sender_display_name": "Rita", "text": "Hola",
    }  # fmt: skip
    assert (rows[0]["conversation_id"][:15], rows[0]["conversation_identifier"]) == ("0dwAA0000004444", None)
    assert member.unknown_columns == ("Seq",)


def test_data_cloud_columns(folder):
    """
    Spelling E: prefix and suffix mean nothing.
    """
    row = {"ssot__Id__c": uid(1), "ssot__ConversationId__c": uid(7), "ssot__MessageText__c": "Hola"}
    rows, _ = folder.member("e.csv", table([row]))

    assert (rows[0]["conversation_identifier"], rows[0]["text"]) == (uid(7), "Hola")


def test_the_first_alias_with_a_value_counts(folder):
    """
    Row by row.
    """
    both = [entry(1, messageText="one", text="two"), entry(2, messageText="", text="two")]
    rows, _ = folder.member("e.csv", table(both))

    assert [row["text"] for row in rows] == ["one", "two"]


def test_columns_may_come_in_any_order_and_twice(folder):
    """
    They are bound by name; of two of one name the first counts.
    """
    content = f"text,id,conversationuuid,text\none,{uid(1)},{uid(7)},two\n".encode()
    rows, _ = folder.member("e.csv", content)

    assert (rows[0]["text"], rows[0]["conversation_identifier"]) == ("one", uid(7))


@pytest.mark.parametrize(
    "written",
    [
        NOON // 1000, NOON, NOON * 1000, f"{NOON}.0", "2025-11-18T12:00:00Z", "2025-11-18T13:00:00.000+01:00",
        "2025-11-18T12:00:00.000+0000", "2025-11-18 12:00:00 UTC", "2025-11-18 12:00:00.000000 UTC",
        "2025-11-18 12:00:00", "2025-11-18T12:00",
    ],
)  # fmt: skip
def test_times_are_read_as_they_are_written(folder, written):
    """
    Epoch numbers by magnitude, ISO 8601, and what people write.
    """
    rows, _ = folder.member("e.csv", table([entry(1, transcripted_timestamp=written)]))

    assert rows[0]["transcripted_timestamp"] == INSTANT


def test_times_of_several_spellings_in_one_column(folder):
    """
    Each by itself.
    """
    spellings = [NOON, "2025-11-18 12:00:00 UTC", NOON // 1000, "2025-11-18T12:00:00Z"]
    told = [entry(place, transcripted_timestamp=one) for place, one in enumerate(spellings)]
    rows, _ = folder.member("e.csv", table(told))

    assert {row["transcripted_timestamp"] for row in rows} == {INSTANT}


def test_times_without_a_zone_are_taken_in_the_configured_one_and_counted(folder):
    """
    Half past one in Berlin is noon and a half in UTC.
    """
    content = table([entry(1, transcripted_timestamp="2025-11-18 13:00:00")])
    rows, member = folder.member("e.csv", content, time_zone="Europe/Berlin")

    assert rows[0]["transcripted_timestamp"] == INSTANT
    assert member.notes == {"transcripted_timestamp without a time zone, taken as Europe/Berlin": 1}


@pytest.mark.parametrize("written", ["soon", "2025-13-45T00:00:00Z", 10**30, "17"])
def test_a_time_that_cannot_be_read_is_null_and_counted(folder, written):
    """
    The client's time takes its place, so the entry has a day.
    """
    rows, member = folder.member("e.csv", table([entry(1, transcripted_timestamp=written)]))

    assert rows[0]["transcripted_timestamp"] == rows[0]["client_timestamp"]
    assert member.notes["transcripted_timestamp that cannot be read"] == 1


def test_an_entry_without_any_time_is_kept(folder):
    """
    Its time is null, which is counted.
    """
    rows, member = folder.member("e.csv", table([entry(1, transcripted_timestamp="", client_timestamp="")]))

    assert rows[0]["transcripted_timestamp"] is None
    assert member.notes["entry without any time"] == 1


@pytest.mark.parametrize(
    "written",
    ['["0MwAA0000002222","0LQAA0000003333"]', "0MwAA0000002222;0LQAA0000003333", "0MwAA0000002222, 0LQAA0000003333"],
)
def test_lists_are_json_or_set_apart(folder, written):
    """
    Record ids come out with 18 characters.
    """
    rows, _ = folder.member("e.csv", table([entry(1, related_records=written)]))

    assert [one[:15] for one in rows[0]["related_records"]] == ["0MwAA0000002222", "0LQAA0000003333"]
    assert {len(one) for one in rows[0]["related_records"]} == {18}


def test_json_that_is_encoded_twice_is_opened(folder):
    """
    Senders and payloads alike.
    """
    told = entry(1)
    twice = told | {name: json.dumps(told[name]) for name in ("sender", "entry_payload")}
    rows, _ = folder.member("e.csv", table([twice]))

    assert (rows[0]["sender_role"], rows[0]["payload"]) == ("Agent", told["entry_payload"])


def test_uuids_are_lower_case(folder):
    """
    As every road spells them.
    """
    told = "0B6F2F0E-5F55-4A59-9F0E-2D9A6F7D1C01"
    rows, _ = folder.member("e.csv", table([entry(1, identifier=told, conversation_identifer=told)]))

    assert {rows[0]["entry_identifier"], rows[0]["conversation_identifier"]} == {told.lower()}


def test_an_entry_without_an_identifier_gets_the_same_one_each_time(folder):
    """
    A hash of what it says; flagged and counted.
    """
    told = table([entry(1, identifier=""), entry(2, identifier="", entry_payload="{}")])
    once, member = folder.member("e.csv", told)
    again, _ = folder.member("e.csv", told)

    assert [row["entry_identifier"] for row in once] == [row["entry_identifier"] for row in again]
    assert len({row["entry_identifier"] for row in once}) == 2
    assert [row["is_identifier_made_up"] for row in once] == [True, True]
    assert member.notes == {"entry without an identifier": 2}


def test_unknown_columns_are_kept_and_reported(folder):
    """
    Their cells as JSON, their names once for the member.
    """
    rows, member = folder.member("e.csv", table([entry(1, Mood="sunny"), entry(2, Mood="")]))

    assert member.unknown_columns == ("Mood",)
    assert [row["extra"] for row in rows] == ['{"Mood": "sunny"}', None]


def test_a_table_of_something_else_is_no_failure(folder):
    """
    Participants are told as another table, with their columns; none of their rows is an entry.
    """
    rows, member = folder.member("p.csv", table([{"Id": "1", "ParticipantKey": "2", "JoinedTime": "3"}]))

    assert (rows, member.outcome, member.columns) == ([], "other table", ("Id", "ParticipantKey", "JoinedTime"))


def test_json_of_something_else_is_no_failure(folder):
    """
    The same for JSON Lines.
    """
    rows, member = folder.member("p.jsonl", lines({"participant": 1}, {"participant": 2}))

    assert (rows, member.outcome, dict(member.quarantined_rows)) == ([], "other table", {})


def test_a_header_without_rows_is_an_empty_table(folder):
    """
    No rows, no complaint.
    """
    rows, member = folder.member("e.csv", table([entry(1)]).split(b"\r\n")[0] + b"\r\n")

    assert (rows, member.outcome) == ([], "entries")


@pytest.mark.parametrize(
    "text",
    ["x" * 131_072, LONG, "=cmd()", "a\x00b", "🙂\u200fשלום", "one\rtwo\nthree\r\nfour"],
    ids=["long", "very long", "formula", "nul", "both directions", "line ends"],
)
def test_any_text_survives(folder, text):
    """
    The longest field of Salesforce and far longer ones, control characters, both directions, every line end.
    """
    rows, _ = folder.member("e.csv", table([entry(1), entry(2, message=text), entry(3)]))

    assert [row["text"] for row in rows] == [None, text, None]


@pytest.mark.parametrize("name", ["e.csv", "e.bin", "e"])
def test_plain_and_packed_files_are_told_by_their_bytes(folder, name):
    """
    Without an archive around them, and whatever their names say.
    """
    content = table(entries(3))
    plain, _ = folder.read((name, content))
    packed, _ = folder.read((f"{name}.gz", gzip.compress(content)))

    assert (plain.num_rows, packed.num_rows) == (3, 3)


def test_a_zip_in_a_zip_is_read(folder):
    """
    Once nested, with gzip inside.
    """
    inner = zipped(("e.csv.gz", gzip.compress(table(entries(3)))), ("f.csv", table(entries(2, first=50))))
    found, provenance = folder.read(("a.zip", zipped(("inner.zip", inner))))

    assert found.num_rows == 5
    assert [member.name for member in provenance.members] == ["inner.zip/e.csv.gz", "inner.zip/f.csv"]


@pytest.mark.parametrize("packed", ["deflated", "stored", "gzip", "zip in a zip", "bare", "gzip alone"])
def test_a_large_member_is_read_to_its_end(folder, packed):
    """
    What does not stay in memory is opened once more, or kept on a disk where it can not be: more members follow it.
    """
    large = table([entry(number, entry_payload=LONG[: 10**6]) for number in range(12)])
    files = {
        "deflated": zipped(("e.csv", large), ("f.csv", table(entries(1, first=50)))),
        "stored": stored(("e.csv", large), ("f.csv", table(entries(1, first=50)))),
        "gzip": zipped(("e.csv.gz", gzip.compress(large, 1)), ("f.csv", table(entries(1, first=50)))),
        "zip in a zip": zipped(
            ("a.zip", stored(("e.csv", large), ("f.csv", table(entries(1, first=50))))),
            ("g.csv", table(entries(1, first=60))),
        ),
        "bare": large,
        "gzip alone": gzip.compress(large, 1),
    }
    found, provenance = folder.read(("a", files[packed]))

    assert provenance.quarantined == []
    assert found["entry_identifier"].to_pylist()[:12] == [uid(number) for number in range(12)]
    assert set(found["payload"].to_pylist()[:12]) == {LONG[: 10**6]}


def stored(*members):
    """A ZIP whose members are not packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def test_manifests_and_read_mes_are_no_entries(folder):
    """
    They are told as metadata; the manifest dates the rows.
    """
    manifest = json.dumps({"completedAt": "2026-11-01T00:00:00Z", "part": 1, "parts": 1, "entryCount": 1}).encode()
    members = [("e.csv", table(entries(1))), ("README.txt", b"id,text"), ("manifest.json", manifest)]
    found, provenance = folder.read(("a.zip", zipped(*members)))

    assert found["fetched_at"].to_pylist() == [datetime(2026, 11, 1, tzinfo=UTC)]
    assert [member.outcome for member in provenance.members] == ["entries", "metadata", "metadata"]
    assert (provenance.complete, provenance.promised) == (True, 1)


def test_a_stamp_in_the_name_dates_an_archive_without_a_manifest(folder):
    """
    Fourteen digits, UTC.
    """
    found, _ = folder.read(("Export_00D000000000001_20261101123000_1.zip", zipped(("e.csv", table(entries(1))))))

    assert found["fetched_at"].to_pylist() == [datetime(2026, 11, 1, 12, 30, tzinfo=UTC)]


def test_batches_have_one_schema(folder):
    """
    Whatever the members told.
    """
    path = folder.drop("a.zip", zipped(("a.csv", table(entries(2))), ("b.jsonl", lines(spelled_b(1)))))

    assert {batch.schema for batch in archives.read([path]).batches()} == {archives.ENTRIES}
    assert isinstance(archives.ENTRIES, pa.Schema)
