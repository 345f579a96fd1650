"""Looks for export archives that have arrived, and for days that they changed. Both sensors start stopped."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg

from conversation_pipeline.archives import ArchiveSet
from conversation_pipeline.defs.assets.archives import PARTITIONS
from conversation_pipeline.defs.landing.archive import arrived
from conversation_pipeline.defs.live import UNDER_WAY
from conversation_pipeline.defs.partitions import LONGEST_SESSION_DAYS
from conversation_pipeline.extract.archive import ARCHIVE, parts_promised
from conversation_pipeline.extract.windows import unbroken
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    ENTRIES_ARCHIVE,
    MESSAGES,
    TRANSCRIPT_ARCHIVES,
    TRANSCRIPTS,
)
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import StorageError
from conversation_pipeline.storage.store import Store

_EVERY_SECONDS = 60
_QUIET = timedelta(hours=6)
"""After so long parts that are still missing are not waited for any more (bulk-export 4.1, grouping)."""

_DAYS_A_RUN = 31
_MOST_AT_ONCE = 1_000
_LANDING = {"conversation_pipeline/landing": TRANSCRIPT_ARCHIVES.name}


def sensors(roads: Iterable[str], daily: dg.DailyPartitionsDefinition) -> list[dg.SensorDefinition]:
    """None where the road is not in use."""
    return [archives_arrived(), archive_days_landed(daily)] if ARCHIVE in roads else []


def archives_arrived() -> dg.SensorDefinition:
    """
    Requests an archive once all its parts are there and their sizes stand still between two looks; one at a time.

    The cursor is JSON: ``seen`` (size and time of each file at the last look) and ``requested`` (which content of
    which archive was requested).
    """

    @dg.sensor(
        name="archives_arrived",
        target=[dg.AssetKey(TRANSCRIPT_ARCHIVES.name)],
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"archives"},
        description="Every minute: export archives in the folder CONVERSATION_ARCHIVES that are whole and not landed.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        folder: Store = context.resources.archives
        cursor: dict[str, Any] = {"seen": {}, "requested": {}} | json.loads(context.cursor or "{}")
        try:
            found = arrived(folder)
            seen = {name: _looks(folder, name) for one in found.values() for name in one.paths}
        except (SettingsError, StorageError, OSError) as error:
            return dg.SkipReason(str(error))
        new = {key: parts for key, parts in found.items() if cursor["requested"].get(key) != _digest(parts, seen)}
        waits = {key: _waits(parts, seen, cursor["seen"], folder) for key, parts in new.items()}
        ready = sorted(key for key, reason in waits.items() if reason is None)
        if not ready or context.instance.get_runs(dg.RunsFilter(tags=_LANDING, statuses=UNDER_WAY), limit=1):
            told = "; ".join(f"{key}: {reason}" for key, reason in sorted(waits.items()) if reason is not None)
            return dg.SensorResult(
                skip_reason=dg.SkipReason(told or ("another archive is being landed" if ready else "nothing new")),
                cursor=json.dumps(cursor | {"seen": seen}),
            )
        key = ready[0]
        digest = _digest(new[key], seen)
        requested = {one: known for one, known in cursor["requested"].items() if one in found} | {key: digest}
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{key} {digest}",
                    partition_key=key,
                    asset_selection=[dg.AssetKey(TRANSCRIPT_ARCHIVES.name)],
                    tags=_LANDING,
                )
            ],
            dynamic_partitions_requests=[PARTITIONS.build_add_request([key])],
            cursor=json.dumps({"seen": seen, "requested": requested}),
        )

    return sensor


def _looks(folder: Store, name: str) -> str:
    info = folder.info(name)
    return f"{info.size} {info.mtime_ns}" if info is not None else "gone"


def _digest(parts: ArchiveSet, seen: Mapping[str, str]) -> str:
    told = json.dumps([[name, seen[name]] for name in parts.paths])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _waits(parts: ArchiveSet, seen: Mapping[str, str], before: Mapping[str, str], folder: Store) -> str | None:
    """Why an archive is not taken yet; ``None`` if it is."""
    if any(before.get(name) != seen[name] for name in parts.paths):
        return "new, or still growing; it is taken once it stands still"
    newest = max(int(seen[name].partition(" ")[2] or 0) for name in parts.paths)
    if time.time() - newest / 1e9 >= _QUIET.total_seconds():
        return None
    promised = parts_promised([folder.path(name) for name in parts.paths], folder.filesystem)
    if promised is not None and len(parts.paths) < promised:
        return f"{len(parts.paths)} of {promised} parts are there; it is taken without the others after {_QUIET}"
    return None


def archive_days_landed(daily: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """
    Requests what is made of entries, for the days that an archive changed.

    The cursor is the id of the last event that was looked at.
    """
    target = [dg.AssetKey(name) for name in (CONVERSATION_ENTRIES.name, MESSAGES.name, TRANSCRIPTS.name, "warehouse")]

    @dg.sensor(
        name="archive_days_landed",
        target=target,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Every minute: days whose entries an archive changed; requests to unite them with the other roads.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        events = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(ENTRIES_ARCHIVE.name), after_storage_id=int(context.cursor or 0)),
            limit=_MOST_AT_ONCE,
            ascending=True,
        ).records
        if not events:
            return dg.SkipReason("no archive has changed a day")
        changed = {str(one.partition_key) for one in events if _has_changed(one)}
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{events[-1].storage_id}: {run[0]}..{run[-1]}",
                    asset_selection=target,
                    tags={"dagster/asset_partition_range_start": run[0], "dagster/asset_partition_range_end": run[-1]},
                )
                for run in _runs(changed, daily)
            ],
            cursor=str(events[-1].storage_id),
        )

    return sensor


def _has_changed(record: dg.EventLogRecord) -> bool:
    materialization = record.asset_materialization
    return materialization is not None and bool(materialization.metadata["changed"].value)


def _runs(days: Iterable[str], daily: dg.DailyPartitionsDefinition) -> Iterator[list[str]]:
    """The days, and those before on which sessions that reach into them were created, so many a run."""
    reached = {
        (date.fromisoformat(day) - timedelta(days=back)).isoformat()
        for day in days
        for back in range(LONGEST_SESSION_DAYS + 1)
    }
    for run in unbroken(day for day in reached if day >= daily.start.date().isoformat()):
        for start in range(0, len(run), _DAYS_A_RUN):
            yield run[start : start + _DAYS_A_RUN]
