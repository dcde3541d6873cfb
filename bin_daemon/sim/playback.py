"""Run a scene or a simulated camera at full speed: a clock that moves by sleeping only, and a player with its own lids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.sim.world import LidMotion
from firmware_protocol.hal import Motion

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.domain import Image
    from bin_daemon.sim.scene import Scene

CYCLE = ((Motion.OPENING, 0.35), (Motion.OPEN, 1.0), (Motion.CLOSING, 0.35), (Motion.CLOSED, 0.3))
"""One whole opening: each motion, and the seconds until the next."""


class VirtualClock:
    """``clock`` and ``sleep`` for `SimCamera`: time passes by sleeping only."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def clock(self) -> float:
        """The present, seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Move the present on."""
        self.now_s += seconds


class Player:
    """Plays a scene frame by frame and opens lids in it as a controller would."""

    def __init__(self, scene: Scene, *, fps: float = 15.0, start_t_s: float = 0.0) -> None:
        self.scene = scene
        self.now_s = start_t_s
        self._period_s = 1.0 / fps
        self.picture: Image = scene.render(start_t_s)
        """The latest picture."""
        self.empty = self.picture
        """The first one: the empty tray."""

    def until(self, reached: Callable[[], bool], limit_s: float = 30.0) -> None:
        """Render frame after frame until ``reached``; raises TimeoutError after ``limit_s`` of the scene's time."""
        end_s = self.now_s + limit_s
        while not reached():
            if self.now_s >= end_s:
                raise TimeoutError(f"It did not happen within {limit_s} s of the scene's time.")
            self.now_s += self._period_s
            self.picture = self.scene.render(self.now_s)

    def wait(self, seconds: float) -> None:
        """Render for so long."""
        end_s = self.now_s + seconds
        self.until(lambda: self.now_s >= end_s, limit_s=seconds + 1)

    def until_placed(self) -> None:
        """Render until an item lies at rest."""
        self.until(lambda: self.scene.truth(self.now_s) is not None)

    def tell(self, motion: Motion, lid: int = 1) -> None:
        """Tell the scene of one lid motion, now."""
        self.scene.lid_moved(LidMotion(self.now_s, lid, motion, action_id=1))

    def cycle(self, lid: int = 1) -> None:
        """Open and shut one lid."""
        for motion, seconds in CYCLE:
            self.tell(motion, lid)
            self.wait(seconds)
