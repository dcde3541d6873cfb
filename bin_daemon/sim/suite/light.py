"""The light on the tray over time: a factor for the whole picture, or a small field of factors. 1 is the bin's own lamp.

Factors are of the displayed grey, not of candelas: a camera's gamma turns half the light into 0.73 of the grey.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Field = NDArray[np.float32]

CELL_PX = 16
"""Side of one cell of a field, full-frame pixels: light has no finer detail here."""
READ_S = 0.022
"""A rolling shutter needs so long from the first row to the last."""


class Light(Protocol):
    """One influence on the light."""

    def at(self, t_s: float, x: Field, y: Field) -> Field | float:
        """Factor at ``t_s`` for places ``x``, ``y``, each 0..1 across the picture."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The same light all the time."""

    factor: float = 1.0

    def at(self, t_s: float, x: Field, y: Field) -> float:  # noqa: ARG002 - see `Light`
        """See `Light.at`."""
        return self.factor


@dataclass(frozen=True, slots=True)
class Switched:
    """Another light, but only from ``from_s`` to ``to_s``."""

    from_s: float
    to_s: float
    light: Light

    def at(self, t_s: float, x: Field, y: Field) -> Field | float:
        """See `Light.at`."""
        return self.light.at(t_s, x, y) if self.from_s <= t_s < self.to_s else 1.0


@dataclass(frozen=True, slots=True)
class Sunrise:
    """From ``dark`` to 1 in ``length_s``; a sunbeam with the soft edge of a window wanders across the tray meanwhile."""

    start_s: float
    length_s: float
    dark: float = 0.12
    beam: float = 0.35
    slant: float = 0.4

    def at(self, t_s: float, x: Field, y: Field) -> Field:
        """See `Light.at`."""
        share = min(1.0, max(0.0, (t_s - self.start_s) / self.length_s))
        level = self.dark + (1 - self.dark) * share * share * (3 - 2 * share)
        across = x + self.slant * y
        edge = 1.6 - 1.9 * share
        beam = 1 / (1 + np.exp(np.clip(-(across - edge) / 0.03, -30, 30)))
        return np.asarray(level * (1 + self.beam * share * beam), np.float32)


@dataclass(frozen=True, slots=True)
class Lamp:
    """A second lamp, switched at the times ``switched_s``; first it is off.

    A rolling shutter reads row after row, so the frame of the switching shows both lights.
    """

    switched_s: tuple[float, ...]
    strength: float
    x: float = 0.2
    y: float = 0.1

    def at(self, t_s: float, x: Field, y: Field) -> Field | float:
        """See `Light.at`."""
        last = max((s for s in self.switched_s if s <= t_s + READ_S), default=None)
        if last is None:
            return 1.0
        on = sum(s <= last for s in self.switched_s) % 2
        if t_s >= last and not on:
            return 1.0
        lit = self.strength * (0.5 + np.exp(-((x - self.x) ** 2 + (y - self.y) ** 2) / 0.5))
        if t_s >= last:
            return np.asarray(1 + lit, np.float32)
        return np.asarray(1 + lit * ((t_s + READ_S * y >= last) == bool(on)), np.float32)


@dataclass(frozen=True, slots=True)
class Clouds:
    """Broad shadows that drift over the tray: sums of slow waves."""

    phases: tuple[tuple[float, float, float, float], ...]
    """Of each wave: waves across x, across y, turns per second, phase in turns."""
    depth: float = 0.3

    def at(self, t_s: float, x: Field, y: Field) -> Field:
        """See `Light.at`."""
        total = np.zeros_like(x)
        for kx, ky, per_s, phase in self.phases:
            total += np.sin(np.float32(2 * math.pi) * (kx * x + ky * y + np.float32(per_s * t_s + phase)))
        share = 1 / (1 + np.exp(-2.5 * total))
        return np.asarray(1 - self.depth * share, np.float32)


@dataclass(frozen=True, slots=True)
class Passer:
    """The shadow of a person who walks by: an upright soft shape that crosses the tray once."""

    start_s: float
    length_s: float
    depth: float
    width: float = 0.3
    soft: float = 0.08
    to_right: bool = True

    def at(self, t_s: float, x: Field, y: Field) -> Field | float:
        """See `Light.at`."""
        share = (t_s - self.start_s) / self.length_s
        if not 0 < share < 1:
            return 1.0
        reach = 0.5 * self.width + 4 * self.soft
        middle = -reach + (1 + 2 * reach) * (share if self.to_right else 1 - share)
        sway = 0.02 * math.sin(12 * share)
        inside = 0.5 * self.width * (0.7 + 0.3 * y) - np.abs(x - middle - sway)
        return np.asarray(1 - self.depth / (1 + np.exp(np.clip(-inside * 2 / self.soft, -30, 30))), np.float32)


class Passers:
    """Many of them in the order of their start, so that asking costs no more than one does."""

    LONGEST_S = 10.0

    def __init__(self, passers: Sequence[Passer]) -> None:
        self._passers = list(passers)
        self._starts_s = [p.start_s for p in self._passers]

    def at(self, t_s: float, x: Field, y: Field) -> Field | float:
        """See `Light.at`."""
        total: Field | float = 1.0
        first = bisect_left(self._starts_s, t_s - self.LONGEST_S)
        for passer in self._passers[first : bisect_left(self._starts_s, t_s)]:
            total = total * passer.at(t_s, x, y)
        return total


class Lights:
    """All influences together, multiplied."""

    def __init__(self, lights: Sequence[Light], size: tuple[int, int]) -> None:
        self.lights = list(lights)
        columns, rows = -(-size[0] // CELL_PX), -(-size[1] // CELL_PX)
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        self._x, self._y = (x + 0.5) / columns, (y + 0.5) / rows

    def at(self, t_s: float) -> Field | float:
        """The factor, or the field of factors (rows x columns of `CELL_PX`)."""
        total: Field | float = 1.0
        for light in self.lights:
            total = total * light.at(t_s, self._x, self._y)
        return total
