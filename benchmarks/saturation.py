"""
Is the whole allowance used, and never more? Processes that pull at once through the project's own client.

    python -m benchmarks.saturation            # 1, 3 and 10 execution users x 1, 2 and 4 processes: about seven minutes
    python -m benchmarks.saturation --full     # with both kinds of server, and one case at true scale: about twenty
    python -m benchmarks.saturation --window 60 --at-once 5   # every case at true scale: about eleven minutes
    python -m benchmarks.saturation --users 3 --processes 4 --server sliding --network rough --window 60 --seconds 300

Prints one line a case, and ends with 1 if a promise was broken: a share of 98 % in steady state, no 429, and no more
active conversations than budgeted.

`share` is the window over the time that a full allowance of requests took, on average, once the first two windows are
over: requests served over requests allowed, without the edges that counting whole windows has. Where the budget of
active conversations binds, it is the same of that budget.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.gate import DELAYS, Audit, Gate
from benchmarks.gate import run as run_gate
from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials
from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.entry_api import ExecutionUser
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONVERSATION_DATA, Limit
from conversation_pipeline.salesforce.quotas import QuotaStore, SqliteQuotaStore

SPAWN = multiprocessing.get_context("spawn")
LEAST_SHARE = 0.98
USERS, PROCESSES, SERVERS = (1, 3, 10), (1, 2, 4), ("fixed", "sliding")
MOST_THREADS = 32
HEADINGS = "case", "allowed", "share", "429s", "worst sliding", "worst fixed", "worst active", "CPU"


@dataclass(frozen=True)
class Case:
    """
    How many pull, against which server; `window` and `seconds` in seconds, a true minute is a window of 60.

    `budget` is how many distinct conversations may be active at once, each for `active_window` seconds; None stands
    for one that does not bind.
    """

    users: int
    processes: int
    server: str
    network: str
    window: float
    seconds: float
    budget: int | None = None
    active_window: float = 3.0

    @property
    def scale(self) -> float:
        return self.window / 60

    @property
    def threads(self) -> int:
        """Threads in each process: four a user, as the pipeline has them."""
        return min(4 * self.users, MOST_THREADS)

    @property
    def rate(self) -> Limit:
        return CONVERSATION_DATA.scaled(self.scale)

    @property
    def active(self) -> Limit:
        if self.budget is not None:
            return ACTIVE_CONVERSATIONS.with_count(self.budget).scaled(
                self.active_window / ACTIVE_CONVERSATIONS.seconds
            )
        # Every request reads another conversation, so at full speed the half hour must have room for all of them.
        return ACTIVE_CONVERSATIONS.with_count(ACTIVE_CONVERSATIONS.count * (self.users + 1)).scaled(self.scale)

    def __str__(self) -> str:
        budget = "" if self.budget is None else f", budget {self.budget} in {self.active_window:g} s"
        users = f"{self.users} user{'s' if self.users > 1 else ''} x {self.processes}"
        return f"{users}, {self.server}, {self.network}, {self.window:g} s{budget}"


@dataclass(frozen=True)
class Result:
    """What the server saw of a case, and the processor seconds of all who took part over the seconds it lasted."""

    case: Case
    audit: Audit
    processor_share: float

    @property
    def share(self) -> float:
        case = self.case
        if case.budget is not None:
            return self._pace([self.audit.touched.instants], case.budget, case.active_window)
        served = [allowance.served for allowance in self.audit.allowances]
        return self._pace(served, CONVERSATION_DATA.count, case.window)

    @property
    def refused(self) -> int:
        return sum(len(allowance.refused) for allowance in self.audit.allowances)

    @property
    def active(self) -> int:
        return self.audit.touched.worst(self.case.active.seconds)

    @property
    def broken(self) -> list[str]:
        """The promises that do not hold, in words."""
        promises = {
            f"a share of {LEAST_SHARE:.0%}": self.share >= LEAST_SHARE,
            "no 429": self.refused == 0,
            "the active budget": self.active <= self.case.active.count,
        }
        return [promise for promise, kept in promises.items() if not kept]

    @property
    def is_processor_bound(self) -> bool:
        return self.processor_share > 0.8 * (os.cpu_count() or 1)

    def cells(self) -> list[str]:
        case, allowances = self.case, self.audit.allowances
        allowed = CONVERSATION_DATA.count * case.users if case.budget is None else case.budget
        return [
            str(case),
            f"{allowed:,}",
            f"{self.share:.1%}",
            f"{self.refused:,}",
            f"{max(allowance.worst_sliding() for allowance in allowances)} of {CONVERSATION_DATA.count}",
            f"{max(allowance.worst_fixed() for allowance in allowances)} of {CONVERSATION_DATA.count}",
            f"{self.active:,} of {case.active.count:,}",
            f"{self.processor_share:.2f}",
        ]

    def _pace(self, served: Sequence[Sequence[float]], count: int, window: float) -> float:
        """
        A window over what each `count` requests in a row took on average, from the third window on: all is asked for
        at once in the first, and threads that are short of time take another to catch up.
        """
        first = min(instants[0] for instants in served)
        spans = [
            later - instant
            for instants in served
            for instant, later in zip(instants, instants[count:], strict=False)
            if first + 2 * window <= instant and later <= first + self.case.seconds
        ]
        return window * len(spans) / sum(spans) if spans else 0.0


def pull(case: Case, port: int, quotas: Path, ready: Barrier, used: Pipe) -> None:
    """One process of the pipeline: its threads read conversations until the time is over."""
    store = SqliteQuotaStore(quotas, longest_request=max(90 * case.scale, 2.0))
    api = client(case, port, store)
    day = datetime(2026, 11, 1, tzinfo=UTC)

    def work() -> None:
        while time.monotonic() < until:
            api.read(str(uuid.uuid4()), day, day + timedelta(days=1))

    ready.wait()
    until = time.monotonic() + case.seconds
    before = time.process_time()
    threads = [threading.Thread(target=work) for _ in range(case.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used.send(time.process_time() - before)
    api.close()
    store.close()


def client(case: Case, port: int, store: QuotaStore) -> ConversationData:
    """The client as the assets use it, its windows scaled with the server's."""
    url = f"http://127.0.0.1:{port}"
    users = []
    for number in range(case.users):
        auth = BearerAuth(ClientCredentials(url, f"execution-user-{number}", "made up"))
        connection = Connection(f"{url}/platform/engagement/v1.0", auth, store)
        users.append(ExecutionUser(connection, f"org/user-{number}/conversation_data"))
    return ConversationData(users, store, "org", rate=case.rate, active=case.active)


