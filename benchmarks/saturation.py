"""
Is the whole allowance used, and never more? Processes that pull at once through the project's own client.

    python -m benchmarks.saturation --server sliding --network jitter

Prints one line a case. `used` is requests served over requests allowed in whole windows, the first left out; as
requests come in bursts it is good to a few points on short runs. `pace` has no such edges: the window over the time
that a full allowance of requests took, on average.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.gate import Allowance, Gate
from benchmarks.gate import run as run_gate
from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials
from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.entry_api import ExecutionUser
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONVERSATION_DATA
from conversation_pipeline.salesforce.quotas import QuotaStore, SqliteQuotaStore

SPAWN = multiprocessing.get_context("spawn")
HEADINGS = "case", "allowance", "served", "used", "pace", "429s", "worst sliding", "worst fixed"


@dataclass(frozen=True)
class Case:
    """How many pull, against which server; `window` and `seconds` in seconds, a true minute is a window of 60."""

    processes: int
    threads: int
    users: int
    window: float
    seconds: float
    server: str
    network: str

    @property
    def scale(self) -> float:
        return self.window / 60

    def __str__(self) -> str:
        return f"{self.processes} x {self.threads}, {self.users} users, {self.server} server, {self.network} network"


@dataclass(frozen=True)
class Result:
    """What the server saw of a case."""

    case: Case
    allowances: list[Allowance]

    @property
    def steady(self) -> tuple[float, float]:
        """From one window after the first arrival to the end of the last full window."""
        first = min(allowance.served[0] for allowance in self.allowances)
        windows = int(self.case.seconds // self.case.window)
        return first + self.case.window, first + windows * self.case.window

    @property
    def allowed(self) -> int:
        begin, end = self.steady
        return round(CONVERSATION_DATA.count * self.case.users * (end - begin) / self.case.window)

    @property
    def served(self) -> int:
        begin, end = self.steady
        return sum(begin <= instant < end for allowance in self.allowances for instant in allowance.served)

    @property
    def used(self) -> float:
        return self.served / self.allowed

    @property
    def pace(self) -> float:
        begin, end = self.steady
        count = CONVERSATION_DATA.count
        spans = [
            later - instant
            for allowance in self.allowances
            for instant, later in zip(allowance.served, allowance.served[count:], strict=False)
            if begin <= instant and later < end
        ]
        return self.case.window * len(spans) / sum(spans) if spans else 0.0

    @property
    def refused(self) -> int:
        return sum(len(allowance.refused) for allowance in self.allowances)

    def cells(self) -> list[str]:
        sliding = max(allowance.worst_sliding() for allowance in self.allowances)
        fixed = max(allowance.worst_fixed() for allowance in self.allowances)
        shares = [f"{self.used:.1%}", f"{self.pace:.1%}"]
        return [str(self.case), str(self.allowed), str(self.served), *shares, *map(str, (self.refused, sliding, fixed))]


def pull(case: Case, port: int, quotas: Path, ready: Barrier) -> None:
    """One process of the pipeline: its threads read conversations until the time is over."""
    store = SqliteQuotaStore(quotas, longest_request=max(90 * case.scale, 2.0))
    api = client(case, port, store)
    day = datetime(2026, 11, 1, tzinfo=UTC)

    def work() -> None:
        while time.monotonic() < until:
            api.read(str(uuid.uuid4()), day, day + timedelta(days=1))

    ready.wait()
    until = time.monotonic() + case.seconds
    threads = [threading.Thread(target=work) for _ in range(case.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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
    # Every request reads another conversation. What is measured is the minute, so the half hour must have room.
    active = ACTIVE_CONVERSATIONS.with_count(ACTIVE_CONVERSATIONS.count * (case.users + 1)).scaled(case.scale)
    return ConversationData(users, store, "org", rate=CONVERSATION_DATA.scaled(case.scale), active=active)


@contextmanager
def gate(case: Case) -> Iterator[tuple[int, list[Allowance]]]:
    """A server in a process of its own: its port, and a list that holds what it saw once the block has ended."""
    here, there = SPAWN.Pipe()
    server = Gate(CONVERSATION_DATA.count, case.window, case.server, case.network)
    process = SPAWN.Process(target=run_gate, args=(server, there), daemon=True)
    process.start()
    seen: list[Allowance] = []
    yield here.recv(), seen
    here.send("stop")
    seen.extend(here.recv())
    process.join()


def measured(case: Case) -> Result:
    """Runs one case from an empty quota store on."""
    with tempfile.TemporaryDirectory() as folder:
        with gate(case) as (port, seen):
            ready = SPAWN.Barrier(case.processes)
            arguments = case, port, Path(folder) / "quotas.db", ready
            processes = [SPAWN.Process(target=pull, args=arguments) for _ in range(case.processes)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            if any(process.exitcode for process in processes):
                raise SystemExit("A pulling process failed, so there is no result; its error is above.")
        return Result(case, seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4, help="in each process")
    parser.add_argument("--users", type=int, default=3, help="execution users, 90 requests a window each")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of the server's window; 60 is true scale")
    parser.add_argument("--seconds", type=float, default=63.0, help="length of the pull")
    parser.add_argument("--server", choices=["fixed", "sliding", "both"], default="both")
    parser.add_argument("--network", choices=["calm", "jitter", "both"], default="both")
    options = parser.parse_args()
    if options.seconds < 3 * options.window:
        parser.error("--seconds must be three windows at least: the first is left out, and a pace needs two")

    servers = ["sliding", "fixed"] if options.server == "both" else [options.server]
    networks = ["calm", "jitter"] if options.network == "both" else [options.network]
    values = {name: getattr(options, name) for name in ("processes", "threads", "users", "window", "seconds")}
    print(f"{HEADINGS[0]:50}", *(f"{heading:>13}" for heading in HEADINGS[1:]))
    for server in servers:
        for network in networks:
            case, *cells = measured(Case(**values, server=server, network=network)).cells()
            print(f"{case:50}", *(f"{cell:>13}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
