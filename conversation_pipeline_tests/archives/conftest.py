"""Archives made by hand, member by member, and the rows that are read from them."""

from __future__ import annotations

import csv
import io
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline import archives

NOON = 1_763_467_200_000
COLUMNS = (
    "identifier", "conversation_identifer", "entry_type", "entry_payload", "sender", "transcripted_timestamp",
    "related_records", "client_timestamp", "client_duration",
)  # fmt: skip
Row = dict[str, Any]


def uid(number: int) -> str:
    """A UUID of that number."""
    return str(uuid.UUID(int=number))


def entry(number: int, **members: Any) -> Row:
    """An entry as the off-core schema spells it (spelling A)."""
    return {
        "identifier": uid(number),
        "conversation_identifer": uid(10**6 + number // 10),
        "entry_type": "Message",
        "entry_payload": json.dumps({"entryType": "Message", "id": uid(number)}),
        "sender": json.dumps({"appType": "agent", "subject": "005AA0000001111", "role": "Agent"}),
        "transcripted_timestamp": NOON + number,
        "related_records": '["0MwAA0000002222"]',
        "client_timestamp": NOON + number - 90,
        "client_duration": 0,
    } | members


def table(rows: list[Row], *, encoding: str = "utf-8", **dialect: Any) -> bytes:
    """Rows as a CSV member."""
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, **({"quoting": csv.QUOTE_ALL} | dialect))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def entries(count: int, first: int = 1, **members: Any) -> list[Row]:
    return [entry(number, **members) for number in range(first, first + count)]


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A ZIP of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


class Folder:
    """A folder in which archives arrive."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def drop(self, name: str, content: bytes) -> str:
        """The path of a new file."""
        file = self.path / name
        file.write_bytes(content)
        return str(file)

    def read(self, *files: tuple[str, bytes], **how: Any) -> tuple[pa.Table, archives.Provenance]:
        """All rows of files that were dropped just now, and what was found."""
        known = how.pop("known", ())
        paths = [self.drop(name, content) for name, content in files]
        reading = archives.read(paths, options=archives.Options(**how), known=known)
        table = pa.Table.from_batches(reading.batches(), archives.ENTRIES)
        return table, reading.provenance

    def member(self, name: str, content: bytes, **how: Any) -> tuple[list[Row], archives.Member]:
        """The rows of an archive with that one member, and what was found of it."""
        table, provenance = self.read(("archive.zip", zipped((name, content))), **how)
        return table.to_pylist(), provenance.members[0]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