@contextmanager
def gate(case: Case) -> Iterator[tuple[int, list[Audit]]]:
    """A server in a process of its own: its port, and a list that holds what it saw once the block has ended."""
    here, there = SPAWN.Pipe()
    server = Gate(CONVERSATION_DATA.count, case.window, case.server, case.network)
    process = SPAWN.Process(target=run_gate, args=(server, there), daemon=True)
    process.start()
    seen: list[Audit] = []
    yield here.recv(), seen
    here.send("stop")
    seen.append(here.recv())
    process.join()


def measured(case: Case) -> Result:
    """Runs one case from an empty quota store on."""
    with tempfile.TemporaryDirectory() as folder:
        used = 0.0
        with gate(case) as (port, seen):
            ready = SPAWN.Barrier(case.processes)
            pipes = [SPAWN.Pipe() for _ in range(case.processes)]
            processes = [
                SPAWN.Process(target=pull, args=(case, port, Path(folder) / "quotas.db", ready, there))
                for _, there in pipes
            ]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            if any(process.exitcode for process in processes):
                raise SystemExit("A pulling process failed, so there is no result; its error is above.")
            used = sum(here.recv() for here, _ in pipes)
        [audit] = seen
        return Result(case, audit, (used + audit.processor_seconds) / case.seconds)


def cases(network: str, window: float, *, full: bool) -> list[Case]:
    """Short list: each number of users and processes with one kind of server; full: with both, and true scale."""
    found = []
    for number, (users, processes) in enumerate(product(USERS, PROCESSES)):
        # Ten users at a tenth of a minute would be 150 requests a second: more than two busy cores have to give.
        length = window if users < 10 else min(2 * window, 60.0)
        case = Case(users, processes, SERVERS[number % 2], network, length, 5 * length)
        found += [replace(case, server=server) for server in SERVERS] if full else [case]
    found.append(Case(3, 2, "sliding", network, window, 6 * window, budget=60, active_window=window))
    if full:
        found.append(Case(3, 4, "sliding", network, 60.0, 300.0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="with both kinds of server, and one case at true scale")
    parser.add_argument("--network", choices=DELAYS, default="jitter")
    parser.add_argument("--window", type=float, default=6.0, help="the server's window in seconds; 60 is true scale")
    parser.add_argument("--at-once", type=int, default=1, help="cases at the same time: at true scale they need little")
    parser.add_argument("--users", type=int, help="one case alone: execution users, 90 requests a window each")
    parser.add_argument("--processes", type=int, default=4, help="of that case")
    parser.add_argument("--server", choices=SERVERS, default="sliding", help="of that case")
    parser.add_argument("--seconds", type=float, default=60.0, help="of that case: length of the pull")
    options = parser.parse_args()
    if options.users and options.seconds < 4 * options.window:
        parser.error("--seconds must be four windows at least: two are left out, and a share needs two")

    todo = cases(options.network, options.window, full=options.full)
    if options.users:
        given = options.users, options.processes, options.server, options.network, options.window, options.seconds
        todo = [Case(*given)]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    seconds = sum(case.seconds for case in todo)
    print(f"{len(todo)} cases, {seconds:,.0f} s of pulling; {os.cpu_count()} cores, load {load}")
    print(f"{HEADINGS[0]:50}", *(f"{heading:>15}" for heading in HEADINGS[1:]))
    broken = False
    with ThreadPoolExecutor(options.at_once) as pool:
        for result in pool.map(measured, todo):
            first, *cells = result.cells()
            notes = [f"broken: {', '.join(result.broken)}"] if result.broken else []
            notes += ["short of processor: scale less"] if result.is_processor_bound else []
            print(f"{first:50}", *(f"{cell:>15}" for cell in cells), *notes, flush=True)
            broken = broken or bool(result.broken)
    print(f"load at the end {os.getloadavg()[0]:.1f}; CPU is processor seconds per second, server and clients together")
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
