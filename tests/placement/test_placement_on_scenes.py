"""The detector on composed scenes of the simulator: drawn items, hands with sleeves, falling lids, on a virtual clock."""

from __future__ import annotations

from collections import Counter, deque
from itertools import count

import cv2
import numpy as np
import pytest

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Box, Frame, Image, LidPosition, LidsState, LidState, Placement
from bin_daemon.placement import Detector
from bin_daemon.sim.photos import load_photos
from bin_daemon.sim.scene import Scene
from bin_daemon.sim.world import LidMotion
from firmware_protocol.hal import Motion

FPS = 10
LONGEST_S = 240.0
POSITION = {
    Motion.OPENING: LidPosition.OPENING,
    Motion.OPEN: LidPosition.OPEN,
    Motion.CLOSING: LidPosition.CLOSING,
    Motion.CLOSED: LidPosition.CLOSED,
}


class Bench:
    """A scene, a detector and four lids that open for every placement that ``opens`` agrees to."""

    def __init__(self, seed: int, size_hw: tuple[int, int], items: int) -> None:
        self.size_hw = size_hw
        self.scene = Scene(load_photos("drawn").items, seed, count=items, size_hw=size_hw)
        ids = count()
        self.detector = Detector(PlacementSettings(), lambda: f"item-{next(ids)}")
        self.lids = dict.fromkeys(range(1, 5), LidPosition.CLOSED)
        self.motions: deque[LidMotion] = deque()
        self.placements: list[Placement] = []
        self.rng = np.random.default_rng(seed)

    def play(self, opens_share: float) -> None:
        """Until the last item and hand are gone."""
        for seq in count():
            t_s = seq / FPS
            if self.scene.is_over() or t_s > LONGEST_S:
                return
            while self.motions and self.motions[0].t_s <= t_s:
                motion = self.motions.popleft()
                self.lids[motion.lid] = POSITION[motion.motion]
                self.scene.lid_moved(motion)
            lids = LidsState(connected=True, lids={lid: LidState(lid, at) for lid, at in self.lids.items()})
            placement = self.detector.update(self._frame(seq, t_s), lids)
            if placement:
                self.placements.append(placement)
                if self.rng.uniform() < opens_share:
                    self._open(int(self.rng.integers(1, 5)), t_s + 0.1)

    def _frame(self, seq: int, t_s: float) -> Frame:
        picture = self.scene.render(t_s)
        height, width = self.size_hw
        return Frame(seq, t_s, width, height, _grey8(picture), lambda: picture)

    def _open(self, lid: int, t_s: float) -> None:
        after = zip((0, 0.35, 1.85, 2.2), POSITION, strict=True)
        self.motions.extend(LidMotion(t_s + wait_s, lid, motion, 1) for wait_s, motion in after)

    def items_placed(self) -> Counter[int]:
        """How often each item was placed while it lay there, up to 0.5 s before the hand is wholly gone; -1: no item at all."""
        found: Counter[int] = Counter()
        for placement in self.placements:
            at = (
                x.index for x in self.scene.history if x.placed_t_s - 0.5 <= placement.t_s < (x.left_t_s or LONGEST_S)
            )
            found[next(at, -1)] += 1
        return found


def _grey8(bgr: Image) -> Image:
    height, width = bgr.shape[:2]
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (-(-width // 8), -(-height // 8)), interpolation=cv2.INTER_AREA), np.uint8)


def _covered(inner: Box, outer: Box) -> float:
    """Share of ``inner`` that lies in ``outer``."""
    width = min(inner[0] + inner[2], outer[0] + outer[2]) - max(inner[0], outer[0])
    height = min(inner[1] + inner[3], outer[1] + outer[3]) - max(inner[1], outer[1])
    return max(0, width) * max(0, height) / (inner[2] * inner[3])


@pytest.mark.parametrize(("seed", "size_hw", "items"), [(1, (360, 640), 3), (2, (360, 640), 3), (3, (720, 1280), 1)])
def test_every_item_of_a_scene_is_placed_exactly_once(seed: int, size_hw: tuple[int, int], items: int) -> None:
    """Every item once, none for a hand; the box holds the item; some lids stay shut and the person takes the item back."""
    bench = Bench(seed, size_hw, items)
    bench.play(opens_share=0.75)
    assert bench.items_placed() == Counter(range(items))
    for placement, item in zip(bench.placements, bench.scene.history, strict=True):
        assert _covered(item.box, placement.box) > 0.9, item.name
