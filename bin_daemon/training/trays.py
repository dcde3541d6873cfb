"""Trays to lay items on while training: many surfaces and lights, none of them a particular bin's.

The model must look at the item, whatever lies below: colours, textures, lamp spots and seams are drawn from ranges far wider than
those of `bin_daemon.sim` (domain randomisation), so that a real tray is just one more of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bin_daemon.sim.compose import develop
from bin_daemon.sim.sprite import sprite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

ITEM_FRAC = (0.5, 1.0)
"""Longer side of the item as a share of the picture's side."""
GREY_SHARE = 0.75
"""Share of trays that are grey, white or black; the others have a colour."""
SEAM_SHARE = 0.3
FOREIGN_LIGHT_SHARE = 0.5
"""Share of pictures whose white balance or sharpness is worse than `develop` makes it."""


def lay(item: Image, rng: np.random.Generator, side_px: int) -> Image:
    """Lay a cut-out (uint8, H x W x 4, RGBA) on a random ground: turned, mirrored, scaled, shadowed, lit; side_px square, BGR."""
    import cv2

    mirrored = np.ascontiguousarray(item[:, ::-1]) if rng.random() < 0.5 else item  # noqa: PLR2004 - a fair coin
    scene = ground(rng, side_px)
    laid = sprite(
        mirrored,
        scale=float(rng.uniform(*ITEM_FRAC)) * side_px / max(item.shape[:2]),
        angle_deg=float(rng.uniform(0, 360)),
        gain=float(rng.uniform(0.7, 1.0)),
        shadow_px=float(rng.uniform(0.005, 0.05)) * side_px,
        shadow_strength=float(rng.uniform(0.05, 0.8)),
    )
    x, y = rng.uniform(0.4, 0.6, 2) * side_px
    laid.lay(scene, (float(x), float(y)))
    seen = develop(scene, rng)
    if rng.random() < FOREIGN_LIGHT_SHARE:
        blurred = cv2.GaussianBlur(seen, (0, 0), float(rng.uniform(0.3, 1.6))).astype(np.float32)
        seen = np.clip(blurred * rng.normal(1, 0.06, 3) * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8)
    return seen


def ground(rng: np.random.Generator, side_px: int) -> Image:
    """A bare random surface, uint8, side_px square, BGR."""
    surface = np.full((side_px, side_px, 3), _colour(rng), dtype=np.float32)
    surface += _grain(rng, side_px)[..., None]
    surface *= _light(rng, side_px)[..., None]
    if rng.random() < SEAM_SHARE:
        surface *= _seam(rng, side_px)[..., None]
    return np.clip(surface, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    spread = 8.0 if rng.random() < GREY_SHARE else 60.0
    return np.clip(rng.uniform(35, 250) + rng.normal(0, spread, 3), 12, 252).astype(np.float32)


def _grain(rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    """Blotches at a random scale, stretched along one axis (brushed metal, wood), and fine grain."""
    import cv2

    cells = [min(side_px, int(2 ** rng.uniform(1.5, 7))) for _ in range(2)]
    coarse = cv2.resize(rng.standard_normal(cells, np.float32), (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    fine = rng.standard_normal((side_px, side_px), np.float32)
    return np.asarray(rng.uniform(0, 14) * coarse + rng.uniform(0, 4) * fine, dtype=np.float32)


def _light(rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    """Gradient, lamp spot and vignette as a factor around 1."""
    y, x = np.mgrid[-0.5 : 0.5 : side_px * 1j, -0.5 : 0.5 : side_px * 1j].astype(np.float32)
    light = 1 + rng.normal(0, 0.15) * x + rng.normal(0, 0.15) * y - rng.uniform(0, 0.5) * (x**2 + y**2)
    spot_x, spot_y = rng.uniform(-0.5, 0.5, 2)
    light += rng.uniform(0, 0.25) * np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / rng.uniform(0.02, 0.3))
    return np.asarray(light, dtype=np.float32)


def _seam(rng: np.random.Generator, side_px: int) -> Any:
    """A rim, joint or scratch across the surface as a factor around 1."""
    import cv2

    factor = np.ones((side_px, side_px), dtype=np.float32)
    ends = rng.integers(-side_px // 4, side_px + side_px // 4, (2, 2)).tolist()
    cv2.line(factor, ends[0], ends[1], rng.uniform(0.6, 1.3), int(rng.integers(1, 9)))
    return factor
