"""Drawn items: the fallback when no photograph can be had. They look like what they are, and the demo says so."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from bin_daemon.domain import Category

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.domain import Image

SIZE_PX = 320
_FINE = 2
"""Drawn this much larger, then made smaller: smooth edges."""

Draw = ImageDraw.ImageDraw


@functools.cache
def drawn_items() -> tuple[tuple[str, Category, Image], ...]:
    """Name, category and picture (uint8 H x W x 4, RGBA, cropped) of each drawn item, four a category; never change them."""
    return tuple((name, category, _shaded(pen)) for category, pens in _PENS.items() for name, pen in pens.items())


def _shaded(pen: Callable[[Draw], None]) -> Image:
    canvas = Pillow.new("RGBA", (SIZE_PX * _FINE, SIZE_PX * _FINE), (0, 0, 0, 0))
    drawing = ImageDraw.Draw(canvas)
    pen(drawing)
    flat = np.asarray(canvas.resize((SIZE_PX, SIZE_PX), Pillow.Resampling.LANCZOS), np.uint8)
    alpha = np.ascontiguousarray(flat[..., 3])
    # Round the body: lighter where it bulges toward the lamp, dark at the edge.
    depth = cv2.distanceTransform((alpha > 127).astype(np.uint8), cv2.DIST_L2, 3)  # noqa: PLR2004 - half covered
    bulge = np.asarray(cv2.GaussianBlur(np.sqrt(depth), (0, 0), 3), np.float32)
    slope = np.asarray(cv2.Sobel(bulge, cv2.CV_32F, 1, 1, ksize=1), np.float32)
    light = 0.78 + 0.30 * bulge / max(1.0, float(bulge.max())) + np.clip(slope * 2, -0.2, 0.2)
    grain = np.random.default_rng(SIZE_PX).standard_normal(alpha.shape, np.float32) * 4
    rgb = np.clip(flat[..., :3] * light[..., None] + grain[..., None], 0, 255).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(alpha)
    return np.asarray(np.dstack((rgb, alpha))[y : y + h, x : x + w].copy(), np.uint8)


def _box(drawing: Draw, xyxy: tuple[float, float, float, float], colour: str, radius: float = 0.0) -> None:
    drawing.rounded_rectangle([v * SIZE_PX * _FINE for v in xyxy], radius * SIZE_PX * _FINE, fill=colour)


def _disc(drawing: Draw, xyxy: tuple[float, float, float, float], colour: str) -> None:
    drawing.ellipse([v * SIZE_PX * _FINE for v in xyxy], fill=colour)


def _shape(drawing: Draw, points: tuple[tuple[float, float], ...], colour: str) -> None:
    drawing.polygon([(x * SIZE_PX * _FINE, y * SIZE_PX * _FINE) for x, y in points], fill=colour)


def _bottle(d: Draw) -> None:
    _box(d, (0.44, 0.02, 0.56, 0.10), "#1f5fae", 0.02)
    _shape(d, ((0.45, 0.10), (0.55, 0.10), (0.66, 0.30), (0.34, 0.30)), "#9fd3ea")
    _box(d, (0.34, 0.27, 0.66, 0.98), "#8fc8e4", 0.06)
    _box(d, (0.34, 0.46, 0.66, 0.68), "#e8eef2")
    _box(d, (0.38, 0.53, 0.62, 0.60), "#d8443b")


def _can(d: Draw) -> None:
    _box(d, (0.28, 0.10, 0.72, 0.92), "#c9272d", 0.08)
    _disc(d, (0.28, 0.04, 0.72, 0.20), "#c7cbcf")
    _disc(d, (0.43, 0.08, 0.57, 0.15), "#83888d")
    _box(d, (0.28, 0.46, 0.72, 0.58), "#f2f2f2")


def _carton(d: Draw) -> None:
    _box(d, (0.10, 0.20, 0.90, 0.80), "#b98a55", 0.01)
    _box(d, (0.10, 0.46, 0.90, 0.54), "#d8bd90")
    _box(d, (0.68, 0.60, 0.84, 0.72), "#efe7d6")


def _newspaper(d: Draw) -> None:
    _box(d, (0.16, 0.06, 0.84, 0.94), "#dcdad2", 0.01)
    _box(d, (0.22, 0.11, 0.78, 0.19), "#3b3b3b")
    for row in range(9):
        y = 0.26 + 0.07 * row
        _box(d, (0.22, y, 0.48, y + 0.03), "#8b8a86")
        _box(d, (0.52, y, 0.78, y + 0.03), "#77767a" if row > 3 else "#565a66")  # noqa: PLR2004 - the picture's rows


def _apple(d: Draw) -> None:
    _box(d, (0.48, 0.06, 0.52, 0.24), "#5b3d20")
    _disc(d, (0.12, 0.16, 0.62, 0.92), "#b8232a")
    _disc(d, (0.38, 0.16, 0.88, 0.92), "#c02d2c")
    _disc(d, (0.54, 0.07, 0.74, 0.16), "#4c8a35")


def _banana(d: Draw) -> None:
    d.arc(
        [v * SIZE_PX * _FINE for v in (0.08, -0.35, 0.92, 0.80)],
        15,
        165,
        fill="#e8c32e",
        width=int(0.17 * SIZE_PX * _FINE),
    )
    _disc(d, (0.05, 0.26, 0.15, 0.38), "#6b5317")
    _disc(d, (0.84, 0.26, 0.94, 0.38), "#7a6220")


def _egg(d: Draw) -> None:
    _disc(d, (0.22, 0.10, 0.78, 0.90), "#d9a878")
    _shape(
        d,
        (
            (0.24, 0.52),
            (0.34, 0.44),
            (0.42, 0.54),
            (0.52, 0.42),
            (0.62, 0.53),
            (0.76, 0.44),
            (0.74, 0.60),
            (0.26, 0.62),
        ),
        "#f4e6d2",
    )


def _leaf(d: Draw) -> None:
    _disc(d, (0.18, 0.06, 0.82, 0.78), "#7fae4a")
    _disc(d, (0.26, 0.16, 0.74, 0.70), "#97c060")
    _shape(d, ((0.46, 0.96), (0.54, 0.96), (0.52, 0.12), (0.48, 0.12)), "#e4ecd0")
    for y in (0.30, 0.42, 0.54):
        _shape(d, ((0.50, y + 0.14), (0.74, y), (0.50, y + 0.10), (0.26, y)), "#dbe7c2")


def _battery(d: Draw) -> None:
    _box(d, (0.44, 0.03, 0.56, 0.10), "#b9bcc0", 0.01)
    _box(d, (0.34, 0.08, 0.66, 0.36), "#c48a34", 0.03)
    _box(d, (0.34, 0.30, 0.66, 0.97), "#1d1e22", 0.03)
    _box(d, (0.47, 0.14, 0.53, 0.26), "#f4f0e6")
    _box(d, (0.44, 0.18, 0.56, 0.22), "#f4f0e6")


def _tube(d: Draw) -> None:
    _box(d, (0.03, 0.45, 0.97, 0.55), "#eef3f1", 0.02)
    _box(d, (0.03, 0.44, 0.11, 0.56), "#a9adb1", 0.01)
    _box(d, (0.89, 0.44, 0.97, 0.56), "#a9adb1", 0.01)


def _blister(d: Draw) -> None:
    _box(d, (0.14, 0.26, 0.86, 0.74), "#b7bcc3", 0.03)
    for column in range(5):
        for row in range(3):
            x, y = 0.19 + 0.135 * column, 0.30 + 0.14 * row
            _disc(d, (x, y, x + 0.10, y + 0.10), "#e9e6dc" if (column + row) % 4 else "#8d949c")


def _thermometer(d: Draw) -> None:
    _box(d, (0.08, 0.46, 0.86, 0.54), "#e3e8ea", 0.04)
    _box(d, (0.20, 0.485, 0.66, 0.505), "#6d7378")
    _disc(d, (0.82, 0.46, 0.95, 0.54), "#9aa1a6")


def _mug(d: Draw) -> None:
    d.ellipse(
        [v * SIZE_PX * _FINE for v in (0.58, 0.30, 0.92, 0.70)], outline="#e9e4d8", width=int(0.06 * SIZE_PX * _FINE)
    )
    _box(d, (0.14, 0.14, 0.70, 0.88), "#efeadf", 0.06)
    _disc(d, (0.14, 0.08, 0.70, 0.22), "#cfc8b8")


def _plate(d: Draw) -> None:
    _disc(d, (0.06, 0.06, 0.94, 0.94), "#e6e9ec")
    _disc(d, (0.22, 0.22, 0.78, 0.78), "#d2d7dc")
    _shape(d, ((0.60, 0.40), (1.0, 0.05), (1.0, 0.62)), "#00000000")


def _tissue(d: Draw) -> None:
    _shape(
        d,
        (
            (0.10, 0.42),
            (0.28, 0.14),
            (0.56, 0.22),
            (0.82, 0.12),
            (0.92, 0.50),
            (0.74, 0.86),
            (0.42, 0.78),
            (0.18, 0.84),
        ),
        "#f1f0ec",
    )
    _shape(d, ((0.30, 0.34), (0.52, 0.50), (0.76, 0.30), (0.62, 0.62), (0.36, 0.66)), "#d9d8d2")


def _cigarette(d: Draw) -> None:
    _box(d, (0.06, 0.44, 0.42, 0.56), "#c98a3c", 0.01)
    _box(d, (0.40, 0.44, 0.82, 0.56), "#f0eee8", 0.01)
    _box(d, (0.80, 0.44, 0.93, 0.56), "#5e5a57", 0.03)


_PENS: dict[Category, dict[str, Callable[[Draw], None]]] = {
    Category.RECYCLABLE: {
        "plastic bottle": _bottle,
        "drink can": _can,
        "cardboard box": _carton,
        "newspaper": _newspaper,
    },
    Category.KITCHEN: {"apple": _apple, "banana": _banana, "eggshell": _egg, "cabbage leaf": _leaf},
    Category.HAZARDOUS: {
        "battery": _battery,
        "fluorescent tube": _tube,
        "pill blister": _blister,
        "mercury thermometer": _thermometer,
    },
    Category.OTHER: {"ceramic mug": _mug, "broken plate": _plate, "paper tissue": _tissue, "cigarette end": _cigarette},
}
