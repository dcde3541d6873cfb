"""Ours and the peers on the same clips: the counts, and one table of them for a terminal or for Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bin_daemon.sim.suite.clips import clip
from bin_daemon.sim.suite.conditions import CONDITIONS
from bin_daemon.sim.suite.idle import idle_hour
from tests.scenes.peers.tee import OURS, peers, watch_all
from tests.scenes.score import Score, score
from tests.scenes.table import quantile, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NAMES = (OURS, *peers())
HOURS_A_DAY = 24


@dataclass
class Found:
    """Scores by name and condition, and those of an empty tray by name."""

    conditions: dict[str, dict[str, Score]] = field(default_factory=lambda: {name: {} for name in NAMES})
    idle: dict[str, Score] = field(default_factory=lambda: {name: Score() for name in NAMES})
    idle_s: float = 0.0

    def add(self, condition: str, scores: dict[str, Score]) -> None:
        """Count one clip's scores in."""
        for name, one in scores.items():
            self.conditions[name].setdefault(condition, Score()).add(one)

    def add_idle(self, length_s: float, scores: dict[str, Score]) -> None:
        """Count some time of an empty tray in."""
        self.idle_s += length_s
        for name, one in scores.items():
            self.idle[name].add(one)

    def totals(self) -> dict[str, Score]:
        """All conditions together, by name."""
        return {name: total(scores) for name, scores in self.conditions.items()}

    def not_better(self) -> list[str]:
        """Where a peer has both recall and precision no worse than ours: a line for each condition."""
        lines = []
        for condition, ours in self.conditions[OURS].items():
            for name in NAMES[1:]:
                theirs = self.conditions[name][condition]
                if theirs.recall >= ours.recall and theirs.precision >= ours.precision:
                    same = (theirs.recall, theirs.precision) == (ours.recall, ours.precision)
                    lines.append(f"{condition}: {name} is {'equal' if same else 'better'}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "conditions": {
                condition: {name: _values(self.conditions[name][condition]) for name in NAMES}
                for condition in self.conditions[OURS]
            },
            "all": {name: _values(one) for name, one in self.totals().items()},
            "idle": {
                "hours": round(self.idle_s / 3600, 3),
                "false_placements": {name: one.false for name, one in self.idle.items()},
            },
            "not_better": self.not_better(),
        }


def compare_clip(condition: str, seed: int, *, data: Path | None = None, everyday: bool = True) -> dict[str, Score]:
    """The scores of ours and of each peer on one clip."""
    one = clip(condition, seed, data=data, everyday=everyday)
    return {name: score(one, said) for name, said in watch_all(one).items()}


def compare(
    conditions: Iterable[str] = CONDITIONS,
    *,
    data: Path | None = None,
    everyday: bool = True,
    seed: int = 0,
    every: int = 1,
    idle_s: float = 0.0,
) -> Found:
    """Score all on the clips of a slice, of the whole suite each ``every``-th; and on ``idle_s`` of each hour of an empty day."""
    found = Found()
    for condition in conditions:
        for number in range(0, 1 if everyday else CONDITIONS[condition].clips, every):
            found.add(condition, compare_clip(condition, seed * 1000 + number, data=data, everyday=everyday))
    for hour in range(HOURS_A_DAY if idle_s else 0):
        one = idle_hour(hour, seed=seed, data=data, length_s=idle_s)
        found.add_idle(idle_s, {name: score(one, said) for name, said in watch_all(one).items()})
    return found


def rows(found: Found) -> list[list[str]]:
    """Heading, a row for each condition, all, and the empty tray: cells of text."""
    heading = ["condition", "clips", "items"]
    for name in NAMES:
        heading += [f"{name}: recall", "precision", "latency s"]
    lines = [heading]
    for condition in (*found.conditions[OURS], "all"):
        scores = {
            name: found.totals()[name] if condition == "all" else found.conditions[name][condition] for name in NAMES
        }
        cells = [condition, str(scores[OURS].clips), str(scores[OURS].items)]
        for one in scores.values():
            cells += [f"{one.recall:.3f}", f"{one.precision:.3f}", _latency(one)]
        lines.append(cells)
    if found.idle_s:
        cells = [f"false in {found.idle_s / 3600:.1f} h idle", str(found.idle[OURS].clips), "0"]
        for one in found.idle.values():
            cells += [str(one.false), "", ""]
        lines.append(cells)
    return lines


def markdown(found: Found) -> str:
    """The table for a README."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows(found)]
    aligned = "|".join(["---"] + ["--:"] * (len(rows(found)[0]) - 1))
    return "\n".join([lines[0], f"|{aligned}|", *lines[1:]]) + "\n"


def table(found: Found) -> Table:
    """The table for a terminal."""
    heading, *lines = rows(found)
    made = Table(
        *heading, title="Placements: ours and peers on the same clips; latency from rest to decision, median / p95"
    )
    for cells in lines:
        made.add_row(*cells)
    return made


def _latency(one: Score) -> str:
    if not one.latencies_s:
        return "-"
    return f"{statistics.median(one.latencies_s):.2f} / {quantile(one.latencies_s, 0.95):.2f}"


def _values(one: Score) -> dict[str, Any]:
    values: Sequence[float] = one.latencies_s
    return {
        "clips": one.clips,
        "items": one.items,
        "recall": round(one.recall, 4),
        "precision": round(one.precision, 4),
        "false": one.false,
        "latency_s": round(statistics.median(values), 3) if values else None,
        "latency_p95_s": round(quantile(list(values), 0.95), 3) if values else None,
    }
