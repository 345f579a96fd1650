"""`python -m conversation_pipeline.simulator`: a simulated org in a process of its own."""

from __future__ import annotations

import argparse
from datetime import date, datetime
from pathlib import Path

from conversation_pipeline.simulator.server import Simulator


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted; the URL goes to standard output and, if asked, into a file."""
    options = _parser().parse_args(arguments)
    simulator = Simulator(options.seed, options.first_day, options.conversations_per_day, options.now)

    def ready(url: str) -> None:
        print(url, flush=True)
        if options.ready_file is not None:
            # Written beside and renamed: who waits for the file never reads half a URL.
            beside = options.ready_file.with_name(options.ready_file.name + ".part")
            beside.write_text(url)
            beside.replace(options.ready_file)

    simulator.build().run(options.port, ready)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conversation_pipeline.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=7, help="what the world is drawn from")
    parser.add_argument("--first-day", type=date.fromisoformat, help="first complete UTC day; default 14 days ago")
    parser.add_argument("--now", type=_instant, help="where the org's clock stands, with time zone; default real time")
    parser.add_argument("--conversations-per-day", type=int, default=50, help="on a usual working day")
    parser.add_argument("--ready-file", type=Path, help="gets the URL once the org answers")
    return parser


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError("give a time zone, such as 2026-11-20T12:00:00Z")
    return instant


if __name__ == "__main__":
    main()
