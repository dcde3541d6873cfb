"""Curves of a report as SVG text that takes the page's own text colour and font, in light and in dark.

matplotlib draws; what it wrote is then freed of its fixed text colour. Text stays text, in whatever font the page has; but
measured widths hold for Latin only, so label names do not belong into these figures.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Row = Mapping[str, Any]

INK = "#010203"
"""Stands for the page's text colour until the SVG is written; no other part of a figure has it."""
FIRST, SECOND = "#2f7ed8", "#d9730d"
"""Blue and orange: told apart by every kind of colour vision, and readable on white and on near-black."""
SIZE_INCH = (4.6, 3.3)


def reliability_plot(before_temperature: Sequence[Row], after_temperature: Sequence[Row]) -> str:
    """Accuracy against confidence before and after the temperature; the diagonal is honesty."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.35, linewidth=1, linestyle="--")
        for name, rows, colour, marker in (
            ("before temperature", before_temperature, SECOND, "s"),
            ("after", after_temperature, FIRST, "o"),
        ):
            filled = [r for r in rows if r["items"]]
            most = max((r["items"] for r in filled), default=1)
            axes.plot(
                [r["confidence"] for r in filled],
                [r["accuracy"] for r in filled],
                color=colour,
                linewidth=1.2,
                label=name,
            )
            axes.scatter(
                [r["confidence"] for r in filled],
                [r["accuracy"] for r in filled],
                s=[12 + 60 * r["items"] / most for r in filled],
                color=colour,
                marker=marker,
            )
        axes.set_xlim(0.2, 1.02)
        axes.set_ylim(0, 1.04)
        axes.legend(loc="lower right")

    return _figure("reliability", "the model's confidence", "share that was right", draw)


def risk_plot(curve: Sequence[Row]) -> str:
    """Share of wrong ones among the most confident items."""

    def draw(axes: Any) -> None:
        x, y = [r["coverage"] for r in curve], [r["risk"] for r in curve]
        axes.plot(x, y, color=FIRST, linewidth=1.6)
        axes.fill_between(x, y, color=FIRST, alpha=0.15, linewidth=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, max(0.02, *y) * 1.1)

    return _figure("risk", "share of items sorted, the surest first", "of these wrong", draw)


def cost_plot(curve: Sequence[Row]) -> str:
    """Price of an item and share of items sorted, against the least confidence that is asked for."""

    def draw(axes: Any) -> None:
        x = [r["min_confidence"] for r in curve]
        axes.plot(x, [r["cost"] for r in curve], color=FIRST, linewidth=1.6, label="cost an item")
        axes.plot(x, [r["unsure"] for r in curve], color=SECOND, linewidth=1.2, linestyle="--", label="share unsure")
        axes.set_xlim(0.25, 1)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")

    return _figure("cost", "least confidence asked for", "cost, share", draw)


def _figure(name: str, x_label: str, y_label: str, draw: Callable[[Any], None]) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,  # equal figures are equal bytes, and the ids of two figures on a page differ
        "font.size": 9,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fonts: the page chooses its own
        figure = Figure(figsize=SIZE_INCH)
        figure.subplots_adjust(left=0.13, right=0.97, bottom=0.14, top=0.97)
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.grid(color=INK, alpha=0.12, linewidth=0.6)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue())


def _inline(svg: str) -> str:
    """The <svg> element alone, in the page's colour, as wide as its place, silent for screen readers (the caption speaks)."""
    body = svg[svg.index("<svg") :].replace(INK, "currentColor")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-hidden="true">{rest}'
