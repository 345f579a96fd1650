"""
The warehouse: the lake's datasets as tables of one DuckDB file, which nobody ever has to wait for.

DuckDB lets one process write a file, or many read it, never both (duckdb.org/docs, Concurrency). So the file
that people read is never written: what changed in the lake is applied to a private copy, which is then
renamed over it. Whoever has the old file open keeps it as it was; who opens it next sees the new one. The
lake is the truth and the file can be rebuilt from it at any time, so it is no place for tables of others.
"""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
from filelock import FileLock

from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.errors import WarehouseError
from conversation_pipeline.storage.lake import Lake, Receipt
from conversation_pipeline.storage.sql import Text, sql
from conversation_pipeline.storage.store import sync

LEDGER = "_landed"
"""The table that says which content of which partition is in the warehouse."""

_log = logging.getLogger(__name__)

_DAY = "day"
_ATTEMPTS = 20
_PEEK_SECONDS = 3600
_LEDGER_COLUMNS = pa.schema(
    [
        ("dataset", pa.string()),
        ("partition", pa.string()),
        ("rows", pa.int64()),
        ("content_hash", pa.string()),
        ("schema_version", pa.int32()),
        ("landed_at", pa.timestamp("us", tz="UTC")),
    ]
)

_WIDEN = """
    CREATE OR REPLACE TABLE {table} AS
    SELECT {columns}
    FROM (FROM {table} UNION ALL BY NAME FROM declared)
"""
_FILES = """
    INSERT INTO {table} BY NAME
    SELECT {columns}
    FROM (
        FROM declared
        UNION ALL BY NAME
        FROM read_parquet(?, hive_partitioning = false, union_by_name = true)
    )
"""
_FILES_WITH_DAY = """
    INSERT INTO {table} BY NAME
    SELECT {columns}
    FROM (
        FROM declared
        UNION ALL BY NAME
        SELECT * EXCLUDE (_file), regexp_extract(_file, 'day=([0-9-]+)/[^/]*$', 1)::DATE AS {day}
        FROM read_parquet(?, hive_partitioning = false, union_by_name = true, filename = '_file')
    )
"""
_COUNT_BY_DAY = "SELECT {day}::VARCHAR, count(*) FROM {table} GROUP BY ALL"
_COUNT = "SELECT NULL, count(*) FROM {table}"

Partition = str | None


@dataclass(frozen=True)
class Landing:
    """
    What one landing did.

    Attributes:
        applied: Partitions written, by dataset; ``None`` stands for the whole of a dataset without
            partitions.
        removed: Partitions that are gone from the lake and now from the warehouse, by dataset.
        rows: Rows written.
        bytes: Size of the warehouse file.
        seconds: How long it took.
        rebuilt: Whether there was a file and all was landed anew: it could not be used, or held what is to be
            forgotten.
    """

    applied: Mapping[str, tuple[Partition, ...]]
    removed: Mapping[str, tuple[Partition, ...]]
    rows: int
    bytes: int
    seconds: float
    rebuilt: bool = False


@dataclass(frozen=True)
class Landed:
    """
    What the warehouse holds of a dataset.

    Attributes:
        dataset: Its name.
        rows: Rows of all its partitions.
        days: Partitions; 1 for a dataset without partitions that has landed.
        first_day: The first partition, ``YYYY-MM-DD``; ``None`` where there is none.
        last_day: The last partition.
    """

    dataset: str
    rows: int = 0
    days: int = 0
    first_day: str | None = None
    last_day: str | None = None


@dataclass(frozen=True)
class _Change:
    """
    What is to be done to one table.

    Attributes:
        dataset: Whose table.
        receipts: Partitions to write.
        removed: Partitions to remove.
        new: Whether the table is to be made, for there is none or one with columns of other types.
        wider: Whether columns are to be added.
    """

    dataset: Dataset
    receipts: tuple[Receipt, ...]
    removed: tuple[Partition, ...]
    new: bool = False
    wider: bool = False

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(receipt.partition for receipt in self.receipts)

    @property
    def rows(self) -> int:
        return sum(receipt.rows for receipt in self.receipts)

    def __bool__(self) -> bool:
        return bool(self.receipts or self.removed or self.new or self.wider)


