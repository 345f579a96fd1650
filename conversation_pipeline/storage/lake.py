"""
The lake: one Parquet file a partition, replaced as one act, published only when it adds up.

``{lake}/{dataset}/day=YYYY-MM-DD/data.parquet``, or ``{lake}/{dataset}/data.parquet`` for a dataset without
partitions; sorted by key, zstd, with a receipt in the file's footer. Any reader of hive-partitioned Parquet
reads it.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from types import EllipsisType
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from filelock import FileLock

from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.days import ByDay
from conversation_pipeline.storage.errors import Overtaken, PublishError, StorageError
from conversation_pipeline.storage.parquet import Dictionaries, PartitionWriter
from conversation_pipeline.storage.partitions import day_folder
from conversation_pipeline.storage.rows import first_of_key, fitted
from conversation_pipeline.storage.sorting import in_key_order
from conversation_pipeline.storage.store import Draft, Store

FILE = "data.parquet"

DECIDING = ("swept_at", "selection", "not_read", "not_due", "closed", "told_at", "listed", "looks")
"""Provenance that later runs go by, so it is kept up to date where the rows stay as they are."""

MEMORY = 256 * 2**20
"""Bytes of rows that ``replace`` gathers to sort them; beyond that they go through the disk."""


@dataclass(frozen=True)
class Receipt:
    """
    What a partition's file says of itself, in its footer.

    Attributes:
        dataset: Dataset's name.
        partition: UTC day, ``YYYY-MM-DD``; ``None`` for a dataset without partitions.
        rows: Rows in the file.
        bytes: Size of the file.
        first_key: Key of the first row, as text; ``None`` where there is no row.
        last_key: Key of the last row, as text; ``None`` where there is no row.
        content_hash: SHA-256 of the rows: the same for the same rows, whichever run wrote them in whichever
            batches.
        run_id: The run that wrote the file.
        road: The road it came by, for datasets of one road.
        promised: Rows that the service said there were, where it said so.
        schema_version: ``Dataset.version`` at the time.
        provenance: What else the writer wants to know when it comes back, such as the columns it asked for.
        written_at: When it was written (UTC).
        uri: Where the file is.
        changed: Whether this ``replace`` put other content in place; ``False`` where the same was there already.
    """

    dataset: str
    partition: str | None
    rows: int
    bytes: int
    first_key: tuple[str, ...] | None
    last_key: tuple[str, ...] | None
    content_hash: str
    run_id: str
    road: str | None
    promised: int | None
    schema_version: int
    provenance: Mapping[str, str] = field(hash=False)
    written_at: datetime
    uri: str
    changed: bool


class Lake:
    """
    Datasets as Parquet below one URL.

    Args:
        url: A local path, or ``s3://``, ``gs://``, ``az://`` (see ``Store``).
        memory: Bytes of rows that ``replace`` gathers to sort them; beyond that they go through the disk.
    """

    def __init__(self, url: str, *, memory: int = MEMORY) -> None:
        self._store = Store(url)
        self._memory = memory

    @property
    def local(self) -> bool:
        """Whether files are on a disk of this machine, so that any reader may open them by path."""
        return self._store.local

    def replace(
        self,
        dataset: Dataset,
        partition: str | None,
        batches: Iterable[pa.RecordBatch],
        *,
        run_id: str,
        road: str | None = None,
        promised: int | None = None,
        provenance: Mapping[str, str] | None = None,
        first_counts: bool = False,
        memory: int | None = None,
        over: Receipt | EllipsisType | None = ...,
        dictionaries: Dictionaries | None = None,
    ) -> Receipt:
        """
        Replace one partition by these rows, as one act. Where it holds them already, the file is left alone, unless
        its receipt would mislead the next run (``DECIDING``).

        Args:
            dataset: What the rows are. Columns are found by name and cast to its schema; missing ones become
                null.
            partition: UTC day, ``YYYY-MM-DD``; ``None`` for a dataset without partitions.
            batches: All rows of the partition, in any order and any batches.
            run_id: Who writes it.
            road: The road they came by, for datasets of one road.
            promised: Rows that the service said there are; other counts are not published.
            provenance: What else to keep in the receipt.
            first_counts: Of rows with the same key the one that came first counts; else a key that comes twice is
                refused.
            memory: Bytes of rows that may be gathered here, where it is less than usual.
            over: The file that the rows were made of (``None`` for no file): over no other are they published.
            dictionaries: Shared by whoever replaces several partitions one after another.

        Raises:
            Overtaken: Another file than ``over`` is in place.
            PublishError: The rows do not fit the dataset, repeat a key, or are not as many as promised; or
                the disk is full. The old partition, if any, is still in place.
        """
        place = _Place(dataset, partition)
        self._store.sweep(place.folder, datetime.now(UTC))
        with _told(place), self._store.draft(place.file) as draft:
            told = {"run_id": run_id, "road": road, "provenance": dict(provenance or {})}
            footer = self._write(
                place,
                draft,
                batches,
                promised,
                told,
                memory or self._memory,
                dictionaries or Dictionaries(),
                first_counts=first_counts,
            )
            return self._publish(place, draft, footer, over)

    @contextmanager
    def exclusive(self, dataset: Dataset) -> Iterator[None]:
        """
        For the time of the block no other process or thread of this machine is in such a block of the dataset: for
        writers that make partitions of what is in them. Between machines ``replace(over=...)`` keeps watch.
        """
        with FileLock(self._store.lock(dataset.name)):
            yield

    def replace_days(
        self,
        dataset: Dataset,
        days: Iterable[str],
        batches: Iterable[pa.RecordBatch],
        *,
        run_id: str,
        road: str | None = None,
        promised: int | None = None,
        provenance: Mapping[str, str] | None = None,
        over: Mapping[str, Receipt | None] | None = None,
    ) -> dict[str, Receipt]:
        """
        Replace the partitions of some days by one stream of rows, each row in the partition of its day.

        Nothing is published before all rows are written and add up; then day by day, each as one act. Every day
        gets a file, also one without rows.

        Args:
            dataset: What the rows are; see ``replace``.
            days: The days to replace, ``YYYY-MM-DD``.
            batches: All rows of all these days, in any order and any batches.
            run_id: Who writes them.
            road: The road they came by, for datasets of one road.
            promised: Rows that the service said there are on all these days together; other counts are not
                published.
            provenance: What else to keep in each day's receipt.
            over: Of some days the files that were there when the rows were asked for; see ``replace``.

        Returns:
            The receipt of each day.

        Raises:
            Overtaken: A day's file is not that of ``over``. Days before it are published.
            PublishError: As ``replace``, or a row is of none of these days. What was there is still in place.
        """
        places = {day: _Place(dataset, day) for day in sorted(set(days))}
        if not places:
            raise StorageError(f"no day of dataset {dataset.name} was named; name one or more")
        for place in places.values():
            self._store.sweep(place.folder, datetime.now(UTC))
        told = {"run_id": run_id, "road": road, "provenance": dict(provenance or {})}
        alone = promised if len(places) == 1 else None
        with ExitStack() as opened:
            drafts = {day: opened.enter_context(self._store.draft(place.file)) for day, place in places.items()}
            by_day = ByDay(dataset, places, memory=self._memory // 4, scratch=drafts[min(places)].scratch)
            opened.callback(by_day.close)
            with _told(_Run(dataset, tuple(places))):
                for batch in batches:
                    by_day.add(fitted(batch, dataset))
                by_day.finish()
                _as_promised(by_day.count, promised)

            memory, dictionaries = self._memory // _WRITERS, Dictionaries()

            def write(day: str) -> dict[str, Any]:
                with _told(places[day]):
                    return self._write(places[day], drafts[day], by_day.of(day), alone, told, memory, dictionaries)

            with ThreadPoolExecutor(_WRITERS) as threads:
                footers = dict(zip(places, threads.map(write, places), strict=True))
            receipts = {}
            for day, place in places.items():
                with _told(place):
                    receipts[day] = self._publish(place, drafts[day], footers[day], (over or {}).get(day, ...))
            return receipts

    def receipt(self, dataset: Dataset, partition: str | None) -> Receipt | None:
        """
        What a partition's file says of itself; ``None`` where there is no file. Reads the footer only.

        Raises:
            StorageError: The file is torn, or was not written by a ``Lake``.
        """
        place = _Place(dataset, partition)
        uri = self._store.uri(place.file)
        try:
            with self._store.open(place.file) as file:
                size = file.size()
                metadata = pq.read_metadata(file).metadata or {}
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(f"{uri} is torn or no Parquet file; materialize {place} again to replace it") from error
        try:
            footer = json.loads(metadata[_FOOTER])
            if footer["dataset"] != dataset.name or footer["partition"] != partition:
                raise KeyError("dataset")
            return _receipt(footer, size, uri, changed=False)
        except (KeyError, TypeError, ValueError):
            raise StorageError(
                f"{uri} holds no receipt of {place}: something else wrote it; "
                "move it away and materialize the partition again"
            ) from None

    def receipts(self, dataset: Dataset) -> list[Receipt]:
        """The receipts of all its partitions, by day. Raises ``StorageError`` like ``receipt``."""
        partitions: list[str | None] = [*self.partitions(dataset)] if dataset.partitioned else [None]
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda partition: self.receipt(dataset, partition), partitions)
            return [receipt for receipt in found if receipt is not None]

    def partitions(self, dataset: Dataset) -> list[str]:
        """Days that have a file, sorted; none for a dataset without partitions."""
        pattern = re.compile(re.escape(dataset.name) + r"/day=([0-9-]{10})/" + re.escape(FILE))
        matches = (pattern.fullmatch(name) for name in self._store.names(dataset.name))
        return sorted(match[1] for match in matches if match)

    def dataset(self, dataset: Dataset, partitions: Iterable[str] | None = None, *, day: bool = False) -> pads.Dataset:
        """
        Rows to scan, with the declared schema; files older than a column read as null there.

        Args:
            dataset: What to read.
            partitions: Days; those without a file are passed over. All by default.
            day: Adds the folder's day as the last column, as readers of hive folders see it.
        """
        names = self._files(dataset, partitions)
        folder = pa.schema([pa.field("day", pa.date32())] if day else [])
        return pads.dataset(
            [self._store.path(name) for name in names],
            schema=pa.schema([*dataset.schema, *folder]),
            partitioning=pads.partitioning(folder, flavor="hive"),
            filesystem=self._store.filesystem,
            format="parquet",
        )

    def read(self, dataset: Dataset, partition: str | None) -> pa.Table:
        """
        A partition's rows in the order of their key, with the declared schema; none where there is no file.
        """
        return self.dataset(dataset, None if partition is None else [partition]).to_table()

    def uri(self, dataset: Dataset, partition: str | None) -> str:
        """Where a partition's file is, or would be: a plain path on a disk, else a URL."""
        return self._store.uri(_Place(dataset, partition).file)

    def _files(self, dataset: Dataset, partitions: Iterable[str] | None) -> list[str]:
        if not dataset.partitioned:
            wanted = {_Place(dataset, None).file}
        else:
            days = self.partitions(dataset) if partitions is None else partitions
            wanted = {_Place(dataset, day).file for day in days}
        return sorted(name for name in wanted if self._store.info(name) is not None)

    def _publish(
        self, place: _Place, draft: Draft, footer: dict[str, Any], over: Receipt | EllipsisType | None = ...
    ) -> Receipt:
        """Put a written draft in place, unless the same content is there, of which the same is to be told."""
        at(KillPoint.PARTITION_WRITTEN)
        there = self._published(place)
        changed = there is None or there.content_hash != footer["content_hash"]
        if there is not None and not changed and _deciding(there.provenance) == _deciding(footer["provenance"]):
            return there
        draft.sync()
        at(KillPoint.PARTITION_SYNCED)
        # Looked at last: syncing a large file takes a while.
        if not isinstance(over, EllipsisType) and _content(self._published(place)) != _content(over):
            raise Overtaken("another run has replaced the file meanwhile; run the partition again")
        size = draft.path.stat().st_size
        draft.publish()
        at(KillPoint.PARTITION_RENAMED)
        return _receipt(footer, size, self._store.uri(place.file), changed=changed)

    def _published(self, place: _Place) -> Receipt | None:
        """The receipt in place; a file without one is as good as none, since it is about to be replaced."""
        try:
            return self.receipt(place.dataset, place.partition)
        except StorageError:
            return None

    def _write(
        self,
        place: _Place,
        draft: Draft,
        batches: Iterable[pa.RecordBatch],
        promised: int | None,
        origin: dict[str, Any],
        memory: int,
        dictionaries: Dictionaries,
        *,
        first_counts: bool = False,
    ) -> dict[str, Any]:
        """
        Write the rows to the draft and hold them against what was promised; returns the footer's receipt.
        """
        dataset = place.dataset
        fit = (fitted(batch, dataset) for batch in batches)
        with closing(PartitionWriter(draft.path, dataset, dictionaries)) as writer:
            rows = in_key_order(fit, dataset, memory=memory, scratch=draft.scratch)
            for batch in first_of_key(rows, dataset.key) if first_counts else rows:
                writer.write(batch)
            _as_promised(writer.rows, promised)
            footer = {
                "dataset": dataset.name,
                "partition": place.partition,
                "schema_version": dataset.version,
                **origin,
                "promised": promised,
                "rows": writer.rows,
                "first_key": _key_text(writer.order.first),
                "last_key": _key_text(writer.order.last),
                "content_hash": writer.content.hexdigest(),
                "written_at": datetime.now(UTC).isoformat(),
                "written_by": _WRITTEN_BY,
            }
            writer.finish({_FOOTER.decode(): json.dumps(footer)})
        written = pq.ParquetFile(draft.path)
        if written.metadata.num_rows != writer.rows or not written.schema_arrow.equals(dataset.schema):
            raise PublishError("the file that was written does not read back as it should; run the partition again")
        return footer


