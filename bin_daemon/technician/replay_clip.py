"""Any recorded clip as frames with times that can be trusted: a video that OpenCV reads, or a folder of pictures.

A container's own times are used where they run forward; where they are missing, stand still or jump, the frame rate goes on. The
number of a frame is its place in the clip as OpenCV hands it out, broken ones included.
"""

from __future__ import annotations

import os
import stat
import string
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.config import CameraSettings
from bin_daemon.errors import ConfigError, DeviceError, EndOfFrames
from bin_daemon.sensing.clip import picture_frame
from bin_daemon.sensing.folder import PICTURES, FolderCamera

if TYPE_CHECKING:
    from collections.abc import Iterator

    import cv2

    from bin_daemon.domain import Frame, Image

MOST_FPS = 1000.0
"""Slow-motion cameras end there; a container that claims more does not know."""
LONGEST_GAP_S = 3600.0
"""A recorder that sleeps between events leaves gaps; a longer one is a clock that jumped."""
LEAST_STEP_S = 0.001
"""Between two frames that claim the same moment: time must run forward."""
BACKWARD_S = 0.5
"""A time that steps back by less is jitter and one frame's; by more, the clock was set or another clip was joined on."""
LOST_FRAMES = 100
"""So many unreadable frames in a row end a clip."""
LEAST_SIDE = 64
"""Pixels; the region must have some cells of 8 x 8 to look at."""

_PRINTABLE = frozenset(string.printable.encode())
_CONVERT = "convert it to MP4 (H.264) or MJPEG AVI, for instance: ffmpeg -i CLIP clip.mp4"


@dataclass(slots=True)
class Condition:
    """What was wrong with a clip, for people."""

    broken: int = 0
    """Frames that no decoder could read; they are passed over."""
    doubled: int = 0
    """Frames that are the one before once more."""
    odd_times: int = 0
    """Frames whose own time was no use."""
    missing: int = 0
    """Frames that the container promised and that are not there."""


class FrameTimes:
    """Seconds from the clip's start, always running forward, from a container's milliseconds."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps
        self._offset_s: float | None = None
        self._raw_s = self._last_s = 0.0
        self.odd = 0
        """Times that were no use."""

    def at(self, container_ms: float) -> float:
        """The time of the next frame, whose container says ``container_ms`` (0 or NaN where it says nothing)."""
        raw_s = container_ms / 1000.0 if np.isfinite(container_ms) else 0.0
        if self._offset_s is None:
            self._offset_s, self._raw_s = -raw_s, raw_s
            return 0.0
        step_s = raw_s + self._offset_s - self._last_s
        stands, self._raw_s = raw_s == self._raw_s, raw_s
        if LEAST_STEP_S <= step_s <= LONGEST_GAP_S and not stands:
            self._last_s += step_s
            return self._last_s
        self.odd += 1
        is_jitter = -BACKWARD_S < step_s < LEAST_STEP_S
        self._last_s += LEAST_STEP_S if is_jitter and not stands else self._period_s
        if not is_jitter:
            self._offset_s = self._last_s - raw_s
        return self._last_s


class Recording:
    """An open clip: ``fps`` and ``size`` (width, height) of its first frame, then `frames` once."""

    def __init__(self, path: Path, fps: float, frames: Iterator[Frame], condition: Condition, count: int = 0) -> None:
        """Raises `ConfigError` when there is no frame at all."""
        first = next(frames, None)
        if first is None:
            raise ConfigError(f"{path}: no frame of it can be read", hint=_CONVERT)
        if min(first.width, first.height) < LEAST_SIDE:
            raise ConfigError(
                f"{path}: its pictures are {first.width} x {first.height} pixels, too small to look at",
                hint=f"take pictures of at least {LEAST_SIDE} x {LEAST_SIDE} pixels",
            )
        self.path, self.fps, self.condition = path, fps, condition
        self.size = (first.width, first.height)
        self.count = count
        """Frames that the container promises, 0 when it does not say."""
        self._first: Frame | None = first
        self._rest = frames

    def frames(self) -> Iterator[Frame]:
        """Frame by frame, one in memory at a time; ``seq`` is the 0-based number in the clip, ``t_s`` from its start."""
        last: Image | None = None
        first, self._first = self._first, None
        while True:
            frame, first = first or next(self._rest, None), None
            if frame is None:
                return
            if last is not None and np.array_equal(last, frame.grey8):
                self.condition.doubled += 1
            last = frame.grey8
            yield frame


@contextmanager
def open_recording(path: Path, *, fps: float | None = None) -> Iterator[Recording]:
    """Open ``path``, a video or a folder of pictures. ``fps`` is for clips that do not say theirs; left out, 15.

    Raises `ConfigError` for what is no clip, is empty, or cannot be decoded.
    """
    path = path.expanduser()
    check_name(path)
    if path.is_dir():
        with _open_folder(path, fps or 15.0) as recording:
            yield recording
        return
    _check(path)
    with _open_video(path, fps or 15.0) as recording:
        yield recording


def check_name(path: Path) -> None:
    """Raises `ConfigError` for a name that OpenCV cannot take: it would end the process with a segmentation fault."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise ConfigError(
            f"{shown}: the name is not UTF-8", hint="rename it, or give a link with a plain name"
        ) from error


