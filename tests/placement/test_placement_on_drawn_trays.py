"""The detector on small drawn trays: one placement per item, and none for what is no item."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Frame, LidPosition, LidsState, LidState, Placement, Sight, TrayKind
from bin_daemon.placement import Detector, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Grey = NDArray[np.float32]
    Point = tuple[float, float]

ROWS, COLUMNS = 90, 160
SHUT = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})
OPEN = LidsState(connected=True, lids={**SHUT.lids, 2: LidState(2, LidPosition.OPEN)})
SEEDS = range(8)


class Tray:
    """A drawn tray of 1280 x 720 under a lamp, seen as grey8, with items, hands, shadows, drift and noise; fixed by its seed."""

    def __init__(
        self, seed: int, *, fps: float = 15, noise: float = 1.5, settings: PlacementSettings | None = None
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.fps = fps
        self.noise = noise
        self.t_s = 100.0
        self.light = 1.0
        self.drift_per_s = 0.0
        self.lids = SHUT
        self.placements: list[Placement] = []
        self.seen_states: set[State] = set()
        self._seq = count()
        ids = count()
        self.detector = Detector(settings or PlacementSettings(), lambda: f"item-{next(ids)}")
        self.bare = self._bare()
        self.scene = self.bare.copy()

    def _bare(self) -> Grey:
        y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
        lamp_y, lamp_x = self.rng.uniform(20, 70), self.rng.uniform(30, 130)
        light = 0.75 + 0.3 * np.exp(-(((y - lamp_y) / 60) ** 2) - ((x - lamp_x) / 90) ** 2)
        grain = cv2.GaussianBlur(self.rng.standard_normal((ROWS, COLUMNS), np.float32), (0, 0), 1.2) * 8
        return np.asarray(self.rng.uniform(80, 170) * light + grain, np.float32)

    def item(self, grey: float, *, size: tuple[int, int] = (16, 22), at: tuple[int, int] = (34, 60)) -> None:
        """Lay an item that is ``grey`` levels brighter than the tray, with its own pattern and a soft shadow; cells."""
        height, width = size
        y, x = at
        self.scene[y - 1 : y + height + 2, x - 1 : x + width + 2] *= 0.92
        part = self.bare[y : y + height, x : x + width]
        pattern = self.rng.uniform(-4, 4, (height, width)).astype(np.float32)
        self.scene[y : y + height, x : x + width] = part.mean() + grey + pattern

    def clear(self) -> None:
        """Nothing lies there any more."""
        self.scene = self.bare.copy()

    def state(self) -> State:
        """What the detector believes now."""
        return self.detector.state

    def show(self, seconds: float, paint: Callable[[Grey, float], None] | None = None) -> list[Placement]:
        """Let time pass; ``paint`` draws on each picture, given the share 0..1 of ``seconds`` that has passed."""
        frames = max(1, round(seconds * self.fps))
        before = len(self.placements)
        for n in range(frames):
            self.light *= 1 + self.drift_per_s / self.fps
            picture = self.scene * np.float32(self.light)
            if paint:
                paint(picture, (n + 1) / frames)
            picture += self.rng.standard_normal(picture.shape, np.float32) * self.noise
            grey8 = np.clip(picture, 0, 255).astype(np.uint8)
            self.t_s += 1 / self.fps
            frame = Frame(
                next(self._seq), self.t_s, COLUMNS * 8, ROWS * 8, grey8, lambda: np.zeros((1, 1, 3), np.uint8)
            )
            placement = self.detector.update(frame, self.lids)
            self.seen_states.add(self.detector.state)
            if placement:
                self.placements.append(placement)
        return self.placements[before:]

    def put(self, grey: float, **where: tuple[int, int]) -> list[Placement]:
        """A hand comes in, leaves an item and goes away."""
        found = self.show(0.5, arm((0.0, 40.0), (70.0, 44.0)))
        self.item(grey, **where)
        return found + self.show(0.6, arm((70.0, 44.0), (-30.0, 40.0)))

    def fall(self) -> list[Placement]:
        """A lid opens, what lies there falls, the lid shuts."""
        self.lids = OPEN
        found = self.show(0.4)
        self.clear()
        found += self.show(1.5)
        self.lids = SHUT
        return found + self.show(0.5)


def arm(start: Point, end: Point, *, grey: float = 190, width: float = 13) -> Callable[[Grey, float], None]:
    """An arm, round and so darker at its sides, reaching in from the left; its hand goes from ``start`` to ``end`` (cells)."""

    def paint(picture: Grey, share: float) -> None:
        x, y = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        if x > 0:
            for thick, shade in ((width, 0.75), (width * 0.7, 0.9), (width * 0.35, 1.0)):
                cv2.line(picture, (-20, int(y)), (int(x), int(y)), grey * shade, int(thick))
            cv2.circle(picture, (int(x), int(y)), int(width * 0.8), grey * 0.93, -1)

    return paint


def ready(seed: int, **options: float) -> Tray:
    """A tray whose emptiness has been learnt."""
    tray = Tray(seed, **options)  # type: ignore[arg-type]
    tray.show(1.5)
    assert tray.state() is State.EMPTY
    return tray


@pytest.mark.parametrize("seed", SEEDS)
def test_every_item_is_placed_exactly_once(seed: int) -> None:
    """Bring, rest, fall, six times over: six placements, each while its item rests, whatever size and shade."""
    tray = ready(seed)
    for n in range(6):
        grey = float(tray.rng.uniform(25, 70)) * tray.rng.choice((-1, 1))
        size = (int(tray.rng.integers(8, 28)), int(tray.rng.integers(8, 36)))
        at = (int(tray.rng.integers(5, 85 - size[0])), int(tray.rng.integers(5, 155 - size[1])))
        placed = tray.put(grey, size=size, at=at) + tray.show(1.0)
        assert len(placed) == 1, (seed, n)
        assert tray.fall() == []
        tray.show(float(tray.rng.uniform(0.2, 1.5)))
    assert len({p.id for p in tray.placements}) == 6


@pytest.mark.parametrize("fps", [5, 10, 15, 30, 60])
def test_the_frame_rate_does_not_matter(fps: int) -> None:
    """5 to 60 frames per second: each of five items once, settled no sooner than the settle time and no later than twice it."""
    tray = ready(3, fps=fps)
    for _ in range(5):
        (placement,) = tray.put(45) + tray.show(1.2)
        assert 400 <= placement.settled_ms <= 400 + 1000 / fps + 1
        tray.fall()
        tray.show(0.6)


@pytest.mark.parametrize("grey", [-18, 18])
def test_a_low_contrast_item_is_seen(grey: int) -> None:
    """An item of 18 grey levels against the tray, three tenths of a percent of the picture and up, is placed."""
    for seed in SEEDS:
        tray = ready(seed)
        assert len(tray.put(grey, size=(8, 9)) + tray.show(1.0)) == 1, seed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_passing_hand_is_no_item(seed: int) -> None:
    """Hands that come, wait, wander and go place nothing, even when they keep still for seconds."""
    tray = ready(seed)
    y, grey = float(tray.rng.uniform(15, 75)), float(tray.rng.uniform(40, 230))
    for _ in range(3):
        tray.show(0.4, arm((0, y), (90, y), grey=grey))
        tray.show(2.0, arm((90, y), (90, y), grey=grey))
        tray.show(1.5, arm((90, y), (60, 45), grey=grey))
        tray.show(0.4, arm((60, 45), (-30, 45), grey=grey))
        tray.show(1.0)
    assert tray.placements == []
    assert tray.state() is State.EMPTY


@pytest.mark.parametrize("step", [0.5, 0.75, 1.3, 1.6])
def test_a_light_step_is_no_item(step: float) -> None:
    """The lamp or the exposure jumps: nothing is placed, and the next item still is."""
    for seed in range(4):
        tray = ready(seed)
        tray.light *= step
        assert tray.show(3.0) == []
        assert len(tray.put(40 if step < 1 else -60) + tray.show(1.0)) == 1


def test_slow_drift_is_no_item() -> None:
    """The light falls to 60 % within a minute and rises again: nothing is placed, nothing moves."""
    tray = ready(5, fps=5)
    tray.drift_per_s = -0.0085
    tray.show(60)
    tray.drift_per_s = 0.0085
    tray.show(60)
    assert tray.placements == []


@pytest.mark.parametrize("seed", range(6))
def test_a_soft_shadow_is_no_item(seed: int) -> None:
    """A person's soft shadow, 25 % deep, that comes and rests for three seconds places nothing."""
    tray = ready(seed)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    centre = tray.rng.uniform(20, 70), tray.rng.uniform(30, 130)
    shade = 0.25 * np.exp(-(((y - centre[0]) / 22) ** 2) - ((x - centre[1]) / 30) ** 2)

    def cast(depth: Callable[[float], float]) -> Callable[[Grey, float], None]:
        def paint(picture: Grey, share: float) -> None:
            picture *= 1 - shade * np.float32(depth(share))

        return paint

    tray.show(0.5, cast(lambda share: share))
    tray.show(3.0, cast(lambda _: 1.0))
    tray.show(0.5, cast(lambda share: 1 - share))
    assert tray.placements == []


