"""``file:``: a recorded clip as a camera, in real time or as fast as it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Frame, Image
from bin_daemon.errors import ConfigError, DeviceError, EndOfFrames
from bin_daemon.sensing.decode import to_grey8
from bin_daemon.sensing.gate import AskPace, Gate, alert

if TYPE_CHECKING:
    from collections.abc import Iterator

    import cv2

    from bin_daemon.config.settings import CameraSettings
    from bin_daemon.sensing.camera import ReadFrame

Clock = Callable[[], float]
Wait = Callable[[float], None]


class Pacer:
    """Hands out capture times one frame period apart and, when asked to, waits for them. ``gate`` is of the line's pace."""

    def __init__(self, fps: float, gate: Gate, *, paced: bool, clock: Clock, wait: Wait) -> None:
        self._gate = gate
        self._period_s = 1.0 / fps
        self._paced = paced
        self._clock = clock
        self._wait = wait
        self._next_s = clock()

    def due(self) -> float:
        """Capture time of the next frame; returns not before it when paced. A late reader skips time, not frames."""
        now_s = self._clock()
        if self._paced and self._next_s > now_s:
            self._wait(self._next_s - now_s)
        elif self._paced:
            self._next_s = now_s
        t_s = self._next_s
        self._next_s += self._period_s
        return t_s

    def wants(self, t_s: float) -> bool:
        """Whether the frame of that time is to be shown: always when it is not paced, for then no time is lost by it."""
        return not self._paced or self._gate.opens(t_s)


class ClipCamera:
    """Frames of a video file. ``seq`` goes on over a loop and a reopening."""

    def __init__(
        self,
        settings: CameraSettings,
        path: str,
        pace: AskPace = alert,
        *,
        clock: Clock = time.monotonic,
        wait: Wait = time.sleep,
    ) -> None:
        self._path = Path(path).expanduser()
        self._settings = settings
        self._gate = Gate(settings, pace)
        self._clock = clock
        self._wait = wait
        self._seq = 0
        if not self._path.is_file():
            raise ConfigError(f"camera.source: no clip {self._path}", hint="give the path of a video file after file:")

    @contextmanager
    def open(self) -> Iterator[ReadFrame]:
        """Start at the clip's first frame. Raises DeviceError when no decoder reads it."""
        import cv2

        capture = cv2.VideoCapture(str(self._path))
        try:
            if not capture.isOpened():
                raise DeviceError(
                    f"no decoder reads the clip {self._path}", hint="convert it to MP4 (H.264) or MJPEG AVI"
                )
            fps = capture.get(cv2.CAP_PROP_FPS)
            # A clip without a frame rate reports 0 or nonsense: fall back on the wanted one.
            pacer = Pacer(
                fps if 0 < fps <= 1000 else self._settings.fps,  # noqa: PLR2004 - fps of slow-motion cameras end there
                self._gate,
                paced=self._settings.paced,
                clock=self._clock,
                wait=self._wait,
            )
            yield lambda: self._read(capture, pacer)
        finally:
            capture.release()

    def _read(self, capture: cv2.VideoCapture, pacer: Pacer) -> Frame:
        while True:
            self._grab(capture)
            seq = self._count()
            t_s = pacer.due()
            if pacer.wants(t_s):
                ok, picture = capture.retrieve()
                if not ok:
                    raise DeviceError(f"a frame of the clip {self._path} cannot be read", hint="record it again")
                return picture_frame(seq, t_s, np.asarray(picture, np.uint8))

    def _grab(self, capture: cv2.VideoCapture) -> None:
        import cv2

        if capture.grab():
            return
        if self._settings.loop:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            if capture.grab():
                return
        raise EndOfFrames(f"end of the clip {self._path}", hint="set camera.loop = true to start again")

    def _count(self) -> int:
        self._seq += 1
        return self._seq - 1


def picture_frame(seq: int, t_s: float, bgr: Image) -> Frame:
    """A frame of an already decoded picture, uint8 H x W x 3 BGR."""
    height, width = bgr.shape[:2]
    return Frame(seq, t_s, width, height, to_grey8(bgr), lambda: bgr)
