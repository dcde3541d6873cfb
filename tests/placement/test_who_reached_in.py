"""Told by sight alone: a hand from an opening lid, a knocked camera from an arm, a plain tray from a covered lens."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Sight, TrayKind
from bin_daemon.placement import Detector
from bin_daemon.placement.background import Reference
from bin_daemon.placement.counted import is_ghost
from bin_daemon.placement.item import look_at
from bin_daemon.placement.states import Limits
from bin_daemon.placement.view import is_moved
from bin_daemon.placement.visit import Visit, is_opening
from tests.placement.drawn_tray import COLUMNS, ROWS, Watch, drawn_tray, with_arm, with_item, with_shaft


def test_an_item_that_falls_into_an_open_lid_is_placed_once_and_nothing_else_is_said() -> None:
    """No reports, a dark shaft that opens from the edge: neither the shaft nor the item's going is told."""
    bare, watch = drawn_tray(), Watch()
    lain = with_item(bare)
    watch.show(bare, seconds=1.5)
    for _ in range(2):
        watch.show(lain, seconds=1.5)
        watch.show(*(with_shaft(lain, w) for w in range(4, 24, 4)))
        watch.show(with_shaft(bare, 24), seconds=1.3)
        watch.show(*(with_shaft(bare, w) for w in range(24, -1, -4)), seconds=1.2)
    assert watch.told == ["placement", "placement"]


def test_a_hand_that_takes_the_item_is_told_without_reports() -> None:
    """An arm comes while the item lies there, and both go: taken back."""
    bare, watch = drawn_tray(), Watch()
    lain = with_item(bare)
    watch.show(bare, seconds=1.5)
    watch.show(lain, seconds=1.5)
    watch.show(*(with_arm(lain, r) for r in range(6, 60, 6)), seconds=0.3)
    watch.show(*(with_arm(bare, r) for r in range(54, -1, -6)), seconds=1.2)
    assert watch.told == ["placement", "taken_back"]


@pytest.mark.parametrize(("stays_s", "told"), [(0.5, 1), (2.5, 1), (0.0, 0)])
def test_a_hand_that_leaves_nothing_is_told_once(stays_s: float, told: int) -> None:
    """Whether it stays or only dips in; what passes through is told by nobody."""
    bare, watch = drawn_tray(), Watch()
    step = 6 if stays_s else 20
    watch.show(bare, seconds=1.5)
    watch.show(*(with_arm(bare, r) for r in range(6, 60, step)), seconds=stays_s)
    watch.show(*(with_arm(bare, r) for r in range(54, -1, -step)), bare, seconds=1.2)
    assert watch.told == ["hand_present"] * told


def test_a_hand_that_brings_an_item_is_not_told() -> None:
    """It is gone as fast as it came, and the item says enough."""
    bare, watch = drawn_tray(), Watch()
    lain = with_item(bare)
    watch.show(bare, seconds=1.5)
    watch.show(*(with_arm(bare, r) for r in range(6, 60, 6)))
    watch.show(*(with_arm(lain, r) for r in range(54, -1, -6)), lain, seconds=1.2)
    assert watch.told == ["placement"]


def test_an_item_that_slides_out_of_the_picture_was_not_taken() -> None:
    """It touches the edge only after it has left its place: fallen, however it went."""
    bare, watch = drawn_tray(), Watch()
    watch.show(bare, seconds=1.5)
    watch.show(with_item(bare), seconds=1.5)
    watch.show(*(with_item(bare, x=x) for x in range(46, 100, 9)), bare, seconds=1.2)
    assert watch.told == ["placement"]


def test_an_arm_is_no_opening_and_a_shaft_is() -> None:
    """Upright or dark is an opening, slanting and bright is an arm; each counted for what it is."""
    bare = drawn_tray()
    limits = Limits(PlacementSettings(), ROWS, COLUMNS)
    tray = Reference(bare)
    for picture, opening in ((with_shaft(bare, 20), True), (with_arm(bare, 60), False)):
        visit, look = Visit(), look_at(tray, picture, limits)
        assert look.reach is not None
        assert is_opening(look.reach, picture, bare) is opening
        for n in range(3):
            visit.see(look, picture, bare, None, n / 15)
        assert (visit.is_opening, visit.is_hand) == (opening, not opening)


@pytest.mark.parametrize(("right", "down", "turn"), [(5, 0, 0), (-3, 4, 0), (2, -3, 3)])
def test_a_knock_is_a_shift_and_a_turn(right: int, down: int, turn: float) -> None:
    """The same tray from another place is known; the same shift with a changed lamp, too."""
    wide = cv2.copyMakeBorder(drawn_tray(), 10, 10, 10, 10, cv2.BORDER_REFLECT)
    matrix = cv2.getRotationMatrix2D((60, 40), turn, 1.0)
    matrix[:, 2] += (right, down)
    knocked = cv2.warpAffine(wide, matrix, (COLUMNS + 20, ROWS + 20))[10:-10, 10:-10]
    limits = Limits(PlacementSettings(), ROWS, COLUMNS)
    tray = Reference(wide[10:-10, 10:-10].copy())
    assert is_moved(tray, np.asarray(knocked, np.float32), limits)
    assert is_moved(tray, np.asarray(0.8 * knocked, np.float32), limits)


