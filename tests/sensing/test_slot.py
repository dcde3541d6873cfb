"""The slot between camera thread and line, and the check for frozen pictures."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bin_daemon.domain import Frame
from bin_daemon.errors import DeviceError
from bin_daemon.sensing import FrozenCheck, Pace, Slot


def frame(seq: int) -> Frame:
    """A small frame with that number."""
    grey = np.full((2, 2), seq % 256, np.uint8)
    return Frame(seq, float(seq), 16, 16, grey, lambda: np.zeros((16, 16, 3), np.uint8))


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    """Three put, one taken: the third; two overwritten; taken once only."""
    slot = Slot()
    for n in range(3):
        slot.put(frame(n))
    taken = slot.get(0)
    assert taken is not None
    assert taken.seq == 2
    assert slot.overwritten == 2
    assert slot.get(0) is None


def test_a_waiting_get_is_woken_by_a_put() -> None:
    """The taker sleeps on the condition and gets the frame, long before its bound."""
    slot = Slot()
    got: list[Frame | None] = []
    taker = threading.Thread(target=lambda: got.append(slot.get(30)))
    taker.start()
    slot.put(frame(7))
    taker.join(10)
    assert not taker.is_alive()
    assert got[0] is not None
    assert got[0].seq == 7


def test_get_is_bounded_and_close_wakes_it() -> None:
    """Nothing comes: None after the time-out; close wakes at once, and what lay there can still be taken."""
    slot = Slot()
    assert slot.get(0.01) is None
    got: list[Frame | None] = []
    taker = threading.Thread(target=lambda: got.append(slot.get(30)))
    taker.start()
    slot.close()
    taker.join(10)
    assert got == [None]
    assert slot.closed
    slot.put(frame(1))
    assert slot.get(0) is not None


def test_every_frame_is_taken_or_counted() -> None:
    """A fast putter and a taker on two threads: taken + overwritten = put, and numbers only rise."""
    slot = Slot()
    taken: list[int] = []

    def take() -> None:
        while (got := slot.get(10)) is not None:
            taken.append(got.seq)

    taker = threading.Thread(target=take)
    taker.start()
    for n in range(5000):
        slot.put(frame(n))
    slot.close()
    taker.join(10)
    assert len(taken) + slot.overwritten == 5000
    assert taken == sorted(set(taken))
    assert taken[-1] == 4999


def test_the_pace_hint_runs_back() -> None:
    """The camera sees what the line last asked for."""
    slot = Slot()
    assert slot.pace is Pace.ALERT
    slot.pace = Pace.IDLE
    assert slot.pace is Pace.IDLE


def test_the_frozen_check_counts_only_identical_neighbours() -> None:
    """A, A, B, A, A, A with limit 3: only the last run of three fails."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 255, (8, 8), dtype=np.uint8) for _ in range(2))
    check = FrozenCheck(3, "cam")
    for grey in (a, a, b, a, a):
        check.see(grey, grey)
    with pytest.raises(DeviceError, match="3 bit-identical"):
        check.see(a.copy(), a)
