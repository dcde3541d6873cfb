"""Double openings under the published loads of noise and resets."""

from __future__ import annotations

import random

import pytest

from firmware_protocol import messages as m
from firmware_protocol.messages import Code, LidPhase, ResetCause
from firmware_protocol.reference import Survivor
from firmware_protocol.session import Answered, State, Unanswered
from tests.firmware_protocol.bench import Device, Link, noisy


class Openings:
    """Asks for openings, each by its own id and repeated until answered, over a noisy line to a controller that resets.

    Motions are left out (a lid counts as shut and rested at once), so that thousands fit.
    """

    def __init__(self, noise: float, resets: float, seed: int) -> None:
        rng = self.rng = random.Random(seed)
        self.resets = resets
        self.resets_made = 0
        self.device = Device(lids=1)
        self.link = Link(self.device, noisy(rng, noise), noisy(rng, noise))
        self.link.meanwhile = self.perhaps_reset
        self.opens = self.device.controller.opens

    def perhaps_reset(self) -> None:
        """The controller has acted and dies before its answer is out."""
        for lid in self.device.controller.core.lids:
            lid.phase, lid.action_id, lid.moved = LidPhase.CLOSED, 0, False
        self.device.controller.core.moved = False
        self.device.controller.core.opens_ms = []
        if self.rng.random() < self.resets:
            self.link.reset(self.rng.choice([ResetCause.WATCHDOG, ResetCause.EXTERNAL]))
            self.resets_made += 1

    def ask(self, action: int) -> None:
        """One action until it is accepted."""
        for _ in range(20_000):
            if self.link.host.state is not State.CONNECTED:
                self.link.leap()
            elif self.exchange(action):
                return
        raise AssertionError("never answered")

    def exchange(self, action: int) -> bool:
        """One command in one session; True when it was accepted."""
        ticket = self.link.host.send(m.Open(0, action, 1000, 0), self.link.now_s)
        while True:
            for event in self.link.leap():
                if isinstance(event, Answered) and event.ticket == ticket:
                    assert event.code in (Code.OK_ACCEPTED, Code.DUPLICATE)
                    return True
                if isinstance(event, Unanswered) and event.ticket == ticket:
                    return False


LOADS = [(0.009, 0.0), (0.009, 0.02), (0.06, 0.05)]
"""Share of faulty bytes both ways, chance of a reset in each exchange."""


def doubles(noise: float, resets: float, wanted: int, seed: int) -> int:
    """Actions that opened twice; every action must have opened."""
    run = Openings(noise, resets, seed)
    for action in range(1, wanted + 1):
        run.ask(action)
    assert len(run.opens) == wanted
    assert (run.resets_made > 0) == (resets > 0)
    return sum(1 for times in run.opens.values() if times > 1)


@pytest.mark.parametrize(("noise", "resets"), LOADS)
def test_no_double_openings(noise: float, resets: float) -> None:
    """150 commands under the published loads of byte faults and resets: each opens exactly once."""
    assert doubles(noise, resets, wanted=150, seed=11) == 0


@pytest.mark.parametrize("resets", [0.02, 0.05])
def test_without_surviving_ids_it_would_double(resets: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter-proof: the same runs with the surviving memory wiped at each reset do open twice."""
    monkeypatch.setattr(Survivor, "check", Survivor.clear)
    run = Openings(0.06, resets, seed=11)
    for action in range(1, 151):
        run.ask(action)
    assert max(run.opens.values()) > 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("noise", "resets"), LOADS)
def test_no_double_openings_in_full(noise: float, resets: float) -> None:
    """7500 commands under each load: no double opening."""
    assert doubles(noise, resets, wanted=7500, seed=12) == 0
