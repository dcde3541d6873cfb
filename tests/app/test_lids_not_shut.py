"""Lids that should be shut and are not: somebody is told why the bin takes nothing, and told once it is over."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bin_daemon.app.faults import LIFTED_S, NOT_SHUT_S, ShutWatch
from bin_daemon.config import LidSettings, PolicySettings, Settings
from bin_daemon.domain import Category, Fault, LidPosition, LidsState, LidState
from bin_daemon.lids.detail import LidDetail

SHUT = LidDetail("-", phase="closed", switches="shut")
LIFTED = LidDetail("-", phase="closed", switches="none")
SETTINGS = Settings(
    lids=(LidSettings(lid=1, category=Category.OTHER), LidSettings(lid=2, category=Category.RECYCLABLE, hold_ms=9000)),
    policy=PolicySettings(hold_ms=2000),
)


class Bench:
    """Two lids and a clock."""

    def __init__(self) -> None:
        self.watch = ShutWatch(SETTINGS)
        self.now_s = 100.0

    def look(
        self,
        wait_s: float,
        position: LidPosition = LidPosition.CLOSED,
        detail: LidDetail | None = SHUT,
        *,
        lid: int = 1,
        connected: bool = True,
        stopped: bool = False,
    ) -> dict[str, Fault]:
        """So much later that lid is seen so, the other one shut; the faults by code."""
        self.now_s += wait_s
        lids = {n: LidState(n, position if n == lid else LidPosition.CLOSED) for n in (1, 2)}
        details: Mapping[int, LidDetail] = {3 - lid: SHUT} if detail is None else {3 - lid: SHUT, lid: detail}
        state = LidsState(connected=connected, lids=lids, stopped=stopped)
        return {x.code: x for x in self.watch.update(state, details, self.now_s)}


@pytest.mark.parametrize(
    ("switches", "seen"), [("none", "not on its closed"), ("open", "not on"), ("both", "both its")]
)
def test_a_lifted_lid_is_told_after_a_while_and_cleared(switches: str, seen: str) -> None:
    """Reported closed, its switches say otherwise: not at once, then with what mends it, and gone when it lies down."""
    bench, lifted = Bench(), LidDetail("-", phase="closed", switches=switches)
    assert bench.look(0, detail=lifted) == {}
    assert bench.look(LIFTED_S - 0.1, detail=lifted) == {}
    (fault,) = bench.look(0.2, detail=lifted).values()
    assert (fault.code, fault.severity) == ("lid_1_lifted", "error")
    assert seen in fault.text
    assert "BUSY" in fault.text
    assert "lay it down" in fault.fix
    assert bench.look(0.1) == {}
    assert bench.look(60, detail=lifted) == {}  # lifted anew: its time begins anew


@pytest.mark.parametrize(
    "detail",
    [
        None,
        LidDetail("-"),
        LidDetail("-", phase="closed"),
        LidDetail("-", phase="closing", switches="none"),
        SHUT,
    ],
)
def test_without_switches_nobody_calls_a_lid_lifted(detail: LidDetail | None) -> None:
    """Not reported, no switches (Maestro), a report from before it was shut, and a lid that is shut."""
    bench = Bench()
    assert bench.look(0, detail=detail) == {}
    assert bench.look(3600, detail=detail) == {}


@pytest.mark.parametrize("position", [x for x in LidPosition if x not in {LidPosition.CLOSED, LidPosition.FAULT}])
def test_a_lid_that_stays_up_is_told_and_cleared(position: LidPosition) -> None:
    """Halted, homing, open: after its hold and 30 s, with the commands that help; gone when it is shut."""
    bench = Bench()
    assert bench.look(0, position) == {}
    assert bench.look(NOT_SHUT_S + 2.0, position) == {}
    (fault,) = bench.look(0.1, position).values()
    assert (fault.code, fault.severity) == ("lid_1_not_shut", "error")
    assert fault.text == "Lid 1 has not been shut for more than 32 s: the bin refuses all items."
    assert "bin-daemon lid list" in fault.fix
    assert fault.fix.endswith("bin-daemon lid close 1")
    assert "lid clear" not in fault.fix
    assert "lid clear" in bench.look(1, position, stopped=True)["lid_1_not_shut"].fix
    assert bench.look(0.1) == {}
    assert bench.look(0.1, position) == {}


def test_each_lid_has_its_own_hold() -> None:
    """Lid 2 stays open for 9 s by its settings."""
    bench = Bench()
    assert bench.look(0, LidPosition.OPEN, lid=2) == {}
    assert bench.look(NOT_SHUT_S + 9.0, LidPosition.OPEN, lid=2) == {}
    assert set(bench.look(0.1, LidPosition.OPEN, lid=2)) == {"lid_2_not_shut"}


def test_motions_one_after_another_are_no_fault() -> None:
    """Each CLOSED between two openings begins the time anew."""
    bench = Bench()
    for _ in range(20):
        assert bench.look(1, LidPosition.OPENING) == {}
        assert bench.look(10, LidPosition.OPEN) == {}
        assert bench.look(1, LidPosition.CLOSED) == {}


def test_what_others_tell_is_not_told_twice() -> None:
    """A lid in fault has its own fault; without a controller nothing is known, and the time begins anew after it."""
    bench = Bench()
    for wait_s in (0, 3600):
        assert bench.look(wait_s, LidPosition.FAULT, LIFTED) == {}
    bench.look(0, LidPosition.UNKNOWN)
    assert bench.look(3600, LidPosition.UNKNOWN, connected=False) == {}
    assert bench.look(1, LidPosition.UNKNOWN) == {}
    assert bench.look(NOT_SHUT_S, LidPosition.UNKNOWN) == {}
    assert set(bench.look(3, LidPosition.UNKNOWN)) == {"lid_1_not_shut"}
