"""lid.close: shutting is the safe direction, but for the hands that may be under a lid."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bin_daemon.app.commands import Commands
from bin_daemon.app.parts import Parts
from bin_daemon.config import Settings
from bin_daemon.domain import LidPosition, LidsState, LidState, Mode
from bin_daemon.events import Command, CommandQueue
from bin_daemon.events.command_queue import Answer
from bin_daemon.events.commands import LidCloseArgs
from bin_daemon.pipeline import Pipeline


class Lids:
    """Lid 1 stands where a stop has left it."""

    def __init__(self) -> None:
        self.state = LidsState(connected=True, lids={1: LidState(1, LidPosition.UNKNOWN)})
        self.shut: list[int] = []

    def close(self, lid: int) -> bool:
        """As `bin_daemon.lids.SerialLids`."""
        self.shut.append(lid)
        return True


def close(lids: Lids, mode: Mode, *, local: bool) -> Answer:
    """Command lid.close."""
    queue, answers = CommandQueue(), list[Answer]()
    parts = cast("Parts", SimpleNamespace(commands=queue, lids=lids))
    line = cast("Pipeline", SimpleNamespace(mode=Mode.AUTO))
    unused: dict[str, Any] = {"newest": lambda: None, "send_image": lambda _: False, "restart": lambda: None}
    commands = Commands(Settings(), parts, line, **unused)
    line.mode = mode
    queue.put(Command("lid.close", LidCloseArgs(), local=local), answers.append)
    commands.run_waiting()
    return answers[0]


def test_nobody_far_away_moves_a_lid_under_maintenance() -> None:
    """A lid that was stopped and cleared stays for the hands at it: a CLOSE from the network must not bring it down."""
    lids = Lids()
    assert close(lids, Mode.MAINTENANCE, local=False).code == "maintenance"
    assert lids.shut == []


@pytest.mark.parametrize(
    ("mode", "local"), [(Mode.MAINTENANCE, True), (Mode.AUTO, False), (Mode.MANUAL, False), (Mode.PAUSED, False)]
)
def test_otherwise_a_lid_is_shut_for_whoever_asks(mode: Mode, local: bool) -> None:  # noqa: FBT001
    """At the bin always; from the network in every other mode."""
    lids = Lids()
    assert close(lids, mode, local=local).ok
    assert lids.shut == [1]
