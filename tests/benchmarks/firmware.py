"""The controller's image in the emulator: how long an OPEN takes, how large it is, how much of each millisecond it needs.

Cycles and virtual time are exact and do not depend on this machine. The emulator's receiver takes 11 bit times for a byte and
not 10, so that a round trip on a real board is a little shorter.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from firmware_protocol import messages as m
from firmware_protocol.framing import DELIMITER, Decoder, encode
from firmware_protocol.messages import Code, Frame, LidPhase, Type
from tests.benchmarks.figures import Figure, alone, paired
from tests.firmware_protocol.bodies import build
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.stand import Stand, shut_stand

BYTE_MS = 10 / 115.2
TICK_CYCLES = 16_000
LIDS = 4
PING_MS = 500
QUIET_MS = 200
UNHEEDED_FRAMES = 20
UNHEEDED = Frame(1, 0, m.TelemetryMore(4, (m.ABSENT,) * 4, 0))
"""A whole frame that no controller answers: only read, counted and dropped."""


class TimedBody(AvrBody):
    """Keeps the frames that it said with the time when the last byte had left, ms."""

    def __init__(self, program: Path, image: Path) -> None:
        super().__init__(program, image)
        self.said: list[tuple[float, bytes]] = []
        self._begun = b""

    def told(self, data: bytes, t_ms: float) -> None:
        """A frame may come in two parts, where a step ended."""
        super().told(data, t_ms)
        self._begun += data
        if data.endswith(DELIMITER):
            if self._begun != DELIMITER:
                self.said.append((t_ms, self._begun))
            self._begun = b""


def measure(folder: Path, opens: int, frames: int) -> list[Figure]:
    """``opens`` openings, ``frames`` frames read on this machine."""
    program, image = build.compile_avr_body(folder), build.build_image(folder / "image")
    body = TimedBody(program, image)
    try:
        stand = shut_stand(body)
        return [
            _round_trips(stand, body, opens),
            *_load(stand, body, opens),
            *_sizes(image, body),
            alone("frames read by the C core, this machine", "MB/s", [_read_by_c(folder, frames)]),
            alone("frames read by Python, this machine", "MB/s", [_read_by_python(frames // 10 or 1)]),
        ]
    finally:
        body.close()


def _round_trips(stand: Stand, body: TimedBody, opens: int) -> Figure:
    """First byte of OPEN to last byte of its RESULT."""
    ours, bare = [], []
    for number in range(opens):
        lid = number % LIDS
        stand.wait_for(LidPhase.CLOSED, lid)
        stand.run(3000)  # 20 openings a minute
        stand.run(number % 7)  # other places in its millisecond and servo frame
        stand.seq += 1
        asked = stand.frame(m.Open(lid, number + 1, 1000, 1000), stand.seq)
        began_ms, before = stand.now_ms, len(body.said)
        stand.step(25, asked)
        t_ms, answer = next((t, x) for t, x in body.said[before:] if _type(x) == Type.RESULT)
        assert _code(answer) == Code.OK_ACCEPTED
        ours.append(t_ms - began_ms)
        bare.append((len(asked) + len(answer)) * BYTE_MS)
    return paired("OPEN -> RESULT at 115200, AVR", "ms", ours, bare, against="its bytes on the wire")


def _type(wire: bytes) -> int:
    return Decoder().feed(wire)[0][0]


def _code(wire: bytes) -> int:
    message = Frame.from_body(Decoder().feed(wire)[0]).message
    assert isinstance(message, m.Result)
    return message.code


def _load(stand: Stand, body: TimedBody, rounds: int) -> list[Figure]:
    """Cycles of the main loop by the pin that is high while it works; interrupts count while it does."""
    stand.hello(0)
    idle, reading = [], []
    wire = encode(UNHEEDED.to_body()) * UNHEEDED_FRAMES
    for _ in range(rounds):
        stand.run(PING_MS)
        body.work()
        stand.step(QUIET_MS)
        idle.append(body.work().cycles / QUIET_MS)
        stand.step(QUIET_MS, wire)
        reading.append((body.work().cycles - idle[-1] * QUIET_MS) / len(wire))
    busy, worst = _stress(stand, body, rounds)
    return [
        alone("a tick of the AVR, idle", "cycles", idle),
        alone("a tick of the AVR, lids moving, 8 events unheeded", "cycles", busy),
        Figure("the longest tick seen", "cycles", worst, rounds, aim=f"<= {TICK_CYCLES}"),
        alone("a byte read by the AVR, beyond its interrupt", "cycles", reading),
    ]


def _stress(stand: Stand, body: TimedBody, rounds: int) -> tuple[list[float], int]:
    """Telemetry at its fastest, a full ring of events, lids under way, commands: cycles a tick, and the longest one."""
    stand.hello(50)
    for lid in [*range(LIDS)] * 2:
        stand.ask(m.SetCal(lid, 2000, 1000, 20, 900))  # an event each, which nobody acknowledges
    busy, worst = [], 0
    for number in range(rounds * LIDS):
        body.work()
        stand.seq += 1
        stand.step(3, stand.frame(m.Open(number % LIDS, 1_000_000 + number, 1000, 60_000), stand.seq))
        for ms in (47, 53, 61, 67, 71):  # other places in telemetry's and the events' rhythm
            stand.run(ms, ping=False)
            stand.step(2, stand.frame(m.Ping(0, 0)))
        work = body.work()
        busy.append(work.cycles / (3 + 47 + 53 + 61 + 67 + 71 + 5 * 2))
        worst = max(worst, work.longest_cycles)
    return busy, worst


def _sizes(image: Path, body: TimedBody) -> list[Figure]:
    """As `make size` says, and the stack that was seen in use."""
    said = _run("make", "-s", "-C", build.FIRMWARE, "size", f"BUILD={image.parent}")
    size = {name: int(value) for name, value in re.findall(r"^(\w+) +(\d+)", said, re.MULTILINE)}
    return [
        Figure("flash of the image", "bytes", size["flash"], 1, aim="<= 253952"),
        Figure("RAM of the image", "bytes", size["RAM"], 1, aim="<= 8192"),
        Figure("deepest stack seen", "bytes", body.work().stack_bytes, 1, aim=f"<= {size['stack']}"),
    ]


def _run(*command: object) -> str:
    return subprocess.run([str(x) for x in command], capture_output=True, text=True, check=True).stdout


def _read_by_c(folder: Path, frames: int) -> float:
    program = folder / "frame_rate"
    source = Path(__file__).with_name("frame_rate.c")
    _run("gcc", "-std=c99", "-O2", f"-I{build.FIRMWARE}", source, build.FIRMWARE / "frame.c", "-o", program)
    done = _run(program, frames)
    count, took_ns = map(int, done.split())
    return count * 1000 / took_ns


def _read_by_python(frames: int) -> float:
    wire = encode(bytes(n * 37 % 23 for n in range(58))) * frames
    decoder = Decoder()
    began = time.perf_counter()
    found = len(decoder.feed(wire))
    took_s = time.perf_counter() - began
    assert found == frames
    return len(wire) / took_s / 1e6
