"""Light that draws lines, on texture, on a rim, in glare or in bands, is told from things; and what rests costs little."""

from __future__ import annotations

from itertools import count

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Frame, LidsState
from bin_daemon.placement import Detector, State, detector
from bin_daemon.placement.background import EmptyTray, Reference
from bin_daemon.placement.item import NOTHING, look_at
from bin_daemon.placement.states import Limits

Grey = NDArray[np.float32]

ROWS, COLUMNS = 60, 80
LIMITS = Limits(PlacementSettings(), ROWS, COLUMNS, noise_grey=0.3)
NO_LIDS = LidsState(connected=False)


def _speckled(seed: int = 3) -> Grey:
    grain = np.random.default_rng(seed).standard_normal((ROWS, COLUMNS), np.float32)
    return np.asarray(120 + 25 * cv2.GaussianBlur(grain, (0, 0), 1.0), np.float32)


def _rimmed() -> Grey:
    tray = np.full((ROWS, COLUMNS), 30, np.float32)
    tray[4:-4, 4:-4] = 150
    return np.asarray(cv2.blur(tray, (3, 3)), np.float32)


def _shade(middle: float, soft: float, *, depth: float = 0.5, across: bool = False) -> Grey:
    """Light that falls to 1 - depth beyond ``middle``, over some times ``soft`` cells."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    return np.asarray(1 - depth / (1 + np.exp(-((y if across else x) - middle) / soft)), np.float32)


@pytest.mark.parametrize("middle", [12.0, 30.0, 45.0])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("tray", [_speckled(), _rimmed()], ids=["speckled", "rimmed"])
def test_edge_of_a_shadow_is_no_outline(tray: Grey, middle: float, *, across: bool) -> None:
    """A factor that changes within a window explains a soft edge on texture and along the tray's rim."""
    assert look_at(Reference(tray), tray * _shade(middle, 2.5, across=across), LIMITS) is NOTHING


@pytest.mark.parametrize("side", [4, 8, 20])
def test_a_grey_thing_in_the_edge_of_a_shadow_is_seen(side: int) -> None:
    """What explains the shade does not explain a small thing that lies in it."""
    tray = _speckled()
    seen = tray.copy()
    seen[20 : 20 + side, 30 : 30 + side] = 85
    box = look_at(Reference(tray), seen * _shade(34, 2.5, depth=0.12), LIMITS).box
    assert box is not None
    assert abs(box[0] + box[2] / 2 - 30 - side / 2) <= 3
    assert abs(box[1] + box[3] / 2 - 20 - side / 2) <= 3


def test_a_lamp_that_saturates_the_sensor_places_nothing() -> None:
    """Texture that is lost in and around a glare is no outline."""
    tray = _speckled()
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    lamp = 1.3 + 1.2 * np.exp(-(((y - 35) / 18) ** 2) - ((x - 50) / 18) ** 2)
    lit = np.asarray(np.minimum(tray * lamp, 255), np.float32)
    assert look_at(Reference(tray), lit, LIMITS).box is None


def test_a_clouds_half_shade_draws_no_lines() -> None:
    """Where a shadow's slanting edge makes the rows' medians jump, rows are not taken for bands of flicker."""
    tray = _rimmed()
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    cloud = np.asarray(1 - 0.4 / (1 + np.exp(-(y - 30 + 0.25 * (x - 40)) / 4)), np.float32)
    noise = np.random.default_rng(2).normal(0, 0.3, tray.shape).astype(np.float32)
    assert look_at(Reference(tray), tray * cloud + noise, LIMITS) is NOTHING


def test_bands_of_flicker_are_taken_out() -> None:
    """Rolling bands over whole rows leave no outline on texture."""
    tray = _speckled()
    rows = 1 + 0.1 * np.sin(2 * np.pi * np.arange(ROWS) / 27)
    look = look_at(Reference(tray), np.asarray(tray * rows[:, None], np.float32), LIMITS)
    assert (look.box, look.at_edge, look.large) == (None, False, False)


def test_a_mark_is_learnt_in_the_light_around_it() -> None:
    """A place that is learnt under a cloud's shade does not darken the model."""
    tray = EmptyTray(20.0)
    bare = _speckled()
    tray.learn(bare, 0.0)
    where = np.zeros(bare.shape, np.bool_)
    where[20:30, 45:55] = True
    seen = bare * _shade(40, 10, depth=0.4)
    tray.accept(seen, where)
    off = float(np.abs(tray.reference.grey - bare)[where].mean())
    gain = float(np.median((seen + 1) / (bare + 1)))
    assert off < 0.4 * float(np.abs(seen / gain - bare)[where].mean())


