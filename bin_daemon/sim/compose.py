"""One photograph of an item, laid on a random piece of tray; and cutting an item out of a plain background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.sprite import sprite
from bin_daemon.sim.tray import plate_patch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

RGB_CHANNELS = 3
BORDER_FRAC = 0.05
"""Share of the short side that is taken for the border."""
PLAIN_LAB = 12.0
"""Distance in Lab (lightness counted about half) that still counts as background."""
PLAIN_BORDER_FRAC = 0.9
"""This much of the border must follow one smooth light, or the background is not plain (or the item runs out of the picture)."""
CRUMB_FRAC = 0.15
"""A piece smaller than this share of the largest one is a crumb, not a second item."""


def compose_on_tray(item: Image, rng: np.random.Generator, size_hw: tuple[int, int]) -> Image:
    """Lay one item on a random piece of tray as the bin's camera would see it; uint8 H x W x 3, BGR.

    ``item`` is uint8 H x W x 4 (RGBA, a cut-out) or H x W x 3 (RGB, a whole photograph, laid as a card with soft edges).
    Size, turn, place, shadow, exposure, white balance and noise are drawn from ``rng``.
    """
    rgba = item if item.shape[2] > RGB_CHANNELS else as_card(item)
    ground = plate_patch(rng, size_hw)
    short = min(size_hw)
    scale = float(rng.uniform(0.62, 0.95)) * short / max(rgba.shape[:2])
    turned = sprite(
        rgba,
        scale=scale,
        angle_deg=float(rng.uniform(0, 360)) if rgba is item else float(rng.uniform(-20, 20)),
        gain=float(rng.uniform(0.82, 1.0)),
        shadow_px=float(rng.uniform(0.012, 0.035)) * short,
        shadow_strength=float(rng.uniform(0.35, 0.7)),
    )
    centre = rng.uniform(0.44, 0.56, 2) * (size_hw[1], size_hw[0])
    turned.lay(ground, (float(centre[0]), float(centre[1])))
    return develop(ground, rng)


def develop(bgr: Image, rng: np.random.Generator) -> Image:
    """What a cheap camera makes of a picture: lens blur, exposure, white balance, noise; uint8, BGR."""
    soft = np.asarray(cv2.GaussianBlur(bgr, (0, 0), float(rng.uniform(0.3, 0.9))), np.float32)
    colour = rng.uniform(0.82, 1.14) * rng.uniform(0.94, 1.06, 3)
    noise = rng.standard_normal(bgr.shape, np.float32) * np.float32(rng.uniform(1.0, 4.5))
    return np.asarray(np.clip(soft * colour.astype(np.float32) + noise, 0, 255), np.uint8)


def as_card(rgb: Image) -> Image:
    """A whole photograph as RGBA with rounded, soft edges: what to lay when an item cannot be cut out."""
    height, width = rgb.shape[:2]
    edge = max(2, round(0.06 * min(height, width)))
    alpha = np.zeros((height, width), np.uint8)
    alpha[edge : height - edge, edge : width - edge] = 255
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), edge / 2.5), np.uint8)
    return np.dstack((rgb, alpha))


def cut_out(bgr: Image) -> Image | None:
    """The item of a photograph with a plain background, as RGBA cropped to the item; None when there is no telling.

    The background's light is fitted from the border as a smooth surface, so that a white board with a shadow at one side
    still counts.
    None when the border is not plain, when the item runs out of the picture, or when what is left is crumbs.
    """
    lab = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2LAB), np.float32)
    border = _border(lab.shape[:2])
    away = (lab - _smooth_light(lab, border)) * np.array((0.55, 1.3, 1.3), np.float32)
    # A shadow only changes lightness: it counts about half, or the item keeps a grey hem.
    distance = np.sqrt(np.einsum("ijk,ijk->ij", away, away))
    if float((distance[border] < PLAIN_LAB).mean()) < PLAIN_BORDER_FRAC:
        return None
    tolerance = float(np.clip(4.0 * np.median(distance[border]), 6.0, PLAIN_LAB))
    alpha = _solid(distance > tolerance)
    filled, solid = float((alpha > 0).mean()), float((distance > tolerance)[alpha > 0].mean() if alpha.any() else 0)
    if not 0.015 < filled < 0.85 or solid < 0.6:  # noqa: PLR2004 - dust, no background at all, or a mere outline
        return None
    x, y, w, h = cv2.boundingRect(alpha)
    rgba = np.dstack((np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), alpha))
    return np.asarray(rgba[y : y + h, x : x + w].copy(), np.uint8)


def _border(size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    width = max(2, round(BORDER_FRAC * min(size_hw)))
    border = np.ones(size_hw, bool)
    border[width:-width, width:-width] = False
    return border


def _smooth_light(lab: NDArray[np.float32], border: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A quadratic surface per channel through the border, refitted once without what stands out (an item that touches it)."""
    height, width = border.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack((np.ones_like(x), x, y, x * x, y * y, x * y), axis=-1)
    known_terms, known = terms[border][::3], lab[border][::3]
    weights = _fitted(known_terms, known)
    away = np.linalg.norm(known - known_terms @ weights, axis=1)
    plain = away <= max(4.0, 2.0 * float(np.median(away)))
    return np.asarray(terms @ _fitted(known_terms[plain], known[plain]), np.float32)


def _fitted(terms: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Least squares by the normal equations: six terms in -1..1 are well conditioned, so no SVD is needed."""
    ridge = 1e-6 * np.eye(terms.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(terms.T @ terms / len(terms) + ridge, terms.T @ values / len(terms)), np.float32)


def _solid(foreground: NDArray[np.bool_]) -> Image:
    """Specks dropped, holes filled, soft edge: uint8 alpha. All 0 when nothing solid is left."""
    size = max(3, round(0.012 * min(foreground.shape)) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    mask = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel, iterations=2)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(c) for c in contours]
    alpha = np.zeros(foreground.shape, np.uint8)
    kept = [c for c, area in zip(contours, areas, strict=True) if area > CRUMB_FRAC * max(areas)]
    if sum(areas) and sum(cv2.contourArea(c) for c in kept) > (1 - CRUMB_FRAC) * sum(areas):
        cv2.drawContours(alpha, kept, -1, 255, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(cv2.erode(alpha, kernel), (0, 0), 1.0), np.uint8)
