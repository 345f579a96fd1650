"""Looks for deletions of the org that wait to be replayed. Starts stopped, as all that runs by itself."""

import hashlib
import time
from datetime import timedelta

import dagster as dg

from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import Lake, StorageError
from conversation_pipeline.storage.erasure import waiting

_EVERY = timedelta(minutes=15)
_ASK_AGAIN_AFTER = timedelta(hours=1)


def erasures_upstream() -> dg.SensorDefinition:
    """
    Requests ``erasures`` and ``warehouse`` while a completed deletion in the lake's log is not replayed.

    The log is landed like every on-platform dataset (nightly, or by the sensor ``on_platform_changes``); this costs no
    request of the org. What was requested and is not done after an hour is requested again.
    """
    target = [dg.AssetKey(ERASURES.name), dg.AssetKey("warehouse")]

    @dg.sensor(
        name="erasures_upstream",
        target=target,
        minimum_interval_seconds=int(_EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"lake"},
        description="Every 15 minutes: whether conversation_api_log tells of deletions that are not replayed yet.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        lake: Lake = context.resources.lake
        try:
            ids = waiting(lake)
        except (SettingsError, StorageError) as error:
            return dg.SkipReason(str(error))
        if not ids:
            return dg.SkipReason("every completed deletion in conversation_api_log is replayed")
        hour = int(time.time() // _ASK_AGAIN_AFTER.total_seconds())
        return dg.RunRequest(run_key=f"{_digest(ids)} {hour}", asset_selection=target)

    return sensor


def _digest(ids: list[str]) -> str:
    return hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16]
