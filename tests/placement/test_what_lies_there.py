"""Told of what lies there: another on top, a mark, fog, a faint thing, and a tray that fits everywhere along its only edge."""

from __future__ import annotations

import cv2
import numpy as np

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import LidPosition, LidsState, LidState
from bin_daemon.placement.background import Reference, smooth
from bin_daemon.placement.item import look_at
from bin_daemon.placement.states import Limits
from bin_daemon.placement.view import is_moved
from tests.placement.drawn_tray import COLUMNS, ROWS, Watch, drawn_tray, with_arm, with_item, with_shaft

SHUT = LidsState(connected=True, lids={1: LidState(1, LidPosition.CLOSED)})
OPEN = LidsState(connected=True, lids={1: LidState(1, LidPosition.OPEN)})
LIMITS = Limits(PlacementSettings(), ROWS, COLUMNS)


def test_what_hides_the_counted_item_and_is_larger_lies_on_top() -> None:
    """Nothing of the first is seen any more: it has not grown, so both lie there."""
    bare, watch = drawn_tray(), Watch()
    lain = with_item(bare)
    larger = lain.copy()
    larger[16:43, 34:67] = np.random.default_rng(7).uniform(20, 110, (27, 33))
    watch.show(bare, seconds=1.5)
    watch.show(lain, seconds=1.5)
    watch.show(*(with_arm(lain, r) for r in range(6, 40, 6)))
    watch.show(*(with_arm(larger, r) for r in range(36, -1, -6)), larger, seconds=1.2)
    assert watch.told == ["placement", "multi_item"]


def test_a_wet_place_in_the_items_outline_is_no_second_item() -> None:
    """A lid has opened and nobody came: what is left in its outline is told as a stain."""
    bare, watch = drawn_tray(), Watch()
    lain = with_item(bare, grey=-45)
    wet = bare.copy()
    wet[22:37, 40:49] = lain[22:37, 40:49]
    wet[22:37, 49:58] -= 18
    watch.show(bare, seconds=1.5)
    watch.show(lain, seconds=1.5, lids=SHUT)
    watch.show(*(with_shaft(lain, w) for w in range(4, 24, 4)), lids=OPEN)
    watch.show(with_shaft(wet, 24), seconds=1.3, lids=OPEN)
    watch.show(*(with_shaft(wet, w) for w in range(24, -1, -4)), lids=OPEN)
    watch.show(wet, seconds=3.0, lids=SHUT)
    assert watch.told == ["placement", "tray_stained"]


def test_fog_that_comes_is_no_item() -> None:
    """Breath on the lens: blotches all over and a quarter of the tray's texture gone."""
    bare, watch = drawn_tray(), Watch()
    blotches = cv2.GaussianBlur(np.random.default_rng(5).standard_normal((ROWS, COLUMNS)), (0, 0), 3)
    blotches *= 20 / np.abs(blotches).max()
    fogged = 0.75 * bare + 0.25 * cv2.GaussianBlur(bare, (0, 0), 4)
    fogged[6:-6, 6:-6] += blotches[6:-6, 6:-6]
    watch.show(bare, seconds=1.5)
    watch.show(np.asarray(fogged, np.float32), seconds=1.5)
    assert watch.told == []


def test_a_faint_items_box_holds_its_faint_parts() -> None:
    """A clear bottle whose cap is seen well and whose body hardly: the box is of both."""
    plain = np.full((ROWS, COLUMNS), 130, np.uint8)
    bottle = plain.copy()
    cv2.rectangle(bottle, (50, 24), (60, 36), 133, -1)
    cv2.rectangle(bottle, (61, 26), (66, 34), 142, -1)
    look = look_at(Reference(smooth(plain)), smooth(bottle), LIMITS)
    assert look.box is not None
    assert look.box[0] <= 52
    assert look.box[0] + look.box[2] >= 65


def test_a_tray_with_one_edge_is_not_moved_by_an_item_at_the_rim() -> None:
    """A shift along that edge puts the item out of the picture and changes nothing else: it foretells no outline of it."""
    bare = np.full((ROWS, COLUMNS), 110, np.uint8)
    bare[42:] = 165
    half_on = bare.copy()
    cv2.rectangle(half_on, (0, 27), (8, 36), 55, -1)
    assert not is_moved(Reference(smooth(bare)), smooth(half_on), LIMITS)


def test_an_item_with_highlights_rests_under_a_flickering_lamp() -> None:
    """Where it is nearly white the sensor cuts the bands off; that is no motion, and the item is placed once."""
    bare, watch = drawn_tray(), Watch()
    shiny = with_item(bare, grey=110)
    shiny[22:37, 40:58] += 60 * cv2.GaussianBlur(np.random.default_rng(3).standard_normal((15, 18)), (0, 0), 1.0)
    for picture, frames in ((bare, 25), (shiny, 30)):
        for n in range(frames):
            bands = 1 + 0.08 * np.sin(2 * np.pi * (np.arange(ROWS)[:, None] / 40 + 0.37 * n))
            watch.show(np.asarray(picture * bands, np.float32))
    assert watch.told == ["placement"]