class Warehouse:
    """
    One DuckDB file with a table a dataset.

    Args:
        path: The file.
        storage_version: The oldest DuckDB that shall open it; ``v1.0.0`` is read by every 1.x and 2.x.
        memory_limit: DuckDB's memory while landing, in its notation; beyond it, DuckDB spills beside the
            file.
        threads: DuckDB's threads while landing; all cores by default.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        storage_version: str = "v1.0.0",
        memory_limit: str = "2GiB",
        threads: int | None = None,
    ) -> None:
        self._path = Path(path).expanduser().absolute()
        self._storage_version = storage_version
        self._memory_limit = memory_limit
        self._threads = threads

    @property
    def path(self) -> Path:
        return self._path

    def land(self, lake: Lake, datasets: Sequence[Dataset], *, forgets: Dataset | None = None) -> Landing:
        """
        Bring the warehouse to the lake's present state. Where it is there already, nothing is touched.

        Args:
            lake: What to land.
            datasets: The tables to bring up to date; others in the file stay as they are.
            forgets: One of them, without partitions, that tells of rows that are to leave no trace. When it
                changes, all tables are landed in an empty file: DuckDB keeps deleted rows in a file's free
                blocks.

        Raises:
            StorageError: A file of the lake is torn or not the lake's.
            WarehouseError: The lake kept changing, or the disk is full. The old warehouse is still in place.
        """
        started = time.monotonic()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._beside("lock")), _told(self._path):
            self._sweep()
            landing = self._land(lake, datasets, forgets)
        return replace(landing, seconds=time.monotonic() - started)

    def summary(self, datasets: Sequence[Dataset]) -> list[Landed]:
        """
        What the warehouse holds, by its own ledger, in the order of ``datasets``.

        Raises:
            WarehouseError: The file cannot be read.
        """
        if not self._path.exists():
            return [Landed(dataset.name) for dataset in datasets]
        with _told(self._path), self._peek() as connection:
            return [_landed(connection, dataset) for dataset in datasets]

    def _land(self, lake: Lake, datasets: Sequence[Dataset], forgets: Dataset | None) -> Landing:
        if not self._path.exists():
            return self._replace(lake, datasets, old=False)
        try:
            with self._peek() as connection:
                if not any(_change(connection, dataset, lake) for dataset in datasets):
                    return Landing({}, {}, 0, self._path.stat().st_size, 0.0)
                forgetting = forgets is not None and _is_to_forget(connection, forgets, lake)
            return replace(self._replace(lake, datasets, old=not forgetting), rebuilt=forgetting)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            _log.warning(
                "the warehouse %s cannot be used (%s): it is rebuilt from the lake",
                self._path,
                type(error).__name__,
            )
            return replace(self._replace(lake, datasets, old=False), rebuilt=True)

    def _replace(self, lake: Lake, datasets: Sequence[Dataset], *, old: bool) -> Landing:
        """
        Apply what changed to a private copy of the old file, or to an empty one, and rename it into place.
        """
        draft = self._beside(f"{uuid4().hex}.landing")
        try:
            if old:
                shutil.copy(self._path, draft)
            at(KillPoint.WAREHOUSE_COPIED)
            with self._attached(draft) as connection:
                _create_ledger(connection)
                changes = [_apply(connection, dataset, lake) for dataset in datasets]
                connection.execute("CHECKPOINT warehouse")
            at(KillPoint.WAREHOUSE_APPLIED)
            sync(draft)
            # What somebody wrote into the old file and DuckDB has not merged, it would replay into the new
            # one without a word (measured with 1.5.6 and 2.0.0).
            Path(f"{self._path}.wal").unlink(missing_ok=True)
            draft.replace(self._path)
            sync(self._path.parent)
            at(KillPoint.WAREHOUSE_RENAMED)
        finally:
            _remove(draft)
        return Landing(
            applied={change.dataset.name: change.partitions for change in changes if change.receipts},
            removed={change.dataset.name: change.removed for change in changes if change.removed},
            rows=sum(change.rows for change in changes),
            bytes=self._path.stat().st_size,
            seconds=0.0,
        )

    @contextmanager
    def _peek(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """
        The file as it is now, to be read only.

        Under a name of its own: DuckDB would hand out what this process has had open under the file's name,
        which may be an old one by now. Where somebody writes to the file, or there are no second names, a
        copy is read.
        """
        alias = self._beside(f"{uuid4().hex}.peek")
        try:
            try:
                alias.hardlink_to(self._path)
                connection = self._attached(alias, read_only=True)
            except (OSError, duckdb.IOException):
                alias.unlink(missing_ok=True)
                shutil.copy(self._path, alias)
                connection = self._attached(alias, read_only=True)
            with connection:
                yield connection
        finally:
            _remove(alias)

    def _attached(self, file: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
        """A connection of its own with the file as database ``warehouse``."""
        connection = duckdb.connect()
        try:
            connection.execute("SET enable_progress_bar = false")
            # With it, DuckDB 2.0.0 groups a table filled by a million rows in this transaction into no groups at all.
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET TimeZone = 'UTC'")
            # A table that is not there yet is not to be found among Python's variables.
            connection.execute("SET python_enable_replacements = false")
            connection.execute(sql("SET memory_limit = {limit}", limit=Text(self._memory_limit)))
            connection.execute(sql("SET temp_directory = {folder}", folder=Text(f"{file}.spill")))
            if self._threads is not None:
                connection.execute("SET threads = ?", [self._threads])
            how = "READ_ONLY" if read_only else sql("STORAGE_VERSION {it}", it=Text(self._storage_version))
            connection.execute(sql("ATTACH {file} AS warehouse", file=Text(file)) + f" ({how})")
            connection.execute("USE warehouse")
        except BaseException:
            connection.close()
            raise
        return connection

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{suffix}")

    def _sweep(self) -> None:
        """
        Remove what killed landings left; landings queue, so none of it is in use, but a reader may be
        peeking.
        """
        for left in self._path.parent.glob(f".{self._path.name}.*.landing"):
            _remove(left)
        for left in self._path.parent.glob(f".{self._path.name}.*.peek"):
            if left.stat().st_ctime < time.time() - _PEEK_SECONDS:
                _remove(left)


def _is_to_forget(connection: duckdb.DuckDBPyConnection, forgets: Dataset, lake: Lake) -> bool:
    """Whether more is to be forgotten than the file was written without."""
    receipt = lake.receipt(forgets, None)
    return receipt is not None and receipt.rows > 0 and _ledger(connection, forgets).get(None) != _content(receipt)


def _change(connection: duckdb.DuckDBPyConnection, dataset: Dataset, lake: Lake) -> _Change:
    """How a table differs from the lake."""
    there, declared = _columns(connection, dataset.name), _declared(connection, dataset)
    new = not there or any(there.get(name, kind) != kind for name, kind in declared.items())
    landed = {} if new else _ledger(connection, dataset)
    receipts = {receipt.partition: receipt for receipt in lake.receipts(dataset)}
    return _Change(
        dataset=dataset,
        receipts=tuple(
            receipt for partition, receipt in receipts.items() if landed.get(partition) != _content(receipt)
        ),
        removed=tuple(partition for partition in landed if partition not in receipts),
        new=new,
        wider=not new and list(there) != list(declared),
    )


def _apply(connection: duckdb.DuckDBPyConnection, dataset: Dataset, lake: Lake) -> _Change:
    """Bring one table to the lake's state, in one transaction; returns what was done."""
    for _ in range(_ATTEMPTS):
        change = _change(connection, dataset, lake)
        if not change:
            return change
        try:
            with _transaction(connection):
                return _applied(connection, change, lake)
        except duckdb.Error:
            if _change(connection, dataset, lake) == change:
                raise
    raise _restless(dataset)