@pytest.mark.parametrize("seed", range(4))
def test_an_item_in_a_restless_shadow_is_placed_once(seed: int) -> None:
    """A person stands by: a soft shadow from the edge wanders over the tray and the item all the time; still one placement."""
    tray = ready(seed)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)

    def loom(picture: Grey, share: float) -> None:
        reach = 45 + 8 * np.sin(share * 9)
        picture *= 1 - 0.3 / (1 + np.exp((y - reach) / 6 + 0 * x))

    tray.show(1.5, loom)
    assert tray.placements == []
    tray.item(45, at=(30, 60))
    assert len(tray.show(2.5, loom)) == 1
    assert len(tray.show(1.5)) == 0


@pytest.mark.parametrize("light", [0.4, 0.6])
def test_an_item_is_seen_when_the_light_has_faded(light: float) -> None:
    """Learnt by day, used at dusk: the item's contrast has shrunk with the light, it is placed all the same."""
    for seed in range(4):
        tray = ready(seed)
        tray.light = light
        tray.show(1.0)
        assert len(tray.put(30) + tray.show(1.0)) == 1, seed


def test_a_noisy_camera_is_borne() -> None:
    """Noise of 3.5 grey levels left in grey8 (a YUYV camera at night): items are placed once, noise never."""
    for seed in range(4):
        tray = ready(seed, noise=3.5)
        assert tray.show(3.0) == []
        assert len(tray.put(45) + tray.show(1.5)) == 1, seed


