"""The code location: assets, schedules and resources, joined here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from conversation_pipeline.defs import archives, data_cloud
from conversation_pipeline.defs.assets import assets
from conversation_pipeline.defs.assets.archives import checks
from conversation_pipeline.defs.erasures import erasures_upstream
from conversation_pipeline.defs.live import conversations_live
from conversation_pipeline.defs.partitions import daily
from conversation_pipeline.defs.refresh import models_refresh
from conversation_pipeline.defs.resources import resources
from conversation_pipeline.defs.schedules import schedules
from conversation_pipeline.defs.sensors import sensors
from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA, Limit
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.custom import with_custom_fields
from conversation_pipeline.settings import Settings, SettingsError, load_settings


def build_defs(
    settings: Callable[[], Settings] = load_settings,
    *,
    retry: Retry | None = None,
    rate: Limit = CONVERSATION_DATA,
) -> dg.Definitions:
    """
    The code location for given settings.

    With settings that are wrong or missing it still loads, so that the UI opens; runs then say what to set.
    """
    try:
        loaded = settings()
    except SettingsError:
        loaded = Settings.model_construct()
    days = daily(loaded.conversation_start_date)
    datasets = with_custom_fields(DATASETS, loaded.custom_fields)
    return dg.Definitions(
        assets=assets(datasets, loaded.roads, days),
        schedules=[*schedules(loaded.roads, days), conversations_live(loaded.roads, days)],
        asset_checks=checks(loaded.roads, days),
        sensors=[
            *sensors(datasets, days),
            erasures_upstream(),
            *archives.sensors(loaded.roads),
            *data_cloud.sensors(loaded.roads, days),
            models_refresh(),
        ],
        resources=resources(settings, retry or Retry(), rate),
        executor=dg.multiprocess_executor if loaded.conversation_executor == "multiprocess" else dg.in_process_executor,
    )


defs = build_defs()
