"""The scores as a table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tests.scenes.score import Score

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = (
    "condition",
    "clips",
    "items",
    "recall",
    "precision",
    "double",
    "latency s",
    "box IoU",
    "notices",
    "false notices",
)


def show(found: Mapping[str, Score], idle: Score, idle_hours: int, took_s: float) -> None:
    """Print the table on stderr."""
    table = Table(*COLUMNS)
    for name, one in (*found.items(), ("all", total(found))):
        table.add_row(name, *_cells(one), end_section=name == list(found)[-1])
    console = Console(stderr=True, width=140)
    console.print(table)
    if idle_hours:
        console.print(f"{idle_hours} h of an empty tray: {idle.false} false placements, notices {_notices(idle)}")
    console.print(f"{took_s:.0f} s")


def as_json(found: Mapping[str, Score], idle: Score, idle_hours: int, took_s: float, *, data: bool) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "photographs": "shared" if data else "stamps or drawn",
        "took_s": round(took_s, 1),
        "conditions": {name: _values(one) for name, one in found.items()},
        "all": _values(total(found)),
        "idle": {"hours": idle_hours, "false_placements": idle.false, "false_notices": idle.false_notices},
    }


def total(found: Mapping[str, Score]) -> Score:
    """All conditions together."""
    result = Score()
    for one in found.values():
        result.add(one)
    return result


def _values(one: Score) -> dict[str, Any]:
    return {
        "clips": one.clips,
        "items": one.items,
        "recall": round(one.recall, 4),
        "precision": round(one.precision, 4),
        "false": one.false,
        "doubles": one.doubles,
        "wrong_kind": one.wrong_kind,
        "latency_s": round(statistics.median(one.latencies_s), 3) if one.latencies_s else None,
        "latency_p95_s": round(quantile(one.latencies_s, 0.95), 3) if one.latencies_s else None,
        "box_iou": round(statistics.median(one.overlaps), 3) if one.overlaps else None,
        "notices": one.notices,
        "noticed": one.noticed,
        "false_notices": one.false_notices,
    }


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _cells(one: Score) -> list[str]:
    latency = (
        f"{statistics.median(one.latencies_s):.2f} / {quantile(one.latencies_s, 0.95):.2f}" if one.latencies_s else ""
    )
    return [
        str(one.clips),
        str(one.items),
        f"{one.recall:.3f}",
        f"{one.precision:.3f}",
        str(one.doubles or ""),
        latency,
        f"{statistics.median(one.overlaps):.2f}" if one.overlaps else "",
        f"{one.noticed}/{one.notices}" if one.notices else "",
        _notices(one),
    ]


def _notices(one: Score) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(one.false_notices.items()))
