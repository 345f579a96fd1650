"""
Whether a partition keeps what its dataset's declaration promises: key, required columns, references.

Files are refused when they break the first two; what is looked at here is the file that lies there, whoever wrote it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from conversation_pipeline.schemas import Dataset, Reference
from conversation_pipeline.storage.lake import Lake, Receipt

_EXAMPLES = 5
_DAY = timedelta(days=1)


@dataclass
class Rows:
    """
    What was found of the rows themselves.

    Attributes:
        rows: How many there are.
        repeated: Rows whose key is that of the row before.
        misplaced: Rows whose key sorts before that of the row before: with these, no repetition need show.
        nulls: Nulls in required columns, by column; only of columns that have some.
    """

    rows: int = 0
    repeated: int = 0
    misplaced: int = 0
    nulls: Counter[str] = field(default_factory=Counter)


def look_at_rows(lake: Lake, dataset: Dataset, partition: str | None) -> Rows:
    """Key and required columns of a partition, in one pass in the order of the file, batch by batch."""
    required = [field.name for field in dataset.fields if field.required]
    found, last = Rows(), None
    for batch in _of(lake, dataset, partition).to_batches(columns=[*dict.fromkeys([*dataset.key, *required])]):
        if not batch.num_rows:
            continue
        found.rows += batch.num_rows
        found.nulls.update({name: batch[name].null_count for name in required if batch[name].null_count})
        keys = batch.select(list(dataset.key))
        before = keys.slice(0, keys.num_rows - 1) if last is None else pa.concat_batches([last, keys[:-1]])
        same, ascending = _compared(before, keys[1:] if last is None else keys)
        found.repeated += same
        found.misplaced += before.num_rows - same - ascending
        last = keys[-1:]
    return found


def _compared(before: pa.RecordBatch, after: pa.RecordBatch) -> tuple[int, int]:
    """Of pairs of keys, how many are the same, and how many ascend."""
    same = pa.repeat(True, before.num_rows)
    ascending = pa.repeat(False, before.num_rows)
    for one, other in zip(before.columns, after.columns, strict=True):
        less = pc.fill_null(pc.less(one, other), False)
        ascending = pc.or_(ascending, pc.and_(same, less))
        same = pc.and_(same, pc.fill_null(pc.equal(one, other), False))
    return same.true_count, ascending.true_count


@dataclass(frozen=True)
class Referred:
    """
    What was found of a reference.

    Attributes:
        values: Different values of the column, of rows that can be judged.
        missing: Those that are nowhere in the lake; none of records of any age where one is of these days: the
            others may be older than the lake, and are not worth a look at all of its days with each run.
        judged: False where the lake does not hold what they would be looked up in; of records of any age, where none
            was created on the day itself.
        complete: Whether all days on which the referred record may have been created were read after they had ended:
            what is missing began before the first day of the lake otherwise, as far as anybody knows.
        examples: A few of the missing.
    """

    values: int = 0
    missing: int = 0
    judged: bool = True
    complete: bool = True
    examples: Sequence[str] = ()


def look_at_reference(
    lake: Lake, dataset: Dataset, partition: str | None, reference: Reference, targets: Mapping[str, Dataset]
) -> Referred:
    """
    Whether the values of a column are there in what it refers to.

    Looked up in the days on which the referred record may have been created; what is not found there, in all others.
    Rows of after the referred dataset was last read are left out: it could not have what they refer to.
    """
    referred = [targets[name] for name in reference.to]
    read = [
        receipt
        for one in referred
        if (receipt := lake.receipt(one, partition if one.partitioned else None)) is not None
        and (receipt.rows or reference.created_within is not None)
    ]
    if len(read) < len(referred):
        return Referred(judged=False)
    near = _near(reference, partition)
    rows = _of(lake, dataset, partition)
    values = missing = _values(_judged(rows, dataset, reference.column, read))
    for days in (near, None):
        if reference.created_within is None and len(missing) < len(values):
            return Referred(len(values))
        for one in referred:
            missing = _without(missing, lake, one, reference.to_column, days)
    return Referred(
        len(values),
        len(missing),
        complete=not missing or all(_complete(lake, one, near, partition) for one in referred),
        examples=[str(value) for value in missing.sort()[:_EXAMPLES].to_pylist()],
    )


def _of(lake: Lake, dataset: Dataset, partition: str | None) -> pads.Dataset:
    return lake.dataset(dataset, None if partition is None else [partition])


def _judged(rows: pads.Dataset, dataset: Dataset, column: str, read: Sequence[Receipt]) -> pads.Scanner:
    """The column's values, of rows no younger than what they refer to."""
    asked = [at for at in map(_asked_at, read) if at is not None]
    fitting = pc.field(dataset.partition_by) < min(asked) if asked and dataset.partition_by else None
    return rows.scanner(columns=[column], filter=fitting)


def _values(column: pads.Scanner) -> pa.Array:
    """Different values, without null; batch by batch first, so that a day's rows need not fit into memory."""
    nothing = pa.array([], column.projected_schema.field(0).type)
    some = (batch.column(0).unique() for batch in column.to_batches())
    return pa.concat_arrays([nothing, *some]).unique().drop_null()


def _without(values: pa.Array, lake: Lake, dataset: Dataset, column: str, days: Sequence[str] | None) -> pa.Array:
    """The values that a dataset's days do not have; all that there are, where none are named."""
    if not values:
        return values
    there = lake.dataset(dataset, days if dataset.partitioned else None)
    for batch in there.to_batches(columns=[column]):
        values = values.filter(pc.invert(pc.is_in(values, value_set=batch.column(0))))
        if not values:
            break
    return values


def _near(reference: Reference, partition: str | None) -> list[str]:
    """The days on which the referred record is looked for first: up to the one after, for clocks at a day's edge."""
    if partition is None:
        return []
    day, before = date.fromisoformat(partition), reference.created_within or 0
    return [(day + timedelta(days=offset)).isoformat() for offset in range(-before, 2)]


def _complete(lake: Lake, dataset: Dataset, near: Sequence[str], partition: str | None) -> bool:
    if not dataset.partitioned:
        return True
    return all(_read_after_its_end(lake.receipt(dataset, day), day) for day in near if day < str(partition))


def _read_after_its_end(receipt: Receipt | None, day: str) -> bool:
    if receipt is None:
        return False
    asked = _asked_at(receipt)
    return asked is None or asked >= datetime.combine(date.fromisoformat(day) + _DAY, time.min, UTC)


def _asked_at(receipt: Receipt) -> datetime | None:
    """When the org was asked for what a file holds; None for what is made from other datasets."""
    told = receipt.provenance.get("asked_at")
    return None if told is None else datetime.fromisoformat(told)
