"""Placements: our detector beside a frame-difference poller, OpenCV's MOG2 and Frigate's motion algorithm on the same clips.

Each peer has our settle time and our lid reports, and a rule that says each item once (`tests.scenes.peers.settling`). Their main
parameters were tuned on seed 1 of the everyday slice; seed 0 is reported. A clip is rendered once for all.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bin_daemon.sim.suite.conditions import CONDITIONS
from tests.benchmarks.figures import Figure
from tests.scenes.__main__ import DATA
from tests.scenes.peers.report import NAMES, Found, compare, markdown, table
from tests.scenes.peers.tee import OURS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.table import Table

    from tests.scenes.score import Score


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of the suite."""

    conditions: tuple[str, ...] = tuple(CONDITIONS)
    everyday: bool = True
    every: int = 1
    """Of the whole suite: each so-many-th clip of a condition."""
    idle_s: float = 0.0
    """Of each of 24 hours of an empty tray."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much is measured, on the command line."""
    parser.add_argument("--slice", choices=("everyday", "all"), default="everyday", help="peers: which clips")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="peers: of --slice all, each N-th clip")
    parser.add_argument(
        "--idle-s",
        type=float,
        default=0.0,
        metavar="S",
        help="peers: and S seconds of each of 24 hours of an empty tray",
    )


def effort_of(arguments: argparse.Namespace) -> Effort:
    """What was asked for."""
    return Effort(everyday=arguments.slice == "everyday", every=arguments.every, idle_s=arguments.idle_s)


def measure(effort: Effort) -> tuple[list[Figure], dict[str, Any], Table]:
    """A few figures, all values with the table in Markdown, and the table for a terminal."""
    data = DATA if DATA.is_dir() else None
    found = compare(effort.conditions, data=data, everyday=effort.everyday, every=effort.every, idle_s=effort.idle_s)
    return figures(found), {**found.as_json(), "markdown": markdown(found)}, table(found)


def figures(found: Found) -> list[Figure]:
    """Ours beside each peer: items missed, placements that were wrong, median latency."""
    totals, made = found.totals(), []
    ours = totals[OURS]
    for name in NAMES[1:]:
        theirs = totals[name]
        made += [
            _beside("items missed", "%", (_missed(ours), _missed(theirs)), ours.items, name),
            _beside("wrong placements", "an item", (_wrong(ours), _wrong(theirs)), ours.items, name),
        ]
        if ours.latencies_s and theirs.latencies_s:
            both = statistics.median(ours.latencies_s), statistics.median(theirs.latencies_s)
            made.append(_beside("from rest to decision", "s", both, len(ours.latencies_s), name))
    if found.idle_s:
        per_day = 24 * 3600 / found.idle_s
        made += [
            _beside("wrong placements, empty tray", "in 24 h", _idle(found, name, per_day), round(found.idle_s), name)
            for name in NAMES[1:]
        ]
    return made


def _beside(name: str, unit: str, values: Sequence[float], n: int, peer: str) -> Figure:
    ours, theirs = values
    return Figure(name, unit, ours, n, peer, theirs, ours / theirs if theirs else None, "< 1")


def _missed(one: Score) -> float:
    return 100 * (1 - one.recall)


def _wrong(one: Score) -> float:
    return one.false / max(1, one.items)


def _idle(found: Found, name: str, per_day: float) -> tuple[float, float]:
    return found.idle[OURS].false * per_day, found.idle[name].false * per_day
