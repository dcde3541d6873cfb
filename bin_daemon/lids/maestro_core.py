"""What the lids behind a Maestro do, judged on the host: one state table, one gate (`MaestroCore.may_open`), no port, no clock.

A Maestro only makes pulses. Gate, hold time, rest and stagger are kept here, with the limits of our own controller; whether a
lid followed its pulse nobody knows, so no motion ends better than UNCONFIRMED. `turn` is told the pulses that the Maestro says
it sends and names the targets to send next; whatever does not fit shuts all lids.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from bin_daemon.domain import LidsState, LidState, Outcome
from bin_daemon.lids.maestro_bytes import OFF, Errors, names
from bin_daemon.lids.maestro_servo import AT_REST, POSITIONS, UNKNOWN, Order, Phase, Servo
from firmware_protocol import limits as lim

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bin_daemon.domain import LidCommand
    from bin_daemon.lids.ledger import Ledger

SETTLE_S = lim.SETTLE_MS / 1000
TRAVEL_SLACK_S = lim.TRAVEL_SLACK_MS / 1000
STAGGER_S = lim.STAGGER_MS / 1000
REST_S = lim.REST_MS / 1000
HALTED_HOLD_S = lim.HALTED_HOLD_MS / 1000
OPENS_WINDOW_S = lim.OPENS_WINDOW_MS / 1000
DETACH_S = 1.0
"""A shut lid's pulses go on for so long: longer than with limit switches, for its servo may lag behind."""


