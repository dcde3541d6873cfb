"""Metrics as tables for a terminal: what a technician wants to know at a glance. Everything else is in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bin_daemon.domain import Category

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bin_daemon.training.evaluation import Evaluation
    from bin_daemon.training.metrics import CategoryMetrics
    from bin_daemon.training.screen import Screen
    from bin_daemon.training.sorting import Sorted

BAD_SHOWN = 5
"""Unreadable pictures told by name; the rest are counted."""


def tables(title: str, metrics: CategoryMetrics, done: Sorted | None = None) -> RenderableType:
    """Confusion with recall and precision, and purity of the lids where items were ``done``; risk-coverage; numbers."""
    return Group(_confusion(title, metrics, done), _coverage(metrics), _numbers(metrics))


def tell(found: Evaluation, screen: Screen) -> None:
    """Show an evaluation to a person and record it for a script."""
    where = f"{found.split}, items laid on trays" if found.trays else found.split
    screen.show(tables(f"{found.model_id} on {where}", found.metrics, found.judged.sorted))
    for line in _lines(found):
        screen.show(Text(line))
    for line in found.bad[:BAD_SHOWN]:
        screen.show(Text(f"left out: {line}"))
    if len(found.bad) > BAD_SHOWN:
        screen.show(Text(f"left out: {len(found.bad) - BAD_SHOWN} more"))
    screen.record("evaluation", found.to_json())


def _lines(found: Evaluation) -> list[str]:
    done = found.judged.sorted
    lines = [
        f"calibration error without temperature {found.bundle.metadata.temperature:g}: {found.ece_before_temperature:.3f}",
        (
            f"policy: sure of {percent(done.sure_frac)}, of these wrong {percent(done.wrong_of_sure)}; "
            f"cost {done.price.mean():.3f} an item"
        ),
    ]
    if found.fine is not None:
        macro = found.fine.macro(seen_only=True)
        lines.append(
            f"fine labels ({found.labels_shared} shared by {found.matched_by}, {found.fine_items} items): "
            f"top-1 {percent(found.top1)}, top-5 {percent(found.top5)}, macro F1 {macro['f1']:.3f}"
        )
    else:
        lines.append("fine labels: model and data set share none, so only categories were measured")
    if found.strange is not None and found.strange.known is not None:
        lines.append(f"unfamiliar: {percent(found.strange.flagged)} of these items")
    if found.strange is not None and (other := found.strange.unfamiliar) is not None:
        flagged = "" if other.flagged is None else f", flagged {percent(other.flagged)}"
        areas = ", ".join(f"AUROC {v:.3f} by {k}" for k, v in other.auroc.items())
        lines.append(f"strange pictures ({other.items}): {areas}{flagged}")
    if found.frames is not None:
        frames = found.frames
        lines.append(
            f"several frames ({frames.kind}, {frames.frames} pictures of {frames.items} items): "
            f"{percent(frames.single_accuracy)} singly, "
            f"{percent(frames.averaged_accuracy)} averaged, agreement {percent(frames.agreement)}"
        )
    return lines


def _confusion(title: str, metrics: CategoryMetrics, done: Sorted | None) -> Table:
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
    if done is not None:
        table.add_row("lid purity", *(percent(done.purity(c)) for c in Category), "")
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
