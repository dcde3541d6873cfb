"""The scene is fit to be watched: the real placement detector finds each of its items once, where it lies."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from bin_daemon.config.settings import CameraSettings, PlacementSettings
from bin_daemon.domain import LidPosition, LidsState, LidState
from bin_daemon.placement import Detector
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.world import LidMotion, world
from firmware_protocol.hal import Motion

if TYPE_CHECKING:
    from bin_daemon.domain import Box
    from bin_daemon.sim.playback import VirtualClock

PLAN = (
    (0.1, Motion.OPENING, LidPosition.OPENING),
    (0.5, Motion.OPEN, LidPosition.OPEN),
    (1.5, Motion.CLOSING, LidPosition.CLOSING),
    (1.9, Motion.CLOSED, LidPosition.CLOSED),
)


def test_every_item_is_placed_once_and_in_its_box(virtual: VirtualClock) -> None:
    """Four items of all categories, each sorted when seen: four placements, each overlapping the true box by half at least."""
    source = "sim:watched?seed=1&items=4&photos=drawn&tray=plastic"
    camera = SimCamera(CameraSettings(source=source, width=640, height=360), clock=virtual.clock, sleep=virtual.sleep)
    numbers = itertools.count()
    detector = Detector(PlacementSettings(), lambda: str(next(numbers)))
    found: list[tuple[int, float]] = []
    plan: deque[tuple[float, Motion, LidPosition]] = deque()
    position, placed_s = LidPosition.CLOSED, 0.0
    with camera.open() as read:
        while not camera.scene.is_over():
            assert virtual.now_s < 200, "the items never came to an end"
            while plan and virtual.now_s >= placed_s + plan[0][0]:
                _, motion, position = plan.popleft()
                world("watched").tell(LidMotion(virtual.now_s, 1, motion, 1))
            frame = read()
            placement = detector.update(frame, LidsState(connected=True, lids={1: LidState(1, position)}))
            if placement is not None:
                truth = camera.scene.truth(frame.t_s)
                assert truth is not None, "a placement without an item"
                found.append((truth.index, _overlap_frac(truth.box, placement.box)))
                placed_s = frame.t_s
                plan.extend(PLAN)
    assert [index for index, _ in found] == [0, 1, 2, 3]
    assert min(share for _, share in found) > 0.5


def _overlap_frac(one: Box, two: Box) -> float:
    """Intersection over union."""
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    shared = max(0, width) * max(0, height)
    return shared / (one[2] * one[3] + two[2] * two[3] - shared)