def _check(path: Path) -> None:
    """What can be said before a decoder is asked. Raises `ConfigError`."""
    try:
        status = path.stat()
        start = _start(path) if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="give the path of a video, or of a folder of pictures"
        ) from error
    if start is None:
        raise ConfigError(f"{path}: neither a file nor a folder", hint="give a video, or a folder of pictures")
    if not start:
        raise ConfigError(f"{path}: the file is empty", hint="record or copy it again")
    if path.suffix.lower() in PICTURES:
        raise ConfigError(f"{path}: one picture is no clip", hint="give the folder that holds the pictures in order")
    if _PRINTABLE.issuperset(start):  # FFmpeg would draw a text as a video, and follow a playlist to other files
        raise ConfigError(f"{path}: a text, not a video", hint="give a video, or a folder of pictures")


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(512)


@contextmanager
def _open_folder(path: Path, fps: float) -> Iterator[Recording]:
    settings = CameraSettings(source=f"dir:{path}", fps=min(fps, 120.0), paced=False)
    condition = Condition()
    camera = FolderCamera(settings, str(path), clock=lambda: 0.0, wait=lambda _: None)
    try:
        with camera.open() as read:

            def frames() -> Iterator[Frame]:
                try:
                    while True:
                        yield read()
                except EndOfFrames:
                    condition.broken = camera.skipped

            yield Recording(path, settings.fps, frames(), condition)
    except DeviceError as error:
        raise ConfigError(str(error), hint=error.hint) from error


@contextmanager
def _open_video(path: Path, fallback_fps: float) -> Iterator[Recording]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is damaged is counted and told in our words
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise ConfigError(f"{path}: no video, or one that no decoder here reads", hint=_CONVERT)
        told = capture.get(cv2.CAP_PROP_FPS)
        fps = told if 1 / LONGEST_GAP_S < told <= MOST_FPS else fallback_fps
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        condition = Condition()
        yield Recording(path, fps, _frames(capture, fps, condition), condition, int(count) if 0 < count < 1e9 else 0)  # noqa: PLR2004 - a year of frames; beyond, the container does not know
    finally:
        capture.release()
        cv2.utils.logging.setLogLevel(level)


def _frames(capture: cv2.VideoCapture, fps: float, condition: Condition) -> Iterator[Frame]:
    import cv2

    times = FrameTimes(fps)
    seq = lost = 0
    while lost < LOST_FRAMES:
        if not capture.grab():
            lost += 1
            continue
        seq, lost, condition.broken = seq + lost, 0, condition.broken + lost  # they had their place in the clip
        t_s = times.at(capture.get(cv2.CAP_PROP_POS_MSEC))
        condition.odd_times = times.odd
        ok, picture = capture.retrieve()
        if ok and picture is not None and picture.size:
            yield picture_frame(seq, t_s, np.asarray(picture, np.uint8))
        else:
            condition.broken += 1
        seq += 1
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if np.isfinite(promised) and seq < promised < 1e9:  # noqa: PLR2004 - as above
        condition.missing = int(promised) - seq