def _applied(connection: duckdb.DuckDBPyConnection, change: _Change, lake: Lake) -> _Change:
    """
    Shape, fill, check and enter one table.

    Other runs may replace partitions between the reading of their receipts and of their rows. Those show by
    their counts and are done again: ever fewer, so that a backfill that goes on does not keep a landing from
    ending.
    """
    _shape(connection, change)
    landed: dict[Partition, Receipt] = {}
    todo = change
    for _ in range(_ATTEMPTS):
        _delete(connection, todo)
        _insert(connection, todo, lake)
        landed |= {receipt.partition: receipt for receipt in todo.receipts}
        wrong = _miscounted(connection, todo)
        if not wrong:
            done = replace(change, receipts=tuple(landed.values()))
            _write_ledger(connection, done)
            _comment(connection, change.dataset)
            return done
        anew = [lake.receipt(change.dataset, partition) for partition in wrong]
        todo = _Change(change.dataset, tuple(it for it in anew if it is not None), tuple(wrong))
        if set(todo.receipts) & set(landed.values()):
            raise WarehouseError(
                f"dataset {change.dataset.name}: {len(wrong)} partitions differ in count from their receipts "
                f"(first: {wrong[0] or 'all'}); the old warehouse stays; materialize them, then the warehouse"
            )
        for partition in wrong:
            del landed[partition]
    raise _restless(change.dataset)


