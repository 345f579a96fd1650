"""Makes an export of so many bytes of CSV in ZIP parts: layout A of the reference, every cell quoted, CRLF."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

PART_BYTES = 512 * 2**20
"""Compressed bytes of a part, about."""
COLUMNS = (
    "identifier", "conversation_identifer", "entry_type", "entry_payload", "sender", "transcripted_timestamp",
    "related_records", "client_timestamp", "client_duration",
)  # fmt: skip
_WORDS = (
    "order delivery refund hello thanks please address invoice number when where not yet today tomorrow parcel box "
    "size colour wrong changed account password help call back wait moment sorry great perfect sure ticket status"
).split()
_FIRST = 1_750_000_000_000
_ENTRIES_A_CONVERSATION = 12


def made(folder: Path, size: int, part_bytes: int = PART_BYTES) -> list[Path]:
    """The parts of an export of about so many bytes of CSV; those that are there already are kept."""
    done = folder / "done"
    if done.exists():
        return sorted(folder.glob("*.zip"))
    folder.mkdir(parents=True, exist_ok=True)
    rows, left, part = _rows(), size, 0
    while left > 0:
        part += 1
        with zipfile.ZipFile(folder / f"export_{part:03}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            left = _fill(archive, part, rows, left, part_bytes)
    done.touch()
    return sorted(folder.glob("*.zip"))


def _fill(archive: zipfile.ZipFile, part: int, rows: Iterator[bytes], left: int, part_bytes: int) -> int:
    with archive.open(f"ConversationEntries_{part}.csv", "w", force_zip64=True) as member:
        member.write(_line(COLUMNS))
        while left > 0 and archive.fp is not None and archive.fp.tell() < part_bytes:
            block = b"".join(next(rows) for _ in range(2_000))
            member.write(block)
            left -= len(block)
    return left


def _line(cells: tuple[str, ...]) -> bytes:
    return ('"' + '","'.join(cell.replace('"', '""') for cell in cells) + '"\r\n').encode()


def _rows() -> Iterator[bytes]:
    draw = random.Random(7)
    at, number = _FIRST, 0
    while True:
        number += 1
        conversation, session = _uuid(draw), f"0MwAA{number:010d}"
        people = [
            json.dumps({"appType": kind, "subject": f"{draw.getrandbits(64):016x}", "role": role})
            for kind, role in (("messaging", "EndUser"), ("agent", "Agent"))
        ]
        for turn in range(_ENTRIES_A_CONVERSATION):
            at += draw.randrange(2_000)
            identifier = _uuid(draw)
            text = " ".join(draw.choices(_WORDS, k=draw.randrange(4, 24)))
            payload = {
                "entryType": "Message", "id": identifier,
                "abstractMessage": {
                    "messageType": "StaticContentMessage", "id": _uuid(draw), "inReplyToMessageId": None,
                    "references": [], "staticContent": {"formatType": "Text", "text": text},
                },
            }  # fmt: skip
            yield _line((
                identifier, conversation, "Message", json.dumps(payload, separators=(",", ":")), people[turn % 2],
                str(at), json.dumps([session]), str(at - 90), "0",
            ))  # fmt: skip


def _uuid(draw: random.Random) -> str:
    bits = f"{draw.getrandbits(128):032x}"
    return f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"
