"""Lamp and buzzer on the line, with fake ports and a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bin_daemon.config import LidSettings, PolicySettings, SignalsSettings
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    Frame,
    LabelScore,
    LidCommand,
    LidPosition,
    LidReport,
    LidsState,
    LidState,
    ManualRequest,
    Mode,
    Outcome,
    Placement,
    Sight,
    Signal,
)
from bin_daemon.lamp import LASTS_S, RENEW_S, STANDING_MS, Lamp
from bin_daemon.pipeline import Pipeline
from bin_daemon.policy import Policy

LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1))
SHUT = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})
FULL_FRAC = PolicySettings().full_frac
ITEM_ID = "0190a0b0-0000-7000-8000-000000000001"


class Bin:
    """All ports at once, and the line over them."""

    def __init__(self, **signals: object) -> None:
        self.now_s = 10.0
        self.state = SHUT
        self.candidate: Placement | None = None
        self.said: list[str] = []
        self.shown: list[tuple[str, int]] = []
        self.reports: list[LidReport] = []
        self.answer: LidReport | None = None
        """What the controller says to the next OPEN at once."""
        self._placed = False
        lamp = Lamp(SignalsSettings.model_validate(signals), FULL_FRAC, clock=lambda: self.now_s)
        self.line = Pipeline(self, self, Policy(PolicySettings(), LIDS), self, self, lamp=lamp)
        self.sight = Sight.OK

    def update(self, frame: Frame, _lids: LidsState) -> Placement | None:
        """Detector: one item when a test has put it there."""
        placed, self._placed = self._placed, False
        return Placement(ITEM_ID, frame.t_s, (frame,), (0, 0, 8, 8), 400.0) if placed else None

    def prefer(self, _candidate: Placement | None) -> None:
        """Model: nothing to prepare."""

    def classify(self, _placement: Placement) -> Classification:
        """Model: surely a peel."""
        probs = dict.fromkeys(Category, 0.01) | {Category.KITCHEN: 0.97}
        top5 = (LabelScore("peel", 3, 0.97),)
        return Classification(Category.KITCHEN, probs, top5, 0.9, 1.0, "m", 1.0, self.now_s)

    def begin(self, _placement: Placement, _verdict: Classification, _decision: Decision) -> None:
        """Journal."""
        self.said.append("begin")

    def begin_manual(self, _request: ManualRequest, _decision: Decision) -> None:
        """Journal, for a person."""
        self.said.append("begin_manual")

    def finish(self, report: LidReport) -> None:
        """Journal, the end."""
        self.said.append(f"finish {report.outcome.value}")

    def open(self, command: LidCommand) -> None:
        """Lids."""
        self.said.append("open")
        if self.answer:
            self.reports.append(replace(self.answer, action_id=command.action_id))

    def poll(self) -> Sequence[LidReport]:
        """Lids' reports, each once."""
        reports, self.reports = self.reports, []
        return reports

    def signal(self, signal: Signal) -> None:
        """Lamp."""
        self.said.append(f"signal {signal.pattern.value}")
        self.shown.append((signal.pattern.value, signal.duration_ms))

    def showing(self) -> str:
        """What the line believes to be lit."""
        return self.line.lamp.pattern.value

    def turn(self, *, placed: bool = False, after_s: float = 0.0) -> list[tuple[str, int]]:
        """One turn of the daemon's loop; what was sent to the lamp in it."""
        self.now_s += after_s
        self._placed = placed
        before = len(self.shown)
        self.line.step(
            Frame(1, self.now_s, 64, 64, np.zeros((8, 8), np.uint8), lambda: np.zeros((64, 64, 3), np.uint8))
        )
        self.line.tell_person(self.sight)
        return self.shown[before:]

    def turns(self, seconds: float) -> list[tuple[str, int]]:
        """Let time pass in turns of a quarter of a second."""
        return [shown for _ in range(round(seconds * 4)) for shown in self.turn(after_s=0.25)]


def test_the_lamp_comes_last() -> None:
    """Journal, then the OPEN on the wire, then the lamp."""
    smart_bin = Bin()
    smart_bin.turn(placed=True)
    assert smart_bin.said == ["begin", "open", "signal accepted"]


