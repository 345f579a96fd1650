"""The org's 24-hour allocation: watched on every reply, never eaten into its reserve."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from conversation_pipeline.salesforce.allocation import Allocation, Tally
from conversation_pipeline.salesforce.errors import LimitReached


@pytest.mark.parametrize(
    "header",
    ["api-usage=81/100", "api-usage=81/100; per-app-api-usage=17/250(appName=x)"],
)
def test_usage_is_read_with_and_without_the_app_tail(header: str) -> None:
    """Both spellings of Sforce-Limit-Info tell the org's usage, not the app's."""
    allocation = Allocation(reserve=0.2, share=1.0)

    allocation.learn(header)

    assert (allocation.used, allocation.most) == (81, 100)


def test_a_request_that_would_eat_the_reserve_is_not_sent() -> None:
    """At 80 of 100 with a reserve of a fifth, the next request is refused."""
    allocation = Allocation(reserve=0.2, share=1.0)
    allocation.learn("api-usage=80/100")

    with pytest.raises(LimitReached, match="CONVERSATION_API_RESERVE 20%"):
        allocation.ask()


def test_below_the_reserve_requests_go_on() -> None:
    """At 79 of 100 with a reserve of a fifth, one more may be sent."""
    allocation = Allocation(reserve=0.2, share=1.0)
    allocation.learn("api-usage=79/100")

    allocation.ask()

    assert allocation.tally.count == 1


def test_a_run_stops_at_its_share() -> None:
    """With a quarter of 100 as its share, a run sends 25 requests and not one more."""
    allocation = Allocation(reserve=0.0, share=0.25)
    allocation.learn("api-usage=1/100")
    for _ in range(25):
        allocation.ask()

    with pytest.raises(LimitReached, match="CONVERSATION_API_SHARE 25%"):
        allocation.ask()


def test_a_run_s_processes_share_its_share(tmp_path: Path) -> None:
    """Two processes of one run send a quarter of 100 together; another run has its own quarter."""
    processes = [Allocation(reserve=0.0, share=0.25, tally=Tally(tmp_path / "a-run")) for _ in range(2)]
    other = Allocation(reserve=0.0, share=0.25, tally=Tally(tmp_path / "another-run"))
    for allocation in (*processes, other):
        allocation.learn("api-usage=1/100")
    for place in range(25):
        processes[place % 2].ask()

    for allocation in processes:
        with pytest.raises(LimitReached, match="this run has used 25 API requests"):
            allocation.ask()
    other.ask()


def test_counts_of_runs_long_gone_are_removed(tmp_path: Path) -> None:
    """A day after its last request nobody asks for a run's count any more."""
    Tally(tmp_path / "old").add()
    a_day_ago = time.time() - 25 * 3600
    os.utime(tmp_path / "old", (a_day_ago, a_day_ago))

    Tally(tmp_path / "new")

    assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_another_header_changes_nothing() -> None:
    """A reply without usage (a token, the list of versions) leaves what is known."""
    allocation = Allocation(reserve=0.2, share=1.0)
    allocation.learn("api-usage=5/100")

    allocation.learn("")

    assert (allocation.used, allocation.most) == (5, 100)
