"""What ``models_refresh`` would request, look after look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg

MODELS = (
    *("conversation_entries", "entry_conflicts", "messages", "transcripts"),
    *("session_kpis", "agent_daily_kpis", "queue_daily_kpis", "channel_daily_kpis"),
)


@dataclass
class Looks:
    """
    Attributes:
        warehouse: Whether the last look requested the warehouse.
    """

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    cursor: Any = None
    warehouse: bool = False

    def landed(self, name: str, day: str | None, *, changed: bool = True) -> None:
        """A landing as its receipt tells of it."""
        event = dg.AssetMaterialization(name, partition=day, metadata={"changed": changed})
        self.instance.report_runless_asset_event(event)

    def requested(self) -> dict[str, set[str]]:
        """The days that the next look requests, by model."""
        sensor = self.definitions.get_sensor_def("models_refresh")
        assert isinstance(sensor, dg.AutomationConditionSensorDefinition)
        result = dg.evaluate_automation_conditions(
            self.definitions, self.instance, asset_selection=sensor.asset_selection, cursor=self.cursor
        )
        self.cursor = result.cursor
        self.warehouse = bool(result.get_requested_partitions(dg.AssetKey("warehouse")))
        days = {name: result.get_requested_partitions(dg.AssetKey(name)) for name in MODELS}
        return {name: {str(day) for day in found} for name, found in days.items() if found}
