"""
Result pages of one query job, made once: MessagingSession rows as Bulk API 2.0 writes them.

The same arguments give the same bytes. Every value is quoted, one text in ten has a line break in it, null is empty,
and there is a header line on every page. With ``order="created"`` ids rise with time, as a job that is chunked by
primary key gives them; with ``order="random"`` rows of all days come mixed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

COLUMNS = (
    "Id",
    "Name",
    "Status",
    "Origin",
    "AgentType",
    "ChannelType",
    "EndedByType",
    "StartTime",
    "AcceptTime",
    "EndTime",
    "AgentMessageCount",
    "EndUserMessageCount",
    "ConversationId",
    "Conversation.ConversationIdentifier",
    "MessagingChannelId",
    "MessagingEndUserId",
    "OwnerId",
    "CaseId",
    "ChannelKey",
    "ChannelName",
    "SessionKey",
    "IsDeleted",
    "CreatedDate",
    "LastModifiedDate",
    "SystemModstamp",
)
INSTANTS = ("StartTime", "AcceptTime", "EndTime", "CreatedDate", "LastModifiedDate", "SystemModstamp")
COUNTS = ("AgentMessageCount", "EndUserMessageCount")
FLAGS = ("IsDeleted",)
OWN_COLUMNS = tuple(name for name in COLUMNS if "." not in name)
"""What a describe lists: a parent's field is none of the object's own."""

FIRST_DAY = date(2026, 10, 1)
DAYS = 31
_LETTERS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


@dataclass(frozen=True)
class Result:
    """A job's result on the disk."""

    folder: Path
    rows: int
    page_rows: int

    @property
    def pages(self) -> list[Path]:
        return sorted(self.folder.glob("page-*.csv"))

    @property
    def json_pages(self) -> list[Path]:
        """The same rows as Bulk API 1.0 gives them, where ``written_as_json`` has been called."""
        return sorted(self.folder.glob("page-*.json"))

    @property
    def days(self) -> list[str]:
        return [(FIRST_DAY + timedelta(days=day)).isoformat() for day in range(DAYS)]

    def records(self, page: int) -> int:
        return min(self.page_rows, self.rows - page * self.page_rows)


def made(folder: Path, rows: int, *, page_rows: int = 50_000, order: str = "created") -> Result:
    """The result in that folder, written if it is not there yet."""
    arguments = {"rows": rows, "page_rows": page_rows, "order": order}
    told = folder / "result.json"
    if not (told.exists() and json.loads(told.read_text()) == arguments):
        folder.mkdir(parents=True, exist_ok=True)
        places = np.arange(rows)
        if order == "random":
            np.random.default_rng(5).shuffle(places)
        for number, start in enumerate(range(0, rows, page_rows)):
            _write(folder / f"page-{number:05}.csv", places[start : start + page_rows], rows)
        told.write_text(json.dumps(arguments))
    return Result(folder, rows, page_rows)


def written_as_json(result: Result) -> None:
    """Pages of the object's own columns as Bulk API 1.0 writes JSON: instants are milliseconds."""
    types: dict[str, pa.DataType] = dict.fromkeys(OWN_COLUMNS, pa.string())
    types |= dict.fromkeys(INSTANTS, pa.timestamp("ms", "UTC"))
    types |= dict.fromkeys(COUNTS, pa.int32()) | dict.fromkeys(FLAGS, pa.bool_())
    convert = pacsv.ConvertOptions(
        column_types=types,
        include_columns=OWN_COLUMNS,
        null_values=[""],
        strings_can_be_null=True,
    )
    for page in result.pages:
        file = page.with_suffix(".json")
        if not file.exists():
            rows = pacsv.read_csv(
                page, parse_options=pacsv.ParseOptions(newlines_in_values=True), convert_options=convert
            )
            for name in INSTANTS:
                rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.int64()))
            file.write_text(json.dumps([_record(row) for row in rows.to_pylist()]))


def _record(row: dict[str, object]) -> dict[str, object]:
    url = f"/services/data/v59.0/sobjects/MessagingSession/{row['Id']}"
    return {"attributes": {"type": "MessagingSession", "url": url}, **row}


