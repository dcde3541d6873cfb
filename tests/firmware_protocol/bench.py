"""The reference controller on a board with simple lids and a virtual clock, for tests that look inside it.

What can be seen from outside is tested on all bodies, see `tests.firmware_protocol.bodies.stand`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.hal import LidMotion, Motion
from firmware_protocol.messages import Code, EventKind, Frame, LidPhase, Limits
from firmware_protocol.reference import SIM_CAPS, ReferenceController

OPEN_US, CLOSED_US = 2000, 1000
SERVO_US_PER_MS = 4
FREE_MA, STALL_MA = 200, 1500


@dataclass
class BoardLid:
    """One lid: it follows its pulse at the servo's speed until something is in the way."""

    at_us: int = CLOSED_US
    pulse_us: int | None = None
    blocked_closing_us: int | None = None
    """It cannot shut further than this (a finger)."""
    blocked_opening_us: int | None = None
    """It cannot open further than this (a jam)."""
    cal: m.Calibration | None = None

    def step(self, ms: int) -> None:
        """Let time pass."""
        if self.pulse_us is None:
            return
        most = SERVO_US_PER_MS * ms
        wanted = self.at_us + max(-most, min(most, self.pulse_us - self.at_us))
        if self.blocked_closing_us is not None and wanted < self.at_us:
            wanted = max(wanted, min(self.at_us, self.blocked_closing_us))
        if self.blocked_opening_us is not None and wanted > self.at_us:
            wanted = min(wanted, max(self.at_us, self.blocked_opening_us))
        self.at_us = wanted

    @property
    def current_ma(self) -> int:
        """High while the lid cannot follow."""
        if self.pulse_us is None:
            return 0
        return STALL_MA if self.pulse_us != self.at_us else FREE_MA


@dataclass
class Board:
    """The HAL of the tests."""

    lids: list[BoardLid]
    limit_switches: bool = True
    both_switches: bool = False
    caught: int | None = 0
    vin: int | None = 5000
    vservo: int | None = 5000
    pressed: bool = False
    shown: list[tuple[int, int]] = field(default_factory=list)
    restarts: list[bool] = field(default_factory=list)
    pulses: list[tuple[int, int | None]] = field(default_factory=list)

    def set_pulse_us(self, lid: int, pulse_us: int | None) -> None:
        """As the servo gets it."""
        self.lids[lid].pulse_us = pulse_us
        self.pulses.append((lid, pulse_us))

    def limits(self, lid: int) -> int | None:
        """Two switches, each with a play of 2 us."""
        if not self.limit_switches:
            return None
        if self.both_switches:
            return int(Limits.CLOSED | Limits.OPEN)
        at_us = self.lids[lid].at_us
        return int(Limits.CLOSED) * (at_us <= CLOSED_US + 2) | int(Limits.OPEN) * (at_us >= OPEN_US - 2)

    def current_ma(self, lid: int) -> int | None:
        """Current of one servo."""
        return self.lids[lid].current_ma

    def fill_mm(self, lid: int) -> int | None:
        """Only lid 0 has a sensor."""
        return 400 if lid == 0 else None

    def pinch(self) -> int | None:
        """As set by the test."""
        return self.caught

    def vin_mv(self) -> int | None:
        """As set by the test."""
        return self.vin

    def vservo_mv(self) -> int | None:
        """As set by the test."""
        return self.vservo

    def temp_c(self) -> int | None:
        """No sensor."""
        return None

    def stop_pressed(self) -> bool:
        """As set by the test; pressed also cuts the servo power."""
        return self.pressed

    def indicate(self, pattern: int, duration_ms: int) -> None:
        """Remember."""
        self.shown.append((pattern, duration_ms))

    def load_cal(self, lid: int) -> m.Calibration | None:
        """EEPROM."""
        return self.lids[lid].cal

    def save_cal(self, cal: m.Calibration) -> None:
        """EEPROM."""
        self.lids[cal.lid].cal = cal

    def restart(self, bootloader: bool) -> None:  # noqa: FBT001  # as the Hal has it
        """Remember."""
        self.restarts.append(bootloader)

    def step(self, ms: int) -> None:
        """Let time pass for all lids."""
        for lid in self.lids:
            if not self.pressed:
                lid.step(ms)


