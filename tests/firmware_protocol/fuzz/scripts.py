"""A script is all that happens to a controller from its start on: bytes, time, sensors, resets. Both ends can run it.

It is open loop (nothing in it depends on an answer), so any part of it is a script too: that is what makes shrinking simple.
`trace` runs one on the Python reference; `fuzz/scripted.c` runs the same bytes on the C core. Each op yields one record of
all that left the controller; equal records mean equal controllers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from firmware_protocol import messages as m
from firmware_protocol.hal import LidMotion, Motion
from firmware_protocol.limits import TICKS
from firmware_protocol.reference import SIM_CAPS, ReferenceController

U8, U16 = 0xFF, 0xFFFF
MOTIONS = list(Motion)


class Op:
    """One thing that happens."""

    __slots__ = ()
    CODE: ClassVar[bytes]
    """Its letter on the way to the C end."""

    def payload(self) -> bytes:
        """What follows the letter."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Boot(Op):
    """A new controller with noise in its memory; always the first op of a script."""

    CODE = b"B"
    lids: int = 4
    caps: int = int(SIM_CAPS)
    cause: int = int(m.ResetCause.POWER_ON)
    now_ms: int = 0

    def payload(self) -> bytes:
        return struct.pack("<BIBI", self.lids, self.caps, self.cause, self.now_ms)


@dataclass(frozen=True, slots=True)
class Rx(Op):
    """Bytes from the line, now."""

    CODE = b"R"
    data: bytes

    def payload(self) -> bytes:
        return struct.pack("<H", len(self.data)) + self.data


@dataclass(frozen=True, slots=True)
class Tick(Op):
    """Time passes, then one tick."""

    CODE = b"T"
    ms: int

    def payload(self) -> bytes:
        return struct.pack("<I", self.ms)


@dataclass(frozen=True, slots=True)
class LidIn(Op):
    """What the sensors of one lid say from now on; None = cannot tell."""

    CODE = b"I"
    lid: int
    limits: int | None = 1
    current_ma: int | None = 200
    fill_mm: int | None = None

    def payload(self) -> bytes:
        return struct.pack("<BBHH", self.lid, _u8(self.limits), _u16(self.current_ma), _u16(self.fill_mm))


@dataclass(frozen=True, slots=True)
class BinIn(Op):
    """What the sensors of the whole bin say from now on."""

    CODE = b"G"
    pinch: int | None = 0
    vin_mv: int | None = 5000
    vservo_mv: int | None = 5000
    temp_c: int | None = None
    pressed: bool = False

    def payload(self) -> bytes:
        temp_c = -128 if self.temp_c is None else self.temp_c
        known = self.pinch is not None
        return struct.pack(
            "<BHHHbB", known, self.pinch or 0, _u16(self.vin_mv), _u16(self.vservo_mv), temp_c, self.pressed
        )


@dataclass(frozen=True, slots=True)
class Stored(Op):
    """What lies in the EEPROM for one lid; read at the next reset. None = nothing, or damaged."""

    CODE = b"E"
    lid: int
    cal: tuple[int, int, int, int] | None
    """open_us, closed_us, speed_us_per_20ms, jam_ma."""

    def payload(self) -> bytes:
        return struct.pack("<BBHHBH", self.lid, self.cal is not None, *(self.cal or (0, 0, 0, 0)))


@dataclass(frozen=True, slots=True)
class Reset(Op):
    """The controller restarts."""

    CODE = b"X"
    cause: int

    def payload(self) -> bytes:
        return bytes([self.cause])


@dataclass(frozen=True, slots=True)
class Damage(Op):
    """A bit of the surviving memory's CRC flips; noticed at the next reset."""

    CODE = b"D"
    bit: int = 0

    def payload(self) -> bytes:
        return bytes([self.bit])


@dataclass(frozen=True, slots=True)
class Count(Op):
    """As if the session had seen so many commands and events."""

    CODE = b"N"
    seq: int
    event_seq: int

    def payload(self) -> bytes:
        return struct.pack("<HH", self.seq, self.event_seq)


Script = list[Op]


def to_bytes(script: Iterable[Op]) -> bytes:
    """The script for the C end."""
    return b"".join(op.CODE + op.payload() for op in script)


def trace(script: Iterable[Op]) -> list[bytes]:
    """The reference's record of each op."""
    end = PythonEnd()
    return [end.do(op) for op in script]


