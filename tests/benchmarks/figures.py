"""What a measurement gives: one figure of ours, mostly beside a peer's that was taken in turns with it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians of ``n`` runs. ``ratio`` is ours / peer, None without a peer; ``aim`` is what we want, for people."""

    name: str
    unit: str
    ours: float
    n: int
    peer_name: str = ""
    peer: float | None = None
    ratio: float | None = None
    aim: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the JSON object: four significant digits, for more were not measured."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def alone(name: str, unit: str, ours: Sequence[float], *, aim: str = "") -> Figure:
    """A figure that has no peer."""
    return Figure(name, unit, statistics.median(ours), len(ours), aim=aim)


def paired(
    name: str, unit: str, ours: Sequence[float], peer: Sequence[float], *, against: str, aim: str = ""
) -> Figure:
    """Two series taken in turns. The ratio is the median of the pairs' ratios: what slowed a moment, slowed both."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return Figure(
        name, unit, statistics.median(ours), len(ours), against, statistics.median(peer), statistics.median(ratios), aim
    )


def in_turns(rounds: int, runs: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Call every run once a round, each round beginning with another one."""
    names, found = list(runs), {name: [] for name in runs}  # type: tuple[list[str], dict[str, list[float]]]
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            found[name].append(runs[name]())
    return found


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