def _restless(dataset: Dataset) -> WarehouseError:
    return WarehouseError(
        f"dataset {dataset.name} kept changing while it was landed; the old one stays; run the asset again"
    )


def _shape(connection: duckdb.DuckDBPyConnection, change: _Change) -> None:
    """
    Make the table, or add columns, so that it has the declared ones in the declared order.

    Keys are not enforced: the lake has refused duplicates already, and DuckDB would check a key against rows
    that the same transaction has deleted (duckdb.org/docs, Indexes, over-eager constraint checking), besides
    the index's memory.
    """
    if not (change.new or change.wider):
        return
    dataset = change.dataset
    with _registered(connection, "declared", _schema(dataset).empty_table()):
        if change.new:
            connection.execute(sql("CREATE OR REPLACE TABLE {table} AS FROM declared", table=dataset.name))
            connection.execute(sql("DELETE FROM {ledger} WHERE dataset = ?", ledger=LEDGER), [dataset.name])
        else:
            connection.execute(sql(_WIDEN, table=dataset.name, columns=_schema(dataset).names))


def _delete(connection: duckdb.DuckDBPyConnection, change: _Change) -> None:
    """Take out the rows of all partitions that are to be written or removed."""
    if change.new:
        return
    if change.dataset.partitioned:
        connection.execute(
            sql(
                "DELETE FROM {table} WHERE {day} IN (SELECT unnest(?::DATE[]))",
                table=change.dataset.name,
                day=_DAY,
            ),
            [[*change.partitions, *change.removed]],
        )
    elif change.partitions or change.removed:
        connection.execute(sql("DELETE FROM {table}", table=change.dataset.name))


def _insert(connection: duckdb.DuckDBPyConnection, change: _Change, lake: Lake) -> None:
    """
    Put in the rows of the partitions to be written.

    On a disk DuckDB reads the files, within its memory limit; columns that a file is too old to have are
    null. The folder's day is taken from the file's name, as reading hive folders would also take
    ``name=value`` above the lake.
    """
    dataset, schema = change.dataset, _schema(change.dataset)
    names = {"table": dataset.name, "columns": schema.names, "day": _DAY}
    if not change.receipts:
        return
    if lake.local:
        rows = _FILES_WITH_DAY if _adds_day(dataset) else _FILES
        with _registered(connection, "declared", schema.empty_table()):
            connection.execute(sql(rows, **names), [[receipt.uri for receipt in change.receipts]])
    else:
        days = [partition for partition in change.partitions if partition is not None]
        with _registered(connection, "lake_rows", lake.dataset(dataset, days, day=_adds_day(dataset))):
            connection.execute(sql("INSERT INTO {table} BY NAME SELECT {columns} FROM lake_rows", **names))


def _miscounted(connection: duckdb.DuckDBPyConnection, change: _Change) -> list[Partition]:
    """Hold the rows of each written partition against its receipt."""
    count = _COUNT_BY_DAY if change.dataset.partitioned else _COUNT
    counted = dict(connection.execute(sql(count, table=change.dataset.name, day=_DAY)).fetchall())
    return [it.partition for it in change.receipts if counted.get(it.partition, 0) != it.rows]


