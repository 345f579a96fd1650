"""Looks for export archives that have arrived, and for days that they changed. Both sensors start stopped."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from conversation_pipeline.archives import ArchiveSet
from conversation_pipeline.defs.assets.archives import PARTITIONS
from conversation_pipeline.defs.days_landed import days_landed
from conversation_pipeline.defs.landing.archive import arrived
from conversation_pipeline.defs.live import UNDER_WAY
from conversation_pipeline.extract.archive import ARCHIVE, parts_promised
from conversation_pipeline.schemas.conversations import ENTRIES_ARCHIVE, TRANSCRIPT_ARCHIVES
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import StorageError
from conversation_pipeline.storage.store import Store

_EVERY_SECONDS = 60
_QUIET = timedelta(hours=6)
"""After so long parts that are still missing are not waited for any more (bulk-export 4.1, grouping)."""

_LANDING = {"conversation_pipeline/landing": TRANSCRIPT_ARCHIVES.name}


def sensors(roads: Iterable[str], daily: dg.DailyPartitionsDefinition) -> list[dg.SensorDefinition]:
    """None where the road is not in use."""
    return (
        [
            archives_arrived(),
            days_landed("archive_days_landed", ENTRIES_ARCHIVE, "an archive", daily),
        ]
        if ARCHIVE in roads
        else []
    )


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
