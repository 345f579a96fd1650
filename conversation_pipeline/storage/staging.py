"""
Raw before typed: what a road answered, kept as it came, so that a killed run asks only for what is not here
yet.

One record is one answer (a page, a job's result, a conversation), compressed, in a file of its own whose name
says which request it answers, when it was fetched and what it holds:
``{dataset}/day=YYYY-MM-DD/{label}~{fetched_at, ms}~{sha256, 16 hex}.json.zst``. A listing is all it takes to
know what is staged. The files hold customers' words and are for their owner only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pyarrow as pa

from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.storage.errors import StagingError
from conversation_pipeline.storage.partitions import day_folder
from conversation_pipeline.storage.store import Store

SUFFIX = ".json.zst"
MARKER = "pull.json"
SEARCHED = "erasures/.searched"
"""Tells when all that was staged had last been searched for the erased; hidden, for it is no answer."""

_LONGEST_WRITE = timedelta(hours=1)  # a file may be as much older than its place, or its store's clock behind ours
_SEPARATOR = "~"
_LONGEST_PART = 64
# What a file name may hold (255 bytes on every file system in use) less separators, time, digest and suffix.
_LONGEST_LABEL = 255 - len(f"~{10**13}~{'0' * 16}{SUFFIX}")
_WORD = re.compile(rb"[A-Za-z0-9-]{15,}")
"""What ids and UUIDs look like among other bytes: all of them in one pass, however many are looked for."""
_RECORD_ID = 18
_ARROW_STREAM = b"\xff\xff\xff\xff"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Staged:
    """
    One staged record, as its file's name tells it.

    Attributes:
        dataset: The dataset it was asked for.
        day: The partition it was asked for, ``YYYY-MM-DD``.
        label: Which request it answers; each part as ``encode`` gives it.
        fetched_at: When it was answered (UTC, milliseconds).
        digest: First 16 hexadecimal digits of the body's SHA-256.
        name: The file below the staging URL.
    """

    dataset: str
    day: str
    label: tuple[str, ...]
    fetched_at: datetime
    digest: str
    name: str


@dataclass(frozen=True)
class Pull:
    """
    The reading of one partition from its first request to its published file.

    Attributes:
        dataset: What is pulled.
        day: Its partition, ``YYYY-MM-DD``.
        started_at: When the pull began, also if a run before this one began it; records fetched since then
            belong to it.
        resumed: Whether an earlier run began it and did not finish.
    """

    dataset: str
    day: str
    started_at: datetime
    resumed: bool


class Staging:
    """
    Staged records below one URL.

    Args:
        url: A local path or object store, as for ``Lake``.
    """

    def __init__(self, url: str) -> None:
        self._store = Store(url, private=True)

    def put(self, dataset: str, day: str, label: Sequence[str], body: bytes, *, fetched_at: datetime) -> Staged:
        """
        Keep one answer. The same answer put again is the same file.

        Args:
            dataset: The dataset it was asked for.
            day: The partition it was asked for, ``YYYY-MM-DD``.
            label: Which request it answers, one part or more; a part may be any text, such as a conversation
                identifier.
            body: What the road answered, untouched.
            fetched_at: When it was answered; kept to the millisecond.

        Raises:
            StagingError: The label has no part, or more than a file name can hold.
        """
        digest = _digest(body)
        milliseconds = _milliseconds(fetched_at)
        name = f"{_folder(dataset, day)}/{_label(label)}~{milliseconds}~{digest}{SUFFIX}"
        with self._store.draft(name) as draft:
            with pa.CompressedOutputStream(pa.OSFile(str(draft.path), "wb"), "zstd") as file:
                file.write(body)
            at(KillPoint.STAGING_WRITTEN)
            draft.sync()
            draft.publish()
        return _staged(name)

    def records(self, dataset: str, days: Iterable[str] | None = None) -> list[Staged]:
        """Everything staged for some days, or for all, by day, label and time. Opens no file."""
        folders = [dataset] if days is None else [_folder(dataset, day) for day in sorted(set(days))]
        names = (name for folder in folders for name in self._store.names(folder))
        found = [_staged(name) for name in names if name.endswith(SUFFIX)]
        return sorted(found, key=lambda record: (record.day, record.label, record.fetched_at, record.digest))

    def encode(self, part: str) -> str:
        """
        A label's part as it stands in a file name: equal parts give equal text, so labels compare without
        reading.

        Text too long for a file name becomes ``=`` and its hash; no other encoded part begins with that sign.
        """
        return encode(part)

    def read(self, staged: Staged) -> bytes:
        """
        The answer, as it came.

        Raises:
            StagingError: The file is gone, torn or changed since it was written.
        """
        try:
            with self._store.open(staged.name) as file, pa.CompressedInputStream(file, "zstd") as plain:
                body: bytes = plain.read()
        except FileNotFoundError:
            raise StagingError(f"staged record {staged.name} is gone; run the partition again to ask for it") from None
        except OSError as error:
            raise _torn(staged) from error
        if _digest(body) != staged.digest:
            raise _torn(staged)
        return body

    def discard(self, staged: Staged) -> None:
        """Remove one record, so that the next run of its partition asks for it again."""
        self._store.delete(staged.name)

    def open_pull(self, dataset: str, day: str, now: datetime) -> Pull:
        """
        Begin the pull of a partition, or go on with the one that a killed run left open.

        What was fetched since ``started_at`` may be used again: ``records`` tells it.
        """
        name = f"{_folder(dataset, day)}/{MARKER}"
        try:
            with self._store.open(name) as file:
                started_at = datetime.fromisoformat(json.loads(file.read())["started_at"])
        except FileNotFoundError:
            # To the millisecond like records' times: what is fetched this very instant belongs to the pull.
            started_at = _instant(_milliseconds(now))
            with self._store.draft(name) as draft:
                draft.path.write_text(json.dumps({"started_at": started_at.isoformat()}))
                draft.sync()
                draft.publish()
            return Pull(dataset, day, started_at, resumed=False)
        return Pull(dataset, day, started_at, resumed=True)

    def close_pull(self, pull: Pull) -> None:
        """End a pull whose partition is published; the next one begins anew."""
        self._store.delete(f"{_folder(pull.dataset, pull.day)}/{MARKER}")

    def sweep(self, now: datetime, keep: timedelta) -> int:
        """
        Remove records fetched, and pulls begun, longer than ``keep`` ago; and what killed runs left. Returns
        how many.

        Args:
            now: By the clock of whom the records were fetched from; see ``newest``.
        """
        old = [name for name in self._store.names("") if self._time(name, now) < now - keep]
        for name in old:
            self._store.delete(name)
        return len(old) + self._store.sweep("", datetime.now(UTC))

    def newest(self) -> datetime | None:
        """When the last answer was fetched; ``None`` where nothing is staged."""
        names = self._store.names("")
        return max((_staged(name).fetched_at for name in names if name.endswith(SUFFIX)), default=None)

    def erase(self, identifiers: Collection[str], *, again: bool = False) -> list[tuple[Staged, frozenset[str]]]:
        """
        Remove every record that holds one of these identifiers, in its label or in its body, whatever else it
        holds; a pull that lacks one asks for it again.

        Args:
            identifiers: Record ids of 18 characters (bodies may have their first 15) and identifiers of other
                kinds, such as conversation identifiers.
            again: All of them were looked for before: bodies are opened only of records written since then, or whose
                label holds one.

        Returns:
            What was removed, each with the identifiers that it held.
        """
        if not identifiers:
            return []
        began = datetime.now(UTC)
        unseen_since = self._searched_until() if again else _EPOCH
        wanted = _Wanted(identifiers)
        removed = []
        for name, written in sorted(self._store.written("").items()):
            if not name.endswith(SUFFIX):
                continue
            record = _staged(name)
            held = wanted.in_label(record.label)
            if not held and written < unseen_since:
                continue
            try:
                held |= wanted.in_body(self.read(record))
            except StagingError:
                self.discard(record)  # torn: of no use to anybody, and nobody knows what it holds
                continue
            if held:
                self.discard(record)
                removed.append((record, held))
        with self._store.draft(SEARCHED) as draft:
            draft.path.write_text(began.isoformat())
            draft.sync()
            draft.publish()
        return removed

    def _searched_until(self) -> datetime:
        """What was written before has been searched."""
        try:
            with self._store.open(SEARCHED) as file:
                return datetime.fromisoformat(file.read().decode()) - _LONGEST_WRITE
        except FileNotFoundError:
            return _EPOCH

    def _time(self, name: str, now: datetime) -> datetime:
        """When it was fetched or begun; just now, if it has gone meanwhile."""
        if name.endswith(SUFFIX):
            return _staged(name).fetched_at
        try:
            with self._store.open(name) as file:
                return datetime.fromisoformat(json.loads(file.read())["started_at"])
        except FileNotFoundError:
            return now


class _Wanted:
    """Identifiers that are looked for in labels and bodies."""

    def __init__(self, identifiers: Collection[str]) -> None:
        self._by_label = {encode(one): one for one in identifiers}
        self._words = {one.encode(): one for one in identifiers if _WORD.fullmatch(one.encode())}
        self._words |= {one[:15].encode(): one for one in identifiers if len(one) == _RECORD_ID}
        self._others = {one.encode(): one for one in identifiers if not _WORD.fullmatch(one.encode())}

    def in_label(self, label: Iterable[str]) -> frozenset[str]:
        return frozenset(self._by_label[part] for part in label if part in self._by_label)

    def in_body(self, body: bytes) -> frozenset[str]:
        if body.startswith(_ARROW_STREAM):  # texts stand there one after another, so that no word has an end
            plain = {**self._words, **self._others}
            return frozenset(it for text, it in plain.items() if text in body)
        words = self._words.keys() & set(_WORD.findall(body))
        return frozenset(
            [*(self._words[word] for word in words), *(it for text, it in self._others.items() if text in body)]
        )


def encode(part: str) -> str:
    """See ``Staging.encode``."""
    text = quote(part, safe="").replace("~", "%7E").replace(".", "%2E")
    if len(text) <= _LONGEST_PART:
        return text
    return "=" + hashlib.sha256(part.encode()).hexdigest()[:40]


def _label(parts: Sequence[str]) -> str:
    label = _SEPARATOR.join(encode(part) for part in parts)
    if not parts or len(label) > _LONGEST_LABEL:
        raise StagingError(f"a label of {len(parts)} parts fits no file name; give one to three parts")
    return label


def _folder(dataset: str, day: str) -> str:
    return f"{dataset}/{day_folder(day)}"


def _staged(name: str) -> Staged:
    dataset, folder, file = name.split("/")
    *label, milliseconds, digest = file.removesuffix(SUFFIX).split(_SEPARATOR)
    day = folder.removeprefix("day=")
    return Staged(dataset, day, tuple(label), _instant(int(milliseconds)), digest, name)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _torn(staged: Staged) -> StagingError:
    return StagingError(
        f"staged record {staged.name} is torn or was changed; discard it, and the next run asks for it again"
    )