def test_a_still_tray_is_seldom_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty tray at rest, and an item that has rested for long, are compared at ``look_again_s``, not in each frame."""
    looks: list[float] = []

    def counted(*args: object) -> object:
        looks.append(0.0)
        return look_at(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(detector, "look_at", counted)
    rng, ids = np.random.default_rng(1), count()
    settings = PlacementSettings()
    watcher = Detector(settings, lambda: f"item-{next(ids)}")
    bare = _speckled()
    seq = count()

    def no_pixels() -> NDArray[np.uint8]:
        raise AssertionError("nobody asks for the full picture")

    def show(scene: Grey, seconds: float) -> int:
        looks.clear()
        for _ in range(round(15 * seconds)):
            number = next(seq)
            noisy = np.clip(scene + rng.normal(0, 0.4, scene.shape), 0, 255).astype(np.uint8)
            watcher.update(Frame(number, number / 15, COLUMNS * 8, ROWS * 8, noisy, no_pixels), NO_LIDS)
        return len(looks)

    show(bare, 2)
    assert watcher.state.value == State.EMPTY.value
    assert show(bare, 4) <= 4 / settings.look_again_s + 1
    item = bare.copy()
    item[20:32, 30:46] = 60
    show(item, 3)
    assert watcher.state.value == State.WAIT_CLEAR.value
    twice = 2  # what lies there is compared with the tray, and with the tray behind a clean lens
    assert show(item, 4) <= twice * (4 / settings.look_again_s + 1)


def _placed_after_s(unmoved_s: float) -> float | None:
    """When a patch is placed that grows from a faint one, which nobody saw come, in steps too small for motion."""
    settings = PlacementSettings(motion_grey=8.0, unmoved_s=unmoved_s)
    number = count()
    detector_ = Detector(settings, lambda: f"item-{next(number)}")
    tray = _speckled()

    def show(patch: float, t_s: float) -> bool:
        grey = tray.copy()
        grey[20:32, 30:42] += patch
        grey8 = np.asarray(np.clip(grey, 0, 255), np.uint8)
        frame = Frame(round(t_s * 10), t_s, 640, 480, grey8, lambda: np.zeros((480, 640, 3), np.uint8))
        return detector_.update(frame, NO_LIDS) is not None

    story = [0.0] * 20 + [90.0] + [6.5] * 12  # the flash makes the next picture the beginning of a rest
    assert not any(show(patch, 0.1 * i) for i, patch in enumerate(story))
    begin_t_s = 0.1 * len(story)
    return next((0.1 * i for i in range(60) if show(13.0, begin_t_s + 0.1 * i)), None)


def test_what_shows_up_without_motion_must_keep_its_outline() -> None:
    """Shade grows while the picture rests; a thing comes with motion. So the former waits for ``unmoved_s``."""
    at_once_s, later_s = _placed_after_s(0.0), _placed_after_s(3.0)
    assert at_once_s is not None
    assert at_once_s < 1.0
    assert later_s is not None
    assert 3.0 <= later_s < 4.0


def _spot(slant: float = 0.3) -> Grey:
    """1 within a hard-edged patch of some 800 cells, 0 outside."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    inside = (abs(y - 30 + slant * (x - 40)) < 14) & (abs(x - 40) < 14)
    return np.asarray(cv2.blur(inside.astype(np.float32), (3, 3)), np.float32)


@pytest.mark.parametrize("factor", [0.6, 1.15, 1.3, 1.6])
def test_a_hard_spot_of_sun_on_texture_is_nothing(factor: float) -> None:
    """The tray's own texture shows within it, lit by another factor."""
    tray = np.asarray(0.6 * _speckled() + 20, np.float32)
    noise = np.random.default_rng(4).normal(0, 0.3, tray.shape).astype(np.float32)
    assert look_at(Reference(tray), tray * (1 + (factor - 1) * _spot()) + noise, LIMITS).box is None


def test_a_sheet_of_paper_is_no_spot_of_sun() -> None:
    """As bright and as hard-edged, but it hides the texture."""
    tray = np.asarray(0.6 * _speckled() + 20, np.float32)
    seen = tray * (1 - _spot()) + 1.3 * float(tray.mean()) * _spot()
    assert look_at(Reference(tray), np.asarray(seen, np.float32), LIMITS).box is not None


def test_a_clear_bottle_is_no_spot_of_sun() -> None:
    """The texture shows through it, and the bottle adds its own pattern."""
    tray = np.asarray(0.6 * _speckled() + 20, np.float32)
    pattern = cv2.GaussianBlur(np.random.default_rng(9).standard_normal((ROWS, COLUMNS), np.float32), (0, 0), 2.0)
    seen = tray * (1 - 0.17 * _spot()) + 40 * pattern * _spot()
    assert look_at(Reference(tray), np.asarray(seen, np.float32), LIMITS).box is not None
