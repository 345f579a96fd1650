"""Export archives: one partition an export as it arrives, its entries in the days to which they belong."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from conversation_pipeline.defs import integrity
from conversation_pipeline.defs.assets.common import checked, options
from conversation_pipeline.defs.landing.archive import ArchiveLanding, LandedArchive, arrived, land_archive
from conversation_pipeline.defs.landing.archive_files import RemovedFiles, remove_files
from conversation_pipeline.defs.landing.archive_record import ArchiveRecord
from conversation_pipeline.defs.reporting import Metadata, drift_metadata, receipt_metadata, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.archive import ARCHIVE
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    ENTRIES_ARCHIVE,
    ENTRIES_ARCHIVE_UNPLACED,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.storage import Lake, PublishError
from conversation_pipeline.storage.store import Store

PARTITIONS = dg.DynamicPartitionsDefinition(name=TRANSCRIPT_ARCHIVES.name)

BY_ARRIVAL = ("landed_by", "arrival")
"""Tag of what is landed when an archive arrives, and has no day: no job of days takes it."""

READ = "archive_read"
AGE = "archive_age"

_SOONEST = timedelta(days=7)
_MOST_TOLD = 50
_ASK = "ask for an export in Setup and put its parts into the folder that CONVERSATION_ARCHIVES names"


_READ_SPEC = dg.AssetCheckSpec(
    READ,
    asset=TRANSCRIPT_ARCHIVES.name,
    description="Every file and every row of every archive was read and has its place; the good ones are landed either "
    "way. It stays failed until the archive is landed again without a fault, or a newer one that is complete.",
)


class ArchiveConfig(dg.Config):
    """
    Attributes:
        read_again: Also archives that were landed before: after a release that reads more of them, or once more of the
            org's conversations are in the lake.
    """

    read_again: bool = False


def assets(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """None where the road is not in use."""
    if ARCHIVE not in roads:
        return []
    return [transcript_archives(daily), _told_by_it(ENTRIES_ARCHIVE, daily), _told_by_it(ENTRIES_ARCHIVE_UNPLACED)]


def transcript_archives(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(TRANSCRIPT_ARCHIVES, "zip", checks=[_READ_SPEC]),
        partitions_def=PARTITIONS,
        tags=dict([BY_ARRIVAL]),
        pool=TRANSCRIPT_ARCHIVES.name,
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: ArchiveConfig,
        salesforce: dg.ResourceParam[Org],
        archives: dg.ResourceParam[Store],
        lake: dg.ResourceParam[Lake],
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]  # Dagster reads the bare name
        name = context.partition_key
        landed = LandedArchive()
        landing = ArchiveLanding(archives, lake, context.run.run_id, context.log)
        with told(TRANSCRIPT_ARCHIVES.name, name):
            parts = arrived(archives).get(name)
            if parts is None:
                raise dg.Failure(
                    f"{TRANSCRIPT_ARCHIVES.name}: {name} is not in the folder that CONVERSATION_ARCHIVES names any "
                    "more; put its files back to land it again",
                    allow_retries=False,
                )
            try:
                land_archive(landing, parts, landed, read_again=config.read_again)
            except PublishError:
                yield _read_result(lake)
                raise
            finally:
                _tell_days(context, landed, daily)
            removed = remove_files(archives, lake, salesforce.settings.archive_keep, datetime.now(UTC))
        tell_removed(context, removed)
        metadata = _metadata(landed, daily) | removed_metadata(removed)
        yield checked(context, lake, TRANSCRIPT_ARCHIVES, _read_result(lake), metadata=metadata)

    return asset


def tell_removed(context: dg.AssetExecutionContext, removed: RemovedFiles) -> None:
    if removed.by_age:
        context.log.info(f"removed after CONVERSATION_ARCHIVE_KEEP_DAYS: {', '.join(removed.by_age)}")
    if removed.of_erased:
        context.log.warning(
            f"removed, since they hold words of people whom the org has erased: {', '.join(removed.of_erased)}; copies "
            "elsewhere are yours to remove"
        )


def removed_metadata(removed: RemovedFiles) -> Metadata:
    return {"archives_removed": len(removed.by_age), "archives_removed_for_erasure": len(removed.of_erased)}


def _told_by_it(dataset: Dataset, daily: dg.DailyPartitionsDefinition | None = None) -> dg.AssetsDefinition:
    """A dataset that the asset ``transcript_archives`` lands: an archive holds rows of any number of days."""
    of_dataset = options(dataset, "zip")
    spec = dg.AssetSpec(
        dataset.name,
        deps=[dg.AssetDep(TRANSCRIPT_ARCHIVES.name, partition_mapping=dg.AllPartitionMapping())],
        description=of_dataset["description"],
        metadata=of_dataset["metadata"],
        group_name=of_dataset["group_name"],
        owners=of_dataset["owners"],
        kinds=of_dataset["kinds"],
        partitions_def=daily,
    )
    return dg.AssetsDefinition(specs=[spec])


def _tell_days(context: dg.AssetExecutionContext, landed: LandedArchive, daily: dg.DailyPartitionsDefinition) -> None:
    first = daily.start.date().isoformat()
    for day, receipt in landed.days.items():
        if day >= first:
            event = dg.AssetMaterialization(ENTRIES_ARCHIVE.name, partition=day, metadata=receipt_metadata(receipt))
            context.log_event(event)
    if landed.unplaced is not None:
        context.log_event(
            dg.AssetMaterialization(ENTRIES_ARCHIVE_UNPLACED.name, metadata=receipt_metadata(landed.unplaced))
        )
    early = [day for day in landed.days if day < first]
    if early:
        context.log.warning(
            f"{len(early):,} days of the archive, from {early[0]}, lie before CONVERSATION_START_DATE ({first}): they "
            "are in the lake, but not united; set an earlier start to have them"
        )


def _metadata(landed: LandedArchive, daily: dg.DailyPartitionsDefinition) -> Metadata:
    if landed.known:
        return {"known": True, "days_changed": 0}
    found, days = landed.provenance, landed.days
    return {
        "known": False,
        "dagster/partition_row_count": found.rows,
        "bytes": sum(one.size for one in found.archives),
        "sha256": dg.MetadataValue.json({one.name.rpartition("/")[2]: one.sha256 for one in found.archives}),
        "snapshot_at": dg.MetadataValue.json(
            sorted({one.snapshot_at.isoformat() for one in found.archives if one.snapshot_at is not None})
        ),
        "members": dg.MetadataValue.json(_counted(one.outcome.value for one in found.members)),
        "formats": dg.MetadataValue.json(_counted(one.format for one in found.members)),
        "encodings": dg.MetadataValue.json(_counted(one.encoding for one in found.members)),
        "unknown_columns": dg.MetadataValue.json(
            sorted({name for one in found.members for name in one.unknown_columns})
        ),
        "quarantined": dg.MetadataValue.json(dict(found.quarantined[:_MOST_TOLD])),
        "members_quarantined": len(found.quarantined),
        "rows_quarantined": dg.MetadataValue.json(dict(found.quarantined_rows)),
        "notes": dg.MetadataValue.json(dict(sum((one.notes for one in found.members), Counter()))),
        "is_complete": str(landed.is_complete) if landed.is_complete is not None else "no manifest says",
        "rows_unplaced": dg.MetadataValue.json(dict(landed.rows_unplaced)),
        "rows_of_erased": landed.rows_of_erased.total(),
        "days": len(days),
        "days_changed": sum(receipt.changed for receipt in days.values()),
        "days_before_start": sum(day < daily.start.date().isoformat() for day in days),
        **drift_metadata(landed.drift.seen),
    }


def _read_result(lake: Lake) -> dg.AssetCheckResult:
    """What was left out stays in the archive: its files are in the folder, its names and reasons on record."""
    faults = ArchiveRecord(lake).faults
    return dg.AssetCheckResult(
        check_name=READ,
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(faults[:_MOST_TOLD]) or "all of it was read",
        metadata={"faults": len(faults)},
    )


def checks(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """None where the road is not in use."""
    if ARCHIVE not in roads:
        return []
    told_by_it = (ENTRIES_ARCHIVE, ENTRIES_ARCHIVE_UNPLACED)
    return [archive_age(), *(integrity.checks_of(dataset, daily) for dataset in told_by_it)]


def archive_age() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=AGE,
        asset=ENTRIES_ARCHIVE.name,
        description="The newest archive is no older than CONVERSATION_ARCHIVE_AGE_DAYS.",
    )
    def check(salesforce: dg.ResourceParam[Org], lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
        with told(TRANSCRIPT_ARCHIVES.name):
            allowed = timedelta(days=salesforce.settings.conversation_archive_age_days)
            taken = [one for one in lake.read(TRANSCRIPT_ARCHIVES, None)["snapshot_at"].to_pylist() if one is not None]
        newest = max(taken, default=None)
        age = datetime.now(UTC) - newest if newest is not None else None
        return dg.AssetCheckResult(
            passed=age is not None and age <= allowed,
            severity=dg.AssetCheckSeverity.WARN,
            description=_age_told(newest, age, allowed),
            metadata={"age_days": age / timedelta(days=1)} if age is not None else {},
        )

    return check


def _age_told(newest: datetime | None, age: timedelta | None, allowed: timedelta) -> str:
    soonest = f"Salesforce allows an export {_SOONEST.days} days after the one before at the soonest"
    if newest is None or age is None:
        return f"no archive was landed yet: {_ASK}; {soonest}"
    last = f"the newest archive was taken {newest:%Y-%m-%d %H:%M} UTC, {age.days} days ago"
    if age <= allowed:
        return last
    return f"{last}, and CONVERSATION_ARCHIVE_AGE_DAYS allows {allowed.days}: {_ASK}; {soonest}"


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value is not None))
