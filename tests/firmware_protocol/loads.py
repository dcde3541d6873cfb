"""Openings under a load of noise and resets, on any body: counted by servo signal and by the lid, not by the controller's word.

One lid follows the servo's pulse. An opening has begun when the shut lid's servo gets a signal. The host is `HostSession`: it
repeats a command over new sessions, with the same action id, until it is answered.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from firmware_protocol import messages as m
from firmware_protocol.messages import Code, Limits, ResetCause
from firmware_protocol.session import Answered, HostSession, SessionEvent, State, Unanswered
from tests.firmware_protocol.bodies.body import Body, Inputs

OPEN_US, CLOSED_US, SWITCH_US = 2000, 1000, 25
FAST = m.SetCal(0, OPEN_US, CLOSED_US, 255, 0)
"""From end to end in 80 ms, so that thousands fit."""
SERVO_US_PER_MS = 13
HOLD_MS = 1000
PATIENCE_MS = 0
"""It begins when it is accepted or never: a lid that moves later would be counted for the next action."""
MOVING_STEP_MS, HOLDING_STEP_MS, IDLE_STEP_MS = 20, 100, 250
SURVIVES = (ResetCause.WATCHDOG, ResetCause.EXTERNAL, ResetCause.BROWN_OUT)


def noisy(rng: random.Random, share: float, data: bytes) -> Iterator[bytes]:
    """Each byte is, with this probability, dropped, doubled, flipped in one bit or preceded by a stray one."""
    out = bytearray()
    for byte in data:
        if rng.random() >= share:
            out.append(byte)
            continue
        kind = rng.randrange(4)
        if kind == 1:
            out += bytes([byte, byte])
        elif kind == 2:
            out.append(byte ^ (1 << rng.randrange(8)))
        elif kind == 3:
            out += bytes([rng.randrange(256), byte])
    yield bytes(out)


@dataclass
class Loads:
    """A host, a line and a body with one lid that matters."""

    body: Body
    noise: float
    """Share of faulty bytes, both ways."""
    resets: float
    """Chance of a reset for each command sent: at once (its answer is lost) or somewhere in the two seconds after."""
    rng: random.Random
    causes: tuple[ResetCause, ...] = SURVIVES
    t_ms: float = 0.0
    at_us: float = CLOSED_US
    begun: Counter[int] = field(default_factory=Counter)
    """How often the shut lid's servo got a signal, by the action that was asked for then; 0 = none was."""
    left: Counter[int] = field(default_factory=Counter)
    """How often the lid left its closed switch."""
    resets_made: int = 0
    action: int = 0
    inputs: Inputs = field(default_factory=Inputs)
    host: HostSession = field(default_factory=lambda: HostSession(0x4242))
    _reset_at_ms: float | None = None
    _pulse_us: float | None = None

    def start(self) -> None:
        """Power on, a session, a fast lid."""
        self.body.set_inputs(self.inputs)
        self.body.reset(ResetCause.POWER_ON)
        self._body_runs(self.body.boot_ms, b"")
        noise, self.noise = self.noise, 0.0
        self.host.start(self.t_ms / 1000)
        assert self._ask(FAST) is Code.OK_ACCEPTED
        self.noise = noise

    def open(self, action: int) -> None:
        """One action until it is answered, then until the lid is shut again."""
        self.action = action
        while self._ask(m.Open(0, action, HOLD_MS, PATIENCE_MS), may_reset=True) not in (
            Code.OK_ACCEPTED,
            Code.DUPLICATE,
            Code.TOO_OLD,
        ):
            self._step(IDLE_STEP_MS)  # BUSY, RATE_LIMIT: later
        self._step(MOVING_STEP_MS)
        shut_for = 0
        patience = iter(range(5000))
        while shut_for < 3 or self._reset_at_ms is not None:  # a moment longer
            assert next(patience, None) is not None, f"the lid stays at {self.at_us} us"
            self._step(self._pace_ms())
            shut_for = shut_for + 1 if self.shut else 0
        self.action = 0

    @property
    def shut(self) -> bool:
        """The lid is at its end, and its servo has no signal."""
        return self.at_us <= CLOSED_US + SWITCH_US and self._pulse_us is None

    def _pace_ms(self) -> int:
        """The less happens, the longer a step."""
        if self._pulse_us not in (None, self.at_us):
            return MOVING_STEP_MS
        return IDLE_STEP_MS if self.shut else HOLDING_STEP_MS

    def _ask(self, command: m.Command, *, may_reset: bool = False) -> Code:
        """Over as many sessions as it takes."""
        for _ in range(5000):
            if self.host.state is not State.CONNECTED:
                self._step(self._until_deadline_ms())
                continue
            ticket = self.host.send(command, self.t_ms / 1000)
            if may_reset and self.rng.random() < self.resets:
                self._reset_at_ms = self.t_ms + self.rng.choice(
                    (0.0, self.rng.uniform(0, 12), self.rng.uniform(0, 2000))
                )
            code = self._answer(ticket)
            if code is not None:
                return code
        raise AssertionError("never answered")

    def _answer(self, ticket: int) -> Code | None:
        """None: the session was lost before."""
        while True:
            for event in self._step(min(self._until_deadline_ms(), 5)):
                if isinstance(event, Answered) and event.ticket == ticket:
                    return Code(event.code)
                if isinstance(event, Unanswered) and event.ticket == ticket:
                    return None

    def _until_deadline_ms(self) -> float:
        deadline_s = self.host.next_deadline()
        left_ms = IDLE_STEP_MS if deadline_s is None else deadline_s * 1000 - self.t_ms
        return max(1.0, min(left_ms, self._pace_ms()))

    # ---- time -------------------------------------------------------------------------------------------------------

    def _step(self, ms: float) -> list[SessionEvent]:
        """Both ends and the line."""
        ms = max(1, round(ms))
        data = b"".join(noisy(self.rng, self.noise, self.host.take_output()))
        said = self._body_runs(ms, data)
        events: list[SessionEvent] = []
        if self._reset_at_ms is not None and self.t_ms >= self._reset_at_ms:
            self._reset_at_ms = None
            self.resets_made += 1
            self.body.reset(self.rng.choice(self.causes))
            said = b""  # the controller dies before its answer is out
            self._count_signals(shut=self.at_us <= CLOSED_US + SWITCH_US)
            self._pulse_us = None  # a reset ends every signal
        for part in noisy(self.rng, self.noise, said):
            events += self.host.receive(part, self.t_ms / 1000)
        return events + self.host.tick(self.t_ms / 1000)

    def _body_runs(self, ms: float, data: bytes) -> bytes:
        self.t_ms += ms
        was_shut = self.at_us <= CLOSED_US + SWITCH_US
        if self._pulse_us is not None:
            most_us = SERVO_US_PER_MS * ms
            self.at_us += max(-most_us, min(most_us, self._pulse_us - self.at_us))
        shut, opened = self.at_us <= CLOSED_US + SWITCH_US, self.at_us >= OPEN_US - SWITCH_US
        self.left[self.action] += was_shut and not shut
        limits = int(Limits.CLOSED) * shut | int(Limits.OPEN) * opened
        if limits != self.inputs.lids[0].limits:
            self.inputs.lids[0].limits = limits
            self.body.set_inputs(self.inputs)
        said = self.body.step(ms, data)
        self._count_signals(shut=shut)
        return said

    def _count_signals(self, *, shut: bool) -> None:
        for pulse in self.body.seen.pulses:
            if pulse.lid == 0:
                self.begun[self.action] += shut and self._pulse_us is None and pulse.pulse_us is not None
                self._pulse_us = pulse.pulse_us
        self.body.seen.pulses.clear()
