"""``make scenes``: score our detector on the scene suite, a line a condition on stderr and one JSON object on stdout.

Nothing here passes or fails: the figures are for reading, and for the benchmark beside those of the peers.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from bin_daemon.sim.suite.clips import EVERYDAY_FPS, clip, clips
from bin_daemon.sim.suite.conditions import CONDITIONS
from bin_daemon.sim.suite.idle import IDLE_FPS, idle_hour
from bin_daemon.sim.suite.write import write_clip
from tests.scenes.ours import watch
from tests.scenes.peers import report
from tests.scenes.score import Score, score
from tests.scenes.table import as_json, show

DATA = Path(os.environ.get("BIN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def main() -> int:
    """Returns the exit status."""
    chosen = _arguments()
    data = DATA if DATA.is_dir() else None
    if chosen.write:
        return _write(chosen, data)
    if chosen.peers:
        return _compare(chosen, data)
    started_s = time.monotonic()
    found = {name: Score() for name in chosen.condition or CONDITIONS}
    jobs = [(name, number) for name in found for number in range(_clips_of(name, chosen.slice))]
    judge = functools.partial(
        _judge, seed=chosen.seed, data=data, everyday=chosen.slice == "everyday", lid_reports=not chosen.no_lid_reports
    )
    with ProcessPoolExecutor(chosen.processes) as pool:
        for name, one in pool.map(judge, jobs):
            found[name].add(one)
        hours = pool.map(functools.partial(_judge_hour, seed=chosen.seed, data=data), range(chosen.idle_hours))
        idle = functools.reduce(_added, hours, Score())
    took_s = time.monotonic() - started_s
    if chosen.faults:
        for line in itertools.chain.from_iterable(s.faults for s in (*found.values(), idle)):
            sys.stderr.write(line + "\n")
    show(found, idle, chosen.idle_hours, took_s)
    values = as_json(found, idle, chosen.idle_hours, took_s, data=data is not None)
    sys.stdout.write(json.dumps(values, indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.scenes", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument(
        "--slice",
        choices=("everyday", "all"),
        default="all",
        help=f"everyday: one clip a condition at {EVERYDAY_FPS:.0f} frames a second at most; all: the whole suite (default)",
    )
    parser.add_argument(
        "--condition", action="append", choices=tuple(CONDITIONS), help="only this one; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, help="another suite of the same kind")
    parser.add_argument(
        "--write", type=Path, metavar="DIR", help="write the clips as AVI with their truth, score nothing"
    )
    parser.add_argument(
        "--idle-hours",
        type=int,
        default=0,
        metavar="N",
        help=f"and N hours of an empty tray at {IDLE_FPS:.0f} frames a second",
    )
    parser.add_argument(
        "--no-lid-reports", action="store_true", help="tell the detector nothing of the lids, as replay does"
    )
    parser.add_argument("--faults", action="store_true", help="one line for each miss and each false outcome")
    parser.add_argument("--peers", action="store_true", help="beside the peers: rendered in full, on one processor")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="default: 2")
    return parser.parse_args()


def _clips_of(condition: str, slice_: str) -> int:
    return CONDITIONS[condition].clips if slice_ == "all" else 1


def _judge(
    job: tuple[str, int], *, seed: int, data: Path | None, everyday: bool, lid_reports: bool
) -> tuple[str, Score]:
    name, number = job
    one = clip(name, seed * 1000 + number, data=data, everyday=everyday)
    return name, score(one, watch(one, lid_reports=lid_reports))


def _judge_hour(hour: int, *, seed: int, data: Path | None) -> Score:
    one = idle_hour(hour, seed=seed, data=data)
    return score(one, watch(one))


def _added(total: Score, one: Score) -> Score:
    total.add(one)
    return total


def _compare(chosen: argparse.Namespace, data: Path | None) -> int:
    conditions, everyday = chosen.condition or CONDITIONS, chosen.slice == "everyday"
    found = report.compare(conditions, data=data, everyday=everyday, seed=chosen.seed)
    Console(stderr=True, width=170).print(report.table(found))
    sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    return 0


def _write(chosen: argparse.Namespace, data: Path | None) -> int:
    for one in clips(chosen.slice, data=data, seed=chosen.seed, only=chosen.condition or ()):
        sys.stderr.write(f"{write_clip(one, chosen.write)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
