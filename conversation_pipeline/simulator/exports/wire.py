"""An export as ZIP parts, in each of the assumed layouts, and what can be wrong with them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from conversation_pipeline.simulator.exports.model import Export, Layout, Told
from conversation_pipeline.simulator.world.entries import Entry

# The documentation of this schema spells conversation_identifer so.
COLUMNS = (
    "identifier", "conversation_identifer", "entry_type", "entry_payload", "sender", "transcripted_timestamp",
    "related_records", "client_timestamp", "client_duration",
)  # fmt: skip
DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "PIPE": "|"}
LINE_ENDS = {"CRLF": "\r\n", "LF": "\n"}
_ZEROS = 64 * 2**20

Members = list[tuple[str, bytes]]


def files(export: Export, organization_id: str) -> dict[str, bytes]:
    """The parts by name."""
    parts = _split(export.content, export.layout)
    stem, found = export.stem(organization_id), {}
    for number, conversations in enumerate(parts, start=1):
        members = _members(conversations, number, export.layout)
        manifest = _manifest(export, organization_id, number, len(parts), conversations)
        corruption = export.layout.corruption if number == 1 else ""
        found[f"{stem}_{number}.zip"] = _spoilt(corruption, members, ("manifest.json", manifest), export.layout)
    if export.layout.corruption == "missing_part" and len(found) > 1:
        del found[f"{stem}_{len(parts)}.zip"]
    return found


def _split(content: Sequence[Told], layout: Layout) -> list[list[Told]]:
    """Conversations by part; a conversation is not divided."""
    parts: list[list[Told]] = [[]]
    size = 0
    for told in content:
        text = "".join(entry.payload for entry in told[1])
        packed = len(zlib.compress(text.encode(), 1))
        if parts[-1] and size + packed > layout.part_bytes:
            parts.append([])
            size = 0
        parts[-1].append(told)
        size += packed
    return parts


def _members(conversations: Sequence[Told], number: int, layout: Layout) -> Members:
    if layout.format == "json_per_conversation":
        return [(f"{told[0].identifier}.json", _encoded(_object(told), layout)) for told in conversations]
    if layout.format == "jsonl":
        return [(f"ConversationEntries_{number}.jsonl", _encoded(_lines(conversations), layout))]
    return [(f"ConversationEntries_{number}.csv", _encoded(_table(conversations, layout), layout))]


def _encoded(text: str, layout: Layout) -> bytes:
    # A character that the encoding lacks becomes a question mark, as exports to such encodings do.
    return text.encode(layout.encoding, "replace")


def _table(conversations: Sequence[Told], layout: Layout) -> str:
    out = io.StringIO(newline="")
    write = csv.writer(
        out, delimiter=layout.delimiter, lineterminator=layout.line_end, quoting=csv.QUOTE_ALL, doublequote=True
    ).writerow
    write(COLUMNS)
    for conversation, entries in conversations:
        for entry in entries:
            write((
                entry.identifier, conversation.identifier, entry.entry_type, entry.payload, _json(entry.sender.wire()),
                entry.at, _json(list(entry.related_records)), entry.client_at, entry.duration,
            ))  # fmt: skip
    return out.getvalue()


def _lines(conversations: Sequence[Told]) -> str:
    """Spelling B, that of the service's own bulk upload: text, no payload, no entry type, the client's time alone."""
    lines = []
    for conversation, entries in conversations:
        lines.append(_json({"type": "conversation", "payload": {"conversationId": conversation.identifier}}))
        lines += [_json({"type": "conversationEntry", "payload": _uploaded(conversation.identifier, entry)})
                  for entry in entries]  # fmt: skip
    return "\n".join(lines) + "\n"


def _uploaded(conversation: str, entry: Entry) -> dict[str, Any]:
    return {
        "conversationId": conversation, "id": entry.identifier, "clientSentTimestamp": entry.client_at,
        "clientDuration": entry.duration, "messageText": entry.text or "", "sender": entry.sender.wire(),
        "relatedRecords": [record[:15] for record in entry.related_records], "contextParamMap": {},
    }  # fmt: skip


def _object(told: Told) -> str:
    """Spelling C with payload."""
    conversation, entries = told
    return _json({
        "conversationIdentifier": conversation.identifier,
        "entries": [
            {
                "identifier": entry.identifier, "messageText": entry.text, "clientTimestamp": entry.client_at,
                "serverReceivedTimestamp": entry.at, "clientDuration": entry.duration,
                "relatedRecords": list(entry.related_records), "sender": entry.sender.wire(),
                "entryType": entry.entry_type, "entryPayload": entry.payload,
            }
            for entry in entries
        ],
    })  # fmt: skip


def _manifest(export: Export, organization_id: str, part: int, parts: int, conversations: Sequence[Told]) -> bytes:
    told = {
        "orgId": organization_id[:15], "requestedBy": export.requested_by, "requestedAt": _iso(export.requested_at),
        "completedAt": _iso(export.completes_at), "part": part, "parts": parts,
        "entryCount": sum(len(entries) for _, entries in conversations), "format": export.layout.format,
    }  # fmt: skip
    return json.dumps(told, indent=2).encode()


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _zip(members: Members) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore", UserWarning)  # two members of one name are meant
        for name, content in members:
            # One fixed time: equal content gives equal archives.
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _spoilt(corruption: str, members: Members, manifest: tuple[str, bytes], layout: Layout) -> bytes:
    """The part, with that wrong with its first member or with the whole; unharmed for an empty corruption."""
    (name, content), others = members[0], members[1:]
    if corruption in _AFTERWARDS:
        return _AFTERWARDS[corruption](_zip([*members, manifest]))
    if corruption == "nested_zip":
        return _zip([("ConversationEntries.zip", _zip(members)), manifest])
    if corruption == "gzip_members":
        return _zip([*((f"{one}.gz", gzip.compress(text, mtime=0)) for one, text in members), manifest])
    first: Members = {
        "mixed_encodings": [(name, _mixed(content, layout))],
        "repeated_member": [(name, content), (name, content)],
        "other_member_of_the_name": [(name, content), (name, content + content[:200])],
        "bomb": [(name, content), ("ConversationEntries_0.csv", bytes(_ZEROS))],
        "path_traversal": [(name, content), ("../../ConversationEntries_0.csv", content)],
        "broken_row": [(name, _broken(content, layout))],
        "half_gzip": [(name, content), ("half.csv.gz", _half(gzip.compress(content, mtime=0)))],
    }.get(corruption, [(name, content)])
    return _zip([*first, *others, manifest])


def _mixed(content: bytes, layout: Layout) -> bytes:
    """Every tenth line in another encoding, and with a letter in which the two differ."""
    lines = content.decode(layout.encoding).split("\n")
    return b"\n".join(
        (line.replace("a", "ä").encode("cp1252", "replace") if place % 10 == 5 else line.replace("e", "é").encode())
        if place
        else line.encode()
        for place, line in enumerate(lines)
    )


def _broken(content: bytes, layout: Layout) -> bytes:
    """One more row, with a cell too few."""
    row = layout.delimiter.join(['"broken"'] * (len(COLUMNS) - 1)) + layout.line_end
    return content + row.encode(layout.encoding)


def _half(archive: bytes) -> bytes:
    return archive[: len(archive) // 2]


def _wrong_crc(archive: bytes) -> bytes:
    """Another checksum in the directory's first entry, which is the one that counts."""
    at = archive.index(b"PK\x01\x02") + 16
    return archive[:at] + bytes([archive[at] ^ 0xFF]) + archive[at + 1 :]


def _encrypted(archive: bytes) -> bytes:
    """The first member marked as encrypted, its bytes drawn anew."""
    spoilt, directory = bytearray(archive), archive.index(b"PK\x01\x02")
    spoilt[6] |= 1
    spoilt[directory + 8] |= 1
    start = 30 + int.from_bytes(archive[26:28], "little") + int.from_bytes(archive[28:30], "little")
    end = start + int.from_bytes(archive[directory + 20 : directory + 24], "little")
    spoilt[start:end] = random.Random(end).randbytes(end - start)
    return bytes(spoilt)


_AFTERWARDS: dict[str, Callable[[bytes], bytes]] = {
    "half_zip": _half,
    "wrong_crc": _wrong_crc,
    "encrypted": _encrypted,
}