def _write_ledger(connection: duckdb.DuckDBPyConnection, change: _Change) -> None:
    now = datetime.now(UTC)
    connection.execute(
        sql(
            "DELETE FROM {ledger} WHERE dataset = ? AND ({it} IS NULL OR list_contains(?, {it}))",
            ledger=LEDGER,
            it="partition",
        ),
        [change.dataset.name, [*change.partitions, *change.removed]],
    )
    rows = [(it.dataset, it.partition, it.rows, it.content_hash, it.schema_version, now) for it in change.receipts]
    table = pa.Table.from_pylist(
        [dict(zip(_LEDGER_COLUMNS.names, row, strict=True)) for row in rows], schema=_LEDGER_COLUMNS
    )
    with _registered(connection, "landed_now", table):
        connection.execute(sql("INSERT INTO {ledger} BY NAME FROM landed_now", ledger=LEDGER))


def _comment(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    connection.execute(sql("COMMENT ON TABLE {table} IS {text}", table=dataset.name, text=Text(dataset.grain)))
    comments = {field.name: field.meaning for field in dataset.fields}
    if _adds_day(dataset):
        comments[_DAY] = f"UTC day of {dataset.partition_by}: the partition of the lake that the row is in."
    for column, meaning in comments.items():
        connection.execute(
            sql(
                "COMMENT ON COLUMN {table}.{column} IS {text}",
                table=dataset.name,
                column=column,
                text=Text(meaning),
            )
        )


def _adds_day(dataset: Dataset) -> bool:
    """Whether the folder's day is a column besides those of the file."""
    return dataset.partitioned and _DAY not in dataset.schema.names


def _schema(dataset: Dataset) -> pa.Schema:
    """
    The table's columns: the dataset's, and the folder's day as the last one, as readers of hive folders see
    it.
    """
    return dataset.schema.append(pa.field(_DAY, pa.date32())) if _adds_day(dataset) else dataset.schema


def _declared(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> dict[str, str]:
    """The table's columns and their DuckDB types, as DuckDB itself derives them from the Arrow schema."""
    with _registered(connection, "declared", _schema(dataset).empty_table()):
        return _columns(connection, "declared")


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """A table's columns and their types; none where there is no table."""
    try:
        described = connection.execute(sql("DESCRIBE {table}", table=table)).fetchall()
    except duckdb.CatalogException:
        return {}
    return {name: kind for name, kind, *_ in described}


def _create_ledger(connection: duckdb.DuckDBPyConnection) -> None:
    with _registered(connection, "ledger_columns", _LEDGER_COLUMNS.empty_table()):
        connection.execute(sql("CREATE TABLE IF NOT EXISTS {ledger} AS FROM ledger_columns", ledger=LEDGER))


def _ledger(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> dict[Partition, tuple[str, int]]:
    """The content of each partition that is in the table; none in a file that no landing has written."""
    if not _columns(connection, LEDGER):
        return {}
    rows = connection.execute(
        sql(
            'SELECT "partition", content_hash, schema_version FROM {ledger} WHERE dataset = ? ORDER BY 1',
            ledger=LEDGER,
        ),
        [dataset.name],
    ).fetchall()
    return {partition: (content, version) for partition, content, version in rows}


def _landed(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> Landed:
    if not _columns(connection, LEDGER):
        return Landed(dataset.name)
    row = connection.execute(
        sql(
            'SELECT coalesce(sum("rows"), 0)::BIGINT, count(*), min("partition"), max("partition") '
            "FROM {ledger} WHERE dataset = ?",
            ledger=LEDGER,
        ),
        [dataset.name],
    ).fetchall()[0]
    return Landed(dataset.name, *row)


def _content(receipt: Receipt) -> tuple[str, int]:
    return receipt.content_hash, receipt.schema_version


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, name: str, rows: object) -> Iterator[None]:
    """Arrow rows as a view for the time of the block."""
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Says what to do when DuckDB or the disk refuses."""
    try:
        yield
    except duckdb.Error as error:
        raise WarehouseError(
            f"the warehouse {path} stays as it was: DuckDB refused ({type(error).__name__}); "
            "free space and memory, then run the asset again"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise WarehouseError(
            f"the warehouse {path} stays as it was: the disk is full or a quota is reached; "
            "a landing needs room for a copy of the file; free space and run the asset again"
        ) from error


def _remove(draft: Path) -> None:
    """Remove a private file of ours, and what DuckDB put beside it."""
    draft.unlink(missing_ok=True)
    Path(f"{draft}.wal").unlink(missing_ok=True)
    shutil.rmtree(f"{draft}.spill", ignore_errors=True)
