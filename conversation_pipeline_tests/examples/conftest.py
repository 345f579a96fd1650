"""A small lake and warehouse out of a simulated org, as ``make demo`` leaves them; the examples read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Project, project_for

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose four days are materialized; it is only read."""
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=15, now=NOW).serve() as running:
        project = project_for(running.url, tmp_path_factory.mktemp("read"))
        project.materialize(FIRST_DAY.isoformat(), NOW.date().isoformat())
    yield project
    project.instance.dispose()
