"""What people throw in, and how it looks: cut-outs of photographs, dressed as something hard to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.compose import as_card
from bin_daemon.sim.suite.actors import SOLID_ALPHA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from bin_daemon.domain import Image
    from bin_daemon.sim.photos import Photo

SHORT_CM = 30.0
"""The picture's short side shows so much of the tray: a deep tray seen by a wide lens."""
CARD_FRAC = 0.93
"""A picture that fills its own box by more than this is a whole photograph laid as a card, not a cut-out."""
PAPER_GREY = 40
"""A sheet of paper is at least so many grey levels lighter or darker than the tray."""
DISC_SLIM = 0.83
DISC_TOLERANCE = 0.07
"""A disc fills pi / 4 of its box; what is this near to it may roll."""
BODY_FRAC = 0.5
"""A thing has a body when it is this wide, and fills its box this much."""


@dataclass(frozen=True, slots=True)
class Look:
    """A way to be hard to see."""

    long_cm: tuple[float, float]
    """Long side of the item."""
    shadow: float = 0.5
    """Darkness of the contact shadow, 0..1."""
    dress: Callable[[Image, NDArray[np.float32], np.random.Generator], Image] | None = None
    """Changes an item's picture (RGBA); is told the tray's colour (RGB)."""


def _flat(rgba: Image, tray_rgb: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A sheet of paper: hardly any shade of its own."""
    height, width = int(rng.integers(180, 260)), int(rng.integers(200, 360))
    paper = np.full((height, width, 3), rng.uniform(205, 240) + rng.uniform(-8, 8, 3), np.float32)
    paper -= np.abs(np.asarray(cv2.resize(rng.standard_normal((4, 5), np.float32), (width, height))))[..., None] * 5
    inner = cv2.resize(rgba[..., :3], (width // 3, height // 3), interpolation=cv2.INTER_AREA)
    top, left = height // 5, width // 6
    paper[top : top + inner.shape[0], left : left + inner.shape[1]] = 0.5 * inner + 0.5 * paper.mean()
    if float(paper.mean() - tray_rgb.mean()) < PAPER_GREY:  # else it is tray-coloured, another look
        paper *= (float(tray_rgb.mean()) - PAPER_GREY) / float(paper.mean())
    return as_card(np.clip(paper, 0, 255).astype(np.uint8))


def _transparent(rgba: Image, tray_rgb: NDArray[np.float32], rng: np.random.Generator) -> Image:  # noqa: ARG001 - see `Look`
    """A cup or bag of clear plastic: a rim that bends the light, a few gleams, and little else."""
    solid = np.pad((rgba[..., 3] >= SOLID_ALPHA).astype(np.uint8), 1)
    depth = np.asarray(cv2.distanceTransform(solid, cv2.DIST_L2, 3), np.float32)[1:-1, 1:-1]
    size = float(max(rgba.shape[:2]))
    rim = np.exp(-depth / (0.02 * size))
    clear = np.array(rgba, np.uint8)
    light = np.asarray(cv2.resize(rng.standard_normal((6, 6), np.float32), rgba.shape[1::-1]), np.float32)
    gleam = np.clip((light - 0.9) * 1.5, 0, 1)
    grey = 70 + 90 * (1 - rim) + 185 * gleam
    clear[..., :3] = np.clip(0.15 * rgba[..., :3] + 0.85 * grey[..., None], 0, 255).astype(np.uint8)
    inside = rgba[..., 3] >= SOLID_ALPHA
    alpha = np.clip(0.18 + 0.5 * rim + 0.6 * gleam, 0, 1) * inside
    clear[..., 3] = (alpha * 255).astype(np.uint8)
    return clear


def _tray_coloured(rgba: Image, tray_rgb: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """The tray's own colour: what is left is the item's relief and its shadow."""
    inside = rgba[..., 3] >= SOLID_ALPHA
    colours = rgba[..., :3].astype(np.float32)
    relief = colours - colours[inside].mean(axis=0)
    depth = np.asarray(cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3), np.float32)[
        1:-1, 1:-1
    ]
    edge = np.exp(-depth / (0.04 * max(rgba.shape[:2])))
    own = tray_rgb * float(rng.choice((0.9, 1.1))) + 0.3 * relief - 22 * edge[..., None]
    return np.dstack((np.clip(own, 0, 255).astype(np.uint8), rgba[..., 3]))


def _shiny(rgba: Image, tray_rgb: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Polished metal: mirrors the tray, with spots of the lamp that no sensor can hold."""
    grey = rgba[..., :3].mean(axis=2, keepdims=True).astype(np.float32)
    streaks = np.asarray(cv2.resize(rng.standard_normal((9, 3), np.float32), rgba.shape[1::-1]), np.float32)[..., None]
    metal = 0.5 * grey + 0.5 * tray_rgb + 38 * streaks
    lamp = np.asarray(cv2.resize(rng.standard_normal((7, 7), np.float32), rgba.shape[1::-1]), np.float32)[..., None]
    metal += 400 * np.clip(lamp - 1.2, 0, 1)
    return np.dstack((np.clip(metal, 0, 255).astype(np.uint8), rgba[..., 3]))


LOOKS: dict[str, Look] = {
    "plain": Look((6, 14)),
    "small": Look((2.0, 3.0), shadow=0.35),
    "flat": Look((8, 15), shadow=0.12, dress=_flat),
    "transparent": Look((8, 14), shadow=0.15, dress=_transparent),
    "tray_coloured": Look((6, 14), shadow=0.4, dress=_tray_coloured),
    "shiny": Look((6, 14), shadow=0.4, dress=_shiny),
    "round": Look((4, 8)),
}


@dataclass(frozen=True, slots=True)
class Photos:
    """What may be thrown in, sorted by what it is fit for. Made once: looking at each outline takes half a second."""

    all: tuple[Photo, ...]
    """One item's own outline each: neither a whole photograph as a card, nor two batteries side by side."""
    rolling: tuple[Photo, ...]
    """As long as wide, and filling their box as a disc does."""
    bodies: tuple[Photo, ...]
    """Neither slender nor full of gaps."""

    def fit_for(self, look: str) -> tuple[Photo, ...]:
        """Those that may have this look."""
        return {"round": self.rolling, "small": self.bodies, "transparent": self.bodies}.get(look, self.all)


def sort_photos(photos: Iterable[Photo]) -> Photos:
    """Where none is fit for a look, all are."""
    single = tuple(p for p in photos if _filled(p.rgba) < CARD_FRAC and _is_one(p.rgba))
    slim = {p.name: min(p.rgba.shape[:2]) / max(p.rgba.shape[:2]) for p in single}
    rolling = tuple(p for p in single if slim[p.name] > DISC_SLIM and abs(_filled(p.rgba) - np.pi / 4) < DISC_TOLERANCE)
    bodies = tuple(p for p in single if slim[p.name] > BODY_FRAC and _filled(p.rgba) > BODY_FRAC)
    return Photos(single, rolling or single, bodies or single)


def _is_one(rgba: Image) -> bool:
    solid = (rgba[..., 3] >= SOLID_ALPHA).astype(np.uint8)
    number, _, stats, _ = cv2.connectedComponentsWithStats(solid)
    areas = np.sort(np.asarray(stats)[1:number, cv2.CC_STAT_AREA])
    return len(areas) == 1 or bool(areas[-2] < 0.02 * areas[-1])


def _filled(rgba: Image) -> float:
    solid = (rgba[..., 3] >= SOLID_ALPHA).astype(np.uint8)
    _, _, w, h = cv2.boundingRect(solid)
    return cv2.countNonZero(solid) / max(1, w * h)


def stain(rng: np.random.Generator, length_px: int, depth: float) -> Image:
    """A splash with drops around: uint8, 255 where the tray stays as it is; ``depth`` is how much light it takes."""
    size = max(8, length_px)
    rough = np.asarray(cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), size / 9), np.float32)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    shape = rough / max(float(np.abs(rough).max()), 1e-6) * 0.6 + 0.55 - np.hypot(x, y)
    inside = 1 / (1 + np.exp(np.clip(-shape / 0.03, -30, 30)))
    return np.asarray(255 * (1 - depth * inside), np.float32).astype(np.uint8)
