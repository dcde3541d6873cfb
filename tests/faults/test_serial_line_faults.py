"""A bad cable, a controller that resets, a plug that comes out: no lid twice, no wrong lid, one outcome for each decision."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

import pytest

from bin_daemon.sim.faults import Drop, Duplicate, Fault, Garble, Line, Truncate
from tests.faults.cable import Cable
from tests.faults.rig import Bin, Controller, LocalController, wait_for

KITCHEN_LID = 2
CABLES: dict[str, Callable[[random.Random], Fault]] = {
    "noise": lambda rng: Garble(rng, 0.005),
    "lost": lambda rng: Drop(rng, 0.1),
    "doubled": lambda rng: Duplicate(rng, 0.4),
    "truncated": lambda rng: Truncate(rng, 0.1),
}


@pytest.mark.parametrize("kind", CABLES)
def test_bad_cable(smart_bin: Bin, kind: str) -> None:
    """Bytes damaged, frames lost, doubled, cut, both ways: items are sorted, no lid opens twice, no other lid ever."""
    to_controller, to_host = (CABLES[kind](random.Random(seed)) for seed in (1, 2))
    link = smart_bin.folder / "cable"
    with Cable(link, smart_bin.controller.link, Line([to_controller]), Line([to_host])):
        smart_bin.start({"controller.port": str(link)})
        wait_for(lambda: list(smart_bin.outcomes().values()).count("closed") >= 2, "two items through a bad cable")
        struck = [getattr(x, "struck") for x in (to_controller, to_host)]  # noqa: B009 - not in the protocol
        assert all(struck)
        assert smart_bin.stop() == 0
    smart_bin.check_books()
    assert smart_bin.controller.lids() == {KITCHEN_LID}


def next_item_works(smart_bin: Bin) -> None:
    """After the fault: told as cleared, and a later item goes the whole way."""
    wait_for(lambda: smart_bin.status()["state"]["controller"], "the controller is back")
    known = set(smart_bin.outcomes())
    wait_for(
        lambda: any(outcome == "closed" for x, outcome in smart_bin.outcomes().items() if x not in known),
        "the next item sorted",
    )
    assert {x["position"] for x in smart_bin.status()["state"]["lids"]} <= {"closed", "opening", "open", "closing"}
    assert smart_bin.stop() == 0
    smart_bin.check_books()


def open_lid(smart_bin: Bin) -> int:
    """Wait for a lid that stands open; the id of its action."""
    wait_for(smart_bin.controller.any_open, "an open lid")
    return int(smart_bin.controller.motions[-1]["action_id"])


def is_interrupted(smart_bin: Bin, action_id: int) -> bool:
    """Whether that action ended so; nothing else will do."""
    rows = smart_bin.journal("SELECT action_id, outcome FROM actions")
    outcome = dict(rows)[action_id]
    assert outcome in {None, "interrupted"}
    return outcome is not None


def test_controller_resets_with_a_lid_open(smart_bin: Bin) -> None:
    """A reset in mid-open: the lid shuts, the item is interrupted and never repeated, the next one works."""
    controller = smart_bin.controller
    assert isinstance(controller, LocalController)
    smart_bin.start({"policy.hold_ms": 3000})
    action_id = open_lid(smart_bin)
    controller.pty.device.reset()
    wait_for(controller.all_shut, "the lid shut by the reset controller", 10)
    wait_for(lambda: is_interrupted(smart_bin, action_id), "its outcome")
    next_item_works(smart_bin)


def test_cable_out_and_in(smart_bin: Bin) -> None:
    """Unplugged with a lid open, back under another number behind the same name: interrupted, fault told and cleared."""
    controller = smart_bin.controller
    assert isinstance(controller, LocalController)
    smart_bin.start({"policy.hold_ms": 3000})
    action_id = open_lid(smart_bin)
    controller.pty.unplug()
    wait_for(lambda: is_interrupted(smart_bin, action_id), "its outcome")
    wait_for(lambda: smart_bin.subscriber.faults("controller_lost") == ["raised"], "the fault told")
    wait_for(controller.all_shut, "the lid shut by the controller alone", 10)
    assert not smart_bin.status()["state"]["controller"]
    controller.pty.plug()
    wait_for(lambda: smart_bin.subscriber.faults("controller_lost") == ["raised", "cleared"], "the fault cleared")
    next_item_works(smart_bin)


def test_controller_loses_power_with_a_lid_open(smart_bin: Bin) -> None:
    """The controller dies for good and another comes up in its place: the decision ends, the next item works."""
    controller = Controller(smart_bin.folder / "powered")
    controller.start()
    smart_bin.controller = controller
    try:
        smart_bin.start({"controller.port": str(controller.link), "policy.hold_ms": 3000})
        action_id = open_lid(smart_bin)
        controller.stop(signal.SIGKILL)
        wait_for(lambda: is_interrupted(smart_bin, action_id), "its outcome")
        controller.start()
        next_item_works(smart_bin)
    finally:
        controller.stop(signal.SIGKILL)


def test_daemon_freezes_with_a_lid_open(smart_bin: Bin) -> None:
    """A host that stands still (swap, SIGSTOP): the controller shuts by itself; once awake, the decision ends, and on it goes."""
    daemon = smart_bin.start({"policy.hold_ms": 10_000})
    action_id = open_lid(smart_bin)
    daemon.send_signal(signal.SIGSTOP)
    try:
        wait_for(smart_bin.controller.all_shut, "the lid shut by the controller alone", 8)
    finally:
        daemon.send_signal(signal.SIGCONT)
    wait_for(lambda: dict(smart_bin.journal("SELECT action_id, outcome FROM actions"))[action_id], "its outcome")
    next_item_works(smart_bin)
