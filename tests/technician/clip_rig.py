"""Short clips with a known story, written with OpenCV: an empty tray, then a thing that lies on it, then the bare tray again."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from bin_daemon.domain import Image

FPS = 15.0
SIZE = (640, 480)
THING = (250, 180, 120, 90)
"""x, y, width, height."""
PUT_S, GONE_S, END_S = 2.0, 4.0, 5.0


@functools.cache
def _ground() -> Image:
    coarse = cv2.GaussianBlur(np.random.default_rng(3).normal(120, 60, (48, 64, 3)).astype(np.float32), (0, 0), 3)
    return np.clip(cv2.resize(coarse, SIZE), 20, 235).astype(np.uint8)


@functools.cache
def _noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 9, (*SIZE[::-1], 3)).astype(np.uint8)


def tray(seed: int) -> Image:
    """The empty tray with this frame's noise, which comes again after some frames."""
    return np.asarray(_ground() + _noise(seed % 7) - np.uint8(4), np.uint8)


def story(fps: float = FPS) -> Iterator[Image]:
    """One placement: the thing is there from `PUT_S` to `GONE_S`."""
    x, y, width, height = THING
    for number in range(round(END_S * fps)):
        picture = tray(number)
        if PUT_S <= number / fps < GONE_S:
            cv2.rectangle(picture, (x, y), (x + width, y + height), (30, 50, 190), -1)
            cv2.circle(picture, (x + 40, y + 40), 22, (220, 220, 60), -1)
        yield picture


def write(
    path: Path, pictures: Iterable[Image], codec: str = "MJPG", fps: float = FPS, size: tuple[int, int] = SIZE
) -> Path:
    """A video file."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    assert video.isOpened()
    for picture in pictures:
        video.write(picture)
    video.release()
    return path
