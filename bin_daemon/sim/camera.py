"""The camera of the simulated bin: the scene, paced like a real camera, and fed with the lid motions of its world."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.domain import Frame
from bin_daemon.sim.photos import load_photos
from bin_daemon.sim.scene import Scene
from bin_daemon.sim.script import Habits
from bin_daemon.sim.source import SimSource, parse_source
from bin_daemon.sim.world import World, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bin_daemon.config.settings import CameraSettings
    from bin_daemon.domain import Image
    from bin_daemon.sim.photos import PhotoSet
    from bin_daemon.sim.world import LidMotion

MOTIONS_KEPT = 1000
"""Lid motions that wait for the next frame; a lid makes about four in three seconds."""


class SimCamera:
    """A camera that sees the simulated bin named in ``settings.source``.

    ``clock`` must be the clock of the world's controller (monotonic seconds), ``sleep`` waits that many seconds; tests pass
    both and run at full speed. While ``is_idle`` only ``settings.idle_fps`` frames a second are drawn. The scene begins at the
    first `open` and goes on where it was when the camera is opened again.

    Raises `ConfigError` at once for a source that cannot be read and for photographs that are not there.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        habits: Habits | None = None,
        is_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self.source: SimSource = parse_source(settings.source)
        self.photos: PhotoSet = load_photos(self.source.photos, Path(self.source.cache) if self.source.cache else None)
        self._size_hw = (self.source.height or settings.height, self.source.width or settings.width)
        self._period_s = 1.0 / settings.fps
        # Every second, third, ... frame, as many as idle_fps has room for; half a frame early, for sleeping is not exact.
        self._idle_s = (max(1, math.ceil(settings.fps / settings.idle_fps - 0.1)) - 0.5) * self._period_s
        self._is_idle = is_idle
        self._clock, self._sleep = clock, sleep
        self._habits = habits or Habits(patience_s=self.source.patience_s)
        self._scene: Scene | None = None
        self._scene_lock = threading.Lock()
        self._seq = 0

    @property
    def world(self) -> World:
        """The bin that this camera looks into."""
        return world(self.source.world)

    @property
    def scene(self) -> Scene:
        """What is true about the pictures; made at first use, which starts its time."""
        with self._scene_lock:  # the camera's thread and whoever asks for the truth may come first together
            if self._scene is None:
                self._scene = Scene(
                    self.photos.items,
                    self.source.seed,
                    count=self.source.items,
                    size_hw=self._size_hw,
                    material=self.source.tray or None,
                    habits=self._habits,
                    start_t_s=self._clock(),
                )
            return self._scene

    @contextmanager
    def open(self) -> Iterator[Callable[[], Frame]]:
        """Yield ``read``: each call waits for the next frame's time and gives that frame."""
        scene = self.scene
        motions: deque[LidMotion] = deque(maxlen=MOTIONS_KEPT)
        forget = self.world.listen(motions.append)
        due_s = drawn_s = self._clock()

        def wait() -> float:
            nonlocal due_s
            now = self._clock()
            if due_s > now:
                self._sleep(due_s - now)
                now = self._clock()
            # Late by more than a frame: skip, as a camera does, in place of hurrying after.
            due_s = (due_s if now - due_s < self._period_s else now) + self._period_s
            return now

        def read() -> Frame:
            nonlocal drawn_s
            now = wait()
            while self._is_idle() and now - drawn_s < self._idle_s:  # an idle line needs few of the pictures
                self._seq += 1
                now = wait()
            drawn_s = now
            while motions:
                scene.lid_moved(motions.popleft())
            return self._frame(scene.render(now), now)

        try:
            yield read
        finally:
            forget()

    def _frame(self, bgr: Image, t_s: float) -> Frame:
        self._seq += 1
        height, width = self._size_hw
        return Frame(self._seq, t_s, width, height, grey8(bgr), lambda: bgr)


def grey8(bgr: Image) -> Image:
    """The small grey picture for watching: uint8, H/8 x W/8 rounded up."""
    height, width = bgr.shape[:2]
    small = cv2.resize(bgr, (-(-width // 8), -(-height // 8)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
