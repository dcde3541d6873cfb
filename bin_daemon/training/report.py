"""Metrics as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bin_daemon.domain import Category

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bin_daemon.training.metrics import CategoryMetrics


def tables(title: str, metrics: CategoryMetrics) -> RenderableType:
    """Confusion with recall and precision, then risk-coverage, then the single numbers."""
    return Group(_confusion(title, metrics), _coverage(metrics), _numbers(metrics))


def _confusion(title: str, metrics: CategoryMetrics) -> Table:
    table = Table(title=Text(title), title_justify="left", caption="row: what it is, column: what the model said")
    table.add_column("")
    for category in Category:
        table.add_column(category.value, justify="right")
    table.add_column("recall", justify="right")
    for row, category in enumerate(Category):
        counts = [Text(str(n), "bold" if row == column else "") for column, n in enumerate(metrics.confusion[row])]
        table.add_row(category.value, *counts, percent(metrics.recall[category]))
    table.add_section()
    table.add_row("precision", *(percent(metrics.precision[c]) for c in Category), "")
    return table


def _coverage(metrics: CategoryMetrics) -> Table:
    table = Table(
        "confidence at least", "items sorted", "of these wrong", title="Risk and coverage", title_justify="left"
    )
    for least, coverage, risk in metrics.risk_coverage:
        table.add_row(f"{least:.2f}", percent(coverage), percent(risk))
    return table


def _numbers(metrics: CategoryMetrics) -> Text:
    cost = "" if metrics.cost is None else f", cost {metrics.cost:.3f} an item"
    return Text(
        f"category accuracy {metrics.accuracy:.1%} of {metrics.count} items, macro recall {metrics.macro_recall:.1%}, "
        f"calibration error {metrics.ece:.3f}{cost}"
    )


def percent(share: float | None) -> str:
    """A share as text; '-' where there is none."""
    return "-" if share is None else f"{share:.1%}"
