"""After the stop switch: the bin can be put to use again without a screwdriver, and not by accident."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bin_daemon.app.commands import Commands
from bin_daemon.app.faults import lid_faults
from bin_daemon.app.parts import Parts
from bin_daemon.config import Settings
from bin_daemon.domain import LidPosition, LidsState, LidState, Mode
from bin_daemon.events import Command, CommandQueue
from bin_daemon.events.command_queue import Answer
from bin_daemon.events.commands import COMMANDS, NoArgs
from bin_daemon.pipeline import Pipeline


class Lids:
    """A controller that clears its latch, unless the switch is still pressed."""

    def __init__(self, *, pressed: bool = False, connected: bool = True) -> None:
        self.state = LidsState(connected=connected, stopped=True)
        self.asked = 0
        self._pressed = pressed

    def clear_stop(self) -> bool:
        """As `bin_daemon.lids.SerialLids`."""
        self.asked += 1
        return not self._pressed


def clear(lids: Lids, mode: Mode = Mode.AUTO, *, local: bool = False) -> Answer:
    """Command stop.clear."""
    queue, answers = CommandQueue(), list[Answer]()
    parts = cast("Parts", SimpleNamespace(commands=queue, lids=lids))
    line = cast("Pipeline", SimpleNamespace(mode=Mode.AUTO))
    unused: dict[str, Any] = {"newest": lambda: None, "send_image": lambda _: False, "restart": lambda: None}
    commands = Commands(Settings(), parts, line, **unused)
    line.mode = mode
    queue.put(Command("stop.clear", NoArgs(), local=local), answers.append)
    commands.run_waiting()
    return answers[0]


def test_a_released_stop_is_cleared() -> None:
    """Accepted, and the fault's own words name the command."""
    assert clear(Lids()).ok
    stopped = LidsState(connected=True, lids={1: LidState(1, LidPosition.FAULT)}, stopped=True)
    for fault in lid_faults(stopped, 0.95):
        assert "stop.clear" in fault.fix
    assert "stop.clear" in COMMANDS


@pytest.mark.parametrize(
    ("lids", "mode", "code"),
    [
        (Lids(pressed=True), Mode.AUTO, "refused"),
        (Lids(connected=False), Mode.AUTO, "not_connected"),
        (Lids(), Mode.MAINTENANCE, "maintenance"),
    ],
)
def test_what_clears_nothing(lids: Lids, mode: Mode, code: str) -> None:
    """A pressed switch, no controller, and hands inside while the command comes from afar."""
    assert clear(lids, mode).code == code


def test_maintenance_clears_at_the_bin() -> None:
    """The control socket may."""
    assert clear(Lids(), Mode.MAINTENANCE, local=True).ok
