"""What changes without an item is told once: stop and fill, on a clock that only the test moves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bin_daemon.app.changes import CHATTER_S, FillWatch, StopWatch
from bin_daemon.config import FillSettings, LidSettings
from bin_daemon.domain import Category, FillChange, LidPosition, LidsState, LidState, StopEdge

FREE = LidsState(connected=True)
PRESSED = replace(FREE, stopped=True, stop_pressed=True, stop_presses=1)
LATCHED = replace(FREE, stopped=True, stop_presses=1)
GONE = replace(FREE, connected=False)
P, R, L, C = StopEdge.PRESSED, StopEdge.RELEASED, StopEdge.LATCHED, StopEdge.CLEARED

STEP, SETTLE_S, PERIOD_S = 0.05, 10.0, 0.5
LIDS = (LidSettings(lid=1, category=Category.KITCHEN),)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([FREE, PRESSED, PRESSED, LATCHED, LATCHED, LATCHED, replace(FREE, stop_presses=1)], [P, R, C]),
        ([FREE, PRESSED, LATCHED, replace(FREE, stop_presses=1)], [P, R, C]),  # cleared at once
        ([FREE, LATCHED, LATCHED, LATCHED], [P, R]),  # pressed and released between two turns
        ([FREE, replace(FREE, stop_presses=1)], [P, R, C]),  # and cleared as well
        ([PRESSED], [P]),  # pressed before we came
        ([replace(FREE, stopped=True), FREE], [L, C]),  # latched by command, or before we came
        ([PRESSED, GONE, PRESSED], [P]),
        ([PRESSED, GONE, replace(FREE, stop_presses=1)], [P, R, C]),
        ([PRESSED, LATCHED, LATCHED, LATCHED, replace(PRESSED, stop_presses=2)], [P, R, P]),
        ([PRESSED, LATCHED, replace(PRESSED, stop_presses=2)], [P]),
        ([FREE, replace(FREE, stopped=True, stop_pressed=True)], [P]),  # a controller that counts no presses
        ([GONE, GONE, FREE], []),
    ],
)
def test_each_press_and_release_and_end_is_told_once(seen: list[LidsState], told: list[StopEdge]) -> None:
    """In this order, whatever falls between two looks; nothing is made up while the controller is away."""
    watch = StopWatch()
    assert [edge for n, lids in enumerate(seen) for edge in watch.update(lids, n * 0.6)] == told


def test_a_switch_that_chatters_is_pressed() -> None:
    """A loose wire, ten times a second for an hour: pressed once, and released once when it has come to rest."""
    watch, told = StopWatch(), list[StopEdge]()
    for turn in range(36_000):
        presses = 1 + turn // 2
        lids = replace(PRESSED if turn % 2 == 0 else LATCHED, stop_presses=presses)
        told += watch.update(lids, turn * 0.1)
        assert watch.pressed
    told += watch.update(replace(LATCHED, stop_presses=18_000), 3600.0)
    assert told == [P]
    told += watch.update(replace(LATCHED, stop_presses=18_000), 3600.0 + CHATTER_S)
    assert told == [P, R]


class Compartment:
    """One lid's sensor, read every half second."""

    def __init__(self, first: float | None = 0.2) -> None:
        self.now_s = 0.0
        self.told: list[FillChange] = []
        self.watch = FillWatch(FillSettings(step_frac=STEP, settle_s=SETTLE_S), LIDS)
        self.read(first)

    def read(self, *levels: float | None, at: LidPosition = LidPosition.CLOSED, connected: bool = True) -> None:
        """Readings one after the other."""
        for level in levels:
            lids = LidsState(connected, {1: LidState(1, at, level)})
            self.told += self.watch.update(lids, self.now_s)
            self.now_s += PERIOD_S

    def levels(self) -> list[tuple[float | None, float | None]]:
        """Told changes: before, after."""
        return [(x.before_frac, x.full_frac) for x in self.told]


def test_a_level_that_stays_is_told_once_with_what_it_was_before() -> None:
    """After it has stayed for settle_s, not sooner; the first reading of all is no change."""
    heap = Compartment()
    heap.read(*[0.3] * 20)
    assert heap.told == []
    heap.read(*[0.3] * 40)
    assert heap.told == [FillChange(1, Category.KITCHEN, 0.3, 0.2)]
    assert heap.watch.full_frac == {1: 0.3}


def test_a_whole_step_is_a_change() -> None:
    """step_frac itself is told, although no binary fraction meets it exactly."""
    heap = Compartment(0.2)
    heap.read(*[0.2 + STEP] * 30)
    heap.read(*[0.2] * 30)
    assert heap.levels() == [(0.2, 0.25), (0.25, 0.2)]


def test_it_is_emptied() -> None:
    """Down as well as up."""
    heap = Compartment(0.97)
    heap.read(*[0.0] * 30)
    assert heap.levels() == [(0.97, 0.0)]


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.lists(st.floats(-0.024, 0.024), min_size=30, max_size=120))
def test_jitter_below_the_step_is_never_told(level: float, jitter: list[float]) -> None:
    """Whatever a trembling sensor reads, once its level is known within half a step."""
    heap = Compartment(level)
    heap.read(*(level + x for x in jitter))
    assert heap.told == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=200))
def test_no_sensor_makes_a_storm(levels: list[float | None]) -> None:
    """Any readings at all: at most one change in settle_s, none of them smaller than a step."""
    heap = Compartment()
    heap.read(*levels)
    assert len(heap.told) <= len(levels) * PERIOD_S / SETTLE_S
    for before, after in heap.levels():
        assert before is None or after is None or not abs(after - before) < STEP - 1e-6


def test_a_sensor_that_swings_wide_is_not_believed() -> None:
    """Now far above, now far below what was told: no direction, no change."""
    heap = Compartment(0.5)
    heap.read(*[0.9, 0.1] * 100)
    assert heap.told == []


def test_an_open_lid_is_in_the_sensors_way() -> None:
    """Readings of a lid that is not shut count for nothing, and the wait begins anew."""
    heap = Compartment()
    heap.read(*[1.0] * 100, at=LidPosition.OPEN)
    heap.read(*[0.3] * 15)
    heap.read(0.3, at=LidPosition.OPENING)
    heap.read(*[0.3] * 15)
    heap.read(*[0.3] * 100, connected=False)
    heap.read(*[0.3] * 15)
    assert heap.told == []
    heap.read(*[0.3] * 10)
    assert heap.levels() == [(0.2, 0.3)]


def test_a_sensor_that_is_gone_is_told() -> None:
    """As no level at all, and its return as a change, too."""
    heap = Compartment()
    heap.read(None, *[0.2] * 30)
    assert heap.told == []
    heap.read(*[None] * 30)
    heap.read(*[0.2] * 30)
    assert heap.levels() == [(0.2, None), (None, 0.2)]
