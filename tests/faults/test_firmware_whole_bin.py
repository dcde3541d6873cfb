"""The whole daemon at the real firmware: the image in simavr behind a pty, its lids moved by its own servo pulses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from firmware_protocol.hal import Motion
from firmware_protocol.limits import DETACH_MS, HOST_SILENCE_MS
from firmware_protocol.messages import ResetCause
from tests.faults.conftest import make_bin
from tests.faults.rig import EMPTY, Bin, Broker, LocalController, Motions, wait_for
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.board_on_pty import BoardOnPty
from tests.firmware_protocol.bodies.stand import Stand

TRAVEL_MS = 1200
"""By the board's own clock: on a busy machine it may run slower than the wall's."""


class Board(Motions):
    """The rig's view of a `BoardOnPty`."""

    def __init__(self, link: Path, stand: Stand) -> None:
        super().__init__(link)
        self.pty = BoardOnPty(stand, link)

    def openings(self) -> dict[int, int]:
        """By the controller's own events."""
        return self.pty.openings()

    def all_shut(self) -> bool:
        """By the lids."""
        return self.pty.all_shut()

    def any_open(self) -> bool:
        """By the lids."""
        return self.pty.any_open()

    def now_ms(self) -> float:
        """The board's time."""
        with self.pty.lock:
            return self.pty.stand.now_ms

    def shut_ms(self) -> float:
        """When the last motion ended shut."""
        with self.pty.lock:
            last = self.pty.stand.plant.moved[-1]
        assert last.motion is Motion.CLOSED
        return last.t_ms

    def silent_ms(self) -> float:
        """When the last servo signal went away."""
        with self.pty.lock:
            last = self.pty.stand.pulses()[-1]
        assert last.pulse_us is None
        return last.t_ms


@pytest.fixture
def board(tmp_path: Path, avr_program: Callable[[], tuple[Path, Path]]) -> Iterator[Board]:
    """The emulated board, running; all lids shut."""
    body = AvrBody(*avr_program())
    made = Board(tmp_path / "lids", Stand(body))
    with made.pty:
        yield made
    body.close()


@pytest.fixture
def firmware_bin(tmp_path: Path, kitchen_bundle: Path, shared_broker: Broker, board: Board) -> Iterator[Bin]:
    """Broker, board and subscriber running; the daemon not yet."""
    made = make_bin(
        tmp_path, kitchen_bundle, shared_broker, cast("LocalController", board)
    )  # all that the rig asks of one
    made.subscriber.await_ready()
    yield made
    made.end()


def test_items_are_sorted_by_the_real_firmware(firmware_bin: Bin, board: Board) -> None:
    """Two items, each opened once by pulses on lid 2 and shut, told by the firmware's own events; a farewell leaves lids shut."""
    firmware_bin.start()
    wait_for(lambda: len(firmware_bin.subscriber.events()) >= 2, "two events")
    state = firmware_bin.status()["state"]
    assert state["controller"] is True
    assert firmware_bin.stop() == 0
    wait_for(board.all_shut, "all lids shut")
    events = firmware_bin.subscriber.events()
    assert {(x["category"], x["lid"], x["outcome"]) for x in events} <= {("kitchen", 2, "closed")}
    assert board.pty.lids() == {2}
    assert board.pty.count(Motion.OPENING) == len(board.openings())
    assert board.pty.count(Motion.REVERSED) == 0
    firmware_bin.check_books()


def test_killed_with_a_lid_open(firmware_bin: Bin, board: Board) -> None:
    """Kill -9 while a lid stands open with 8 s to go: the firmware alone shuts it within 2 s + travel.

    The next daemon finds a working board, ends the decision, and opens nothing anew.
    """
    firmware_bin.start({"policy.hold_ms": 8000})
    wait_for(board.any_open, "an open lid")
    firmware_bin.kill()
    killed_ms = board.now_ms()
    wait_for(board.all_shut, "shut by the firmware alone")
    wait_for(board.pty.silent, "no servo signal")
    assert board.shut_ms() - killed_ms <= HOST_SILENCE_MS + TRAVEL_MS
    assert board.silent_ms() - board.shut_ms() <= DETACH_MS + 100
    opened = dict(board.openings())
    assert list(opened.values()) == [1]
    assert board.pty.count(Motion.OPENING) == 1
    firmware_bin.start({"camera.source": EMPTY})
    wait_for(lambda: None not in firmware_bin.outcomes().values(), "every decision ended")
    wait_for(lambda: firmware_bin.subscriber.ids() == set(firmware_bin.outcomes()), "every decision told")
    assert firmware_bin.stop() == 0
    assert board.openings() == opened
    assert board.pty.count(Motion.OPENING) == 1


def test_the_board_resets_with_a_lid_open(firmware_bin: Bin, board: Board) -> None:
    """A watchdog reset in the middle of an item: the lid is homed and not opened again for it, and later items are sorted."""
    firmware_bin.start()
    wait_for(board.any_open, "an open lid")
    with board.pty.lock:
        board.pty.stand.body.reset(ResetCause.WATCHDOG)
    ((struck, action),) = firmware_bin.journal("SELECT event_id, action_id FROM actions")
    wait_for(lambda: firmware_bin.outcomes()[struck], "the struck item's end")
    wait_for(lambda: board.openings().keys() - {action}, "another item's opening")
    assert firmware_bin.stop() == 0
    wait_for(board.all_shut, "all lids shut")
    assert board.pty.count(Motion.OPENING) == len({action, *board.openings()})
    firmware_bin.check_books()
