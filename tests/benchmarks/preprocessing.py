"""From pixels to the network's input: our way against Pillow's whole resize, which ModelScope's pipeline runs, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bin_daemon.model.bundle import Preprocessing
from bin_daemon.model.preprocess import prepare_array
from bin_daemon.model.resize import plan
from tests.benchmarks.figures import Figure, in_turns, paired

SIZES = {
    "1080p frame": (1920, 1080),
    "720p frame": (1280, 720),
    "480p frame": (640, 480),
    "item of 400 px": (400, 400),
    "item of 150 px": (150, 150),
}
AIMS = {"720p frame": "<= 0.4"}
HOW = Preprocessing()


def measure(rounds: int) -> list[Figure]:
    """One figure a size. The pixels given out are equal to the bit, which is checked before anything is timed."""
    return [_measure_size(name, size, rounds) for name, size in SIZES.items()]


def _measure_size(name: str, size: tuple[int, int], rounds: int) -> Figure:
    frame = _frame(*size)
    if not np.array_equal(prepare_array(frame, HOW), _whole(frame)):
        raise AssertionError(f"{name}: the two ways differ")
    found = in_turns(
        rounds, {"ours": _timed(lambda: prepare_array(frame, HOW)), "whole": _timed(lambda: _whole(frame))}
    )
    return paired(
        f"preprocessing, {name}",
        "ms",
        found["ours"],
        found["whole"],
        against="Pillow resize of the whole, crop, cv2-like normalise (mmcls)",
        aim=AIMS.get(name, ""),
    )


def _frame(width: int, height: int) -> NDArray[np.uint8]:
    """Smooth colours with noise, as a camera gives them."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height))
    noise = random.normal(0, 12, (height, width, 3))
    pixels: NDArray[np.uint8] = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
    return pixels


def _whole(bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What mmcls's Resize, CenterCrop, Normalize and ImageToTensor do with a frame."""
    import cv2

    wanted = plan(bgr.shape[1], bgr.shape[0], HOW)
    picture = Image.fromarray(bgr)
    if picture.size != (wanted.width, wanted.height):
        picture = picture.resize((wanted.width, wanted.height), Image.Resampling.BICUBIC)
    crop = np.asarray(picture)[wanted.top : wanted.top + HOW.crop_px, wanted.left : wanted.left + HOW.crop_px]
    values = cv2.cvtColor(crop.astype(np.float32), cv2.COLOR_BGR2RGB)
    mean = (np.array([HOW.mean]) * 255).astype(np.float32).astype(np.float64)
    std = (np.array([HOW.std]) * 255).astype(np.float32).astype(np.float64)
    values = cv2.multiply(cv2.subtract(values, mean), 1 / std)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis], np.float32)


def _timed(run: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        began = time.perf_counter()
        run()
        return (time.perf_counter() - began) * 1000

    return timed
