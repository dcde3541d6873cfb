"""``dir:``: a folder of pictures as a camera, one picture a frame, in numeric order."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import ConfigError, DeviceError, EndOfFrames
from bin_daemon.sensing.clip import Clock, Pacer, Wait, picture_frame
from bin_daemon.sensing.decode import JpegDecoder
from bin_daemon.sensing.gate import AskPace, Gate, alert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.config.settings import CameraSettings
    from bin_daemon.domain import Frame, Image
    from bin_daemon.sensing.camera import ReadFrame

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_log = logging.getLogger(__name__)


class FolderCamera:
    """Pictures of one folder (not below it). A picture that cannot be read is skipped, warned of and counted in ``skipped``."""

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
        self._seq = count()
        self._decoder = JpegDecoder(str(self._path))
        self.skipped = 0
        if not self._path.is_dir():
            raise ConfigError(f"camera.source: no folder {self._path}", hint="give a folder of pictures after dir:")

    @contextmanager
    def open(self) -> Iterator[ReadFrame]:
        """Start at the first picture. Raises DeviceError when the folder holds none."""
        pictures = self._pictures()
        pacer = Pacer(self._settings.fps, self._gate, paced=self._settings.paced, clock=self._clock, wait=self._wait)
        frames = self._frames(pictures, pacer)

        def read() -> Frame:
            frame = next(frames, None)
            if frame is None:  # read again after the end
                raise EndOfFrames(f"end of the folder {self._path}")
            return frame

        yield read

    def _pictures(self) -> list[Path]:
        try:
            found = [x for x in self._path.iterdir() if x.suffix.lower() in PICTURES]
        except OSError as error:
            raise DeviceError(f"cannot list {self._path}: {error}", hint="mount or mend the folder") from error
        if not found:
            raise DeviceError(f"no picture in {self._path}", hint=f"put pictures there: {', '.join(sorted(PICTURES))}")
        return sorted(found, key=_numeric)

    def _frames(self, pictures: list[Path], pacer: Pacer) -> Iterator[Frame]:
        while True:
            shown = 0
            for path in pictures:
                bgr = self._read(path)
                if bgr is None:
                    continue
                shown += 1
                seq, t_s = next(self._seq), pacer.due()
                if pacer.wants(t_s):
                    yield picture_frame(seq, t_s, bgr)
            if not shown:
                raise DeviceError(f"no picture of {self._path} can be read", hint="see the warnings; replace the files")
            if not self._settings.loop:
                raise EndOfFrames(f"end of the folder {self._path}", hint="set camera.loop = true to start again")

    def _read(self, path: Path) -> Image | None:
        try:
            return self._decode(np.fromfile(path, np.uint8))
        except (OSError, DeviceError) as error:
            self.skipped += 1
            _log.warning("picture %s skipped: %s", path, error)
            return None

    def _decode(self, data: Image) -> Image:
        if data[:2].tobytes() == b"\xff\xd8":
            return self._decoder.bgr(data)
        import cv2

        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if bgr is None:
            raise DeviceError("not a picture, or a damaged one", hint="replace the file")
        return np.asarray(bgr, np.uint8)


def _numeric(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame 9 before frame 10."""
    return [(int(x), "") if x.isdigit() else (-1, x) for x in re.split(r"(\d+)", path.name)]
