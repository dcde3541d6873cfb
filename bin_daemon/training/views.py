"""What a frozen network is shown of each training photograph: as it is, altered as a camera would, and laid on trays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.training.cutout import cut_out_any, ellipse

if TYPE_CHECKING:
    from bin_daemon.domain import Image

SIDE_PX = 256
"""Composed scenes are made at this size, square: what the runtime's crop around a placed item is resized to."""
BLIND_CUT_SHARE = 0.15
"""Share of scenes whose item is cut by an ellipse whatever its outline: else a round edge would come to mean "fruit"."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """How many views of each photograph; the first is always the photograph itself."""

    altered: int = 1
    random_trays: int = 2
    bin_trays: int = 10

    @property
    def count(self) -> int:
        """Views of one photograph."""
        return 1 + self.altered + self.random_trays + self.bin_trays


def views(bgr: Image, plan: ViewPlan, rng: np.random.Generator) -> list[Image]:
    """``plan.count`` pictures of one photograph, uint8 BGR, sizes vary; photographs first, trays last."""
    from bin_daemon.training.trays import lay

    shown = [bgr]
    shown += [altered(bgr, rng) for _ in range(plan.altered)]
    if plan.random_trays + plan.bin_trays:
        item, blind = cut_out_any(bgr), ellipse(bgr)
        chosen = [blind if rng.random() < BLIND_CUT_SHARE else item for _ in range(plan.random_trays + plan.bin_trays)]
        shown += [lay(x, rng, SIDE_PX) for x in chosen[: plan.random_trays]]
        shown += [on_bin_tray(x, rng) for x in chosen[plan.random_trays :]]
    return shown


def on_bin_tray(item: Image, rng: np.random.Generator) -> Image:
    """A cut-out (RGBA) on a tray of the simulated bin, uint8, SIDE_PX square, BGR."""
    from bin_daemon.sim.compose import compose_on_tray

    return compose_on_tray(item, rng, (SIDE_PX, SIDE_PX))


def altered(bgr: Image, rng: np.random.Generator) -> Image:
    """Crop, mirror, quarter turn, light and sharpness changed at random: the same item on another day."""
    import cv2

    height, width = bgr.shape[:2]
    scale = float(np.sqrt(rng.uniform(0.45, 1.0)))
    h, w = max(8, round(height * scale)), max(8, round(width * scale))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    crop = bgr[top : top + h, left : left + w]
    if rng.random() < 0.5:  # noqa: PLR2004 - a fair coin
        crop = crop[:, ::-1]
    crop = np.rot90(crop, int(rng.integers(0, 4)))
    lit = crop.astype(np.float32) * rng.uniform(0.7, 1.25) * rng.normal(1, 0.05, 3)
    lit += float(rng.uniform(-15, 15))
    soft = cv2.GaussianBlur(np.ascontiguousarray(lit), (0, 0), float(rng.uniform(0.1, 1.2)))
    return np.clip(soft, 0, 255).astype(np.uint8)