class MaestroCore:
    """Not thread-safe: its owner holds the mutex. Outlives the port: a latched stop, the last openings and when a lid last moved
    count on when the port is opened afresh.
    """

    def __init__(self, servos: Sequence[Servo], ledger: Ledger, capabilities: frozenset[str]) -> None:
        self.servos = {servo.lid: servo for servo in servos}
        self.strays: list[int] = []
        """Lids whose pulse was changed by another, at the last turn."""
        self._capabilities = capabilities
        self._ledger = ledger
        self._opens: deque[float] = deque(maxlen=lim.OPENS_MAX)
        self._executed: deque[int] = deque(maxlen=lim.ACTION_RING)
        self._latched = self._pressed = False

    def begin(self, now_s: float) -> None:
        """All lids are shut and their pulses on, as the owner has just proved."""
        for servo in self.servos.values():
            servo.target = servo.seen = servo.closed_q
            servo.attaching = servo.stay = servo.broken = False
            servo.command = None
            servo.enter(Phase.SHUT, now_s)

    @property
    def state(self) -> LidsState:
        """All lids at this moment, as far as their pulses tell."""
        lids = {n: LidState(n, POSITIONS[x.phase], None, x.ended_s) for n, x in self.servos.items()}
        return LidsState(
            connected=True, lids=lids, stopped=self.stopped, stop_pressed=self._pressed, capabilities=self._capabilities
        )

    @property
    def stopped(self) -> bool:
        """A stop is in force."""
        return self._latched or self._pressed

    @property
    def at_rest(self) -> bool:
        """No lid moves, and none will before somebody asks."""
        return all(x.phase in AT_REST or x.stay for x in self.servos.values())

    # ---- the gate ---------------------------------------------------------------------------------------------------

    def may_open(self, servo: Servo, patience_s: float, now_s: float) -> str:
        """The only gate before an opening pulse: empty only when all is well, else the word of our own controller.

        ``patience_s``: how long the motion may wait to begin; 0 asks whether it may begin now.
        """
        if self.stopped:
            return "STOPPED"
        if servo.phase is Phase.FAULT:
            return "FAULT_LATCHED"
        if servo.phase not in {Phase.SHUT, Phase.WAITING}:
            return "BUSY"
        if self._opens_left(now_s) > patience_s:
            return "RATE_LIMIT"
        return "BUSY" if self._rest_left(servo, now_s) > patience_s else ""

    def _opens_left(self, now_s: float) -> float:
        full = len(self._opens) == lim.OPENS_MAX
        return self._opens[0] + OPENS_WINDOW_S - now_s if full else 0.0

    def _rest_left(self, servo: Servo, now_s: float) -> float:
        """Stricter than our own controller, which sees its lids: while another lid is not shut, this one waits."""
        others = [x for x in self.servos.values() if x is not servo]
        if any(x.phase not in AT_REST | {Phase.WAITING} for x in others):
            return STAGGER_S
        ends = [x.ended_s + STAGGER_S for x in others if x.ended_s is not None]
        if servo.ended_s is not None:
            ends.append(servo.ended_s + REST_S)
        return max(ends, default=now_s) - now_s

    # ---- wishes -----------------------------------------------------------------------------------------------------

    def ask_open(self, command: LidCommand, now_s: float) -> None:
        """Take a command that the ledger knows: it waits for its turn, or its report is due."""
        servo = self.servos.get(command.lid)
        if command.action_id in self._executed:
            self._ledger.ended(command.action_id, Outcome.INTERRUPTED, "DUPLICATE")
        elif servo is None:
            self._ledger.ended(command.action_id, Outcome.REFUSED, "BAD_ARG")
        elif servo.phase is Phase.WAITING:
            self._ledger.ended(command.action_id, Outcome.REFUSED, "BUSY")
        elif why_not := self.may_open(servo, command.start_within_ms / 1000, now_s):
            self._ledger.ended(command.action_id, Outcome.REFUSED, why_not)
        else:
            servo.command = command
            servo.enter(Phase.WAITING, now_s)

    def ask_close(self, lid: int, now_s: float) -> bool:
        """Shut one lid, whatever it does; False when it may not move."""
        servo = self.servos.get(lid)
        if servo is None or self.stopped or servo.phase is Phase.FAULT:
            return False
        if servo.phase is Phase.WAITING:
            self._forget(servo, now_s)
        elif servo.phase not in {Phase.SHUT, Phase.CLOSING}:
            servo.stay = False
            servo.enter(Phase.CLOSING, now_s)
        return True

    def halt(self, now_s: float, code: str, *, latch: bool) -> None:
        """Take the pulses of what moves away. Without ``latch`` it shuts by itself after `HALTED_HOLD_S`."""
        self._latched |= latch
        self._ledger.interrupt(code)
        for servo in self.servos.values():
            if servo.phase is Phase.WAITING:
                servo.command = None
                servo.enter(Phase.SHUT, now_s)
            elif servo.phase in {Phase.OPENING, Phase.CLOSING} or (latch and servo.phase in {Phase.OPEN, Phase.HALTED}):
                servo.command, servo.stay = None, latch
                servo.enter(Phase.HALTED, now_s)

    def clear(self, now_s: float) -> bool:
        """End a latched stop and latched faults; moves nothing. False while the stop input is active."""
        if self._pressed:
            return False
        self._latched = False
        for servo in self.servos.values():
            if servo.phase is Phase.FAULT:
                servo.broken, servo.stay = False, True
                servo.enter(Phase.HALTED, now_s)
        return True

    # ---- what is seen -----------------------------------------------------------------------------------------------

    def turn(self, seen: Mapping[int, int], pressed: bool, now_s: float) -> list[Order]:  # noqa: FBT001 - one of three readings
        """Go on to now. ``seen`` is the pulse of each lid, ``pressed`` the stop input."""
        if pressed and not self._pressed:
            self.halt(now_s, "STOP_PRESSED", latch=True)
        self._pressed = pressed
        self.strays = [n for n, x in self.servos.items() if not x.fits(seen[n])]
        for number in self.strays:
            servo = self.servos[number]
            servo.target, servo.attaching = UNKNOWN, False
            servo.phase = Phase.CLOSING if servo.phase in AT_REST else servo.phase
        if self.strays:
            self._shut_all("PULSE_CHANGED_BY_ANOTHER", now_s)
        for number, servo in self.servos.items():
            servo.seen = seen[number]
            self._advance(servo, now_s)
        self._start_next(now_s)
        return [order for servo in self.servos.values() for order in self._due(servo, now_s)]

    def sent(self, order: Order, now_s: float) -> None:
        """A Set Target went out and the error register stayed clear."""
        servo = self.servos[order.lid]
        servo.attaching = servo.target == OFF
        servo.target, servo.arrived_s = order.target, None
        if servo.phase is Phase.OPENING and order.target == servo.open_q and servo.command:
            self._ledger.accepted(servo.command.action_id, "SENT", now_s)

    def failed(self, errors: Errors, now_s: float) -> None:
        """The Maestro tells of an error, so it has sent all channels home, which is shut (4.e)."""
        for servo in self.servos.values():
            if servo.phase in {Phase.SHUT, Phase.WAITING}:
                servo.target, servo.attaching, servo.arrived_s = servo.closed_q, True, None
            else:
                servo.target, servo.attaching = UNKNOWN, False
        self._shut_all("MAESTRO_" + "_".join(names(errors)), now_s)

    def _shut_all(self, code: str, now_s: float) -> None:
        """Doubt: what is under way is over, what stands open is shut. Under a stop in force nothing stands so."""
        self._ledger.interrupt(code)
        for servo in self.servos.values():
            servo.command = None
            if servo.phase is Phase.WAITING:
                servo.enter(Phase.SHUT, now_s)
            elif servo.phase in {Phase.OPENING, Phase.OPEN, Phase.CLOSING}:
                servo.enter(Phase.CLOSING, now_s)

    # ---- time -------------------------------------------------------------------------------------------------------

    def _advance(self, servo: Servo, now_s: float) -> None:
        """One row: note an arrival, leave the phase when it is over."""
        if servo.attaching and servo.seen == servo.target:
            servo.attaching = False
        if servo.arrived_s is None and servo.seen == servo.target == servo.goal:
            servo.arrived_s = now_s
        age_s = now_s - servo.since_s
        if servo.phase is Phase.WAITING and servo.command and age_s > servo.command.start_within_ms / 1000:
            self._forget(servo, now_s)
        elif servo.phase in {Phase.OPENING, Phase.CLOSING}:
            self._advance_motion(servo, now_s)
        elif not servo.stay and age_s >= _hold_s(servo):
            servo.enter(Phase.CLOSING, now_s)

    def _advance_motion(self, servo: Servo, now_s: float) -> None:
        if servo.arrived_s is not None and now_s - servo.arrived_s >= SETTLE_S:
            if servo.phase is Phase.OPENING:
                servo.enter(Phase.OPEN, now_s)
            else:
                self._shut(servo, now_s)
        elif servo.arrived_s is None and now_s - servo.since_s > servo.travel_s + TRAVEL_SLACK_S:
            # Min or Max of the channel (4.b), or its mode, keeps the pulse from its target.
            servo.broken = True
            self._end(servo, Outcome.FAULT, "PULSE_LIMITED")
            servo.enter(Phase.CLOSING if servo.phase is Phase.OPENING else Phase.FAULT, now_s)

    def _shut(self, servo: Servo, now_s: float) -> None:
        servo.ended_s = now_s
        servo.enter(Phase.FAULT if servo.broken else Phase.SHUT, now_s)
        self._end(servo, Outcome.UNCONFIRMED, "SENT")

    def _start_next(self, now_s: float) -> None:
        waiting = sorted((x for x in self.servos.values() if x.phase is Phase.WAITING), key=lambda x: x.since_s)
        for servo in waiting:  # first come, first served
            if servo.command and not self.may_open(servo, 0.0, now_s):
                self._opens.append(now_s)
                self._executed.append(servo.command.action_id)
                servo.enter(Phase.OPENING, now_s)

    def _due(self, servo: Servo, now_s: float) -> list[Order]:
        target = self._wanted(servo, now_s)
        if target is None or target == servo.target:
            return []
        if target == OFF:
            servo.last_q = servo.seen if servo.seen != OFF else servo.last_q
        return [Order(servo.lid, servo.channel, servo.speed, target)]

    def _wanted(self, servo: Servo, now_s: float) -> int | None:
        if self.stopped or servo.phase is Phase.HALTED:
            return OFF
        if servo.phase in AT_REST:
            if servo.target == OFF:
                return None
            rested = servo.arrived_s is not None and now_s - servo.arrived_s >= DETACH_S
            return OFF if rested else servo.goal
        if servo.phase is Phase.WAITING:
            return None
        if servo.target == OFF:
            return servo.last_q  # the Maestro jumps there, and the lid stands there
        return None if servo.attaching else servo.goal

    # ---- small steps ------------------------------------------------------------------------------------------------

    def _forget(self, servo: Servo, now_s: float) -> None:
        self._end(servo, Outcome.REFUSED, "NOT_STARTED")
        servo.enter(Phase.SHUT, now_s)

    def _end(self, servo: Servo, outcome: Outcome, code: str) -> None:
        if servo.command:
            self._ledger.ended(servo.command.action_id, outcome, code)
            servo.command = None


def _hold_s(servo: Servo) -> float:
    """How long this phase may last before the lid shuts by itself."""
    if servo.phase is Phase.HALTED:
        return HALTED_HOLD_S
    if servo.phase is not Phase.OPEN:
        return math.inf
    return min(max(servo.command.hold_ms, lim.HOLD_MIN_MS), lim.HOLD_MAX_MS) / 1000 if servo.command else 0.0
