"""An archive, or the parts of one export, from the first byte to the last row."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import IO, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import fs

from conversation_pipeline.archives import json_values, tables
from conversation_pipeline.archives.ahead import ahead
from conversation_pipeline.archives.aliases import tells_entries, unknown
from conversation_pipeline.archives.containers import Found, Spoilt, members
from conversation_pipeline.archives.encodings import Utf8
from conversation_pipeline.archives.entries import Converter
from conversation_pipeline.archives.errors import OutsideFile, Unreadable
from conversation_pipeline.archives.options import Options
from conversation_pipeline.archives.provenance import KNOWN, Archive, Member, Outcome, Provenance
from conversation_pipeline.archives.survey import Survey, head_sha256, surveyed
from conversation_pipeline.archives.values import instant

CSV = "csv"
UNKNOWN_CHARACTER = "character that the encoding does not know"

_METADATA = ("manifest*.json", "readme*", "*.log", "schema*", ".ds_store")
_STAMP = re.compile(r"(?<!\d)(20\d{12})(?!\d)")
_HASHED_AT_ONCE = 2**20
_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class _Whole:
    """A member that is whole, on its way to becoming rows."""

    archive: Archive
    member: Member
    survey: Survey
    packed: int


@dataclass
class Passed:
    """
    How far a reading has come: every file is gone through twice, once to its end and once for its rows.

    Attributes:
        files: Bytes of the files.
        to_the_end: Bytes of them that the first pass is past, about; and the second pass,
        for_rows: likewise.
    """

    files: int = 0
    to_the_end: float = 0.0
    for_rows: float = 0.0

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min((self.to_the_end + self.for_rows) / max(2 * self.files, 1), 1.0)


class _Stored(io.RawIOBase):
    """A file of an Arrow file system, as the standard library expects files."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._file.size()}[whence]
        if start + offset < 0:
            raise OutsideFile("before the beginning of the file")  # zipfile asks for it, and wants an OSError
        return int(self._file.seek(start + offset))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


