"""The report: one page a day, for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import dagster as dg
import pyarrow as pa

from conversation_pipeline.defs import drift
from conversation_pipeline.defs.assets.common import OWNERS
from conversation_pipeline.defs.assets.marts import TOLERANCE_SECONDS
from conversation_pipeline.defs.refresh import refreshed_with_its_days
from conversation_pipeline.defs.reporting import Metadata, materialize_days, run_metadata
from conversation_pipeline.report import Day, Figures, Reading, SchemaFinding, render
from conversation_pipeline.report.figures import last_days
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.coverage import ROAD_COVERAGE
from conversation_pipeline.schemas.dataset import Group
from conversation_pipeline.schemas.marts import (
    AGENT_DAILY_KPIS,
    CHANNEL_DAILY_KPIS,
    QUEUE_DAILY_KPIS,
    SESSION_KPIS,
)
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.models import run_model
from conversation_pipeline.storage.store import Store

REPORT = "report"

_DAYS_A_RUN = 31
_SHOWN = (SESSION_KPIS, CHANNEL_DAILY_KPIS, QUEUE_DAILY_KPIS, AGENT_DAILY_KPIS, ROAD_COVERAGE)
_READ = tuple(
    dataset for dataset in DATASETS if dataset.group in (Group.ON_PLATFORM, Group.OFF_PLATFORM) and dataset.partitioned
)


def report_name(day: str) -> str:
    """Where a day's page lies below the lake."""
    return f"reports/day={day}/report.html"


def assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [report(daily)]


def report(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        name=REPORT,
        description="One self-contained HTML page a day: how conversations were handled, whether every road told what "
        "it should, drift, and what reading took. No customer's words.",
        group_name=Group.MARTS.value,
        owners=OWNERS,
        kinds={"html"},
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        automation_condition=refreshed_with_its_days(),
        deps=[dataset.name for dataset in _SHOWN],
    )
    def asset(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], reports: dg.ResourceParam[Store]
    ) -> None:
        findings = list(_findings(context.instance))

        def land(day: str) -> Metadata:
            figures = Figures.of(marts_of(lake, day), list(_readings(context.instance, day)), findings)
            return published(render(figures), day, reports) | _metadata(figures)

        materialize_days(context, land)

    return asset


def marts_of(lake: Lake, day: str) -> Day:
    """The day's rows of the marts, and those of the days before it that the small plots reach back to."""
    days = [one.isoformat() for one in last_days(date.fromisoformat(day))]
    known = set(lake.partitions(SESSION_KPIS))
    with_kpis = [date.fromisoformat(one) for one in days if one in known]
    of_days = {
        "session_kpis": lake.dataset(SESSION_KPIS, days),
        "days_with_kpis": pa.table({"day": pa.array(with_kpis, pa.date32())}),
    }
    of_day = {"session_kpis": lake.dataset(SESSION_KPIS, [day])}
    return Day(
        date.fromisoformat(day),
        days=_rows("report_days", of_days),
        hours=_rows("report_hours", of_day),
        metrics=_rows("report_metrics", of_day, tolerance_seconds=int(TOLERANCE_SECONDS)),
        channels=lake.read(CHANNEL_DAILY_KPIS, day).to_pylist(),
        queues=lake.read(QUEUE_DAILY_KPIS, day).to_pylist(),
        agents=lake.read(AGENT_DAILY_KPIS, day).to_pylist(),
        coverage=lake.dataset(ROAD_COVERAGE, days).to_table().to_pylist(),
    )


def _rows(model: str, inputs: Mapping[str, Any], **parameters: int) -> Sequence[Mapping[str, Any]]:
    with run_model(model, inputs, parameters) as rows:
        return rows.read_all().to_pylist()  # type: ignore[no-any-return]


def published(page: str, day: str, reports: Store) -> Metadata:
    """Puts the page in its place as one act; returns where that is."""
    name = report_name(day)
    content = page.encode()
    with reports.draft(name) as draft:
        draft.path.write_bytes(content)
        draft.sync()
        draft.publish()
    uri = reports.uri(name)
    where = dg.MetadataValue.path(uri) if reports.local else dg.MetadataValue.url(uri)
    return {"report": where, "dagster/uri": uri, "bytes": len(content)}


def _metadata(figures: Figures) -> Metadata:
    """What the page says at a glance, for whoever does not open it."""
    lines = [f"| {tile.label} | {tile.value} | {tile.note} |" for tile in figures.tiles]
    _, sentence = figures.summary
    return {"summary": dg.MetadataValue.md("\n".join([f"{sentence}.", "", "| | | |", "|---|--:|---|", *lines]))}


def _readings(instance: dg.DagsterInstance, day: str) -> Iterator[Reading]:
    """What runs recorded when they read the day last."""
    for dataset in _READ:
        found = run_metadata(instance, dataset.name, day)
        if found is not None and "requests" in found.run:
            yield _reading(dataset, found.at, found.days, {**found.run, "drift_seen": found.own.get("drift_seen")})


def _reading(dataset: Dataset, at: datetime, days: int, told: Mapping[str, Any]) -> Reading:
    active = told.get("active_conversations")
    return Reading(
        dataset.name,
        at,
        days,
        requests=told["requests"],
        refused=told["requests_refused"],
        retries=told["retries"],
        waited_seconds=told["quota_wait_seconds"],
        received_bytes=told["received_bytes"],
        share_of_allowance=told.get("share_of_allowance"),
        users=told.get("execution_users"),
        active=None if active is None else (active, told["active_budget"]),
        drift=told["drift_seen"] or {},
    )


def _findings(instance: dg.DagsterInstance) -> Iterator[SchemaFinding]:
    for dataset in _READ:
        if dataset.sobject is not None and (told := drift.last_finding(instance, dataset)):
            yield SchemaFinding(dataset.name, told)
