"""Random scripts that go deep: a generator that plays host, lids, fingers, supply and mischief against the Python reference.

It watches the reference (so that lids arrive, sessions stand and the right seq is known) and writes down only what it did:
the result is a plain script. The same seed gives the same script.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.limits import TICKS
from firmware_protocol.messages import Code, EventKind, Frame, LidPhase
from tests.firmware_protocol.fuzz.mischief import MISCHIEF, PERIODS_MS, Due
from tests.firmware_protocol.fuzz.scripts import BinIn, Boot, Damage, LidIn, Op, PythonEnd, Reset, Rx, Stored, Tick

CLOCKS = (0, 0, 0x7FFFFFF0, TICKS - 1500, TICKS - 40_000, TICKS - 1)
"""Where the clock may start: it wraps soon, or its sign does."""
SMALL_MS = (1, 5, 5, 10, 10, 10, 20, 20)
LONG_MS = (0, 21, 50, 79, 80, 81, 100, 149, 150, 200, 250, 299, 300, 301, 500, 999, 1000, 1001, 1999, 2000, 2001)
VERY_LONG_MS = (2500, 9999, 10_000, 10_001, 29_999, 30_000, 30_001, 59_999, 60_000, 60_001, 70_000)
HOLDS_MS = (0, 1, 999, 1000, 1001, 1500, 2000, 10_000, 10_001, 65_535)
WAITS_MS = (0, 0, 1, 300, 1000, 3000, 5000, 65_535)
PULSES_US = (0, 499, 500, 1000, 1500, 1501, 2000, 2500, 2501, 65_535)
CURRENTS_MA = (None, 0, 200, 899, 900, 901, 5000, 5001, 65_534)
SUPPLIES_MV = (None, 0, 4499, 4500, 4599, 4600, 5000, 65_534)
CAUSES = (1, 2, 4, 8)
CALS = (
    None,
    (2000, 1000, 20, 900),
    (500, 2500, 255, 0),
    (1200, 1300, 1, 5000),
    (1200, 1299, 20, 900),
    (499, 1500, 20, 900),
    (1500, 2501, 20, 900),
    (2000, 1000, 0, 900),
    (2000, 1000, 20, 5001),
    (1900, 1100, 200, 600),
)
"""Open pulse, closed pulse, speed, stall current: sound ones, and each rule broken."""
CAPS = tuple(int(x) for x in m.Caps)


@dataclass
class Body:
    """Where one lid really is, and what is in its way."""

    at_us: int = 1000
    us_per_ms: int = 4
    stuck_for_ms: int = 0
    lying_for_ms: int = 0
    """Its switches say anything, for so long."""
    stuck_switches: int = 0
    """These stay pressed wherever it is."""


@dataclass
class Story:
    """One script in the making."""

    rng: random.Random
    end: PythonEnd = field(default_factory=PythonEnd)
    ops: list[Op] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    """Which answers, events and phases occurred: what the generator reaches."""
    next_action: int = 1
    acked: int = 0
    pinged_ms: int = 0
    decoder: Decoder = field(default_factory=Decoder)

    def tell(self, length: int) -> None:
        """Play until so many ops are written; a story of haste needs three times as many to come to its point."""
        rng = self.rng
        lids = rng.choice((1, 1, 2, 3, 4, 4, 4, 5, 8, 9, 16))
        caps = sum(bit for bit in CAPS if rng.random() < 0.7)
        now_ms = rng.choice((*CLOCKS, rng.randrange(TICKS)))
        self.bodies = [Body(us_per_ms=rng.choice((1, 4, 4, 20, 60))) for _ in range(lids)]
        self.switches = rng.random() < 0.8
        self.haste = rng.choice((0.02, 0.1, 0.1, 0.5))
        self.mischief = rng.choice((0.0, 0.02, 0.1, 0.4))
        self.trouble = rng.choice((0.0, 0.01, 0.03, 0.1))
        self.leaps = rng.choice((0.0, 0.02, 0.1))
        self.eager = rng.random() < 0.25
        self.do(Boot(lids, caps, rng.choice(CAUSES), now_ms))
        if not self.switches:
            for n in range(lids):
                self.do(LidIn(n, None))
        elif rng.random() < 0.3:
            for n, body in enumerate(self.bodies):
                body.at_us = rng.randrange(800, 2200)
                self.do(self._sensed(n))
        if rng.random() < 0.1:
            self._rush(lids)
            length *= 3
        elif rng.random() < 0.5:
            self.do(Stored(rng.randrange(lids), rng.choice(CALS)))
            self.do(Reset(rng.choice(CAUSES)))
        while len(self.ops) < length:
            self.step()

    def _rush(self, lids: int) -> None:
        """Fast lids, an eager host and no trouble: more than 20 openings in a minute are wanted."""
        self.haste, self.mischief, self.trouble, self.leaps, self.eager = 0.3, 0.0, 0.001, 0.0, True
        for n in range(lids):
            self.bodies[n] = Body(500, us_per_ms=60)
            self.do(Stored(n, (2500, 500, 255, 0)))
        self.do(Reset(1))

    def do(self, op: Op) -> None:
        """Write one op down and let it happen."""
        self.ops.append(op)
        record = self.end.do(op)
        self.records.append(record)
        if len(record) > 2 and record[:2] != b"\0\0":
            size = int.from_bytes(record[:2], "little")
            self._hear(record[2 : 2 + size])

    def step(self) -> None:
        """Time, then perhaps somebody acts."""
        rng = self.rng
        self._pass_time()
        if rng.random() < self.trouble:
            self._trouble()
        if rng.random() < self.mischief:
            self._mischief()
        alive = self.end.controller.core.host_alive
        if not alive and rng.random() < 0.3:
            self.send(m.Hello(1, rng.randrange(3), rng.choice(PERIODS_MS)), session=rng.randrange(1, 65536))
        elif alive and (self.end.now_ms - self.pinged_ms) % TICKS > 450 and rng.random() < 0.9:
            self.pinged_ms = self.end.now_ms
            self.send(m.Ping(rng.randrange(TICKS), rng.choice((self.acked, self.acked, 0, rng.randrange(65536)))))
        if rng.random() < self.haste:
            self.send(self._command(), seq=self.end.controller._last_seq % 0xFFFF + 1)

    # ---- the host ---------------------------------------------------------------------------------------------------

    def send(self, message: m.Message, *, seq: int = 0, session: int | None = None) -> None:
        """One good frame, of the session in force unless told otherwise."""
        own = self.end.controller._session if session is None else session
        self.do(Rx(encode(Frame(own, seq, message).to_body())))

    def _command(self) -> m.Command:
        rng = self.rng
        lid = rng.randrange(len(self.bodies)) if rng.random() < 0.97 else rng.choice((len(self.bodies), 255))
        magic = m.MAGIC if rng.random() < 0.9 else rng.randrange(TICKS)
        core = self.end.controller.core
        if core.calibrating and rng.random() < 0.7:
            return m.Jog(lid, rng.choice((*PULSES_US, rng.randrange(500, 2501))))
        if core.stop and rng.random() < 0.4:
            return m.StopClear(magic)
        if self.eager or rng.random() < 0.4:
            wait_ms = rng.choice((1000, 3000, 65_535)) if self.eager else rng.choice(WAITS_MS)
            return m.Open(lid, self._action(), 1000 if self.eager else rng.choice(HOLDS_MS), wait_ms)
        cal = rng.choice(CALS[1:])
        assert cal is not None
        makers: tuple[tuple[float, Callable[[], m.Command]], ...] = (
            (6, lambda: m.Close(lid, self._action())),
            (2, m.StopNow),
            (0.7, m.StopLatch),
            (1, lambda: m.StopClear(magic)),
            (1, lambda: m.Jog(lid, rng.choice(PULSES_US))),
            (2, lambda: m.Calibrate(rng.choice((0, 1, 1, 1, 2)))),
            (1.5, lambda: m.SetCal(lid, *cal)),
            (0.7, lambda: m.GetCal(lid)),
            (0.7, lambda: m.SetTelemetry(rng.choice(PERIODS_MS))),
            (0.7, lambda: m.Indicate(rng.randrange(8), rng.randrange(65_536))),
            (0.3, lambda: m.Reboot(magic)),
            (0.3, lambda: m.EnterBootloader(magic)),
        )
        weights = [weight for weight, _ in makers]
        return rng.choices([make for _, make in makers], weights)[0]()

    def _action(self) -> int:
        rng = self.rng
        if rng.random() < 0.75:
            self.next_action += 1
            return self.next_action
        return int(rng.choice((0, 0xFFFFFFFF, *range(max(1, self.next_action - 10), self.next_action + 1))))

    # ---- lids and time ----------------------------------------------------------------------------------------------

    def _pass_time(self) -> None:
        rng = self.rng
        moving = not self.end.controller.core.at_rest
        if rng.random() < self.leaps:
            ms = rng.choice(VERY_LONG_MS) if rng.random() < 0.2 else rng.choice(LONG_MS)
            if rng.random() < 0.002:
                ms = rng.randrange(TICKS)
        else:
            ms = rng.choice(SMALL_MS) if moving else rng.choice((20, 50, 100, 200))
        self.do(Tick(ms))
        for n, body in enumerate(self.bodies):
            if body.stuck_for_ms or body.lying_for_ms or self.end.controller.core.lids[n].pulse_us is not None:
                self._move(n, body, ms)
                body.stuck_for_ms = max(0, body.stuck_for_ms - ms)
                body.lying_for_ms = max(0, body.lying_for_ms - ms)
        if self.end.board.bin.pressed and rng.random() < 0.02:
            self._press(on=False)

    def _move(self, n: int, body: Body, ms: int) -> None:
        lid = self.end.controller.core.lids[n]
        if lid.pulse_us is not None and not body.stuck_for_ms and not self.end.board.bin.pressed:
            most = body.us_per_ms * ms
            body.at_us += max(-most, min(most, lid.pulse_us - body.at_us))
        sensed = self._sensed(n)
        if sensed != self.end.board.lids[n]:
            self.do(sensed)

    def _sensed(self, n: int) -> LidIn:
        body, before = self.bodies[n], self.end.board.lids[n]
        lid = self.end.controller.core.lids[n]
        limits: int | None = None
        if body.lying_for_ms:
            limits = before.limits
        elif self.switches:
            shut, opened = (abs(body.at_us - x) <= 2 for x in (lid.cal.closed_us, lid.cal.open_us))
            limits = int(m.Limits.CLOSED) * shut | int(m.Limits.OPEN) * opened | body.stuck_switches
        current_ma = before.current_ma
        if body.stuck_for_ms:
            current_ma = 1500 if lid.pulse_us is not None else 0
        elif current_ma == 1500:
            current_ma = 200
        return LidIn(n, limits, current_ma, before.fill_mm)

    def _press(self, *, on: bool) -> None:
        old = self.end.board.bin
        self.do(BinIn(old.pinch, old.vin_mv, old.vservo_mv, old.temp_c, on))

    def _trouble(self) -> None:
        """A finger, a jam, a sagging supply, a mushroom switch, a broken sensor, a reset."""
        rng = self.rng
        n = rng.randrange(len(self.bodies))
        kind = rng.choices(range(9), (5, 6, 2, 1, 2, 2, 1.5, 1, 1))[0]
        old = self.end.board.bin
        if kind == 0:
            caught = rng.choice((None, 0, 0, 1 << n, 1 << n, 0xFFFF))
            self.do(BinIn(caught, old.vin_mv, old.vservo_mv, old.temp_c, old.pressed))
        elif kind == 1:
            self.bodies[n].stuck_for_ms = rng.choice((30, 100, 300, 1000, 5000))
        elif kind == 2:
            supply = (5000, 5000) if rng.random() < 0.6 else (rng.choice(SUPPLIES_MV), rng.choice(SUPPLIES_MV))
            self.do(BinIn(old.pinch, *supply, rng.choice((None, -40, 25, 127)), old.pressed))
        elif kind == 3:
            self._press(on=not old.pressed)
        elif kind == 4:
            self.bodies[n].lying_for_ms = rng.choice((100, 1000, 3000))
            self.do(LidIn(n, rng.choice((None, 0, 1, 2, 3)), rng.choice(CURRENTS_MA), rng.choice((None, 0, 400))))
        elif kind == 5:
            self.do(LidIn(n, self.end.board.lids[n].limits, rng.choice(CURRENTS_MA), rng.choice((None, 1, 65_534))))
        elif kind == 6:
            if rng.random() < 0.2:
                self.do(Damage(rng.randrange(16)))
            self.do(Reset(rng.choice(CAUSES)))
        elif kind == 7:
            self.do(Stored(n, rng.choice(CALS)))
        else:
            self.bodies[n].stuck_switches ^= rng.choice((m.Limits.CLOSED, m.Limits.CLOSED, m.Limits.OPEN))
            self.do(self._sensed(n))

    # ---- mischief ---------------------------------------------------------------------------------------------------

    def _mischief(self) -> None:
        """Bytes that nobody should send."""
        c = self.end.controller
        due = Due(
            c._session, c._last_seq % 0xFFFF + 1, [self._command() for _ in range(self.rng.choice((1, 1, 1, 2, 5)))]
        )
        for data in self.rng.choice(MISCHIEF)(self.rng, due):
            self.do(Rx(data))

    def _hear(self, sent: bytes) -> None:
        """Note what came back (by its bytes: this is the generator's hot path)."""
        for body in self.decoder.feed(sent):
            kind, payload = body[0], body[m.HEADER_SIZE :]
            self._meet(m.Type(kind))
            if kind == m.Type.EVENT:
                self.acked = int.from_bytes(payload[:2], "little")
                self._meet(EventKind(payload[2]))
            elif kind == m.Type.RESULT:
                self._meet(Code(payload[0]))
            elif kind == m.Type.TELEMETRY:
                self._meet(m.ControllerState(payload[4]), *(LidPhase(x) for x in payload[10:42:8]))

    def _meet(self, *values: Enum) -> None:
        self.met.update(f"{type(x).__name__}.{x.name}" for x in values)


def story(seed: int, length: int) -> Story:
    """The story of this seed."""
    told = Story(random.Random(seed))
    told.tell(length)
    return told
