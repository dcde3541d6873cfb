"""A region of interest as a person writes it: four numbers, fractions of the picture or pixels."""

from __future__ import annotations

import math

from bin_daemon.errors import ConfigError

Roi = tuple[float, float, float, float]
"""x, y, width, height as fractions of the picture, as ``placement.roi``."""

LEAST_FRAC = 0.05
"""A smaller region is a slip of the hand: no tray fills less of the picture."""
DIGITS = 4


def parse_roi(text: str, size: tuple[int, int]) -> Roi:
    """``x,y,w,h``: fractions when none is above 1, else pixels of a picture of ``size`` (width, height).

    Raises `ConfigError` for anything but a region of sensible size within the picture.
    """
    numbers = _numbers(text)
    if len(numbers) != 4:  # noqa: PLR2004 - x, y, width, height
        raise _wrong(text, "four numbers are wanted")
    if is_in_pixels(text):
        numbers = [number / side for number, side in zip(numbers, (*size, *size), strict=True)]
    return check_roi((numbers[0], numbers[1], numbers[2], numbers[3]), text)


def is_in_pixels(text: str) -> bool:
    """True when the picture's size is needed to understand ``text``."""
    return max(_numbers(text), default=0.0) > 1


def _numbers(text: str) -> list[float]:
    try:
        return [float(x) for x in text.replace(" ", "").strip("[]").split(",")]
    except ValueError:
        return []


def check_roi(roi: Roi, text: str | None = None) -> Roi:
    """``roi`` rounded; a hair over the picture's edge is cut. Raises `ConfigError`, in which ``text`` is what was given."""
    said = text or ",".join(f"{x:g}" for x in roi)
    if not all(math.isfinite(x) for x in roi):
        raise _wrong(said, "four numbers are wanted")
    x, y, width, height = roi
    if x < 0 or y < 0 or x + width > 1.005 or y + height > 1.005:  # noqa: PLR2004 - half a percent is rounding
        raise _wrong(said, "it leaves the picture")
    if min(width, height) < LEAST_FRAC:
        raise _wrong(said, f"each side must be at least {LEAST_FRAC:.0%} of the picture's")
    x, y = round(x, DIGITS), round(y, DIGITS)
    return x, y, round(min(width, 1 - x), DIGITS), round(min(height, 1 - y), DIGITS)


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"region {text}: {why}",
        hint="write x,y,width,height as fractions of the picture, such as 0.1,0.1,0.8,0.8, or in pixels",
    )
