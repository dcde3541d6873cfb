"""``v4l2:``: a USB camera on Linux, distrusted at every step.

OpenCV answers True for damaged, stale and repeated frames, blocks ten seconds on a hang, and after an unplug answers False at
once and for ever. Here each of these becomes a dropped and counted frame or a `DeviceError` within ``read_timeout_s``; whoever
reads then closes and opens again by the stable name.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bin_daemon.domain import Frame, Image
from bin_daemon.errors import DeviceError
from bin_daemon.sensing.decode import JpegDecoder
from bin_daemon.sensing.frozen import FrozenCheck
from bin_daemon.sensing.gate import AskPace, Gate, alert
from bin_daemon.sensing.hints import Glance, Sizes
from bin_daemon.sensing.raw import RAW_FORMATS, RawFormat, luma_grey8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.config.settings import CameraSettings
    from bin_daemon.sensing.camera import ReadFrame

MAX_DROPS = 30
"""Stale or damaged frames in a row before the camera counts as failed: one second at 30 fps; a pause leaves two to four."""

CLOCK_SLACK_MS = 50.0
"""A capture time this far in the future is of another clock than CLOCK_MONOTONIC: then arrival counts."""

_log = logging.getLogger(__name__)


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether the device was opened; stays True after an unplug."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803 - OpenCV's name
        """Ask for a property."""

    def get(self, propId: int) -> float:  # noqa: N803 - OpenCV's name
        """Read a property."""

    def grab(self) -> bool:
        """Wait for the next buffer."""

    def retrieve(self, image: Image | None = None, /) -> tuple[bool, Image]:
        """Copy the buffer, into ``image`` where that is of its shape."""

    def release(self) -> None:
        """Close the device."""


OpenCapture = Callable[[str], Capture]


class V4l2Camera:
    """One V4L2 device. Counters live as long as the camera object, over reopenings.

    Attributes:
        stale: frames dropped because they were older than ``max_age_ms``.
        decoder: its ``damaged`` and ``stray`` count bad and padded JPEG frames.
    """

    def __init__(
        self,
        settings: CameraSettings,
        device: str,
        pace: AskPace = alert,
        *,
        capture: OpenCapture | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self.device = device
        self._open_capture = capture or _open_cv2
        self._clock = clock
        self._seq = count()
        self._pace = pace
        self.decoder = JpegDecoder(device)
        self._frozen = FrozenCheck(
            settings.frozen_frames, device
        )  # remembers over reopenings: the same picture again is no cure
        self.stale = self._drops = 0
        if device.startswith("/dev/video"):
            _log.warning("camera %s: this number may change at the next boot; use the name in /dev/v4l/by-id", device)

    @contextmanager
    def open(self) -> Iterator[ReadFrame]:
        """Open and configure the device. Raises DeviceError when it is absent, busy or speaks no known pixel format."""
        # OpenCV reads this once, at its first wait for a frame. Rounded up, because 0 would mean no wait at all.
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(math.ceil(self._settings.read_timeout_s))
        capture = self._open_capture(self.device)
        try:
            if not capture.isOpened():
                raise DeviceError(
                    f"camera {self.device} cannot be opened",
                    hint="is it plugged in (ls -l /dev/v4l/by-id), not used by another program, and is the user in group video?",
                )
            raw_format = self._configure(capture)
            gate = Gate(self._settings, self._pace, Glance() if raw_format else Sizes())
            yield lambda: self._read(capture, gate, raw_format)
        finally:
            capture.release()

    def _configure(self, capture: Capture) -> RawFormat | None:
        """Set format, size and rate; the format that the camera has taken, None for JPEG."""
        import cv2

        wanted = self._settings
        # Format before size: many cameras offer the large sizes only as MJPG.
        capture.set(cv2.CAP_PROP_FOURCC, _fourcc(wanted.pixel_format))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height)
        capture.set(cv2.CAP_PROP_FPS, wanted.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # raw buffers: OpenCV's own decoding hides damage
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if size != (wanted.width, wanted.height):
            _log.warning("camera %s gives %d x %d instead of %d x %d", self.device, *size, wanted.width, wanted.height)
        got = _fourcc_name(capture.get(cv2.CAP_PROP_FOURCC))
        if got != wanted.pixel_format:
            _log.warning("camera %s gives pixel format %s instead of %s", self.device, got, wanted.pixel_format)
        if got in {"MJPG", "JPEG"}:
            return None
        if got not in RAW_FORMATS:
            raise DeviceError(
                f"camera {self.device} gives pixel format {got!r}, which cannot be read",
                hint="list its formats with v4l2-ctl --list-formats-ext and set camera.pixel_format to one of "
                + ", ".join(("MJPG", *RAW_FORMATS)),
            )
        return RAW_FORMATS[got]

    def _read(self, capture: Capture, gate: Gate, raw_format: RawFormat | None) -> Frame:
        """The next fresh, sound and new frame that is wanted."""
        self._drops = 0
        spare: Image | None = None
        while True:
            t_s = self._fresh(capture)
            ok, raw = capture.retrieve(spare)
            try:
                frame = self._wanted(gate, raw_format, t_s, raw) if ok else self._nothing()
            except DeviceError as error:
                _log.debug("frame dropped: %s", error)
                gate.missed()
                self._drop(str(error))
                spare = None
                continue
            if frame is not None:
                self._frozen.see(raw, frame.grey8)
                return frame
            # What nobody looks at leaves its memory to the next one; JPEGs differ in size.
            spare = raw if raw_format else None
            self._drops = 0  # what is unusable is followed by one that is looked at: so here no row of them goes on
            next(self._seq)

    def _wanted(self, gate: Gate, raw_format: RawFormat | None, t_s: float, raw: Image) -> Frame | None:
        """The frame; None where the line does not need it. Raises DeviceError for a damaged one that it needs."""
        luma = raw_format.luma(raw) if raw_format else None
        # Where two frames were alike, whether the camera is frozen must be known soon.
        if not (gate.opens(t_s, raw if luma is None else luma) or self._frozen.repeats):
            return None
        if raw_format is None or luma is None:
            return self._jpeg_frame(t_s, raw)
        height, width = luma.shape
        return Frame(next(self._seq), t_s, width, height, luma_grey8(luma), lambda: raw_format.bgr(raw))

    def _fresh(self, capture: Capture) -> float:
        """Wait for a buffer that is fresh; its capture time. The others are not even copied."""
        while True:
            started_s = self._clock()
            if not capture.grab():
                raise self._silent(self._clock() - started_s)
            t_s, age_ms = self._captured(capture)
            if age_ms <= self._settings.max_age_ms:
                return t_s
            self.stale += 1
            self._drop(f"the last frame was {age_ms:.0f} ms old")

    def _drop(self, why: str) -> None:
        """Count an unusable frame; the last one that is borne raises."""
        self._drops += 1
        if self._drops >= MAX_DROPS:
            raise DeviceError(
                f"camera {self.device}: {MAX_DROPS} unusable frames in a row; {why}",
                hint="check the USB cable, hub and power supply; a slower camera.fps or smaller size needs less of the bus",
            )

    def _silent(self, waited_s: float) -> DeviceError:
        if waited_s >= self._settings.read_timeout_s * 0.9:
            seen, mend = (
                f"hangs: no frame within {waited_s:.1f} s",
                "it is opened again by itself; replug it if this comes back",
            )
        else:
            seen, mend = (
                f"is gone: a read failed after {waited_s * 1000:.0f} ms",
                "plug the camera in; it is opened by itself",
            )
        return DeviceError(f"camera {self.device} {seen}", hint=mend)

    def _nothing(self) -> Frame:
        raise DeviceError(f"camera {self.device}: the driver gave no picture", hint="one is normal; many: replug it")

    def _captured(self, capture: Capture) -> tuple[float, float]:
        """Capture time in seconds of the monotonic clock, and age in milliseconds."""
        import cv2

        now_s = self._clock()
        t_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        age_ms = (now_s - t_s) * 1000.0
        if t_s <= 0 or age_ms < -CLOCK_SLACK_MS:  # the driver stamps nothing, or with the wall clock
            return now_s, 0.0
        return t_s, age_ms

    def _jpeg_frame(self, t_s: float, raw: Image) -> Frame:
        data = np.ascontiguousarray(raw).reshape(-1)
        width, height = self.decoder.size(data)
        grey8 = self.decoder.grey8(data)
        return Frame(next(self._seq), t_s, width, height, grey8, lambda: self.decoder.bgr(data))


def _open_cv2(device: str) -> Capture:
    import cv2

    # No parameters at open: CAP_PROP_READ_TIMEOUT_MSEC there makes the open fail on V4L2.
    capture: Capture = cv2.VideoCapture(device, cv2.CAP_V4L2)  # type: ignore[assignment]
    return capture


def _fourcc(name: str) -> int:
    return int.from_bytes(name.encode("ascii"), "little")


def _fourcc_name(code: float) -> str:
    return (int(code) & 0xFFFFFFFF).to_bytes(4, "little").decode("ascii", "replace").strip("\0 ")
