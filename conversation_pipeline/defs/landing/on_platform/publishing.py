"""Rows into the lake: with what a hidden column held before, and a receipt that the next refresh begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.landing.on_platform.landing import Landing, Rows
from conversation_pipeline.defs.landing.on_platform.paging import digest
from conversation_pipeline.defs.reporting import Metadata, receipt_metadata
from conversation_pipeline.defs.sweep import SWEPT
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce.errors import ObjectUnavailable
from conversation_pipeline.salesforce.transport import Meter
from conversation_pipeline.storage import Overtaken, Pull, Receipt

Receipts = dict[str | None, Receipt]
"""By day; of a snapshot, one by ``None``."""

Before = Mapping[str, Receipt | None]
"""By day, what its file said before anything was asked for."""

_TRIES = 4

T = TypeVar("T")


def newest(landing: Landing, land: Callable[[], T]) -> T:
    """
    What landing something comes to. Of runs that read the same days side by side, one that is overtaken reads again:
    so what is published last was asked for last.
    """
    for _ in range(_TRIES - 1):
        try:
            return land()
        except Overtaken as error:
            landing.log.info(f"{error}: that is done now")
    return land()


def publish(
    landing: Landing, selection: Selection, days: Sequence[str] | None, rows: Rows, over: Before | None = None
) -> Receipts:
    """
    Rows of a run of days, or of a snapshot, into the lake.

    What their receipts say of where they came from is what the next refresh begins with.

    Args:
        over: The days' files when the rows were asked for; over others, of runs that read them later, nothing is
            published.

    Raises:
        Overtaken: A run beside this one has published a day since.
    """
    told = {"asked_at": rows.asked_at.isoformat(), "selection": columns(selection)}
    if landing.dataset.name in SWEPT:
        told["swept_at"] = rows.swept_at.isoformat()
    batches = _with_hidden_columns(landing, selection, days, rows.batches)
    origin: dict[str, Any] = {"run_id": landing.run_id, "road": rows.road, "provenance": told}
    if days is None:
        return {None: landing.lake.replace(landing.dataset, None, batches, promised=rows.promised, **origin)}
    origin |= {"promised": rows.promised, "over": over}
    return dict(landing.lake.replace_days(landing.dataset, days, batches, **origin).items())


def land_nothing(landing: Landing, day: str | None, error: ObjectUnavailable) -> Metadata:
    """An object that the org lacks is an empty dataset; but a lost permission never empties what is there already."""
    dataset, lake = landing.dataset, landing.lake
    there = lake.receipt(dataset, day)
    if there is not None and there.rows:
        raise error
    landing.log.warning(f"{dataset.name}: {error}. The partition is published without rows.")
    receipt = lake.replace(dataset, day, [], run_id=landing.run_id, road="soql", promised=0)
    return receipt_metadata(receipt)


@contextmanager
def ending(landing: Landing, pull: Pull) -> Iterator[None]:
    """Ends a pull once what it brought is published, or of no use because a run beside it has published later rows."""
    try:
        yield
    except Overtaken:
        landing.staging.close_pull(pull)
        raise
    landing.staging.close_pull(pull)
    at(KillPoint.PULL_CLOSED)


def metadata(receipt: Receipt, rows: Rows, used: Meter) -> Metadata:
    asked_at = rows.asked_at.isoformat()
    told = {**receipt_metadata(receipt, used), "mode": rows.mode, "pages": rows.pages, "asked_at": asked_at}
    return {**told, "not_asked_for": dict(rows.drift)} if rows.drift else told


def columns(selection: Selection) -> str:
    """What was asked for and as which types: a day that was asked for otherwise is pulled as a whole."""
    return digest(f"{selection.soql(None)}\n{selection.dataset.schema}")


def _with_hidden_columns(
    landing: Landing, selection: Selection, days: Sequence[str] | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Columns that can not be read now keep, row by row, the values that an earlier reading brought."""
    hidden = [field.name for field in landing.dataset.fields if field.api_name in selection.left_out]
    known = landing.lake.dataset(landing.dataset, days).to_table(columns=["id", *hidden]) if hidden else None
    for batch in batches:
        if known is not None and known.num_rows:
            place = pc.index_in(batch["id"], value_set=known["id"].combine_chunks())
            for name in hidden:
                kept = known[name].take(place).combine_chunks()
                batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), kept)
        yield batch
