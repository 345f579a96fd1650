"""What a run says: failures as one sentence, metadata by partition, a progress line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from conversation_pipeline.salesforce.errors import SalesforceError
from conversation_pipeline.salesforce.quotas import QuotaStoreError
from conversation_pipeline.salesforce.transport import Meter
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import Receipt, StorageError

Metadata = dict[str, Any]

SECONDS_BETWEEN_LINES = 10.0
_MATERIALIZATIONS_LOOKED_AT = 20


@contextmanager
def told(dataset: str, partition: str | None = None) -> Iterator[None]:
    """
    Turns what went wrong into a failure whose description is the sentence to act on.

    The one retry layer is the client's own: Dagster need not try again what it gave up.
    """
    try:
        yield
    except (SalesforceError, StorageError, SettingsError, QuotaStoreError) as error:
        where = dataset if partition is None else f"{dataset} of {partition}"
        raise dg.Failure(f"{where}: {error}", allow_retries=False) from error


def days_of(context: dg.AssetExecutionContext) -> list[str]:
    """
    The run's partitions, oldest first.

    Raises:
        dg.Failure: they begin before the first partition; Dagster's own words for it name no setting.
    """
    first, partitions = context.partition_key_range.start, context.assets_def.partitions_def
    if isinstance(partitions, dg.DailyPartitionsDefinition) and first < partitions.start.date().isoformat():
        raise dg.Failure(
            f"{context.asset_key.to_user_string()}: {first} lies before CONVERSATION_START_DATE, "
            f"{partitions.start.date().isoformat()}: choose later days, or set an earlier start",
            allow_retries=False,
        )
    return list(context.partition_keys)


def materialize_days(context: dg.AssetExecutionContext, land: Callable[[str], Metadata]) -> None:
    """Lands the run's partitions one after another; see ``materialize_landed``."""
    name = context.asset_key.to_user_string()

    def landed() -> Iterator[tuple[str, Metadata]]:
        for day in days_of(context):
            with told(name, day):
                yield day, land(day)

    materialize_landed(context, landed())


def materialize_landed(context: dg.AssetExecutionContext, landed: Iterator[tuple[str, Metadata]]) -> None:
    """
    Records partitions as they are landed; those that are finished stay finished when a later one fails.

    A run over a range records nothing of its own when it fails (dagster#17836), so that is done here.
    """
    done: dict[str, Metadata] = {}
    try:
        done.update(landed)
    except BaseException:  # a terminated run is no Exception in Dagster's words
        for day, metadata in done.items():
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=day, metadata=metadata))
        raise
    for day, metadata in done.items():
        context.add_asset_metadata(metadata, partition_key=day)


@dataclass(frozen=True)
class Recorded:
    """
    What the run that landed a partition last recorded of it.

    Attributes:
        at: When, UTC.
        own: The partition's metadata.
        run: That of the run's first partition, where it recorded what reading all of them cost.
        days: How many partitions the run was asked for.
    """

    at: datetime
    own: Mapping[str, Any]
    run: Mapping[str, Any]
    days: int


def run_metadata(instance: dg.DagsterInstance, asset: str, day: str) -> Recorded | None:
    """From the event log, which keeps it as long as the run; None where no run of this instance landed the day."""
    latest = _materialization(instance, asset, day)
    if latest is None:
        return None
    at, run_id, own = latest
    run = instance.get_run_by_id(run_id)
    tags = run.tags if run is not None else {}
    first, last = (tags.get(f"dagster/asset_partition_range_{end}", day) for end in ("start", "end"))
    of_first = _materialization(instance, asset, first, run_id) if first != day else latest
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    return Recorded(at, own, of_first[2] if of_first is not None else {}, days)


def _materialization(
    instance: dg.DagsterInstance, asset: str, day: str, run_id: str | None = None
) -> tuple[datetime, str, dict[str, Any]] | None:
    """The newest of the partition, or the newest of that run: when, by which run, and its metadata's values."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[day]), limit=_MATERIALIZATIONS_LOOKED_AT
    )
    for record in found.records:
        told = record.asset_materialization
        if told is not None and run_id in (None, record.run_id):
            values = {name: value.value for name, value in told.metadata.items()}
            return datetime.fromtimestamp(record.timestamp, UTC), record.run_id, values
    return None


def receipt_metadata(receipt: Receipt, used: Meter | None = None) -> Metadata:
    """Rows, bytes and where they are; with ``used``, what they cost."""
    rows = "dagster/row_count" if receipt.partition is None else "dagster/partition_row_count"
    metadata: Metadata = {
        rows: receipt.rows,
        "bytes": receipt.bytes,
        "changed": receipt.changed,
        "content_hash": receipt.content_hash,
        "dagster/uri": receipt.uri,
    }
    if used is not None:
        metadata |= usage_metadata(used)
    return metadata


def usage_metadata(used: Meter) -> Metadata:
    return {
        "requests": used.requests,
        "requests_refused": used.refused,
        "retries": used.retries,
        "quota_wait_seconds": round(used.waited_seconds, 1),
        "received_bytes": used.received_bytes,
    }


def drift_metadata(seen: Mapping[str, int]) -> Metadata:
    """What the published schema does not know: names of types and counts, never a value."""
    return {"drift": sum(seen.values()), "drift_seen": dg.MetadataValue.json(dict(sorted(seen.items())))}


def column_schema(dataset: Dataset) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name,
                str(field.type),
                description=field.meaning,
                constraints=dg.TableColumnConstraints(nullable=not field.required),
            )
            for field in dataset.fields
        ]
    )


@contextmanager
def told_while(log: logging.Logger, line: Callable[[], str], seconds: float = SECONDS_BETWEEN_LINES) -> Iterator[None]:
    """A line every so many seconds for as long as the block goes on, also while it waits for one thing."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(seconds):
            log.info(line())

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


@dataclass
class Progress:
    """
    How far a reading is: how many of how many, the rate, the share of the allowance used, the time left.

    Attributes:
        meter: Counts the requests.
        allowance: Requests that could be sent in ``window`` seconds.
        done: Of ``total``; whoever reads counts it up.
    """

    what: str
    total: int
    meter: Meter
    allowance: float
    window: float
    done: int = 0
    _began: float = field(default_factory=time.monotonic)
    _requests: int = 0

    def __post_init__(self) -> None:
        self._requests = self.meter.requests

    @property
    def requests(self) -> int:
        return self.meter.requests - self._requests

    @property
    def requests_a_minute(self) -> float:
        return self.requests / max(time.monotonic() - self._began, 0.001) * 60

    @property
    def share_of_allowance(self) -> float:
        """Of what one window allows, or as many as have passed."""
        windows = max(time.monotonic() - self._began, self.window) / self.window
        return self.requests / (self.allowance * windows)

    def line(self) -> str:
        """For people; also while everything waits for an allowance."""
        rate = self.done / max(time.monotonic() - self._began, 0.001)
        left = f"{(self.total - self.done) / rate / 60:,.1f} minutes left" if rate else "none has come yet"
        return (
            f"{self.what}: {self.done:,} of {self.total:,}, {rate * 60:,.0f} a minute, "
            f"{self.share_of_allowance:.0%} of the allowance, {left}"
        )
