"""
Models are made again for the days whose inputs changed, and for no others.

What counts is content: a landing that finds the file as it would write it says ``changed: false`` and asks for nothing.
So a change goes down the chain as far as it changes anything, a look at a time: entries of the roads, their union,
messages, transcripts, figures of sessions, what is summed by day, and the warehouse.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from conversation_pipeline.schemas.dataset import Group
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS
from conversation_pipeline.schemas.people import QUEUES, USERS

WAREHOUSE = "warehouse"
"""The asset, and its group."""

SNAPSHOTS = (MESSAGING_CHANNELS.name, USERS.name, QUEUES.name)
"""Names of today: they make no day of the past due."""

_SECONDS_BETWEEN_LOOKS = 60
_EVENTS_AT_ONCE = 1_000


class ContentChanged(dg.AutomationCondition[dg.AssetKey]):
    """
    True for the partitions that were landed with other content since the last look.

    Not ``AutomationCondition.data_version_changed()``: a run over several days has one data version for all of them.
    """

    @property
    def name(self) -> str:
        return "content_changed"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        days = set[str]()
        if context.previous_evaluation_time is not None:
            since = context.previous_max_storage_id or 0
            days = changed_since(context.asset_graph_view.instance, context.key, since)
        candidates = context.candidate_subset
        if context.partitions_def is not None:
            return dg.AutomationResult(context, candidates.compute_intersection_with_partition_keys(days))
        return dg.AutomationResult(context, candidates if days else context.get_empty_subset())


def changed_since(instance: dg.DagsterInstance, asset: dg.AssetKey, event: int) -> set[str]:
    """The partitions whose content was changed by a materialization after an event of the log."""
    return {str(record.partition_key) for record in _materializations(instance, asset, event) if has_changed(record)}


def _materializations(instance: dg.DagsterInstance, asset: dg.AssetKey, event: int) -> Iterator[dg.EventLogRecord]:
    while True:
        found: Sequence[dg.EventLogRecord] = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset, after_storage_id=event), limit=_EVENTS_AT_ONCE, ascending=True
        ).records
        yield from found
        if len(found) < _EVENTS_AT_ONCE:
            return
        event = found[-1].storage_id


def has_changed(record: dg.EventLogRecord) -> bool:
    """A day that was not asked for yet has nothing that could have changed."""
    metadata = record.asset_materialization.metadata if record.asset_materialization else {}
    return "changed" in metadata and bool(metadata["changed"].value)


def refreshed_with_its_inputs() -> dg.AutomationCondition[Any]:
    """
    A day is due when one of the days that it is made from has changed since, and nothing of them is under way.

    Not ``eager()``: that looks at the latest day alone, and waits for days that are still to come.
    """
    return _due(_inputs_changed().ignore(dg.AssetSelection.assets(*SNAPSHOTS)))


def refreshed_with_anything() -> dg.AutomationCondition[Any]:
    """Due when anything that it is made from has changed, today's names among it, and nothing of that is under way."""
    return _due(_inputs_changed())


def refreshed_with_its_days() -> dg.AutomationCondition[Any]:
    """The same for what tells of readings themselves: a day is due once one of its days was landed, changed or not."""
    return _due(dg.AutomationCondition.any_deps_updated().ignore(dg.AssetSelection.assets(*SNAPSHOTS)))


def _inputs_changed() -> Any:
    return dg.AutomationCondition.any_deps_match(ContentChanged())


def _due(happened: Any) -> dg.AutomationCondition[Any]:
    condition: dg.AutomationCondition[Any] = (
        happened.since_last_handled()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    )
    return condition


def models_refresh() -> dg.SensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "models_refresh",
        target=dg.AssetSelection.groups(Group.CONVERSATIONS.value, Group.MARTS.value, WAREHOUSE),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
        use_user_code_server=True,
        description="Every minute: which days' entries, sessions, calls, metrics or work changed since their models "
        "were made (conversation_entries, messages, transcripts, figures); requests just those, and the warehouse. A "
        "landing that changed nothing requests nothing.",
    )
