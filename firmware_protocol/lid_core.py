"""The lids of the controller: one state table, one gate (`LidCore.may_open`), one mover. The twin of the C core's lid part.

Every OPEN passes `may_open`, at acceptance and again when its motion begins. Backing away from a finger asks nobody;
JOG has a gate of its own, which only a technician in calibration passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from firmware_protocol import limits as lim
from firmware_protocol.hal import Hal, LidMotion, Motion
from firmware_protocol.limits import since
from firmware_protocol.messages import (
    NO_LID,
    Calibration,
    Caps,
    Code,
    EventKind,
    LidPhase,
    Limits,
    Open,
    Stop,
    TimeoutReason,
)

Verdict = tuple[Code, int]
"""Code and its detail (retry after, ms)."""

MOVING = frozenset((LidPhase.OPENING, LidPhase.CLOSING, LidPhase.REVERSING, LidPhase.HOMING))
EVENT_VALUE_MAX = 0xFFFE


def default_calibration(lid: int) -> Calibration:
    """Used until SET_CAL: common hobby servos, 1 s from end to end."""
    return Calibration(lid, open_us=2000, closed_us=1000, speed_us_per_20ms=20, jam_ma=900)


def calibration_fits(cal: Calibration) -> bool:
    """Whether a calibration lies within the device's bounds."""
    pulses_fit = all(lim.PULSE_MIN_US <= x <= lim.PULSE_MAX_US for x in (cal.open_us, cal.closed_us))
    travels = abs(cal.open_us - cal.closed_us) >= lim.CAL_TRAVEL_MIN_US
    return pulses_fit and travels and cal.speed_us_per_20ms > 0 and cal.jam_ma <= lim.JAM_MAX_MA


@dataclass(slots=True)
class Lid:
    """One row of the state table."""

    number: int
    cal: Calibration
    phase: LidPhase = LidPhase.UNKNOWN
    goal: Limits = Limits.CLOSED
    """Where the present motion goes."""
    pulse_us: int | None = None
    last_us: int | None = None
    """The last pulse sent since the reset, from which a jog, or the homing right after one, goes on."""
    action_id: int = 0
    hold_ms: int = 0
    start_within_ms: int = 0
    since_ms: int = 0
    """When the phase began."""
    stepped_ms: int = 0
    travel_ms: int = 0
    """Bound of the present motion."""
    jog_us: int = 0
    """Target while jogging."""
    moved: bool = False
    """Less than REST_MS ago."""
    ended_ms: int = 0
    """When the last motion ended, if ``moved``."""
    over: bool = False
    over_ms: int = 0
    """Since when the current is above the stall limit, if ``over``."""
    opened: bool = False
    opened_ms: int = 0
    """When it was reported open, if ``opened``."""
    reversals: int = 0
    """In a row."""
    backed: bool = False
    """It stands open because it backed away."""
    unproven: bool = False
    """Its shut switch was pressed when its motion began and has not let go since: it may be stuck, and proves nothing."""
    settling: bool = False
    """Shut by its switch at a reset a moment ago: it may have been on its way open, and run on."""
    close_due: bool = False
    """It is to be shut; says nothing while it is shut, moves or is latched."""
    stay: bool = False
    """Cleared from a stop or fault: moves again only by CLOSE or the dead-man."""
    last_close_id: int = 0