def test_an_item_that_does_not_fall_is_reported_and_not_counted_again() -> None:
    """The lid opens and shuts, the item stays: not_cleared, no second placement, not even for hands that leave it as it is."""
    tray = ready(7)
    assert len(tray.put(50) + tray.show(1.0)) == 1
    tray.lids = OPEN
    tray.show(1.0)
    tray.lids = SHUT
    assert tray.show(30.0) == []
    assert tray.detector.conditions == {"not_cleared"}
    for _ in range(3):
        tray.show(0.5, arm((0, 70), (60, 70)))
        tray.show(0.5, arm((60, 70), (-30, 70)))
        assert tray.show(2.0) == []
        assert tray.state() is State.NOT_CLEARED
    tray.clear()
    tray.show(1.0)
    assert tray.state() is State.EMPTY
    assert tray.detector.conditions == frozenset()


def test_an_item_left_and_put_anew_gets_another_chance() -> None:
    """A person who moves the item that did not fall gets one more placement, and only one."""
    tray = ready(8)
    tray.put(50, at=(30, 60))
    tray.show(1.0)
    tray.lids = OPEN
    tray.show(1.0)
    tray.lids = SHUT
    tray.show(2.0)
    tray.show(0.5, arm((0, 40), (60, 40)))
    tray.clear()
    assert len(tray.put(50, at=(40, 90)) + tray.show(5.0)) == 1


def test_an_item_that_was_kept_waits_for_the_tray_to_be_clear() -> None:
    """No lid opened (unsure): the item is placed once, however long it lies; once it is taken away the next one counts."""
    tray = ready(9)
    assert len(tray.put(50) + tray.show(8.0)) == 1
    assert tray.state() is State.WAIT_CLEAR
    assert tray.show(5.0) == []
    assert tray.detector.conditions == {"not_cleared"}
    tray.clear()
    tray.show(1.0)
    assert len(tray.put(-50) + tray.show(1.0)) == 1


def test_nothing_is_placed_while_a_lid_moves() -> None:
    """An item put down while a lid stands open waits, and is placed when the lid is shut."""
    tray = ready(10)
    tray.lids = OPEN
    assert tray.put(50) + tray.show(3.0) == []
    tray.lids = SHUT
    assert len(tray.show(1.0)) == 1


def test_the_next_item_may_come_before_the_lid_is_shut() -> None:
    """The tray was seen clear while the lid stood open, the next item lands at once: it is a placement of its own."""
    tray = ready(11)
    assert len(tray.put(50) + tray.show(1.0)) == 1
    tray.lids = OPEN
    tray.show(0.4)
    tray.clear()
    tray.show(0.6)
    tray.put(-40, at=(20, 90))
    tray.lids = SHUT
    assert len(tray.show(1.5)) == 1


def test_a_lamp_off_and_on_does_not_count_the_item_twice() -> None:
    """Darkness while a counted item lies there: blind, and afterwards still the same item."""
    tray = ready(12)
    assert len(tray.put(50) + tray.show(1.0)) == 1
    tray.light = 0.02
    tray.show(2.0)
    assert tray.detector.sight is Sight.TOO_DARK
    assert tray.state() is State.BLIND_OWED
    tray.light = 1.0
    assert tray.show(3.0) == []
    assert tray.state() is State.WAIT_CLEAR


