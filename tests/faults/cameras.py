"""Cameras for the whole daemon, named by dotted path: the simulated bin with people in a hurry, and its faults on demand.

A fault lasts as long as the file ``camera_fault`` is in the folder $FAULTS_DIR; each frame that it strikes adds one byte to
``camera_hits`` there. $FAULTS_PHOTOS is a folder with one item: drawing all of them takes longer than the rest of a start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bin_daemon.config import CameraSettings
from bin_daemon.domain import Frame
from bin_daemon.errors import DeviceError
from bin_daemon.sim import camera_faults
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.script import Habits
from bin_daemon.sim.source import write_source

HURRY = Habits(
    first_s=0.6,
    pause_s=(0.3, 0.4),
    reach_s=(0.25, 0.3),
    withdraw_s=(0.15, 0.2),
    lower_s=0.1,
    settle_s=0.2,
    patience_s=0.7,
)
FAULT, HITS = "camera_fault", "camera_hits"
NEVER = 2**62
"""The wrappers' own count of frames is not used here."""


def _folder() -> Path:
    return Path(os.environ["FAULTS_DIR"])


def quick(settings: CameraSettings, items: int = 1000) -> SimCamera:
    """Items come one after the other; nobody waits longer than needed."""
    source = write_source("faults", seed=3, items=items, photos=os.environ["FAULTS_PHOTOS"])
    return SimCamera(settings.model_copy(update={"source": source}), habits=HURRY)


def empty_tray(settings: CameraSettings) -> SimCamera:
    """Nobody comes."""
    return quick(settings, items=0)


class _OnDemand:
    """Mixed in before a fault of `camera_faults`: the file says when it strikes."""

    def __init__(self, settings: CameraSettings) -> None:
        made: Any = super()
        made.__init__(quick(settings), first=NEVER)

    def _is_hit(self) -> bool:
        hit = (_folder() / FAULT).exists()
        if hit:
            with (_folder() / HITS).open("ab") as hits:
                hits.write(b".")
        return hit


class Black(_OnDemand, camera_faults.Black):
    """The lamp is off."""


class Covered(_OnDemand, camera_faults.Covered):
    """A cloth on the lens."""


class Frozen(_OnDemand, camera_faults.Frozen):
    """One picture for ever, also after it was opened again."""


class Torn(_OnDemand, camera_faults.TornFrame):
    """No picture can be decoded."""


class Gone(_OnDemand, camera_faults.Gone):
    """The plug is out."""

    @contextmanager
    def open(self) -> Iterator[Callable[[], Frame]]:
        """Open, unless there is nothing to open."""
        if self._is_hit():
            raise DeviceError("The camera is not there.", hint="Plug it in.")
        with super().open() as read:
            yield read


class Hung(_OnDemand, camera_faults.Hung):
    """A read that does not come back."""

    def _hit(self, read: Callable[[], Frame]) -> Frame:
        while (_folder() / FAULT).exists() and not self._released.wait(0.02):
            pass
        return read()


class Buggy:
    """A driver with a bug in it: no `DeviceError`, just any exception at each read."""

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings

    @contextmanager
    def open(self) -> Iterator[Callable[[], Frame]]:
        """Opens well."""

        def read() -> Frame:
            raise ZeroDivisionError("fps")

        yield read
