"""Runs in processes of their own, so that a test may kill one or let several meet."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import dagster as dg

from conversation_pipeline.definitions import build_defs
from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA
from conversation_pipeline_tests.conftest import Project

# A server that has imported Dagster once and forks from there: a process costs milliseconds, not seconds.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["conversation_pipeline_tests.pipeline.processes"])

SECONDS = 90


def started(work: Callable[..., None], project: Project, *given: Any, kill_at: str | None = None) -> BaseProcess:
    """A process that calls ``work(project, *given)`` on the same folders, with a Dagster instance of its own."""
    process = _processes.Process(target=_run, args=(work, project.folder, project.environment, kill_at, given))
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    """Waits for the end; returns the exit code, which for a killed process is the signal's number below zero."""
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"the process was not done after {SECONDS} s")
    return process.exitcode


def killed(project: Project, assets: Sequence[str], days: Sequence[str], at: KillPoint, passage: int) -> int | None:
    """Runs the assets in a process that dies at a kill point's n-th passage; returns how it ended."""
    return ended(started(materialize, project, tuple(assets), tuple(days), kill_at=f"{at}:{passage}"))


def materialize(project: Project, assets: Sequence[str], days: Sequence[str]) -> None:
    project.materialize(days[0], days[-1], assets=assets)


def launch(project: Project, assets: Sequence[str], day: str) -> None:
    """One run of a backfill by the multiprocess executor, recorded in the instance of the project's folder."""
    os.environ |= project.environment
    with (
        dg.DagsterInstance.from_config(str(project.folder)) as instance,
        dg.execute_job(
            dg.reconstructable(scaled_job),
            instance=instance,
            tags={"dagster/partition": day},
            asset_selection=[dg.AssetKey(name) for name in assets],
            raise_on_error=True,
        ),
    ):
        return


def scaled_job() -> dg.JobDefinition:
    """The daily job with an allowance that is used up within a test's time; made anew in every process."""
    return build_defs(rate=SCALED).resolve_job_def("conversations_daily")


SCALED = CONVERSATION_DATA.with_count(10).scaled(1 / 60)
"""Ten requests in a second instead of ninety in a minute."""


def _run(
    work: Callable[..., None], folder: Path, environment: dict[str, str], kill_at: str | None, given: Sequence[Any]
) -> None:
    with (folder / "process.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if kill_at is not None:
        os.environ["CONVERSATION_KILL_AT"] = kill_at
    work(Project(folder, environment), *given)
