"""A bin's pictures filmed once and shown over and over: hands, items and lids for a detector that is to see a million frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bin_daemon.app.parts import new_id
from bin_daemon.config.settings import CameraSettings, PlacementSettings, PolicySettings, Settings
from bin_daemon.domain import Classification, Decision, Frame, Image, LidReport, LidsState, ManualRequest, Placement
from bin_daemon.pipeline import Pipeline
from bin_daemon.placement import Detector
from bin_daemon.placement.states import State
from bin_daemon.policy import Policy
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.playback import VirtualClock
from bin_daemon.sim.world import world
from tests.benchmarks.memory import PlayedLids, Stub

SIZE = (320, 180)
"""Small pictures: nothing that is kept depends on their size, and time does."""
FPS = 15
IDLE_TIMES = 3
"""So many frames of an empty tray for each of a visit; a real bin has a thousand, and is quickly looked at then."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of the reel: the watched picture, and the lids."""

    grey8: Image
    lids: LidsState


class _NoJournal:
    """What happens while filming is nobody's business."""

    def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
        """Not kept."""

    def begin_manual(self, request: ManualRequest, decision: Decision) -> None:
        """Not kept."""

    def finish(self, report: LidReport) -> None:
        """Not kept."""


def film(frames: int) -> list[Shot]:
    """About so many frames of visits, from an empty tray to an empty tray, and `IDLE_TIMES` as many of the tray before them."""
    clock = VirtualClock()
    lids = PlayedLids(clock, world("reel"))
    detector = Detector(PlacementSettings(), new_id)
    line = Pipeline(detector, Stub(), Policy(PolicySettings(), Settings().lids), _NoJournal(), lids)
    source = "sim:reel?photos=drawn&items=1000&seed=3"
    settings = CameraSettings(source=source, width=SIZE[0], height=SIZE[1], fps=FPS)
    shots: list[Shot] = []
    idle: list[Shot] = []
    learning = 0
    with SimCamera(settings, clock=clock.clock, sleep=clock.sleep).open() as read:
        while len(shots) < frames or detector.state is not State.EMPTY:
            frame = read()
            line.step(frame)
            shots.append(Shot(frame.grey8, lids.state))
            if detector.state is State.EMPTY and len(idle) == len(shots) - 1 - learning:
                idle.append(shots[-1])
            elif not idle:
                learning += 1
    return shots + list(itertools.islice(itertools.cycle(idle), IDLE_TIMES * len(shots)))


def show(shots: list[Shot], frames: int) -> Iterator[tuple[Frame, LidsState]]:
    """The reel again and again, with ever new numbers and times."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for seq, shot in zip(range(frames), itertools.cycle(shots), strict=False):
        yield Frame(seq, 100 + seq / FPS, *SIZE, shot.grey8, lambda: picture), shot.lids
