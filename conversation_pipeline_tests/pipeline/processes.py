"""Runs in processes of their own, so that a test may kill one or let several meet."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline_tests.conftest import Project

# A server that has imported Dagster once and forks from there: a process costs milliseconds, not seconds.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["conversation_pipeline_tests.pipeline.processes"])

SECONDS = 60


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


def _run(
    work: Callable[..., None], folder: Path, environment: dict[str, str], kill_at: str | None, given: Sequence[Any]
) -> None:
    with (folder / "process.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if kill_at is not None:
        os.environ["CONVERSATION_KILL_AT"] = kill_at
    work(Project(folder, environment), *given)