class Reading:
    """
    One pass over an archive or over all parts of an export.

    Attributes:
        provenance: What was found; complete once the batches have been read to their end.
        passed: How far they have been read.
    """

    def __init__(
        self, paths: Sequence[str], filesystem: fs.FileSystem, options: Options, known: Collection[str]
    ) -> None:
        self._paths = paths
        self._filesystem = filesystem
        self._options = options
        self._known = set(known)
        self.provenance = Provenance()
        self.passed = Passed()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """
        The entries, in batches of the schema ``ENTRIES``, in the order of the files; memory does not grow with them.

        A member is checked to its end before its first row is given. What cannot be read is left out and stands in
        the provenance with its reason; nothing is raised for it. The next member is inflated meanwhile.

        Raises:
            OSError: the store of the files fails.
        """
        self.passed = Passed(sum(info.size or 0 for info in self._filesystem.get_file_info(list(self._paths))))
        with closing(ahead(self._looked_through())) as members:
            for one in members:
                with closing(one.survey.content):
                    yield from self._rows(one)

    def _looked_through(self) -> Iterator[_Whole]:
        for path in self._paths:
            archive = Archive(path)
            self.provenance.archives.append(archive)
            yield from self._archive(archive)

    def _archive(self, archive: Archive) -> Iterator[_Whole]:
        info = self._filesystem.get_file_info(archive.name)
        archive.size = info.size or 0
        archive.sha256 = self.sha256(archive.name)
        if archive.sha256 in self._known:
            archive.reason = KNOWN
            return
        self._known.add(archive.sha256)
        try:
            archive.manifest = self.manifest(archive.name)
            archive.snapshot_at = _snapshot_at(archive, info.mtime)
            for one in self._members(archive.name):
                yield from self._member(archive, one)
        except Unreadable as error:
            archive.reason = str(error)

    def _members(self, path: str) -> Iterator[Found | Spoilt]:
        return members(path, lambda: self._open(path), self._options.limits)

    def _open(self, path: str) -> IO[bytes]:
        return io.BufferedReader(_Stored(self._filesystem.open_input_file(path)), _BUFFER_BYTES)

    def sha256(self, path: str) -> str:
        """An archive's identity, without looking into it."""
        digest = hashlib.sha256()
        with closing(self._open(path)) as file:
            while block := file.read(_HASHED_AT_ONCE):
                digest.update(block)
        return digest.hexdigest()

    def manifest(self, path: str) -> dict[str, Any] | None:
        """
        The archive's manifest, wherever in it that stands: it dates every entry.

        Raises:
            Unreadable: the archive is spoilt.
        """
        for one in self._members(path):
            if isinstance(one, Found) and fnmatch(_base(one.name), _METADATA[0]):
                return _object(one, self._options.limits.metadata_bytes)
        return None

    def _member(self, archive: Archive, one: Found | Spoilt) -> Iterator[_Whole]:
        member = Member(one.name)
        archive.members.append(member)
        if isinstance(one, Spoilt):
            member.reason = one.reason
        elif is_metadata(one.name):
            member.outcome = Outcome.METADATA
        else:
            yield from self._content(archive, member, one)

    def _content(self, archive: Archive, member: Member, found: Found) -> Iterator[_Whole]:
        share = found.packed / found.size if found.size else 1.0

        def passed(count: int) -> None:
            self.passed.to_the_end += count * share

        try:
            survey = surveyed(found, self._options.fallback_encoding, passed)
        except Unreadable as error:
            member.reason = str(error)
            member.head_sha256 = head_sha256(found)
            return
        member.sha256, member.size, member.encoding = survey.sha256, survey.size, survey.encoding
        member.head_sha256 = survey.head_sha256
        if survey.sha256 in self._known and survey.sha256 != archive.sha256:
            member.outcome = Outcome.DUPLICATE
            survey.content.close()
            return
        self._known.add(survey.sha256)
        yield _Whole(archive, member, survey, found.packed)

    def _rows(self, one: _Whole) -> Iterator[pa.RecordBatch]:
        member = one.member
        try:
            cells = self._cells(one)
            if cells is None:
                member.outcome = Outcome.OTHER_TABLE
                return
            member.outcome = Outcome.ENTRIES
            yield from self._entries(one, cells)
        except Unreadable as error:
            member.outcome, member.reason = Outcome.QUARANTINED, str(error)
        finally:
            member.quarantined_rows, member.notes = +member.quarantined_rows, +member.notes

    def _entries(self, one: _Whole, cells: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        member = one.member
        convert = Converter(one.archive.name, member, one.archive.snapshot_at, self._options).batch
        for batch in cells:
            if set(batch.schema.names) - set(member.columns):
                member.columns = tuple(dict.fromkeys([*member.columns, *batch.schema.names]))
            rows = convert(batch)
            if rows.num_rows:
                yield rows
        member.unknown_columns = tuple(member.columns[place] for place in unknown(member.columns))
        if not tells_entries(member.columns):
            member.outcome = Outcome.OTHER_TABLE
            member.quarantined_rows.clear()

    def _cells(self, one: _Whole) -> Iterator[pa.RecordBatch] | None:
        """The member's rows as text, ``None`` where they are something else than entries."""
        member, survey = one.member, one.survey

        def text() -> Iterator[bytes]:
            return self._text(one)

        if not survey.head.strip():
            raise Unreadable("empty")
        left_out = member.quarantined_rows
        json_format = json_values.sniffed(survey.head)
        member.format = json_format or CSV
        if json_format is not None:
            return json_values.cells(text(), json_format, self._options.limits.json_bytes, left_out)
        header = tables.header(survey.head)
        member.delimiter, member.columns = header.delimiter, header.columns
        return tables.cells(text, header, left_out) if tells_entries(header.columns) else None

    def _text(self, one: _Whole) -> Iterator[bytes]:
        text, share = Utf8(one.survey.content.rewound(), one.survey.encoding), one.packed / max(one.survey.size, 1)
        for block in text:
            self.passed.for_rows += len(block) * share
            yield block
        one.member.notes[UNKNOWN_CHARACTER] = text.replaced


def is_metadata(name: str) -> bool:
    """Whether a file of that name is about an export and no part of it: a manifest, a read-me, a log, a schema."""
    return "__MACOSX" in PurePosixPath(name).parts or any(fnmatch(_base(name), pattern) for pattern in _METADATA)


def _base(name: str) -> str:
    return PurePosixPath(name).name.lower()


def _object(found: Found, most: int) -> dict[str, Any] | None:
    try:
        with closing(found.open()) as stream:
            value = json.loads(stream.read(most).decode("utf-8-sig"))
    except (Unreadable, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _snapshot_at(archive: Archive, modified: datetime | None) -> datetime | None:
    """When the archive's content was taken: by its manifest, else by its name, else by its file."""
    for name in ("completedAt", "requestedAt"):
        told = instant(str((archive.manifest or {}).get(name) or ""), ZoneInfo("UTC"))
        if told is not None:
            return datetime.fromtimestamp(told / 1000, UTC)
    stamp = _STAMP.search(PurePosixPath(archive.name).name)
    if stamp:
        with suppress(ValueError):
            return datetime.strptime(stamp[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return modified
