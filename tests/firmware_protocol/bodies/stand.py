"""A test stand: one body, its lids, and a host that speaks to it frame by frame. Nothing in here looks into a controller."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Code, EventKind, Frame, LidPhase, ResetCause
from tests.firmware_protocol.bodies.body import Body, Inputs, LidInputs, Pulse
from tests.firmware_protocol.plant import CLOSED_US, Plant, PlantLid

STEP_MS = 5
PING_MS = 500
BYTE_MS = 0.1
"""One byte at 115200, generously."""
LOOK_MS = 50
"""Telemetry period of a session that looks at phases."""
FULL_CYCLE = [Motion.OPENING, Motion.OPEN, Motion.CLOSING, Motion.CLOSED]


class Stand:
    """The plant follows the body's pulses, the body feels the plant. ``seq`` and ``session`` are set by hand to be rude.

    ``inputs`` may be set by the test where the plant has no say: stop, supplies, temperature; ``sensors`` overrules the plant.
    """

    def __init__(self, body: Body, lids: int = m.SLOTS, *, at_us: float = CLOSED_US, fresh: bool = True) -> None:
        self.body = body
        self.plant = Plant([PlantLid(at_us) for _ in range(lids)])
        self.inputs = Inputs([LidInputs() for _ in range(lids)])
        self.sensors: Callable[[Inputs], None] = lambda _: None
        self.now_ms = 0.0
        self.session = 0x1234
        self.seq = 0
        self.acked = 0
        self.frames: list[Frame] = []
        self.at_ms: list[float] = []
        """When each of ``frames`` came."""
        self.ack: m.HelloAck | None = None
        self.told: list[m.Telemetry] = []
        """All telemetry so far."""
        self._decoder = Decoder()
        self._pinged_ms = 0.0
        self._feel()
        if fresh:
            body.reset(ResetCause.POWER_ON)

    # ---- time -------------------------------------------------------------------------------------------------------

    def _feel(self) -> None:
        """The sensors of the plant reach the body."""
        self.plant.powered = not self.inputs.stop  # the mushroom switch cuts the servos' power by itself
        self.plant.sense(self.inputs)
        self.sensors(self.inputs)
        self.body.set_inputs(self.inputs)

    def step(self, ms: float = STEP_MS, rx: bytes = b"") -> list[Frame]:
        """One step of plant and body; the frames that came."""
        return self.take(self.exchange(ms, rx))

    def exchange(self, ms: float, rx: bytes = b"") -> bytes:
        """One step of plant and body; the body's bytes as they are. Nothing else may read what it says, then."""
        if ms:
            self.now_ms += ms
            for number, lid in enumerate(self.plant.lids):
                lid.pulse_us = self.body.pulse_us(number)
            self.plant.step(ms)
        self._feel()
        return self.body.step(ms, rx)

    def take(self, data: bytes) -> list[Frame]:
        """Bytes of the body become frames; one that makes no sense fails the test."""
        frames = [self._own(Frame.from_body(body)) for body in self._decoder.feed(data)]
        errors = self._decoder.errors
        assert (errors.crc, errors.length, errors.overrun) == (0, 0, 0), (
            f"{self.body.name} said something broken: {errors}"
        )
        self.frames += frames
        self.at_ms += [self.now_ms] * len(frames)
        for frame in frames:
            if isinstance(frame.message, m.Event) and frame.session == self.session:
                self.acked = frame.message.event_seq
            elif isinstance(frame.message, m.Telemetry):
                self.told.append(frame.message)
        return frames

    def _own(self, frame: Frame) -> Frame:
        """As if the board had known no action before."""
        event = frame.message
        if isinstance(event, m.Event) and event.action_id and self.body.used_actions:
            return replace(frame, message=replace(event, action_id=event.action_id - self.body.used_actions))
        return frame

    def run(
        self, ms: float, *, ping: bool = True, step_ms: int = STEP_MS, says: Callable[[], bytes] | None = None
    ) -> list[Frame]:
        """Let time pass. With ``ping`` the host is alive and acknowledges what it saw; ``says`` is asked for bytes each ms."""
        frames: list[Frame] = []
        end = self.now_ms + ms
        step_ms = 1 if says else step_ms
        while self.now_ms < end:
            rx = says() if says else b""
            if ping and self.now_ms - self._pinged_ms >= PING_MS - step_ms:
                self._pinged_ms = self.now_ms
                rx += self.frame(m.Ping(int(self.now_ms) % 2**32, self.acked))
            frames += self.step(min(step_ms, end - self.now_ms), rx)
        return frames

    def run_until(
        self,
        done: Callable[[], bool],
        ms: float = 10_000,
        *,
        ping: bool = True,
        says: Callable[[], bytes] | None = None,
    ) -> None:
        """Let time pass until something is so; fails when it never is."""
        end = self.now_ms + ms
        while not done():
            assert self.now_ms < end, "it never came to that"
            self.run(STEP_MS, ping=ping, says=says)

    # ---- the line ---------------------------------------------------------------------------------------------------

    def frame(self, message: m.Message, seq: int = 0) -> bytes:
        """One frame of the session, encoded. Action ids count from those that the board knows already."""
        if isinstance(message, m.Open | m.Close) and message.action_id:
            message = replace(message, action_id=message.action_id + self.body.used_actions)
        return encode(Frame(self.session, seq, message).to_body())

    def raw(self, data: bytes) -> list[Frame]:
        """Bytes in; the frames that came until an answer would be here."""
        if not self.body.answer_ms:
            return self.step(0, data)
        frames = self.step(1, data)
        return frames + self.run(math.ceil(len(data) * BYTE_MS) + self.body.answer_ms, ping=False, step_ms=1)

    def answer(self, data: bytes, fits: Callable[[Frame], bool]) -> Frame:
        """Bytes in; the first frame that fits, which must come in time."""
        frames = self.step(0 if not self.body.answer_ms else 1, data)
        patience_ms = math.ceil(len(data) * BYTE_MS) + self.body.answer_ms
        while not any(fits(x) for x in frames):
            assert patience_ms > 0, f"{self.body.name} did not answer"
            patience_ms -= 1
            frames += self.step(1)
        found = [x for x in frames if fits(x)]
        assert len(found) == 1, "answered more than once"
        return found[0]

    def hello(self, telemetry_ms: int = LOOK_MS) -> m.HelloAck:
        """Open the session."""
        self.seq = 0
        self._pinged_ms = self.now_ms
        frame = self.answer(
            self.frame(m.Hello(m.PROTO_MAJOR, 0, telemetry_ms)), lambda x: isinstance(x.message, m.HelloAck)
        )
        assert isinstance(frame.message, m.HelloAck)
        self.ack = frame.message
        return self.ack

    def ask(self, command: m.Command) -> tuple[Code, int]:
        """Send one command with the next seq; its RESULT."""
        self.seq = self.seq % 0xFFFF + 1
        return self.ask_raw(command, self.seq)

    def ask_raw(self, command: m.Command, seq: int) -> tuple[Code, int]:
        """Send one command with any seq; its RESULT."""
        frame = self.answer(self.frame(command, seq), lambda x: isinstance(x.message, m.Result) and x.seq == seq)
        assert isinstance(frame.message, m.Result)
        return Code(frame.message.code), frame.message.detail

    def open(self, action_id: int = 1, lid: int = 0, hold_ms: int = 1500, start_within_ms: int = 0) -> tuple[Code, int]:
        """Ask for an opening."""
        return self.ask(m.Open(lid, action_id, hold_ms, start_within_ms))

    def calibration(self, lid: int) -> m.Calibration:
        """Ask for it: RESULT and DIAG."""
        self.seq = self.seq % 0xFFFF + 1
        frame = self.answer(
            self.frame(m.GetCal(lid), self.seq), lambda x: isinstance(x.message, m.Calibration) and x.seq == self.seq
        )
        assert isinstance(frame.message, m.Calibration)
        return frame.message

    def reset(self, cause: ResetCause) -> None:
        """The controller restarts; what is on its way is lost."""
        self.reset_decoder()
        self.body.reset(cause)

    def reset_decoder(self) -> None:
        """After a reset that the controller made itself: the frame that it broke off is no error."""
        self._decoder = Decoder()

    def settle(self) -> None:
        """After a reset: until the controller speaks and answers."""
        self.run(self.body.boot_ms, ping=False)

    # ---- what is seen -----------------------------------------------------------------------------------------------

    def events(self, kind: EventKind | None = None) -> list[m.Event]:
        """Distinct events sent so far, in order of their number."""
        found = {x.message.event_seq: x.message for x in self.frames if isinstance(x.message, m.Event)}
        return [e for _, e in sorted(found.items()) if kind is None or e.kind == kind]

    def look(self) -> m.Telemetry:
        """The next telemetry; time passes."""
        before = len(self.told)
        self.run_until(lambda: len(self.told) > before, 2 * LOOK_MS + 2 * STEP_MS)
        return self.told[-1]

    def phase(self, lid: int = 0) -> LidPhase:
        """Phase of one lid by the next telemetry."""
        return LidPhase(self.look().slots[lid].state)

    def last_phase(self, lid: int = 0) -> LidPhase:
        """Phase of one lid by the last telemetry, no time passes."""
        return LidPhase(self.told[-1].slots[lid].state) if self.told else LidPhase.UNKNOWN

    def wait_for(self, phase: LidPhase, lid: int = 0, ms: float = 10_000) -> None:
        """Until telemetry says so."""
        self.run_until(lambda: self.last_phase(lid) is phase, ms)

    def errors(self) -> tuple[int, int, int, int]:
        """crc, length, seq, overrun by the next telemetry."""
        t = self.look()
        return t.crc_errors, t.length_errors, t.seq_errors, t.overruns

    def pulses(self, lid: int | None = None, since_ms: float = 0.0) -> list[Pulse]:
        """Changes of the servo signals."""
        return [x for x in self.body.seen.pulses if x.t_ms >= since_ms and lid in (None, x.lid)]

    def no_signal(self, since_ms: float = 0.0) -> bool:
        """No servo got a pulse since then."""
        return all(x.pulse_us is None for x in self.pulses(since_ms=since_ms))

    def silent(self) -> bool:
        """No servo has a signal now."""
        return all(self.body.pulse_us(n) is None for n in range(len(self.plant.lids)))

    def largest_step_us(self, lid: int) -> float:
        """Between two pulses that followed each other."""
        pulses = [x.pulse_us for x in self.pulses(lid)]
        steps = [abs(a - b) for a, b in pairwise(pulses) if a is not None and b is not None]
        return max(steps, default=0.0)

    def motions_of(self, lid: int = 0) -> list[Motion]:
        """What one lid did, by the plant."""
        return self.plant.motions_of(lid)

    def openings(self, lid: int | None = None) -> int:
        """How often a lid left its shut end."""
        return sum(1 for x in self.plant.moved if x.motion is Motion.OPENING and lid in (None, x.lid))

    @property
    def lid(self) -> PlantLid:
        """Lid 0, the one that most tests trouble."""
        return self.plant.lids[0]


def shut_stand(body: Body, lids: int = m.SLOTS) -> Stand:
    """A stand with a session and all lids shut, some time after its start."""
    stand = Stand(body, lids)
    stand.settle()
    stand.hello()
    return stand
