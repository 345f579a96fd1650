"""Looks for export archives that have arrived. The sensor starts stopped."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from conversation_pipeline.archives import ArchiveSet
from conversation_pipeline.defs.assets.archives import PARTITIONS
from conversation_pipeline.defs.landing.archive import arrived
from conversation_pipeline.defs.live import UNDER_WAY
from conversation_pipeline.extract.archive import ARCHIVE, parts_promised
from conversation_pipeline.schemas.conversations import TRANSCRIPT_ARCHIVES
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import StorageError
from conversation_pipeline.storage.store import Store

_EVERY_SECONDS = 60
_QUIET = timedelta(hours=6)
"""After so long parts that are still missing are not waited for any more (bulk-export 4.1, grouping)."""

_AGAIN_AFTER = (timedelta(minutes=5), timedelta(hours=1))
"""How long after its request a landing that failed is asked for again: so often, and then no more."""

_LANDING = {"conversation_pipeline/landing": TRANSCRIPT_ARCHIVES.name}


def sensors(roads: Iterable[str]) -> list[dg.SensorDefinition]:
    """None where the road is not in use."""
    return [archives_arrived()] if ARCHIVE in roads else []


def archives_arrived() -> dg.SensorDefinition:
    """
    Requests an archive once all its parts are there and their sizes stand still between two looks; one at a time. Where
    its landing failed it is asked for again after a while, twice at most.

    The cursor is JSON: ``seen`` (size and time of each file at the last look) and ``requested`` (of each archive its
    ``content``, how often that was requested, ``times``, and when last, ``at``, in seconds since 1970).
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
        requested = {key: told for key, told in cursor["requested"].items() if key in found}
        waits = {}
        for key, parts in found.items():
            if requested.get(key, {}).get("content") != _digest(parts, seen):
                requested.pop(key, None)
                waits[key] = _waits(parts, seen, cursor["seen"], folder)
            elif _has_failed(context.instance, key):
                waits[key] = _gives_up(requested[key])
        ready = sorted(key for key, reason in waits.items() if reason is None)
        if not ready or context.instance.get_runs(dg.RunsFilter(tags=_LANDING, statuses=UNDER_WAY), limit=1):
            told = "; ".join(f"{key}: {reason}" for key, reason in sorted(waits.items()) if reason is not None)
            return dg.SensorResult(
                skip_reason=dg.SkipReason(told or ("another archive is being landed" if ready else "nothing new")),
                cursor=json.dumps(cursor | {"seen": seen}),
            )
        key = ready[0]
        digest, times = _digest(found[key], seen), requested.get(key, {}).get("times", 0) + 1
        requested[key] = {"content": digest, "times": times, "at": time.time()}
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{key} {digest} {times}",
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


def _has_failed(instance: dg.DagsterInstance, key: str) -> bool:
    """Whether the last run of an archive failed, whoever asked for it; one that somebody ended has not."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key}), limit=1)
    return bool(runs) and runs[0].status is dg.DagsterRunStatus.FAILURE


def _gives_up(requested: Mapping[str, Any]) -> str | None:
    """Why a landing that failed is not asked for again, or not yet; ``None`` if it is."""
    if requested["times"] > len(_AGAIN_AFTER):
        return f"its landing failed {requested['times']} times; do what its last run says, then materialize it"
    wait = _AGAIN_AFTER[requested["times"] - 1]
    if time.time() - requested["at"] < wait.total_seconds():
        return f"its landing failed; it is asked for again {wait} after the last time"
    return None


def _waits(parts: ArchiveSet, seen: Mapping[str, str], before: Mapping[str, str], folder: Store) -> str | None:
    """Why an archive is not taken yet; ``None`` if it is."""
    if any(before.get(name) != seen[name] for name in parts.paths):
        return "new, or still growing; it is taken once it stands still"
    newest = max(int(seen[name].partition(" ")[2] or 0) for name in parts.paths)
    if time.time() - newest / 1e9 >= _QUIET.total_seconds():
        return None
    promised = parts_promised([folder.path(name) for name in parts.paths], folder.filesystem)
    if promised is None and parts.numbered:
        return f"no manifest says how many parts it has; it is taken once none has come for {_QUIET}"
    if promised is not None and len(parts.paths) < promised:
        return f"{len(parts.paths)} of {promised} parts are there; it is taken without the others after {_QUIET}"
    return None
