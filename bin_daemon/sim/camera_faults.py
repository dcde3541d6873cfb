"""Named faults of a camera, each a wrapper around any camera with ``open``: for tests of what watches it.

``first`` is the first frame (counted from 1 over all openings) that is hit, ``count`` how many are; None: for ever.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from bin_daemon.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bin_daemon.domain import Frame, Image

HUNG_AT_MOST_S = 60.0
"""A hung read ends by itself after this long, so that a test cannot hang for ever."""


class Camera(Protocol):
    """Anything that sees."""

    def open(self) -> AbstractContextManager[Callable[[], Frame]]:
        """Open the device and yield ``read``; both raise `DeviceError`."""


class _Faulty:
    """Counts frames over all openings; `_hit` makes of one frame what the fault makes of it."""

    def __init__(self, camera: Camera, *, first: int = 1, count: int | None = None) -> None:
        self._camera = camera
        self._first, self._end = first, math.inf if count is None else first + count
        self.reads = 0
        """Reads so far, hit or not."""

    @contextmanager
    def open(self) -> Iterator[Callable[[], Frame]]:
        """Open the wrapped camera; the yielded ``read`` passes through the fault."""
        with self._camera.open() as read:

            def read_through() -> Frame:
                self.reads += 1
                return self._hit(read) if self._is_hit() else self._pass(read())

            yield read_through

    def _is_hit(self) -> bool:
        return self._first <= self.reads < self._end

    def _pass(self, frame: Frame) -> Frame:
        return frame

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        raise NotImplementedError


class Black(_Faulty):
    """The lamp or the sensor is dead: black but for the sensor's noise."""

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        frame = read()
        return _changed(frame, lambda bgr: _plain(bgr, grey=3, noise=1.2, seed=frame.seq))


class Covered(_Faulty):
    """Something lies on the lens: one flat dim colour, no detail."""

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        frame = read()
        return _changed(frame, lambda bgr: _plain(bgr, grey=58, noise=1.2, seed=frame.seq))


class Frozen(_Faulty):
    """The driver hands out one and the same picture, bit for bit, with fresh times."""

    _last: Frame | None = None

    def _pass(self, frame: Frame) -> Frame:
        self._last = frame
        return frame

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        frame = read()
        self._last = last = self._last or frame
        return replace(frame, grey8=last.grey8, decode=last.decode)


class Hung(_Faulty):
    """A read that does not come back until `release` is called (or `HUNG_AT_MOST_S` is over); then the frame comes late."""

    def __init__(self, camera: Camera, *, first: int = 1, count: int | None = 1) -> None:
        super().__init__(camera, first=first, count=count)
        self._released = threading.Event()
        self.hanging = threading.Event()
        """Set while a read hangs: tests wait on it."""

    def release(self) -> None:
        """Let the hanging read go on, and all later ones."""
        self._released.set()

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        self.hanging.set()
        self._released.wait(HUNG_AT_MOST_S)
        self.hanging.clear()
        return read()


class Gone(_Faulty):
    """The plug is out: every read fails at once, and so does every `open` while the outage lasts; both count as reads."""

    @contextmanager
    def open(self) -> Iterator[Callable[[], Frame]]:
        """Open the wrapped camera, or raise `DeviceError` while the plug is out."""
        if self._first <= self.reads + 1 < self._end and self.reads >= self._first:
            self.reads += 1
            raise DeviceError("The camera is not there.", hint="Plug it in.")
        with super().open() as read:
            yield read

    def _hit(self, read: Callable[[], Frame]) -> Frame:  # noqa: ARG002 - there is nothing to read
        raise DeviceError("The camera was unplugged.", hint="Plug it in.")


class TornFrame(_Faulty):
    """Transfer lost its second half: the lower part is the previous picture's, and a strict decode refuses it."""

    _last: Frame | None = None

    def _pass(self, frame: Frame) -> Frame:
        self._last = frame
        return frame

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        frame = read()
        torn = frame.grey8.copy()
        if self._last is not None:
            half = torn.shape[0] // 2
            torn[half:] = self._last.grey8[half:]

        def refuse() -> Image:
            raise DeviceError(f"Frame {frame.seq} is damaged: the picture data end early.", hint="Check the USB cable.")

        return replace(frame, grey8=torn, decode=refuse)


def _changed(frame: Frame, change: Callable[[Image], Image]) -> Frame:
    """The same frame with another picture; the small grey one is made from it."""
    bgr = change(frame.bgr())
    height, width = frame.grey8.shape
    small = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)
    return replace(frame, grey8=np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8), decode=lambda: bgr)


def _plain(bgr: Image, grey: float, noise: float, seed: int) -> Image:
    grain = np.random.default_rng(seed).standard_normal(bgr.shape, np.float32) * np.float32(noise)
    return np.asarray(np.clip(grey + grain, 0, 255), np.uint8)