class Device:
    """The controller alone, spoken to frame by frame. ``seq`` and ``session`` are set by hand when a test wants to be rude."""

    def __init__(self, lids: int = 4, now_ms: int = 0, caps: m.Caps = SIM_CAPS, *, at_us: int = CLOSED_US) -> None:
        self.now_ms = now_ms
        self.board = Board([BoardLid(at_us) for _ in range(lids)])
        self.motions: list[LidMotion] = []
        self.controller = ReferenceController(
            self.board, now_ms=now_ms, lids=lids, caps=caps, on_motion=self.motions.append
        )
        self.session = 0x1234
        self.seq = 0
        self.acked = 0
        self.frames: list[Frame] = []
        self._decoder = Decoder()

    def raw(self, data: bytes) -> list[Frame]:
        """Bytes in, frames out."""
        self.controller.receive(data, self.now_ms)
        return self.collect()

    def collect(self) -> list[Frame]:
        """Frames that the controller has sent since."""
        frames = [Frame.from_body(body) for body in self._decoder.feed(self.controller.take_output())]
        self.frames += frames
        return frames

    def frame(self, message: m.Message, seq: int = 0) -> bytes:
        """One frame of the session, encoded."""
        return encode(Frame(self.session, seq, message).to_body())

    def hello(self) -> m.HelloAck:
        """Open the session."""
        frames = self.raw(self.frame(m.Hello(1, 0, 500)))
        self.seq = 0
        acks = [x.message for x in frames if isinstance(x.message, m.HelloAck)]
        assert len(acks) == 1
        return acks[0]

    def ask(self, command: m.Command) -> tuple[Code, int]:
        """Send one command with the next seq; its RESULT."""
        self.seq = self.seq % 0xFFFF + 1
        return self.ask_raw(command, self.seq)

    def ask_raw(self, command: m.Command, seq: int) -> tuple[Code, int]:
        """Send one command with any seq; its RESULT."""
        frames = self.raw(self.frame(command, seq))
        results = [x.message for x in frames if isinstance(x.message, m.Result)]
        assert len(results) == 1
        return Code(results[0].code), results[0].detail

    def run(self, ms: int, *, ping: bool = True, step_ms: int = 5) -> None:
        """Let time pass; with ``ping`` the host is alive and acknowledges what it saw."""
        for _ in range(ms // step_ms):
            self.now_ms += step_ms
            self.board.step(step_ms)
            self.controller.tick(self.now_ms)
            for event in (x.message for x in self.collect()):
                if isinstance(event, m.Event):
                    self.acked = event.event_seq
            if ping and self.now_ms % 500 < step_ms:
                self.raw(self.frame(m.Ping(self.now_ms % 2**32, self.acked)))

    def run_until(self, done: Callable[[], bool], ms: int = 10_000, *, ping: bool = True) -> None:
        """Let time pass until something is so; fails when it never is."""
        end = self.now_ms + ms
        while not done():
            assert self.now_ms < end, "it never came to that"
            self.run(5, ping=ping)

    def events(self, kind: EventKind | None = None) -> list[m.Event]:
        """Distinct events sent so far, in order of their number."""
        found = {x.message.event_seq: x.message for x in self.frames if isinstance(x.message, m.Event)}
        return [e for _, e in sorted(found.items()) if kind is None or e.kind == kind]

    def phase(self, lid: int = 0) -> LidPhase:
        """Phase of one lid."""
        return self.controller.core.lids[lid].phase

    def is_open(self, lid: int) -> bool:
        """That lid stands open."""
        return self.phase(lid) is LidPhase.OPEN

    def motions_of(self, lid: int = 0) -> list[Motion]:
        """What one lid did."""
        return [x.motion for x in self.motions if x.lid == lid]

    def open(self, action_id: int = 1, lid: int = 0, hold_ms: int = 1500, start_within_ms: int = 0) -> tuple[Code, int]:
        """Ask for an opening."""
        return self.ask(m.Open(lid, action_id, hold_ms, start_within_ms))


def connected(lids: int = 4, now_ms: int = 0, caps: m.Caps = SIM_CAPS) -> Device:
    """A device with a session and all lids shut, some time after its start."""
    device = Device(lids, now_ms, caps)
    device.run(50, ping=False)  # the lids stand on their switches: nothing to home
    device.hello()
    return device
