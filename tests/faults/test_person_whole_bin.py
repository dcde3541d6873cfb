"""The person at the bin, and the one who watches from afar: lamp, stop switch and fill, over the real daemon and broker."""

from __future__ import annotations

import json
from typing import Any

from bin_daemon.domain import Category
from bin_daemon.sim.board import Board
from firmware_protocol.messages import Pattern
from tests.faults.rig import EMPTY, Bin, LocalController, wait_for

LIDS = "".join(
    f'[[lids]]\nlid = {number}\ncategory = "{category.value}"\nempty_mm = 450\nfull_mm = 50\n'
    for number, category in enumerate(Category, 1)
)


def board(smart_bin: Bin) -> Board:
    """The simulated board."""
    assert isinstance(smart_bin.controller, LocalController)
    return smart_bin.controller.pty.device.board


def press(smart_bin: Bin, *, pressed: bool) -> None:
    """A hand on the mushroom switch."""
    assert isinstance(smart_bin.controller, LocalController)
    smart_bin.controller.pty.device.press_stop(pressed=pressed)


def shown(smart_bin: Bin) -> list[Pattern]:
    """What the lamp has shown so far, one after the other."""
    return [x.pattern for x in list(board(smart_bin).lamp.history)]


def state(smart_bin: Bin) -> dict[str, Any]:
    """The retained state as a dashboard has it, once it has come."""
    wait_for(lambda: smart_bin.subscriber.last("/state"), "the first state")
    return dict(json.loads(smart_bin.subscriber.last("/state") or b"{}"))


def stops(smart_bin: Bin) -> list[str]:
    """What was told of the stop."""
    return [x["event"] for x in smart_bin.subscriber.events("event/stop")]


def test_a_sorted_item_shows_accepted_and_a_paused_bin_says_wait(smart_bin: Bin) -> None:
    """Green once the controller has taken the OPEN, dark after its time; paused: wait stands although nobody brings anything."""
    smart_bin.start({"signals.duration_ms.accepted": 600})
    wait_for(lambda: Pattern.ACCEPTED in shown(smart_bin), "accepted at the board")
    assert shown(smart_bin)[0] is Pattern.ACCEPTED
    wait_for(smart_bin.controller.openings, "the lid opens")
    smart_bin.subscriber.send("mode", "paused")
    wait_for(lambda: Pattern.WAIT in shown(smart_bin), "wait at the board")
    assert smart_bin.status()["lamp"] == "wait"
    assert smart_bin.stop() == 0


def test_stop_switch(smart_bin: Bin) -> None:
    """Pressed: event, state, fault lamp that stays lit; released: event; cleared: event, dark. Nothing is told twice."""
    smart_bin.start({"camera.source": EMPTY})
    press(smart_bin, pressed=True)
    wait_for(lambda: stops(smart_bin) == ["pressed"], "pressed told")
    wait_for(lambda: state(smart_bin)["stop_pressed"] and state(smart_bin)["stopped"], "the state says so")
    wait_for(lambda: shown(smart_bin) == [Pattern.FAULT], "fault lamp")
    wait_for(lambda: smart_bin.subscriber.faults("stopped") == ["raised"], "fault raised")
    press(smart_bin, pressed=False)
    wait_for(lambda: stops(smart_bin) == ["pressed", "released"], "released told")
    wait_for(lambda: not state(smart_bin)["stop_pressed"], "the state says so")
    assert state(smart_bin)["stopped"]
    assert shown(smart_bin) == [Pattern.FAULT]
    smart_bin.subscriber.send("stop.clear", "")
    wait_for(lambda: stops(smart_bin) == ["pressed", "released", "cleared"], "cleared told")
    wait_for(lambda: shown(smart_bin) == [Pattern.FAULT, Pattern.OFF], "dark again")
    assert not state(smart_bin)["stopped"]
    assert smart_bin.stop() == 0
    assert not smart_bin.controller.motions


def test_fill_changes(smart_bin: Bin) -> None:
    """A heap that grows is told with what it was before, in event and state; a sensor that trembles is not."""
    (smart_bin.folder / "bin.toml").write_text(LIDS)
    smart_bin.start({"camera.source": EMPTY, "fill.settle_s": 0.5, "controller.telemetry_ms": 50})
    plants = board(smart_bin).lids
    wait_for(lambda: [x["full_frac"] for x in state(smart_bin)["lids"]] == [0.0] * 4, "all empty")
    plants[1].fill_mm = 250
    wait_for(lambda: smart_bin.subscriber.events("event/fill"), "the change told")
    (event,) = smart_bin.subscriber.events("event/fill")
    assert {k: event[k] for k in ("lid", "category", "full_frac", "before_frac")} == {
        "lid": 2,
        "category": "kitchen",
        "full_frac": 0.5,
        "before_frac": 0.0,
    }
    wait_for(lambda: state(smart_bin)["lids"][1]["full_frac"] == 0.5, "the state says so")
    for jitter_mm in (8, -8) * 10:
        plants[0].fill_mm = 442 + jitter_mm
        smart_bin.status()
    plants[2].fill_mm = 50
    wait_for(lambda: len(smart_bin.subscriber.events("event/fill")) == 2, "the next change told")
    assert [x["lid"] for x in smart_bin.subscriber.events("event/fill")] == [2, 3]
    assert smart_bin.stop() == 0
