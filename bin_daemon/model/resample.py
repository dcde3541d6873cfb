"""Pillow's resizing of only what a crop shows, to the bit and several times faster: its two passes as small matrix products.

Sums in float32 are off by less than `Weights.doubt`. Where a sum lies that near to the middle between two grey levels, it is done
again in integers, as Pillow does them all: so the bits are Pillow's own, in whatever order BLAS adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.model.kernels import ONE, ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image
    from bin_daemon.model.kernels import Weights

MAX_PRODUCT = 1 << 18
"""Multiplications of one matrix product. For more OpenBLAS wakes threads, and these spin and take a core from the camera."""

ROUNDING = 2.0**-14
"""Grey levels; above what adding ``doubt`` to a float32 of up to 1023 can lose."""

BATCH = 4096
"""Sums done again at a time: a chessboard may need them all, and memory stays small."""


def resample(pixels: Image, across: Weights, down: Weights, *, down_first: bool) -> Image:
    """uint8 H x W x 3 -> uint8 rows of ``down`` x columns of ``across`` x 3.

    Each pass rounds to whole grey levels, so their order shows; ``down_first`` turns it.
    """
    if down_first:
        return _turned(resample(_turned(pixels), down, across, down_first=False))
    needed = pixels[down.first : down.last, across.first : across.last]
    return _one_pass(_turned(_one_pass(_turned(needed), across)), down)


def _turned(pixels: Image) -> Image:
    return np.asarray(cv2.transpose(pixels), np.uint8)  # 8 times as fast as numpy's copy


def _one_pass(pixels: Image, weights: Weights) -> Image:
    """uint8 N x M x 3 -> uint8 outputs x M x 3: weighted sums over the first axis."""
    flat = pixels.reshape(len(pixels), -1)
    found = np.empty((len(weights.taps), flat.shape[1]), np.uint8)
    widest = max(block.last - block.first for block in weights.blocks)
    step = max(1, MAX_PRODUCT // (ROWS * widest))
    for start in range(0, flat.shape[1], step):
        part = flat[:, start : start + step]
        source = part.astype(np.float32)
        sums = np.empty((len(weights.taps), part.shape[1]), np.float32)
        for block in weights.blocks:
            np.matmul(block.matrix, source[block.first : block.last], out=sums[block.start : block.end])
        found[:, start : start + step] = _rounded(sums, part, weights)
    return found.reshape(len(found), *pixels.shape[1:])


def _rounded(sums: NDArray[np.float32], part: Image, weights: Weights) -> Image:
    """Sums as whole grey levels; the doubtful ones from integers."""
    doubt = weights.doubt + ROUNDING
    high, low = _whole(sums, doubt), _whole(sums, -doubt)
    doubtful = np.flatnonzero(high != low)
    for start in range(0, len(doubtful), BATCH):
        row, column = np.divmod(doubtful[start : start + BATCH], part.shape[1])
        taps = part[weights.pixels[row], column[:, np.newaxis]] * weights.taps[row]
        high[row, column] = np.clip((taps.sum(axis=1) + ONE // 2) // ONE, 0, 255)
    return high


def _whole(sums: NDArray[np.float32], more: float) -> Image:
    """Rounded after adding ``more``, and cut at 0 and 255."""
    return np.asarray(cv2.add(sums, more, dtype=cv2.CV_8U), np.uint8)  # type: ignore[call-overload]  # a number is a Scalar
