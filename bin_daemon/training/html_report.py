"""The report as one HTML page that needs nothing else: no script, no address. More pictures do not make it larger."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from bin_daemon.errors import ModelError
from bin_daemon.model.picture import read_picture
from bin_daemon.training.metrics import CATEGORIES
from bin_daemon.training.plots import cost_plot, reliability_plot, risk_plot
from bin_daemon.training.sorting import KEPT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.training.evaluation import Evaluation

TEMPLATE = "report.html.jinja"
MISTAKES = 24
THUMB_PX = 176
WORST_CLASSES = 20
BAD_SHOWN = 50
MAP_PX = 530
"""Side of the picture of a fine confusion matrix."""
RGB = (47, 126, 216)
"""The page's accent colour."""
FEW_LABELS = 5
"""Below this a map of the confusion matrix shows nothing that the table does not."""

REASONS = {
    "sorted": "the item's own lid opens",
    "diverted": "its own lids cannot take it: other does",
    "unsure_model": "the model could not say",
    "unsure_invalid": "the probabilities are no probabilities",
    "unsure_unfamiliar": "unsure: looks like nothing the model knows",
    "unsure_probability": "unsure: below policy.min_probability of its category",
    "unsure_margin": "unsure: too close to another category (policy.min_margin)",
    "multi_item": "several items at once: one at a time (policy.multi_item)",
    "no_lid": "no lid is configured for it",
}


def page(report: dict[str, JsonValue], found: Evaluation) -> str:
    """``report`` is ``found.to_json()``; the same input gives the same page, byte for byte."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(pct=_percent, num=_number, zip_with=zip, least_cost=_least_cost)
    template = environment.from_string(files("bin_daemon.training").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    r: dict[str, Any] = report
    return (
        template.render(
            r=r,
            categories=[c.value for c in CATEGORIES],
            reasons=REASONS,
            reliability=_drawn(reliability_plot(**r["reliability"])),
            risk=_drawn(risk_plot(r["risk_coverage_curve"])),
            cost=_drawn(cost_plot(r["cost_curve"])),
            worst=_worst_classes(r),
            map=_confusion_map(found),
            mistakes=_mistakes(found),
            bad=r["unreadable"][:BAD_SHOWN],
        )
        + "\n"
    )


def _drawn(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - our own drawing, of numbers alone


def worst_mistakes(found: Evaluation, count: int = MISTAKES) -> list[int]:
    """Places of the worst mistakes: those that cost most, those that would have but for doubt, then the surest."""
    judged = found.judged
    paid, said = judged.sorted.price, found.cost[judged.truth, judged.sums.argmax(1)]
    order = np.lexsort((-judged.sums.max(1), -said, -paid))
    return [int(i) for i in order if paid[i] > 0 or not judged.correct[i]][:count]


def _mistakes(found: Evaluation) -> list[dict[str, Any]]:
    judged, shown = found.judged, []
    glosses = {x.label: x.gloss for x in found.labels}
    for i in worst_mistakes(found):
        lid, said = int(judged.sorted.lid[i]), int(judged.sums[i].argmax())
        shown.append(
            {
                "file": f"{judged.pictures[i].path.parent.name}/{judged.pictures[i].path.name}",
                "thumb": _thumbnail(judged.pictures[i].path),
                "truth": judged.names[i],
                "truth_gloss": glosses.get(judged.names[i], ""),
                "truth_category": CATEGORIES[int(judged.truth[i])].value,
                "said": found.labels[int(judged.said[i])].label,
                "gloss": found.labels[int(judged.said[i])].gloss,
                "said_share": float(judged.share[i]),
                "said_category": CATEGORIES[said].value,
                "sure": float(judged.sums[i, said]),
                "lid": "" if lid == KEPT else CATEGORIES[lid].value,
                "unsure": bool(judged.sorted.unsure[i]),
                "price": float(judged.sorted.price[i]),
            }
        )
    return shown


def _thumbnail(file: Path) -> str:
    """A small JPEG as a data address; '' when the file is gone by now."""
    try:
        picture = read_picture(file)
    except ModelError:
        return ""
    picture.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.BICUBIC)
    return _data(picture, "JPEG", quality=72)


def _worst_classes(r: dict[str, Any]) -> list[dict[str, Any]]:
    """The classes with the lowest F1 among those that occur; the more frequent one first where they tie."""
    classes = [c for c in r["fine"]["classes"] if c["support"]] if r["fine"] else []
    return sorted(classes, key=lambda c: (c["f1"], -c["support"], c["index"]))[:WORST_CLASSES]


def _confusion_map(found: Evaluation) -> str:
    """All fine labels by category: one dot a pair, darker where more of the row's pictures went; lines part categories."""
    if found.fine is None or len(found.labels) < FEW_LABELS:
        return ""
    places = [CATEGORIES.index(x.category) for x in found.labels]
    order = np.argsort(places, kind="stable")
    table = found.fine.confusion[np.ix_(order, order)]
    share = np.sqrt(table / np.maximum(table.sum(1, keepdims=True), 1))  # the root lets single mistakes show
    scale = max(1, MAP_PX // len(order))
    alpha = np.kron(np.rint(share * 255).astype(np.uint8), np.ones((scale, scale), np.uint8))
    return _data(Image.fromarray(_with_lines(alpha, np.sort(places), scale), "RGBA"), "PNG", optimize=True)


def _with_lines(alpha: NDArray[np.uint8], places: NDArray[np.int64], scale: int) -> NDArray[np.uint8]:
    image = np.empty((*alpha.shape, 4), np.uint8)
    image[..., :3], image[..., 3] = RGB, alpha
    for edge in np.flatnonzero(np.diff(places)) + 1:
        for line in (image[edge * scale, :], image[:, edge * scale]):
            line[:] = (128, 128, 128, 160)
    return image


def _data(picture: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _least_cost(curve: list[dict[str, float]]) -> str:
    """The confidence at which an item costs least, in words."""
    best = min(curve, key=lambda p: (p["cost"], p["min_confidence"]))
    return f"confidence {best['min_confidence']:g}: {best['cost']:.3f} an item, {best['unsure']:.0%} of items unsure"


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{share:.{digits}%}"  # noqa: RUF001 - a dash in its place


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001 - a dash in its place