def test_an_item_an_arm_and_light_are_no_knock() -> None:
    """What a shift cannot undo is no other view."""
    bare = drawn_tray()
    limits = Limits(PlacementSettings(), ROWS, COLUMNS)
    for picture in (with_item(bare), with_arm(bare, 60), with_shaft(bare, 30), np.asarray(0.6 * bare, np.float32)):
        assert not is_moved(Reference(bare), picture, limits)


def test_a_knock_that_shows_only_along_the_edge_is_told_and_learnt() -> None:
    """A plain tray moves half a hand's width: no arm for ever, but camera_moved once, and the next item counts."""
    plain = drawn_tray(texture=2.5)
    knocked = np.asarray(
        cv2.warpAffine(plain, np.array([[1, 0, 0], [0, 1, 4]], np.float32), (COLUMNS, ROWS), borderValue=130),
        np.float32,
    )
    watch = Watch()
    watch.show(plain, seconds=1.5)
    watch.show(knocked, seconds=4.5)
    watch.show(with_item(knocked), seconds=1.2)
    assert [kind for kind in watch.told if kind != TrayKind.HAND_PRESENT.value] == ["camera_moved", "placement"]


def test_a_plain_tray_is_no_covered_lens() -> None:
    """Without any structure of its own the tray is watched, and its item placed."""
    plain, watch = np.full((ROWS, COLUMNS), 120, np.float32), Watch()
    watch.show(plain, seconds=2.5)
    assert watch.detector.sight is Sight.OK
    watch.show(with_item(plain), seconds=1.2)
    assert watch.told == ["placement"]


def test_a_large_item_within_the_rim_is_placed() -> None:
    """Two thirds of each side, but the rim is as it was: an item, and no other view."""
    bare, watch = drawn_tray(), Watch()
    crate = bare.copy()
    noise = np.random.default_rng(7).uniform(70, 190, (ROWS - 24, COLUMNS - 32))
    crate[12:-12, 16:-16] = noise
    watch.show(bare, seconds=1.5)
    watch.show(crate, seconds=1.5)
    assert watch.told == ["placement"]


def test_a_plain_item_on_a_speckled_tray_is_no_ghost() -> None:
    """It looks more like its surroundings than the speckles do, but it has the outline; a laid-bare tray has it in the model."""
    speckled = drawn_tray(texture=40.0)
    shown = speckled.copy()
    cv2.rectangle(shown, (40, 22), (57, 36), 150, -1)
    mask = np.zeros(shown.shape, np.bool_)
    mask[22:37, 40:58] = True
    assert not is_ghost(mask, shown, speckled, 4.5)
    flat = np.full((ROWS, COLUMNS), 120, np.float32)
    assert is_ghost(mask, flat, with_item(flat), 4.5)


def test_a_mark_that_an_item_leaves_is_tray_at_once() -> None:
    """It falls and leaves a dark spot: told as a stain, never placed, and the next item beside it counts."""
    bare, watch = drawn_tray(), Watch()
    marked = bare.copy()
    cv2.circle(marked, (49, 29), 3, 60.0, -1)
    watch.show(bare, seconds=1.5)
    watch.show(with_item(bare), seconds=1.5)
    watch.show(marked, seconds=3.0)
    watch.show(with_item(marked, x=12), seconds=1.5)
    assert watch.told == ["placement", "tray_stained", "placement"]


@pytest.mark.parametrize(("stays_s", "told"), [(2.5, []), (9.0, ["at_edge"])])
def test_what_reaches_in_without_motion_is_a_shade_until_it_stays(stays_s: float, told: list[str]) -> None:
    """A shade at the edge that comes too slowly to be motion is told to nobody, unless it stays."""
    watch, bare = Watch(), drawn_tray(texture=0.0)
    watch.detector = Detector(PlacementSettings(motion_grey=12.0), str)
    watch.show(bare, seconds=3)
    shaded = bare.copy()
    shaded[12:40, :14] -= 20
    watch.show(shaded, seconds=stays_s)
    assert watch.detector.look.at_edge
    watch.show(bare, seconds=2)
    assert watch.told == told


def test_a_shadow_that_moves_over_the_tray_is_no_hand() -> None:
    """Its hard edge lies over two opposite edges of the picture, and over one at last: nobody is told of it."""
    watch, bare = Watch(), drawn_tray()
    watch.show(bare, seconds=3)
    across = np.arange(COLUMNS)[None, :] + 0.1 * np.arange(ROWS)[:, None]
    for edge in range(0, 130, 2):
        watch.show(np.asarray(bare * np.where(abs(across - edge) < 9, 0.55, 1.0), np.float32))
    watch.show(bare, seconds=2)
    assert watch.told == []
