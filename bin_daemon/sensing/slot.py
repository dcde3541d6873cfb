"""The slot between camera and line: one frame, the newest wins, and what was overwritten is counted."""

from __future__ import annotations

import threading
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bin_daemon.domain import Frame


class Pace(str, Enum):
    """How closely the line wants to look: the only word that runs back to the camera."""

    IDLE = "idle"
    ALERT = "alert"


class Slot:
    """Holds at most one frame. One thread puts, one takes; neither ever waits for the other's work."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._overwritten = 0
        self._pace = Pace.ALERT

    def put(self, frame: Frame) -> None:
        """Offer a frame; one that nobody took is replaced and counted."""
        with self._changed:
            if self._frame is not None:
                self._overwritten += 1
            self._frame = frame
            self._changed.notify_all()

    def get(self, timeout_s: float) -> Frame | None:
        """Take the newest frame; None when none came within ``timeout_s`` or the slot is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """No more frames will come: wakes a waiting `get`. The frame that still lies here can be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        with self._changed:
            return self._closed

    @property
    def overwritten(self) -> int:
        """Frames that nobody took, since the start."""
        with self._changed:
            return self._overwritten

    @property
    def pace(self) -> Pace:
        """What the line last asked for."""
        return self._pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._pace = pace