@dataclass(frozen=True)
class _Place:
    """One partition of one dataset, and where it lives."""

    dataset: Dataset
    partition: str | None

    def __post_init__(self) -> None:
        if self.dataset.partitioned != (self.partition is not None):
            wanted = "a UTC day" if self.dataset.partitioned else "None"
            raise StorageError(f"a partition of dataset {self.dataset.name} is named by {wanted}")

    @property
    def folder(self) -> str:
        name = self.dataset.name
        return name if self.partition is None else f"{name}/{day_folder(self.partition)}"

    @property
    def file(self) -> str:
        return f"{self.folder}/{FILE}"

    def __str__(self) -> str:
        name = self.dataset.name
        return name if self.partition is None else f"{name}, partition {self.partition}"


@dataclass(frozen=True)
class _Run:
    """Several days of one dataset."""

    dataset: Dataset
    days: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.dataset.name}, {len(self.days)} partitions from {self.days[0]} to {self.days[-1]}"


def _as_promised(rows: int, promised: int | None) -> None:
    if promised is not None and rows != promised:
        raise PublishError(f"{rows} rows were read, the service promised {promised}; run the partition again")


@contextmanager
def _told(place: _Place | _Run) -> Iterator[None]:
    """Says in every refusal which partition it is about, and in a full disk's what to do."""
    try:
        yield
    except PublishError as error:
        raise type(error)(f"{place} was not published, what was there stays: {error}") from error.__cause__
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise PublishError(
            f"{place} was not published, what was there stays: the disk is full or a quota is reached; "
            "free space and run the partition again"
        ) from error


