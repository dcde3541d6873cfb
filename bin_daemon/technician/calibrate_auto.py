"""Calibration by itself: find both ends, measure the way between them, propose the values and say why. Stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.technician.calibrate_ends import EndSearch
from bin_daemon.technician.calibrate_steps import STRAIN, STRAIN_MIN_MA, Steps
from firmware_protocol import limits as lim
from firmware_protocol.messages import Calibration

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.calibrate import LidCalibration
    from bin_daemon.technician.calibrate_state import Travel

PRESS_US = 150
PRESS_STEP_US = 10
"""To learn the stall current the shut lid is pressed against its rim in such steps, at most so far beyond its end."""
TRAVEL_MS = 1000
"""From end to end: quick enough for a person with a bag in each hand, slow enough to take the hand away."""
SLOW_LAG_MS = 250
"""A lid that comes later than this after its pulse does not keep up."""
WAYS = 2


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to store, the reasons in sentences, and what somebody should look at first."""

    calibration: Calibration
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def calibrate_by_itself(cal: LidCalibration, tell: Callable[[str], None]) -> Proposal:
    """From a servo at ease; the lid stands shut afterwards, in calibration or not, and the draft is the proposal.

    ``tell`` gets one sentence for each step. Raises `DeviceError` with what to look at.
    """
    steps = Steps(cal, tell)
    search = EndSearch(steps)
    search.run()
    tell("Goes to and fro to measure current and time.")
    ways = measure_ways(steps)
    stall_ma = stall_current(steps)
    jam_ma, why_jam = jam_limit(steps.running_ma, stall_ma, cal.stored.jam_ma)
    speed, why_speed = speed_limit(cal, ways)
    cal.draft = replace(cal.draft, jam_ma=jam_ma, speed_us_per_20ms=speed)
    warnings = [*search.warnings]
    if steps.running_ma is not None and stall_ma is None:
        warnings.append("Hold the lid back by hand once while it opens: it must give way.")
    return Proposal(cal.draft, (*search.reasons, why_speed, why_jam), tuple(warnings))


def measure_ways(steps: Steps) -> list[Travel]:
    """Some ways to and fro, the last one down; sets the running current."""
    cal, draft = steps.cal, steps.cal.draft
    stands_open = abs(cal.target_us - draft.open_us) < abs(cal.target_us - draft.closed_us)
    ways = []
    for opening in (*((False,) if stands_open else ()), *(True, False) * WAYS):
        way = cal.travel(draft.open_us if opening else draft.closed_us, opening=opening)
        if not cal.active:
            steps.only_a_stall("on the way")
            raise steps.held_up()
        if not way.arrived:
            raise DeviceError(
                f"the {'open' if opening else 'shut'} switch does not close when the lid goes there in one go",
                hint="check the hinge and that switch",
            )
        ways.append(way)
    steps.running_ma = max((x.lasting_ma for x in ways if x.lasting_ma is not None), default=None)
    return ways


def stall_current(steps: Steps) -> int | None:
    """What a stall draws, seen once: press the shut lid against its rim until the servo strains. None when it never does."""
    cal = steps.cal
    if steps.running_ma is None:
        return None
    steps.tell("Presses the shut lid against its rim for a moment, to see what a stall draws.")
    worst_ma, direction = 0, -cal.opens_by
    for beyond_us in range(PRESS_STEP_US, PRESS_US + 1, PRESS_STEP_US):
        if cal.jog(cal.draft.closed_us + direction * beyond_us):
            break
        worst_ma = max(worst_ma, _worst(steps))
        if steps.strains or not cal.active:
            break
    if cal.active:
        worst_ma = max(worst_ma, _worst(steps))
        steps.to(cal.draft.closed_us, may_stall=True)
    if not (cal.ending and cal.ending.code == "held"):  # here a stall was to come, seen or not
        steps.only_a_stall("while it pressed")
    return worst_ma if worst_ma >= max(STRAIN_MIN_MA, STRAIN * steps.running_ma) else None


def _worst(steps: Steps) -> int:
    """Three reports' worth of watching, or until it strains."""
    for _ in range(8):
        steps.cal.run()
        if steps.strains or not steps.cal.active:
            break
    return steps.cal.reading.peak_ma or 0


def jam_limit(running_ma: int | None, stall_ma: int | None, stored_ma: int) -> tuple[int, str]:
    """The current that counts as jammed, and why."""
    if running_ma is None:
        return stored_ma, f"jam limit: {stored_ma} mA, as before. This board cannot measure the current."
    if stall_ma is not None:
        jam_ma = _round((running_ma + stall_ma) / 2)
        return jam_ma, (
            f"jam limit: {jam_ma} mA, midway between the highest current on the way ({running_ma} mA) and a stall "
            f"({stall_ma} mA)."
        )
    jam_ma = _round(max(2.0 * running_ma, running_ma + 200.0))
    return jam_ma, (
        f"jam limit: {jam_ma} mA, twice the highest current on the way ({running_ma} mA). A stall was not seen: the servo did "
        f"not strain up to {PRESS_US} us beyond shut."
    )


def speed_limit(cal: LidCalibration, ways: list[Travel]) -> tuple[int, str]:
    """The slew limit, and why."""
    travel_us = abs(cal.draft.open_us - cal.draft.closed_us)
    wanted = max(1, min(255, round(travel_us * lim.STEP_MS / TRAVEL_MS)))
    lag_ms = max((x.lag_ms or 0 for x in ways), default=0)
    if lag_ms <= SLOW_LAG_MS:
        return wanted, f"speed: {wanted} us per 20 ms, {TRAVEL_MS / 1000:g} s from end to end."
    pulse_ms = travel_us / cal.stored.speed_us_per_20ms * lim.STEP_MS
    kept = max(1, min(wanted, int(travel_us * lim.STEP_MS / (pulse_ms + lag_ms))))
    return kept, (
        f"speed: {kept} us per 20 ms. At {cal.stored.speed_us_per_20ms} the lid came {lag_ms} ms after its pulse: the servo "
        "does not keep up."
    )


def _round(current_ma: float) -> int:
    return min(lim.JAM_MAX_MA, 10 * round(current_ma / 10))