@dataclass
class ScriptedBoard:
    """The HAL: sensors say what the script said last; what the controller does is noted for the record."""

    lids: list[LidIn]
    eeprom: list[tuple[int, int, int, int] | None]
    bin: BinIn = field(default_factory=BinIn)
    pulses: list[int] = field(default_factory=list)
    changes: bytearray = field(default_factory=bytearray)
    calls: bytearray = field(default_factory=bytearray)
    motions: bytearray = field(default_factory=bytearray)
    seen: list[LidMotion] = field(default_factory=list)

    def set_pulse_us(self, lid: int, pulse_us: int | None) -> None:
        """Only what changes the signal is noted."""
        code = _u16(pulse_us)
        if self.pulses[lid] != code:
            self.pulses[lid] = code
            self.changes += struct.pack("<BH", lid, code)

    def limits(self, lid: int) -> int | None:
        return self.lids[lid].limits

    def current_ma(self, lid: int) -> int | None:
        return self.lids[lid].current_ma

    def fill_mm(self, lid: int) -> int | None:
        return self.lids[lid].fill_mm

    def pinch(self) -> int | None:
        return self.bin.pinch

    def vin_mv(self) -> int | None:
        return self.bin.vin_mv

    def vservo_mv(self) -> int | None:
        return self.bin.vservo_mv

    def temp_c(self) -> int | None:
        return self.bin.temp_c

    def stop_pressed(self) -> bool:
        return self.bin.pressed

    def indicate(self, pattern: int, duration_ms: int) -> None:
        self.calls += struct.pack("<cBH", b"i", pattern, duration_ms)

    def load_cal(self, lid: int) -> m.Calibration | None:
        cal = self.eeprom[lid]
        return None if cal is None else m.Calibration(lid, *cal)

    def save_cal(self, cal: m.Calibration) -> None:
        self.eeprom[cal.lid] = (cal.open_us, cal.closed_us, cal.speed_us_per_20ms, cal.jam_ma)
        self.calls += struct.pack(
            "<cBHHBH", b"s", cal.lid, cal.open_us, cal.closed_us, cal.speed_us_per_20ms, cal.jam_ma
        )

    def restart(self, bootloader: bool) -> None:  # noqa: FBT001  # as the Hal has it
        self.calls += b"r" + bytes([bootloader])

    def on_motion(self, motion: LidMotion) -> None:
        self.seen.append(motion)
        self.motions += struct.pack("<BBI", motion.lid, MOTIONS.index(motion.motion), motion.action_id)


class PythonEnd:
    """The reference controller, one op at a time."""

    board: ScriptedBoard
    controller: ReferenceController
    now_ms: int

    def do(self, op: Op) -> bytes:
        """Let it happen; the record of what came out (sensors only wait to be asked: no record)."""
        if isinstance(op, Tick):
            self.now_ms = (self.now_ms + op.ms) % TICKS
            self.controller.tick(self.now_ms)
        elif isinstance(op, Rx):
            self.controller.receive(op.data, self.now_ms)
        elif isinstance(op, Boot):
            self._boot(op)
        elif isinstance(op, Reset):
            self.controller.reset(m.ResetCause(op.cause), self.now_ms)
        else:
            self._set(op)
            return b""
        return self._record()

    def _set(self, op: Op) -> None:
        board = self.board
        if isinstance(op, LidIn) and op.lid < len(board.lids):
            board.lids[op.lid] = op
        elif isinstance(op, BinIn):
            board.bin = op
        elif isinstance(op, Stored) and op.lid < len(board.lids):
            board.eeprom[op.lid] = op.cal
        elif isinstance(op, Damage):
            self.controller.survivor.crc ^= 1 << op.bit
        elif isinstance(op, Count):
            self.controller._last_seq, self.controller._event_seq = op.seq, op.event_seq

    def _boot(self, op: Boot) -> None:
        self.now_ms = op.now_ms
        self.board = ScriptedBoard([LidIn(n) for n in range(op.lids)], [None] * op.lids, pulses=[U16] * op.lids)
        self.controller = ReferenceController(
            self.board,
            now_ms=op.now_ms,
            lids=op.lids,
            cause=m.ResetCause(op.cause),
            caps=m.Caps(op.caps),
            uid=b"\x01\x02\x03\x04\x05\x06",
            on_motion=self.board.on_motion,
        )

    def _record(self) -> bytes:
        board, controller = self.board, self.controller
        sent = controller.take_output()
        errors = controller.errors
        parts = (sent, board.changes, board.calls, board.motions)
        record = b"".join(len(x).to_bytes(2, "little") + x for x in parts)
        record += bytes([x.phase for x in controller.core.lids])
        record += bytes([errors.crc & U8, errors.length & U8, errors.seq & U8, errors.overrun & U8])
        board.changes = bytearray()
        board.calls = bytearray()
        board.motions = bytearray()
        return record


def _u8(value: int | None) -> int:
    return U8 if value is None else value


def _u16(value: int | None) -> int:
    return U16 if value is None else value


def explain(record: bytes) -> str:
    """A record in words, for the failure message."""
    sent, changes, calls, motions, rest = _parts(record)
    said = [f"sent {sent.hex()}" if sent else "sent nothing"]
    said += [f"lid {lid} pulse {us if us != U16 else 'off'}" for lid, us in struct.iter_unpack("<BH", changes)]
    said += [f"calls {calls.hex()}"] if calls else []
    said += [
        f"lid {lid} {MOTIONS[what].value} for {action}" for lid, what, action in struct.iter_unpack("<BBI", motions)
    ]
    said += [f"phases {' '.join(m.LidPhase(x).name for x in rest[:-4])}", f"errors {list(rest[-4:])}"]
    return "; ".join(said)


def _parts(record: bytes) -> list[bytes]:
    parts = []
    for _ in range(4):
        size = int.from_bytes(record[:2], "little")
        parts.append(record[2 : 2 + size])
        record = record[2 + size :]
    return [*parts, record]
