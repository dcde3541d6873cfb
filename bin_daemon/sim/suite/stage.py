"""The scene of one clip: draws it small and grey for watching, and in full only for a frame that somebody wants to see."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.domain import Frame
from bin_daemon.sim.suite.ground import ground, small_ground
from bin_daemon.sim.suite.sensor import BLOCK, SPARE, Exposure, Sensor, SensorSettings, Shot
from bin_daemon.sim.suite.truth import TRAVEL_S, LidOpening
from bin_daemon.sim.well import Well

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.domain import Image
    from bin_daemon.sim.suite.actors import Actor
    from bin_daemon.sim.suite.lens import Lens
    from bin_daemon.sim.suite.light import Lights

SHRINK = 4
"""The watched picture is composed this many times smaller than the full one: two places a cell each way keep edges true."""


@dataclass
class Stage:
    """All that a clip shows. Actors are laid in their order."""

    size: tuple[int, int]
    ground: tuple[str, int]
    lights: Lights
    lens: Lens
    sensor: SensorSettings
    actors: list[Actor] = field(default_factory=list)
    lids: list[LidOpening] = field(default_factory=list)
    _known: dict[int, tuple[object, Image]] = field(default_factory=dict, repr=False)
    _wells: dict[int, Well] = field(default_factory=dict, repr=False)

    def picture(self, t_s: float, shrink: int) -> Image:
        """The tray through the lens in even light: BGR in full (``shrink`` 1), or grey and smaller. Never change it."""
        states = [actor.state(t_s) for actor in self.actors]
        gaps = [(o.lid, round(gap_of(o, t_s), 2)) for o in self.lids if gap_of(o, t_s) > 0]
        look = (tuple(states), tuple(gaps), self.lens.state(t_s))
        if shrink not in self._known or self._known[shrink][0] != look:
            picture = ground(*self.ground, self.size) if shrink == 1 else small_ground(*self.ground, self.size, shrink)
            picture = picture.copy()
            for lid, gap in gaps:
                self._well(shrink).open(picture, lid, gap)
            for actor, state in zip(self.actors, states, strict=True):
                if state is not None:
                    actor.lay(picture, t_s, shrink)
            self._known[shrink] = (look, self.lens.through(picture, t_s, shrink))
        return self._known[shrink][1]

    def mouth_xy(self, lid: int) -> tuple[float, float]:
        """Where things fall to, full-frame pixels."""
        return self._well(1).mouth_xy(lid)

    def _well(self, shrink: int) -> Well:
        if shrink not in self._wells:
            size_hw = (self.size[1] // shrink, self.size[0] // shrink)
            self._wells[shrink] = Well(np.random.default_rng(self.ground[1]), size_hw)
        return self._wells[shrink]


def gap_of(opening: LidOpening, t_s: float) -> float:
    """How wide a lid's opening shows at ``t_s``: 0 shut, 1 wide open."""
    rising, falling = (t_s - opening.t_s) / TRAVEL_S, (opening.shut_s + TRAVEL_S - t_s) / TRAVEL_S
    return min(1.0, max(0.0, min(rising, falling)))


def play(stage: Stage, fps: float, duration_s: float, seed: int) -> Iterator[Frame]:
    """The frames of a stage as its camera sends them, from 0 to ``duration_s``."""
    rng = np.random.default_rng(seed)
    sensor, size = Sensor(stage.sensor, stage.size), stage.size
    exposure = Exposure(stage.sensor, _lit_mean(stage))
    grey8: Image | None = None
    taken = shot = Shot(0.0, 1.0, (0, 0))
    for seq in range(int(duration_s * fps)):
        t_s = seq / fps
        chance, *place = rng.random(3)
        if seq and chance < stage.sensor.lost_share:
            continue
        again = grey8 is not None and chance < stage.sensor.lost_share + stage.sensor.doubled_share
        if grey8 is None or not again:
            x, y = (int(p * SPARE / BLOCK) * BLOCK for p in place)
            shot = Shot(t_s, exposure.at(t_s), (x, y))
            grey8 = sensor.grey8(stage.picture(t_s, SHRINK), stage.lights.at(t_s), shot)
            exposure.saw(float(cv2.mean(grey8)[0]), max(1 / fps, t_s - taken.t_s))
            taken = shot
        yield Frame(seq, t_s, *size, grey8, functools.partial(_full, stage, sensor, shot))


def _full(stage: Stage, sensor: Sensor, shot: Shot) -> Image:
    return sensor.bgr(stage.picture(shot.t_s, 1), stage.lights.at(shot.t_s), shot)


def _lit_mean(stage: Stage) -> float:
    return float(cv2.mean(stage.picture(0.0, SHRINK))[0]) * float(np.mean(stage.lights.at(0.0)))