@pytest.mark.parametrize(("grey", "sight"), [(3, Sight.TOO_DARK), (252, Sight.TOO_BRIGHT), (120, Sight.COVERED)])
def test_an_unusable_picture_is_named_and_places_nothing(grey: int, sight: Sight) -> None:
    """Black, over-exposed and covered lens: sight says which, nothing is placed, and sight comes back."""
    tray = ready(13)

    def cover(picture: Grey, _: float) -> None:
        picture[:] = grey

    assert tray.show(2.0, cover) == []
    assert tray.detector.sight is sight
    assert tray.state() is State.BLIND
    assert tray.show(2.0) == []
    assert tray.state() is State.EMPTY


def test_an_item_present_at_the_start_is_tray_until_it_is_taken_away() -> None:
    """It is never placed; the bare tray under it is recognised; the next item there is placed."""
    for seed in SEEDS:
        tray = Tray(seed)
        tray.item(50)
        assert tray.show(3.0) == []
        tray.show(0.5, arm((0, 40), (60, 40)))
        tray.clear()
        assert tray.show(2.0, arm((60, 40), (-60, 40))) == [], seed
        assert len(tray.put(40) + tray.show(1.0)) == 1, seed


def test_an_item_over_the_edge_is_not_placed_but_reported() -> None:
    """Half outside the region: nobody can tell it from an arm; a person is told to push it in."""
    tray = ready(14)
    tray.show(0.5, arm((0, 40), (100, 46)))
    tray.item(50, at=(40, 138), size=(16, 22))
    tray.show(0.5, arm((100, 46), (-30, 40)))
    assert tray.show(3.0) == []
    assert tray.detector.conditions == {"at_edge"}
    assert TrayKind.AT_EDGE in {x.kind for x in tray.detector.take()}


def test_a_moved_camera_is_told_and_learnt_anew() -> None:
    """Another view that keeps still is told once, stays a fault for a minute, and is learnt: the next item is placed."""
    tray = ready(15)
    tray.bare = np.ascontiguousarray(tray.bare[:, ::-1] * 0.5 + 90 * (np.arange(COLUMNS) % 40 > 20)).astype(np.float32)
    tray.clear()
    assert tray.show(5.0) == []
    assert [x.kind for x in tray.detector.take()] == [TrayKind.CAMERA_MOVED]
    assert tray.detector.conditions == {"camera_moved"}
    assert tray.state() is State.EMPTY
    assert len(tray.put(60) + tray.show(1.0)) == 1
    tray.fall()
    tray.show(60.0)
    assert tray.detector.conditions == frozenset()


def test_another_picture_size_is_learnt_anew() -> None:
    """A camera that comes back with another size cannot be compared with what was learnt: it is learnt, and nothing raised."""
    tray = ready(16)
    small = np.full((45, 80), 100, np.uint8)
    small[10:20] = 140
    frame = Frame(0, tray.t_s + 1, 640, 360, small, lambda: np.zeros((1, 1, 3), np.uint8))
    assert tray.detector.update(frame, SHUT) is None
    assert tray.state() is State.LEARNING


def test_the_region_of_interest_hides_what_lies_outside() -> None:
    """Motion outside the region changes nothing; the box of an item within is in full-frame pixels."""
    tray = Tray(17, settings=PlacementSettings(roi=(0.25, 0.0, 0.75, 1.0)))
    tray.show(1.5)
    tray.show(2.0, arm((0, 40), (30, 40)))
    assert tray.seen_states == {State.LEARNING, State.EMPTY}
    tray.item(50, at=(40, 100), size=(16, 20))
    (placement,) = tray.show(1.5)
    x, y, width, height = placement.box
    assert x <= 800
    assert x + width >= 960
    assert y <= 320
    assert y + height >= 448
    assert width < 260
    assert height < 230


def test_several_views_are_the_last_still_frames() -> None:
    """With views = 3: three frames, oldest first, all of the rest, the last one at the placement's time."""
    tray = Tray(18, settings=PlacementSettings(views=3))
    tray.show(1.5)
    (placement,) = tray.put(50) + tray.show(1.5)
    seqs = [frame.seq for frame in placement.frames]
    assert seqs == sorted(seqs)
    assert len(seqs) == 3
    assert placement.frames[-1].t_s == placement.t_s
    assert placement.t_s - placement.frames[0].t_s <= placement.settled_ms / 1000