def _receipt(footer: dict[str, Any], size: int, uri: str, *, changed: bool) -> Receipt:
    first, last = footer["first_key"], footer["last_key"]
    return Receipt(
        dataset=footer["dataset"],
        partition=footer["partition"],
        rows=footer["rows"],
        bytes=size,
        first_key=None if first is None else tuple(first),
        last_key=None if last is None else tuple(last),
        content_hash=footer["content_hash"],
        provenance=footer.get("provenance", {}),
        run_id=footer["run_id"],
        road=footer["road"],
        promised=footer["promised"],
        schema_version=footer["schema_version"],
        written_at=datetime.fromisoformat(footer["written_at"]),
        uri=uri,
        changed=changed,
    )


def _content(receipt: Receipt | None) -> str | None:
    return None if receipt is None else receipt.content_hash


def _deciding(provenance: Mapping[str, str]) -> list[str | None]:
    return [provenance.get(name) for name in DECIDING]


def _key_text(keys: pa.RecordBatch | None) -> list[str] | None:
    return None if keys is None else [str(column[0].as_py()) for column in keys.columns]


def _package_version() -> str:
    try:
        return version("conversation_pipeline")
    except PackageNotFoundError:
        return "unreleased"


_FOOTER = b"conversation_pipeline.receipt"
_WRITTEN_BY = f"conversation_pipeline {_package_version()}, pyarrow {pa.__version__}"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READERS = 8
_WRITERS = 2
