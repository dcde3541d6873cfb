"""Cut the item out of any photograph, so that it can be laid on another tray.

A plain background is cut by `bin_daemon.sim.compose.cut_out`; any other by GrabCut; where both fail, a soft ellipse stands in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

WORK_PX = 112
"""Longer side while segmenting: the edge is softened anyway, and GrabCut's time grows with the pixels."""
PLAUSIBLE_AREA = (0.03, 0.85)
"""Share of the picture that an item fills; outside it the segmentation has failed."""


def cut_out_any(bgr: Image) -> Image:
    """The item with soft edges: uint8, H x W x 4 (RGBA), cropped to what is visible. Never fails, for the ellipse always fits."""
    import cv2

    from bin_daemon.sim.compose import cut_out

    plain = cut_out(bgr)
    if plain is not None:
        return plain
    height, width = bgr.shape[:2]
    mask = _by_grabcut(bgr)
    if mask is None:
        return ellipse(bgr)
    alpha = cv2.GaussianBlur(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), (0, 0), 1.2)
    return _cropped(bgr, alpha)


def ellipse(bgr: Image) -> Image:
    """The middle of a photograph under a soft ellipse, RGBA as `cut_out_any`: says nothing about the item's outline."""
    import cv2

    height, width = bgr.shape[:2]
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (int(0.46 * width), int(0.46 * height)), 0, 0, 360, 255, cv2.FILLED)
    return _cropped(bgr, cv2.GaussianBlur(mask, (0, 0), 2))


def _by_grabcut(bgr: Image) -> Any:
    """Mask at working size, uint8; None when GrabCut found nothing plausible."""
    import cv2

    scale = min(1.0, WORK_PX / max(bgr.shape[:2]))
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    inset_x, inset_y = round(0.08 * width), round(0.08 * height)
    rect = (inset_x, inset_y, width - 2 * inset_x, height - 2 * inset_y)
    mask = np.zeros((height, width), dtype=np.uint8)
    clusters = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut draws its colour clusters from OpenCV's global generator
    try:
        cv2.grabCut(small, mask, rect, *clusters, 1, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # one flat colour: there are no clusters
        return None
    return _solid((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def _solid(mask: NDArray[np.bool_]) -> Any:
    """Close gaps, fill holes, keep the large parts; None when what is left is implausibly small or large."""
    import cv2

    closed = cv2.morphologyEx(mask.astype(np.uint8) * 255, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(c) for c in contours]
    large = [c for c, area in zip(contours, areas, strict=True) if area >= 0.15 * max(areas)]
    filled = np.zeros_like(opened)
    cv2.drawContours(filled, large, -1, 255, cv2.FILLED)
    share = float(filled.mean()) / 255
    return filled if PLAUSIBLE_AREA[0] <= share <= PLAUSIBLE_AREA[1] else None


def _cropped(bgr: Image, alpha: Any) -> Image:
    import cv2

    x, y, w, h = cv2.boundingRect((alpha > 8).astype(np.uint8))  # noqa: PLR2004 - all but invisible
    rgba = np.dstack((np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), alpha))
    return np.asarray(rgba[y : y + h, x : x + w].copy(), np.uint8)
