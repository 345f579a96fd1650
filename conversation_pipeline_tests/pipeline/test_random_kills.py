"""A backfill that is killed at random moments until it is done: nothing shows of it. ``make kills`` has fifty."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import pytest

from conversation_pipeline_tests.pipeline.random_kills import (
    A_BATCH,
    Backfill,
    World,
    landed,
    moments,
    world,
)

KILLS = 3
pytestmark = pytest.mark.timeout(300)  # the first test waits for two backfills, one of which is killed


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("kills"), 3, 100) as org:
        yield org


@pytest.fixture(scope="module")
def disturbed(org: World) -> Backfill:
    rng = random.Random(7)
    return org.backfill("disturbed", list(islice(moments(rng, 0.7 * org.lasts), KILLS)))


def test_what_is_landed_is_what_an_undisturbed_backfill_lands(org: World, disturbed: Backfill) -> None:
    """Row for row, but for the time at which a row was read."""
    assert disturbed.kills
    assert landed(disturbed.project) == landed(org.undisturbed.project)


def test_a_kill_costs_a_batch_at_most(org: World, disturbed: Backfill) -> None:
    """What was under way is asked for again; what was staged is not, by none of the processes that came after."""
    assert all(len(kill.lost) <= A_BATCH for kill in disturbed.kills)
    assert not any(kill.repeated for kill in disturbed.kills)
    assert not disturbed.repeated_by_the_last