@pytest.mark.parametrize(
    ("outcome", "code", "shown"),
    [
        (Outcome.REFUSED, "BUSY", "wait"),
        (Outcome.REFUSED, "RATE_LIMIT", "wait"),
        (Outcome.REFUSED, "NOT_STARTED", "wait"),
        (Outcome.REFUSED, "STOPPED", "fault"),
        (Outcome.REFUSED, "CODE_99", "fault"),
        (Outcome.NO_REPLY, "NOT_SENT", "fault"),
    ],
)
def test_an_open_that_was_refused_never_shows_as_accepted(outcome: Outcome, code: str, shown: str) -> None:
    """The policy said yes, the controller no: one signal, and not the green one."""
    smart_bin = Bin()
    smart_bin.answer = LidReport(0, outcome, code)
    smart_bin.turn(placed=True)
    assert smart_bin.said == ["begin", "open", f"finish {outcome.value}", f"signal {shown}"]


def test_a_jam_after_accepted_is_told() -> None:
    """The lid did not do what the lamp had promised."""
    smart_bin = Bin()
    assert smart_bin.turn(placed=True)[0][0] == "accepted"
    smart_bin.reports = [LidReport(7, Outcome.OBSTRUCTED, "JAM")]
    assert smart_bin.turn(after_s=1.0)[0][0] == "fault"
    smart_bin.reports = [LidReport(8, Outcome.CLOSED)]
    assert smart_bin.turn(after_s=9.0) == []


def test_what_the_status_tells_ends_with_the_lamp() -> None:
    """Lit for its time, and not a moment longer."""
    smart_bin = Bin(duration_ms={"accepted": 1000})
    smart_bin.turn(placed=True)
    assert smart_bin.showing() == "accepted"
    smart_bin.now_s += 0.99
    assert smart_bin.showing() == "accepted"
    smart_bin.now_s += 0.02
    assert smart_bin.showing() == "off"


def test_nothing_happens_nothing_is_sent() -> None:
    """A sound and idle bin is dark and its line quiet."""
    smart_bin = Bin()
    assert smart_bin.turns(60) == []


def test_a_standing_fault_is_kept_alight_and_ends_dark() -> None:
    """Sent at once, again long before its time is over, and OFF once it has been gone for a while."""
    smart_bin = Bin()
    smart_bin.state = replace(SHUT, stopped=True)
    shown = smart_bin.turns(20)
    assert set(shown) == {("fault", STANDING_MS)}
    assert len(shown) == 20 / RENEW_S
    assert smart_bin.showing() == "fault"
    smart_bin.state = SHUT
    assert smart_bin.turns(LASTS_S + 1)[-1] == ("off", 0)
    assert smart_bin.turns(20) == []
    assert smart_bin.showing() == "off"


def test_an_item_is_told_over_a_standing_signal() -> None:
    """The item's own word for its time, then the standing one again."""
    smart_bin = Bin(duration_ms={"fault": 1000}, show={"stopped": "wait", "lid_fault": "fault"})
    smart_bin.state = replace(SHUT, stopped=True)
    assert smart_bin.turn() == [("wait", STANDING_MS)]
    smart_bin.answer = None
    smart_bin.line.lamp.ended(LidReport(1, Outcome.FAULT))
    assert smart_bin.turn() == [("fault", 1000)]
    assert smart_bin.turns(0.75) == []
    assert smart_bin.turns(0.5) == [("wait", STANDING_MS)]


def test_a_hand_before_the_lens_is_no_fault() -> None:
    """Dark for a moment: nothing; dark for long: fault; and no stutter at the limit."""
    smart_bin = Bin()
    for _ in range(20):
        smart_bin.sight = Sight.COVERED
        assert smart_bin.turns(1) == []
        smart_bin.sight = Sight.OK
        assert smart_bin.turns(1) == []
    smart_bin.sight = Sight.TOO_DARK
    assert ("fault", STANDING_MS) in smart_bin.turns(LASTS_S + 0.5)
    smart_bin.sight = Sight.OK
    assert smart_bin.turns(1)[-1:] in ([], [("fault", STANDING_MS)])
    smart_bin.sight = Sight.TOO_DARK
    assert ("off", 0) not in smart_bin.turns(10)


