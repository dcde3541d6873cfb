"""Pillow's resampling kernels and weights, number for number (libImaging/Resample.c, `precompute_coeffs`, Pillow 10 to 13).

A kernel is stretched by the scale when the picture shrinks, so that every source pixel counts: that is the antialiasing that
OpenCV's bilinear and bicubic lack. Weights are then rounded to 22 bits after the point, for Pillow sums integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 22
"""A weight of 1.0."""

Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)  # noqa: PLR2004 - pixels


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _hamming(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = np.abs(x) < 1.0
    angle = np.where(near, x, 0.0) * np.pi
    window = float(np.float32(0.54)) + float(np.float32(0.46)) * np.cos(angle)  # single precision in the C source
    return np.where(near, _sinc(x) * np.where(angle == 0.0, 1.0, window), 0.0)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x, a = np.abs(x), -0.5
    inner = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))  # noqa: PLR2004 - pixels


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((x >= -3.0) & (x < 3.0), _sinc(x) * _sinc(x / 3), 0.0)  # noqa: PLR2004 - pixels


def _sinc(x: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.where(x == 0.0, 1.0, x) * np.pi
    return np.where(x == 0.0, 1.0, np.sin(angle) / angle)


KERNELS: Mapping[str, tuple[Kernel, float]] = {
    "box": (_box, 0.5),
    "bilinear": (_bilinear, 1.0),
    "hamming": (_hamming, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Name -> kernel and half its width, pixels of the coarser picture."""

ROWS = 8
"""Output pixels of one block: fewer make more calls, more make the blocks sparser. 4 to 16 measured, 8 was fastest."""


@dataclass(frozen=True, slots=True)
class Block:
    """Weights of the outputs ``start`` to ``end`` over the source pixels ``first`` to ``last`` (of the stretch needed)."""

    start: int
    end: int
    first: int
    last: int
    matrix: NDArray[np.float32]
    """outputs x pixels; exact, for 22 bits fit into a float32."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How one side of the crop is made of the source pixels ``first`` to ``last``."""

    first: int
    last: int
    taps: NDArray[np.int64]
    """outputs x taps, in units of 1/ONE."""
    pixels: NDArray[np.intp]
    """outputs x taps: the pixel, counted from ``first``, that each tap weighs."""
    blocks: tuple[Block, ...]
    doubt: float
    """Bound on the error of a float32 sum of pixels 0..255 under these weights, in grey levels."""


@lru_cache(maxsize=64)
def weights(kernel: str, source_px: int, resized_px: int, start_px: int, count: int) -> Weights:
    """For the outputs ``start_px`` to ``start_px + count`` of a side of ``source_px`` that is resized to ``resized_px``."""
    shape, support = KERNELS[kernel]
    scale = source_px / resized_px
    stretch = max(scale, 1.0)
    centre = (np.arange(start_px, start_px + count) + 0.5) * scale
    begin = np.maximum((centre - support * stretch + 0.5).astype(np.intp), 0)
    end = np.minimum((centre + support * stretch + 0.5).astype(np.intp), source_px)
    pixels = begin[:, np.newaxis] + np.arange((end - begin).max())
    shares = shape((pixels - centre[:, np.newaxis] + 0.5) * (1.0 / stretch))
    shares[pixels >= end[:, np.newaxis]] = 0.0
    whole = np.add.accumulate(shares, axis=1)[:, -1:]  # one after the other as C does; numpy's sum goes in pairs
    shares /= np.where(whole == 0.0, 1.0, whole)
    taps = np.trunc(shares * ONE + np.where(shares < 0, -0.5, 0.5)).astype(np.int64)
    first, last = int(begin[0]), int(end.max())
    pixels = np.minimum(pixels - first, last - first - 1)
    # Each of the n roundings of a float32 sum is at most 2^-24 of the sum of the magnitudes (Higham 2002, section 3.1).
    doubt = taps.shape[1] * 2.0**-24 * 255 * float(np.abs(taps).sum(axis=1).max()) / ONE
    return Weights(first, last, taps, pixels, tuple(_blocks(taps, begin - first, end - first)), doubt)


def _blocks(taps: NDArray[np.int64], begin: NDArray[np.intp], end: NDArray[np.intp]) -> list[Block]:
    found = []
    for start in range(0, len(taps), ROWS):
        stop = min(start + ROWS, len(taps))
        first, last = int(begin[start]), int(end[start:stop].max())
        matrix = np.zeros((stop - start, last - first), np.float32)
        for row in range(start, stop):
            count = end[row] - begin[row]
            matrix[row - start, begin[row] - first :][:count] = taps[row, :count] / ONE
        found.append(Block(start, stop, first, last, matrix))
    return found
