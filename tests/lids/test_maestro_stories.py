"""Random lives of a bin on a Maestro, in virtual time: whatever happens, lids open one at a time, as often as asked, and shut."""

from __future__ import annotations

import contextlib
import random
from collections import Counter

import pytest

from bin_daemon.domain import LidPosition, Outcome
from bin_daemon.errors import DeviceError
from bin_daemon.lids.maestro_servo import Phase
from bin_daemon.sim.maestro_board import OVERRUN, PROTOCOL, SIGNAL
from tests.lids.maestro_rig import MaestroBench

STEPS = 60
OFTEN = ["open"] * 8 + ["clear"] * 4


class Story:
    """One bin, and what was asked of it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = MaestroBench(channels=6, stop_channel=5).prove()
        self.asked: dict[int, int] = {}
        self.pressed = False

    def act(self) -> None:
        """One thing that may happen at a bin."""
        rng, bench, core = self.rng, self.bench, self.bench.core
        lid = rng.randint(1, 4)
        what = rng.choice([*OFTEN, "close", "stop", "latch", "press", "error", "sleep", "restart"])
        if what == "open":
            action_id = len(self.asked) + 1
            self.asked[action_id] = lid
            bench.open(lid, action_id, rng.choice([500, 1000, 3000]), rng.choice([100, 1500, 6000]))
        elif what == "close":
            core.ask_close(lid, bench.now_s)
        elif what in {"stop", "latch"}:
            core.halt(bench.now_s, "STOPPED", latch=what == "latch")
        elif what == "clear":
            core.clear(bench.now_s)
        elif what == "press":
            self.pressed = not self.pressed
            bench.device.press_stop(pressed=self.pressed)
        elif what == "error":
            bench.device.fail(rng.choice([PROTOCOL, OVERRUN, SIGNAL]))
        elif what == "sleep":
            bench.let_pass(rng.choice([0.5, 1.9, 2.1, 5.0]))
        else:
            bench.device.power_on()
            bench.device.press_stop(pressed=self.pressed)

    def live(self, seconds: float) -> None:
        """Turn for so long; after a DeviceError the port is opened afresh, as the worker does."""
        end = self.bench.now_s + seconds
        while self.bench.now_s < end:
            with contextlib.suppress(DeviceError):
                self.bench.turn()
                self.check()
                continue
            self.bench.session.farewell()
            self.bench.ledger.interrupt("LINK_LOST")
            self.bench.prove()
            self.bench.reports += self.bench.ledger.take()

    def check(self) -> None:
        """What must hold at every moment."""
        away = self.bench.device.away()
        state = self.bench.core.state
        opened = [n for n, x in self.bench.core.servos.items() if x.phase in {Phase.OPENING, Phase.OPEN}]
        assert len(opened) <= 1
        resting = {n for n, x in state.lids.items() if x.position is LidPosition.CLOSED}
        assert not resting & set(away)
        if state.stopped:
            assert not opened


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens(seed: int) -> None:
    """Opens, closes, stops, errors, sleeps, restarts in any order: each command one report, no opening that nobody asked for, a
    lid that is called shut is shut, a stop lets nothing open; left in peace and cleared, all lids shut and the next may open.
    """
    story = Story(seed)
    for _ in range(STEPS):
        with contextlib.suppress(DeviceError):
            story.act()
        story.live(story.rng.choice([0.0, 0.3, 1.0, 3.0]))
    bench = story.bench
    story.pressed = False
    bench.device.press_stop(pressed=False)
    story.live(1.0)
    assert bench.core.clear(bench.now_s)
    for lid in range(1, 5):
        bench.core.ask_close(lid, bench.now_s)
    story.live(15.0)
    assert bench.device.all_closed
    assert bench.core.state.all_closed
    assert sorted(x.action_id for x in bench.reports) == sorted(story.asked)
    wished = Counter(story.asked.values())
    assert all(count <= wished[lid] for lid, count in bench.opens().items())
    story.live(61.0)
    bench.open(1, 9999)
    assert bench.report(9999).outcome is Outcome.UNCONFIRMED