@pytest.mark.parametrize(
    ("mode", "state", "sight", "shown"),
    [
        (Mode.PAUSED, SHUT, Sight.OK, "wait"),
        (Mode.MANUAL, SHUT, Sight.OK, "wait"),
        (Mode.MAINTENANCE, SHUT, Sight.OK, "wait"),
        (Mode.PAUSED, replace(SHUT, stopped=True), Sight.OK, "fault"),
        (Mode.AUTO, replace(SHUT, voltage_ok=False), Sight.OK, "fault"),
        (Mode.AUTO, SHUT, Sight.LOST, "fault"),
        (Mode.AUTO, replace(SHUT, lids={**SHUT.lids, 2: LidState(2, LidPosition.FAULT)}), Sight.OK, "fault"),
        (
            Mode.AUTO,
            replace(SHUT, lids={n: LidState(n, LidPosition.CLOSED, FULL_FRAC) for n in range(1, 5)}),
            Sight.OK,
            "full",
        ),
    ],
)
def test_what_keeps_items_out_is_told_without_an_item(mode: Mode, state: LidsState, sight: Sight, shown: str) -> None:
    """Nobody has to try first."""
    smart_bin = Bin()
    smart_bin.line.mode, smart_bin.state, smart_bin.sight = mode, state, sight
    assert smart_bin.turns(LASTS_S + 0.5)[0] == (shown, STANDING_MS)


def test_one_full_lid_is_no_standing_matter() -> None:
    """Items of the other categories are taken; whoever brings one for the full lid is told then."""
    smart_bin = Bin()
    smart_bin.state = replace(SHUT, lids={**SHUT.lids, 2: LidState(2, LidPosition.CLOSED, 1.0)})
    assert smart_bin.turns(10) == []


def test_a_new_connection_is_told_everything_afresh() -> None:
    """What was shown before the line broke is forgotten; an item of that time is not told late."""
    smart_bin = Bin()
    smart_bin.line.mode = Mode.PAUSED
    assert smart_bin.turns(3)[0][0] == "wait"
    smart_bin.state = replace(SHUT, connected=False)
    assert smart_bin.turn(placed=True, after_s=0.25) == []
    assert smart_bin.showing() == "off"
    assert smart_bin.turns(5) == []
    smart_bin.state = SHUT
    assert smart_bin.turns(LASTS_S + 0.5)[0] == ("wait", STANDING_MS)


def test_a_slow_model_leaves_no_gap() -> None:
    """A turn of nearly three seconds: the lamp is renewed before it goes out."""
    smart_bin = Bin()
    smart_bin.state = replace(SHUT, stopped=True)
    smart_bin.turn()
    sent_s = smart_bin.now_s
    smart_bin.turn(after_s=RENEW_S - 0.01)
    smart_bin.turn(after_s=2.9)
    assert smart_bin.now_s - sent_s < STANDING_MS / 1000
    assert len(smart_bin.shown) == 2


def test_a_manual_open_shows_only_when_it_opens() -> None:
    """Whoever asks from afar sees no lamp; a refusal would only puzzle the person at the bin."""
    smart_bin = Bin()
    smart_bin.line.open_by_hand(ManualRequest(ITEM_ID, lid=9), smart_bin.now_s)
    assert smart_bin.turn() == []
    smart_bin.line.open_by_hand(ManualRequest(ITEM_ID, lid=3), smart_bin.now_s)
    assert smart_bin.turn()[0][0] == "accepted"


def test_off_is_silent_and_does_not_hide_what_stands() -> None:
    """A site that switched a reason off: nothing for it, and the standing signal stays."""
    smart_bin = Bin(show={"paused": "off", "sorted": "off"})
    smart_bin.line.mode = Mode.PAUSED
    assert smart_bin.turns(5) == []
    smart_bin.line.mode = Mode.AUTO
    assert smart_bin.turn(placed=True) == []