@dataclass(slots=True)
class LidCore:
    """All lids and what they share. The owner keeps ``host_alive``; ``begin_action`` records an id before the first pulse."""

    hal: Hal
    caps: Caps
    lids: list[Lid]
    report: Callable[[EventKind, int, int, int | None], None]
    """(kind, lid, action id, value)."""
    begin_action: Callable[[int], None]
    on_motion: Callable[[LidMotion], None]
    host_alive: bool = False
    stop: Stop = field(default_factory=lambda: Stop(0))
    calibrating: bool = False
    calibrating_ms: int = 0
    moved: bool = False
    """Less than STAGGER_MS ago."""
    ended_ms: int = 0
    """End of the last motion of any lid, if ``moved``."""
    opens_ms: list[int] = field(default_factory=list)
    """Starts of the openings within OPENS_WINDOW_MS, at most OPENS_MAX."""

    # ---- the gate ---------------------------------------------------------------------------------------------------

    def may_open(self, lid: Lid, patience_ms: int, now_ms: int) -> Verdict:  # noqa: PLR0911  # one line per reason to refuse
        """The only gate before an opening pulse: OK_ACCEPTED only when all is well; what it does not know, it refuses.

        ``patience_ms``: how long the motion may wait to begin; 0 asks whether it may begin now.
        """
        if not self.host_alive:
            return Code.NO_SESSION, 0
        if self.stop or self.hal.stop_pressed():  # pressed since the last tick counts too
            return Code.STOPPED, 0
        if lid.phase is LidPhase.FAULT:
            return Code.FAULT_LATCHED, 0
        if self.calibrating:
            return Code.BUSY, self._left(self.calibrating_ms, lim.CALIBRATING_MS, now_ms)
        if not self._supply_ok():
            return Code.LOW_VOLTAGE, 0
        wait_ms = self._opens_left(now_ms)
        if wait_ms > patience_ms:
            return Code.RATE_LIMIT, wait_ms
        if lid.phase not in (LidPhase.CLOSED, LidPhase.WAITING) or self._lifted(lid):
            return Code.BUSY, lim.REST_MS
        wait_ms = self._rest_left(lid, now_ms)
        if wait_ms > patience_ms:
            return Code.BUSY, wait_ms
        return Code.OK_ACCEPTED, 0

    def _lifted(self, lid: Lid) -> bool:
        """Somebody holds a shut lid up: its first pulse, that of the shut lid, would throw it down on that hand."""
        limits = self.hal.limits(lid.number)
        return limits is not None and limits != Limits.CLOSED

    def _supply_ok(self) -> bool:
        if not self.caps & Caps.SUPPLY_SENSE:
            return True
        vin_mv, vservo_mv = self.hal.vin_mv(), self.hal.vservo_mv()
        return (
            vin_mv is not None and vservo_mv is not None and vin_mv >= lim.VIN_MIN_MV and vservo_mv >= lim.VSERVO_MIN_MV
        )

    def _opens_left(self, now_ms: int) -> int:
        if len(self.opens_ms) < lim.OPENS_MAX:
            return 0
        return self._left(self.opens_ms[0], lim.OPENS_WINDOW_MS, now_ms)

    def _rest_left(self, lid: Lid, now_ms: int) -> int:
        """How long this lid must wait at least before it may begin a motion."""
        if any(other.phase in MOVING for other in self.lids):
            return lim.STAGGER_MS  # and its travel, which nobody knows yet
        own_ms = self._left(lid.ended_ms, lim.REST_MS, now_ms) if lid.moved else 0
        all_ms = self._left(self.ended_ms, lim.STAGGER_MS, now_ms) if self.moved else 0
        backed_ms = self._left(lid.since_ms, lid.hold_ms, now_ms) if lid.phase is LidPhase.OPEN and lid.backed else 0
        return max(own_ms, all_ms, backed_ms)

    @staticmethod
    def _left(then_ms: int, span_ms: int, now_ms: int) -> int:
        return max(0, span_ms - since(now_ms, then_ms))

    # ---- wishes -----------------------------------------------------------------------------------------------------

    def accept_open(self, wish: Open, now_ms: int) -> Verdict:
        """Take an OPEN: the lid waits for its turn, at most start_within_ms."""
        lid = self.lids[wish.lid]
        if lid.phase is LidPhase.WAITING:
            return Code.BUSY, lim.REST_MS
        verdict = self.may_open(lid, wish.start_within_ms, now_ms)
        if verdict[0] is Code.OK_ACCEPTED:
            lid.action_id = wish.action_id
            lid.hold_ms = min(max(wish.hold_ms, lim.HOLD_MIN_MS), lim.HOLD_MAX_MS)
            lid.start_within_ms = wish.start_within_ms
            self._enter(lid, LidPhase.WAITING, now_ms)
            self._start_next(now_ms)
        return verdict

    def accept_close(self, number: int, action_id: int, now_ms: int) -> Verdict:
        """Take a CLOSE. A lid that is on its way open turns back as soon as its rest allows."""
        lid = self.lids[number]
        if self.stop:
            return Code.STOPPED, 0
        if lid.phase is LidPhase.FAULT:
            return Code.FAULT_LATCHED, 0
        if self.calibrating:
            return Code.BUSY, self._left(self.calibrating_ms, lim.CALIBRATING_MS, now_ms)
        if action_id == lid.last_close_id:
            return Code.DUPLICATE, 0
        lid.last_close_id = action_id
        if lid.phase is LidPhase.WAITING:
            self._forget(lid, now_ms)
        if lid.phase is LidPhase.CLOSED:
            self.report(EventKind.CLOSED, number, action_id, None)
            return Code.OK_ACCEPTED, 0
        lid.action_id = lid.action_id or action_id
        lid.close_due = True
        lid.stay = False
        return Code.OK_ACCEPTED, 0

    def close_all(self, now_ms: int) -> None:
        """Dead-man: forget what waits, end calibration, shut what stands open."""
        self.end_calibration(now_ms)
        for lid in self.lids:
            if lid.phase is LidPhase.WAITING:
                self._forget(lid, now_ms)
            lid.stay = False
            if lid.phase is LidPhase.OPENING:  # so there is no stop: it would have halted this lid
                self._begin_closing(lid, now_ms)  # turns back at once: no rest for a lid without a host
            else:
                lid.close_due = True  # says nothing to a lid that is shut or latched

    def halt(self, now_ms: int) -> None:
        """STOP: no lid moves, nothing waits; a lid halted on its way shuts by itself after its hold time."""
        self.end_calibration(now_ms)
        for lid in self.lids:
            if lid.phase is LidPhase.WAITING:
                self._forget(lid, now_ms)
            if lid.phase in MOVING:
                self._end_motion(lid, now_ms)
            if lid.phase in MOVING or lid.phase in (LidPhase.UNKNOWN, LidPhase.HALTED):
                lid.hold_ms = lid.hold_ms if lid.phase is LidPhase.OPENING else lim.HALTED_HOLD_MS
                self._detach(lid)
                self._enter(lid, LidPhase.HALTED, now_ms)
            lid.close_due = False

    def latch(self, now_ms: int) -> None:
        """STOP_LATCH or mushroom switch: as `halt`, no servo gets a signal, and nothing moves until `clear`."""
        self.halt(now_ms)
        self.stop |= Stop.LATCH
        for lid in self.lids:
            self._detach(lid)
            if lid.phase is LidPhase.OPEN:
                self._enter(lid, LidPhase.HALTED, now_ms)

    def clear(self, now_ms: int) -> Verdict:
        """STOP_CLEAR: never moves a lid; lids that do not stand shut wait for a CLOSE."""
        if self.stop & Stop.MUSHROOM:
            return Code.STOPPED, 0
        self.stop = Stop(0)
        for lid in self.lids:
            if lid.phase is LidPhase.FAULT:
                lid.reversals = 0
                self._enter(lid, LidPhase.HALTED, now_ms)
            lid.stay = lid.phase is LidPhase.HALTED
            lid.close_due = lid.phase is LidPhase.UNKNOWN  # no stop has halted it: it is homed as ever
        return Code.OK_ACCEPTED, 0

    def start_calibration(self, now_ms: int) -> Verdict:
        """CALIBRATE on: only when every lid is at rest and shut, or of unknown place."""
        if self.stop:
            return Code.STOPPED, 0
        if any(x.phase not in (LidPhase.CLOSED, LidPhase.HALTED, LidPhase.JOGGING) for x in self.lids):
            return Code.BUSY, lim.REST_MS
        self.calibrating = True
        self.calibrating_ms = now_ms
        return Code.OK_ACCEPTED, 0

    def end_calibration(self, now_ms: int) -> None:
        """Calibration is over: what was jogged is shut under watch."""
        self.calibrating = False
        for lid in self.lids:
            if lid.phase is LidPhase.JOGGING:
                self._unjog(lid, now_ms)

    def jog(self, number: int, pulse_us: int, now_ms: int) -> Verdict:
        """JOG: one lid follows a pulse at its slew limit, under stall and pinch watch."""
        if not self.calibrating:
            return Code.BUSY, 0
        if not self._supply_ok():
            return Code.LOW_VOLTAGE, 0
        for other in self.lids:
            if other.phase is LidPhase.JOGGING and other.number != number:
                self._unjog(other, now_ms)
        lid = self.lids[number]
        self.calibrating_ms = now_ms
        if lid.phase is not LidPhase.JOGGING:
            self._enter(lid, LidPhase.JOGGING, now_ms)
            lid.stepped_ms = now_ms
            lid.over = False
            lid.stay = False
            lid.unproven = self._on_shut_switch(lid)
            lid.action_id = 0
        lid.jog_us = pulse_us
        if lid.pulse_us is None:
            # Where nobody knows the place of the lid, the first pulse is a jump.
            self._pulse(lid, pulse_us if lid.last_us is None else lid.last_us)
        return Code.OK_ACCEPTED, 0

    @property
    def at_rest(self) -> bool:
        """No lid moves."""
        return not any(x.phase in MOVING or x.phase is LidPhase.JOGGING for x in self.lids)

    @property
    def all_closed(self) -> bool:
        """Every lid is known to be shut."""
        return all(x.phase is LidPhase.CLOSED for x in self.lids)

    # ---- time -------------------------------------------------------------------------------------------------------

    def boot(self, now_ms: int) -> None:
        """After a reset no servo has a signal; a lid that stands on its closed switch needs no homing."""
        for lid in self.lids:
            self._detach(lid)
            limits = self.hal.limits(lid.number)
            shut = limits is not None and limits == Limits.CLOSED
            self._enter(lid, LidPhase.CLOSED if shut else LidPhase.UNKNOWN, now_ms)
            lid.settling = shut
            lid.close_due = not shut

    def tick(self, now_ms: int) -> None:
        """Watch the mushroom switch, end what is over, step what moves, start what is due."""
        self._watch_mushroom(now_ms)
        if self.calibrating and since(now_ms, self.calibrating_ms) >= lim.CALIBRATING_MS:
            self.end_calibration(now_ms)
        self._expire(now_ms)
        for lid in self.lids:
            self._tick_lid(lid, now_ms)
        self._start_next(now_ms)

    def _expire(self, now_ms: int) -> None:
        """Times that are over are forgotten, or 49 days later the wrapped clock would make them young again."""
        if self.opens_ms and since(now_ms, self.opens_ms[0]) >= lim.OPENS_WINDOW_MS:
            self.opens_ms = self.opens_ms[1:]
        if self.moved and since(now_ms, self.ended_ms) >= lim.STAGGER_MS:
            self.moved = False
        for lid in self.lids:
            if lid.moved and since(now_ms, lid.ended_ms) >= lim.REST_MS:
                lid.moved = False

    def _watch_mushroom(self, now_ms: int) -> None:
        pressed = self.hal.stop_pressed()
        if pressed and not self.stop & Stop.MUSHROOM:
            self.stop |= Stop.MUSHROOM
            self.latch(now_ms)
            self.report(EventKind.STOP_PRESSED, NO_LID, 0, None)
        elif not pressed:
            self.stop &= ~Stop.MUSHROOM  # the latch stays until STOP_CLEAR

    def _tick_lid(self, lid: Lid, now_ms: int) -> None:
        age_ms = since(now_ms, lid.since_ms)
        if lid.phase in MOVING:
            self._step(lid, now_ms)
        elif lid.phase is LidPhase.JOGGING:
            self._step_jog(lid, now_ms)
        elif lid.phase is LidPhase.WAITING and age_ms > lid.start_within_ms:
            self._forget(lid, now_ms)
        elif lid.phase in (LidPhase.OPEN, LidPhase.HALTED) and not lid.stay and age_ms >= lid.hold_ms:
            lid.close_due = True
        elif lid.phase is LidPhase.CLOSED:
            self._rest_shut(lid, age_ms, now_ms)

    def _rest_shut(self, lid: Lid, age_ms: int, now_ms: int) -> None:
        """Shut: its signal goes. A lid that ran on through a reset is not shut, and is homed."""
        if lid.pulse_us is not None and age_ms >= lim.DETACH_MS:
            self._detach(lid)
        if age_ms >= lim.RAN_ON_MS:
            lid.settling = False
        elif lid.settling and not self._on_shut_switch(lid):
            self._enter(lid, LidPhase.UNKNOWN, now_ms)
            lid.close_due = True

    def _start_next(self, now_ms: int) -> None:
        """One lid moves at a time; shutting goes before opening."""
        if self.stop or self.calibrating:
            return
        for lid in self.lids:
            stands = lid.phase in (LidPhase.OPEN, LidPhase.HALTED, LidPhase.UNKNOWN)
            if lid.close_due and stands and self._rest_left(lid, now_ms) == 0:
                self._begin_closing(lid, now_ms)
                return
        waiting = [x for x in self.lids if x.phase is LidPhase.WAITING]
        waiting.sort(key=lambda x: since(now_ms, x.since_ms), reverse=True)  # first come, first served
        for lid in waiting:
            if self.may_open(lid, 0, now_ms)[0] is Code.OK_ACCEPTED:
                self._begin_opening(lid, now_ms)
                return

    def _begin_opening(self, lid: Lid, now_ms: int) -> None:
        self.begin_action(lid.action_id)  # remembered over a reset BEFORE the first pulse
        self.opens_ms = [*self.opens_ms[-(lim.OPENS_MAX - 1) :], now_ms]
        lid.close_due = False
        self._begin(lid, LidPhase.OPENING, Limits.OPEN, now_ms)
        self._tell(lid, Motion.OPENING, now_ms)

    def _begin_closing(self, lid: Lid, now_ms: int) -> None:
        homing = lid.phase is LidPhase.UNKNOWN
        self._begin(lid, LidPhase.HOMING if homing else LidPhase.CLOSING, Limits.CLOSED, now_ms)
        self._tell(lid, Motion.CLOSING, now_ms)

    def _begin(self, lid: Lid, phase: LidPhase, goal: Limits, now_ms: int) -> None:
        cal = lid.cal
        lid.goal = goal
        lid.over = False
        lid.stay = False
        lid.stepped_ms = now_ms
        jogged = phase is LidPhase.HOMING and lid.last_us is not None and since(now_ms, lid.since_ms) <= lim.JOGGED_MS
        from_us = lid.pulse_us
        if from_us is None:
            from_us = self._first_us(lid, phase, jogged=jogged)
            self._pulse(lid, from_us)
        if not jogged:
            lid.unproven = self._on_shut_switch(lid)
        # The longer way is that of a lid jogged beyond its ends, or calibrated anew while it stood open.
        way_us = max(abs(cal.open_us - cal.closed_us), abs(from_us - self._target(lid)))
        lid.travel_ms = (way_us // cal.speed_us_per_20ms + 1) * lim.STEP_MS + lim.TRAVEL_SLACK_MS
        self._enter(lid, phase, now_ms)

    def _first_us(self, lid: Lid, phase: LidPhase, *, jogged: bool) -> int:
        """Where a lid without signal starts."""
        if phase is LidPhase.OPENING:
            return lid.cal.closed_us
        shut = self.hal.limits(lid.number) == Limits.CLOSED
        if lid.last_us is not None and (jogged or (shut and lid.unproven)):
            return lid.last_us  # its jog ended a moment ago; or it was halted there, and only its switch says shut
        return lid.cal.closed_us if shut else lid.cal.open_us  # lifted by hand? a jump toward open pinches nobody

    # ---- one motion -------------------------------------------------------------------------------------------------

    def _step(self, lid: Lid, now_ms: int) -> None:
        lid.unproven = lid.unproven and self._on_shut_switch(lid)
        if self._arrived(lid, now_ms):
            self._arrive(lid, now_ms)
        elif lid.goal is Limits.CLOSED and self._pinched(lid):
            self._reverse(lid, EventKind.PINCH_REVERSED, None, now_ms)
        elif self._jammed(lid, now_ms):
            self._reverse(lid, EventKind.JAM, None, now_ms)
        elif since(now_ms, lid.since_ms) > lid.travel_ms:
            self._reverse(lid, EventKind.TIMEOUT, self._too_late(lid), now_ms)
        elif not lid.over:  # while the current is high the pulse must not run ahead of the lid
            self._slew(lid, self._target(lid), now_ms)

    def _target(self, lid: Lid) -> int:
        return lid.cal.open_us if lid.goal is Limits.OPEN else lid.cal.closed_us

    def _slew(self, lid: Lid, target_us: int, now_ms: int) -> None:
        steps = since(now_ms, lid.stepped_ms) // lim.STEP_MS
        if steps == 0 or lid.pulse_us is None or lid.pulse_us == target_us:
            return
        lid.stepped_ms = (lid.stepped_ms + steps * lim.STEP_MS) % lim.TICKS
        # A late tick must not become a jump.
        most_us = lid.cal.speed_us_per_20ms
        self._pulse(lid, lid.pulse_us + max(-most_us, min(most_us, target_us - lid.pulse_us)))
        if lid.pulse_us == target_us:
            lid.stepped_ms = now_ms

    def _arrived(self, lid: Lid, now_ms: int) -> bool:
        limits = self.hal.limits(lid.number)
        if limits is not None and not (lid.unproven and limits == lid.goal):
            return limits == lid.goal
        return lid.pulse_us == self._target(lid) and since(now_ms, lid.stepped_ms) >= lim.SETTLE_MS

    def _on_shut_switch(self, lid: Lid) -> bool:
        limits = self.hal.limits(lid.number)
        return limits is not None and bool(limits & Limits.CLOSED)

    def _too_late(self, lid: Lid) -> TimeoutReason:
        late_open = lid.goal is Limits.OPEN and self._on_shut_switch(lid)
        return TimeoutReason.SHUT_SWITCH if late_open else TimeoutReason.TRAVEL

    def _pinched(self, lid: Lid) -> bool:
        pinch = self.hal.pinch()
        return pinch is not None and bool(pinch >> lid.number & 1)

    def _jammed(self, lid: Lid, now_ms: int) -> bool:
        current_ma = self.hal.current_ma(lid.number)
        over = bool(lid.cal.jam_ma) and current_ma is not None and current_ma > lid.cal.jam_ma
        if not over or since(now_ms, lid.since_ms) < lim.INRUSH_MS:
            lid.over = False
        elif not lid.over:
            lid.over = True
            lid.over_ms = now_ms
        return lid.over and since(now_ms, lid.over_ms) >= lim.JAM_MS

    def _reverse(self, lid: Lid, kind: EventKind, value: int | None, now_ms: int) -> None:
        lid.reversals += 1
        if lid.goal is Limits.OPEN and self.hal.limits(lid.number) == Limits.CLOSED | Limits.OPEN:
            # Open by one switch and shut by the other: one is broken, and the lid is latched once it has backed away.
            lid.reversals = max(lid.reversals, lim.REVERSALS_MAX)
        self.report(kind, lid.number, lid.action_id, lid.reversals if value is None else value)
        self._end_motion(lid, now_ms)
        if lid.reversals > lim.REVERSALS_MAX:
            self._latch_fault(lid, now_ms)
            return
        away = Limits.CLOSED if lid.goal is Limits.OPEN else Limits.OPEN
        self._begin(lid, LidPhase.REVERSING, away, now_ms)
        self._tell(lid, Motion.REVERSED, now_ms)

    def _arrive(self, lid: Lid, now_ms: int) -> None:
        reversing = lid.phase is LidPhase.REVERSING
        travel_ms = since(now_ms, lid.since_ms)
        self._end_motion(lid, now_ms)
        if lid.goal is Limits.CLOSED:
            self._arrive_closed(lid, now_ms, clean=not reversing)
        else:
            self._arrive_open(lid, now_ms, None if reversing else travel_ms)
        if reversing and lid.reversals >= lim.REVERSALS_MAX:
            self._latch_fault(lid, now_ms)

    def _arrive_open(self, lid: Lid, now_ms: int, travel_ms: int | None) -> None:
        self._enter(lid, LidPhase.OPEN, now_ms)
        lid.backed = travel_ms is None
        if travel_ms is None:
            lid.hold_ms = lim.REVERSED_HOLD_MS  # even a CLOSE waits for it, see _rest_left()
        else:
            lid.opened = True
            lid.opened_ms = now_ms
            self.report(EventKind.OPENED, lid.number, lid.action_id, min(travel_ms, EVENT_VALUE_MAX))
        self._tell(lid, Motion.OPEN, now_ms)

    def _arrive_closed(self, lid: Lid, now_ms: int, *, clean: bool) -> None:
        self._enter(lid, LidPhase.CLOSED, now_ms)
        open_ms = min(since(now_ms, lid.opened_ms), EVENT_VALUE_MAX) if lid.opened else None
        self.report(EventKind.CLOSED, lid.number, lid.action_id, open_ms)
        self._tell(lid, Motion.CLOSED, now_ms)
        lid.action_id = 0
        lid.opened = False
        if clean:
            lid.reversals = 0

    def _latch_fault(self, lid: Lid, now_ms: int) -> None:
        self._detach(lid)
        self._enter(lid, LidPhase.FAULT, now_ms)

    # ---- jogging ----------------------------------------------------------------------------------------------------

    def _step_jog(self, lid: Lid, now_ms: int) -> None:
        lid.unproven = lid.unproven and self._on_shut_switch(lid)
        caught = self._pinched(lid)
        if caught or self._jammed(lid, now_ms):
            if not caught and self.hal.limits(lid.number) == Limits.CLOSED:
                lid.unproven = False  # it presses against its rim: what the technician came to find
            self.report(EventKind.JAM, lid.number, 0, None)
            self.end_calibration(now_ms)
        elif not lid.over:
            self._slew(lid, lid.jog_us, now_ms)

    def _unjog(self, lid: Lid, now_ms: int) -> None:
        self._end_motion(lid, now_ms)
        self._detach(lid)
        self._enter(lid, LidPhase.UNKNOWN, now_ms)
        lid.close_due = True

    # ---- small steps ------------------------------------------------------------------------------------------------

    def _forget(self, lid: Lid, now_ms: int) -> None:
        self.report(EventKind.TIMEOUT, lid.number, lid.action_id, TimeoutReason.NOT_STARTED)
        lid.action_id = 0
        self._enter(lid, LidPhase.CLOSED, now_ms)

    def _end_motion(self, lid: Lid, now_ms: int) -> None:
        lid.moved = self.moved = True
        lid.ended_ms = self.ended_ms = now_ms

    def _enter(self, lid: Lid, phase: LidPhase, now_ms: int) -> None:
        lid.phase = phase
        lid.since_ms = now_ms
        lid.settling = False

    def _pulse(self, lid: Lid, pulse_us: int) -> None:
        lid.pulse_us = lid.last_us = pulse_us
        self.hal.set_pulse_us(lid.number, pulse_us)

    def _detach(self, lid: Lid) -> None:
        lid.pulse_us = None
        self.hal.set_pulse_us(lid.number, None)

    def _tell(self, lid: Lid, motion: Motion, now_ms: int) -> None:
        self.on_motion(LidMotion(now_ms, lid.number, motion, lid.action_id))