def _write(file: Path, places: np.ndarray, rows: int) -> None:
    random = np.random.default_rng(int(places[0]) + 1)
    count = len(places)
    start = places * (DAYS * 86_400_000 // rows) + 1_000
    end = start + random.integers(60_000, 7_200_000, count)
    ids = _ids("0Mw", places)
    text = {
        "Id": ids,
        "Name": pc.utf8_lpad(pa.array(places).cast(pa.string()), 10, "0"),
        "Status": _one_of(random, count, ["Ended", "Ended", "Ended", "Active", "Inactive"]),
        "Origin": _one_of(random, count, ["InboundInitiated", "TriggeredOutbound", "AgentInitiated"]),
        "AgentType": _one_of(random, count, ["Agent", "Bot", "BotToAgent", "System"]),
        "ChannelType": _one_of(random, count, ["EmbeddedMessaging", "WhatsApp", "Text", "Facebook"]),
        "EndedByType": _one_of(random, count, ["Agent", "Bot", "EndUser", "System", None]),
        "StartTime": _instants(start),
        "AcceptTime": _instants(start + 30_000, random.random(count) < 0.2),
        "EndTime": _instants(end, random.random(count) < 0.1),
        "AgentMessageCount": pa.array(random.integers(0, 40, count)).cast(pa.string()),
        "EndUserMessageCount": pa.array(random.integers(0, 40, count)).cast(pa.string()),
        "ConversationId": _ids("0dw", places // 2),
        "Conversation.ConversationIdentifier": _uuids(random, count),
        "MessagingChannelId": _ids("0Mj", random.integers(0, 12, count)),
        "MessagingEndUserId": _ids("0PA", random.integers(0, rows // 3 + 1, count)),
        "OwnerId": _ids("005", random.integers(0, 400, count)),
        "CaseId": _ids("500", places),
        "ChannelKey": _uuids(np.random.default_rng(1), 12).take(pa.array(random.integers(0, 12, count))),
        "ChannelName": _names(random, count),
        "SessionKey": _uuids(random, count),
        "IsDeleted": _one_of(random, count, ["false"] * 50 + ["true"]),
        "CreatedDate": _instants(start),
        "LastModifiedDate": _instants(end),
        "SystemModstamp": _instants(end),
    }
    table = pa.table({name: text[name] for name in COLUMNS})
    options = pacsv.WriteOptions(quoting_style="all_valid")
    pacsv.write_csv(table, file, options)


def _one_of(random: np.random.Generator, count: int, values: Sequence[str | None]) -> pa.Array:
    return pa.array(values).take(pa.array(random.integers(0, len(values), count)))


def _instants(milliseconds: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    day, rest = np.divmod(milliseconds, 86_400_000)
    dates = np.array([(FIRST_DAY + timedelta(days=n)).isoformat().encode() for n in range(DAYS + 1)], dtype="S10")
    text = np.empty((len(milliseconds), 24), dtype=np.uint8)
    text[:] = np.frombuffer(b"YYYY-mm-ddTHH:MM:SS.fffZ", dtype=np.uint8)
    text[:, :10] = dates[day].view(np.uint8).reshape(-1, 10)
    for at, width, unit, most in ((11, 2, 3_600_000, 24), (14, 2, 60_000, 60), (17, 2, 1_000, 60), (20, 3, 1, 1_000)):
        value = rest // unit % most
        for place in reversed(range(at, at + width)):
            text[:, place] = ord("0") + value % 10
            value = value // 10
    return _text(text) if missing is None else pc.if_else(pa.array(missing), None, _text(text))


def _ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    """18 characters that sort like the numbers."""
    digits = np.empty((len(numbers), 18), dtype=np.uint8)
    digits[:, :3] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    digits[:, 3:6] = ord("0")
    digits[:, 15:] = np.frombuffer(b"AAY", dtype=np.uint8)
    rest = numbers.astype(np.int64)
    for place in range(14, 5, -1):
        digits[:, place] = _LETTERS[rest % 62]
        rest = rest // 62
    return _text(digits)


def _uuids(random: np.random.Generator, count: int) -> pa.Array:
    digits = _LETTERS[:16][random.integers(0, 16, (count, 36))]
    digits[:, (8, 13, 18, 23)] = ord("-")
    return pc.utf8_lower(_text(digits))


def _names(random: np.random.Generator, count: int) -> pa.Array:
    names = [f'Channel "{place}" of the Zürich desk' for place in range(9)] + ["Channel 9\nsecond line, with a comma"]
    return pa.array(names).take(pa.array(random.integers(0, 10, count)))


def _text(characters: np.ndarray) -> pa.Array:
    count, width = characters.shape
    offsets = pa.py_buffer(np.arange(0, (count + 1) * width, width, dtype=np.int32))
    return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(np.ascontiguousarray(characters)))
