"""The single source of the wire's words: ids, fields, struct formats, units. SPEC.md's tables and vectors.json come from it.

A message is the payload of one frame; `Frame` adds the header. Every message is frozen, has one exact length, and
``type(m).from_bytes(m.to_bytes()) == m``. A reserved "unknown" code on the wire is ``None`` here, never 0. Lids count from 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

PROTO_MAJOR = 1
"""Another major: the host closes the port. Minor differences go by `Caps`."""
PROTO_MINOR = 1
MAGIC = 0x4E454F42
"""Guards STOP_CLEAR, REBOOT and ENTER_BOOTLOADER against a stray frame."""
NO_LID = 255
"""The lid of an event that concerns the whole controller."""
MAX_LIDS = 16
SLOTS = 4
"""Lid slots in one telemetry frame."""
RETRANSMIT = 0x01
RESERVED_BITS = 0x0E


class Type(IntEnum):
    """First byte of a frame; bit 7 set = device to host."""

    HELLO = 0x01
    CMD = 0x02
    PING = 0x03
    HELLO_ACK = 0x81
    RESULT = 0x82
    EVENT = 0x83
    TELEMETRY = 0x84
    BOOT = 0x85
    PONG = 0x86
    DIAG = 0x87
    TELEMETRY_MORE = 0x88


class Cmd(IntEnum):
    """First payload byte of a CMD (and of the DIAG that answers it)."""

    OPEN = 10
    CLOSE = 11
    STOP = 12
    STOP_LATCH = 13
    STOP_CLEAR = 14
    JOG = 15
    CALIBRATE = 16
    SET_CAL = 20
    GET_CAL = 21
    SET_TELEMETRY = 22
    INDICATE = 24
    REBOOT = 30
    ENTER_BOOTLOADER = 31


class Code(IntEnum):
    """RESULT: below 16 the wish is met, from 16 on it is refused."""

    OK_ACCEPTED = 0
    DUPLICATE = 1
    NO_SESSION = 16
    BAD_SEQ = 17
    BAD_ARG = 18
    BUSY = 19
    RATE_LIMIT = 20
    STOPPED = 21
    FAULT_LATCHED = 22
    LOW_VOLTAGE = 23
    UNSUPPORTED = 24
    TOO_OLD = 25


class EventKind(IntEnum):
    """What physically happened."""

    OPENED = 1
    CLOSED = 2
    JAM = 3
    PINCH_REVERSED = 4
    TIMEOUT = 5
    HOST_LOST = 6
    STOP_PRESSED = 7
    CAL_SAVED = 8


class ResetCause(IntEnum):
    """Why the controller started; the bits of the AVR's MCUSR."""

    POWER_ON = 1
    EXTERNAL = 2
    BROWN_OUT = 4
    WATCHDOG = 8


class Caps(IntFlag):
    """What the board can do."""

    LIMIT_SWITCHES = 1 << 0
    CURRENT_SENSE = 1 << 1
    ULTRASONIC_FILL = 1 << 2
    PINCH = 1 << 3
    ESTOP_SENSE = 1 << 4
    SUPPLY_SENSE = 1 << 5
    BOOTLOADER = 1 << 6
    POSITION_FEEDBACK = 1 << 7
    INDICATOR = 1 << 8


class LidPhase(IntEnum):
    """Telemetry's lid_state."""

    UNKNOWN = 0
    CLOSED = 1
    WAITING = 2
    OPENING = 3
    OPEN = 4
    CLOSING = 5
    REVERSING = 6
    HALTED = 7
    FAULT = 8
    HOMING = 9
    JOGGING = 10
    ABSENT = 255


class ControllerState(IntEnum):
    """Telemetry's state; the first that holds, from the bottom of this list upward."""

    IDLE = 0
    MOVING = 1
    HOMING = 2
    CALIBRATING = 3
    NO_HOST = 4
    FAULT = 5
    STOPPED = 6


class Stop(IntFlag):
    """Telemetry's stop."""

    MUSHROOM = 1
    LATCH = 2


class Limits(IntFlag):
    """Limit switches of one lid, 1 = lid stands on it."""

    CLOSED = 1
    OPEN = 2


class Pattern(IntEnum):
    """INDICATE: what the person at the bin is told; 0 is dark and silent."""

    OFF = 0
    ACCEPTED = 1
    UNSURE = 2
    FULL = 3
    WAIT = 4
    FAULT = 5


class TimeoutReason(IntEnum):
    """Value of a TIMEOUT event."""

    NOT_STARTED = 1
    """The OPEN could not begin within its start_within_ms, or was forgotten before it began; nothing moved."""
    TRAVEL = 2
    """The lid did not reach its end in time; treated as a jam."""
    SHUT_SWITCH = 3
    """As TRAVEL, while opening, and its shut switch is still pressed: it is stuck, or the lid never moved. Since minor 1."""


class MessageError(ValueError):
    """A payload that no message of this version has: unknown type or command, or a wrong length."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How one field is written: struct format (little endian), meaning with unit, and the code that means unknown."""

    fmt: str
    text: str
    unknown: int | None = None


LidNo = Annotated[int, Wire("B", "lid, from 0")]
LidOrNone = Annotated[int, Wire("B", "lid, from 0; 255 = the whole controller")]
ActionId = Annotated[int, Wire("I", "action id, 1..4294967295; 0 = none")]
PeriodMs = Annotated[int, Wire("H", "telemetry period while idle, ms; 0 = off")]
Magic = Annotated[int, Wire("I", "0x4E454F42")]
FwMajor = Annotated[int, Wire("B", "firmware major")]
FwMinor = Annotated[int, Wire("B", "firmware minor")]
FwPatch = Annotated[int, Wire("B", "firmware patch")]
Cause = Annotated[int, Wire("B", "reset cause")]
OpenUs = Annotated[int, Wire("H", "servo pulse of the open lid, us")]
ClosedUs = Annotated[int, Wire("H", "servo pulse of the shut lid, us")]
Speed = Annotated[int, Wire("B", "slew limit, us of pulse per 20 ms")]
JamMa = Annotated[int, Wire("H", "stall current, mA; 0 = not watched")]

M = TypeVar("M", bound="Message")


class Message:
    """One payload. ``TYPE`` is the frame's type, ``CMD`` the first payload byte of a CMD or DIAG (None elsewhere)."""

    __slots__ = ()
    TYPE: ClassVar[Type]
    CMD: ClassVar[Cmd | None] = None

    @classmethod
    def size(cls) -> int:
        """Exact payload length in bytes."""
        return _layout(cls).size + (cls.CMD is not None)

    def to_bytes(self) -> bytes:
        """The payload; raises struct.error where a number does not fit its field."""
        prefix = b"" if self.CMD is None else bytes([self.CMD])
        return prefix + _layout(type(self)).pack(*_values(self))

    @classmethod
    def from_bytes(cls: type[M], payload: bytes) -> M:  # noqa: PYI019  # Self came with Python 3.11
        """Read a payload of this message; raises MessageError unless its length fits exactly."""
        if len(payload) != cls.size():
            raise MessageError(f"{cls.__name__} has {cls.size()} bytes, not {len(payload)}")
        return _build(cls, iter(_layout(cls).unpack(payload[cls.CMD is not None :])))


def wire_fields(cls: type[Message]) -> tuple[tuple[str, Wire | None], ...]:
    """Name and `Wire` of each field, in wire order; the four lid slots of telemetry have None."""
    return _FIELDS[cls]


def wire_offsets(cls: type[Message]) -> Iterator[tuple[str, Wire | None, int]]:
    """Name, `Wire` and offset in the payload of each field, in wire order."""
    offset = 0 if cls.CMD is None else 1
    for name, wire in wire_fields(cls):
        yield name, wire, offset
        offset += struct.calcsize("<" + (SLOTS * _format(LidTelemetry) if wire is None else wire.fmt))


def _read_fields(cls: type[Message]) -> tuple[tuple[str, Wire | None], ...]:
    hints = get_type_hints(cls, include_extras=True)
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]  # every subclass is a dataclass
    return tuple((name, getattr(hints[name], "__metadata__", (None,))[0]) for name in names)


def _format(cls: type[Message]) -> str:
    return "".join(SLOTS * _format(LidTelemetry) if wire is None else wire.fmt for _, wire in wire_fields(cls))


def _layout(cls: type[Message]) -> struct.Struct:
    return _LAYOUTS[cls]


def _values(message: Message) -> Iterator[Any]:
    for name, wire in wire_fields(type(message)):
        value = getattr(message, name)
        if wire is None:
            for slot in value:
                yield from _values(slot)
        else:
            yield wire.unknown if value is None else value


def _build(cls: type[M], values: Iterator[Any]) -> M:
    return cls(**{name: _field(wire, values) for name, wire in wire_fields(cls)})


def _field(wire: Wire | None, values: Iterator[Any]) -> Any:
    if wire is None:
        return tuple(_build(LidTelemetry, values) for _ in range(SLOTS))
    value = next(values)
    return None if wire.unknown is not None and value == wire.unknown else value


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """Opens a session; the header's session is the host's nonce (1..65535). Repeating it changes nothing."""

    TYPE = Type.HELLO
    host_major: Annotated[int, Wire("B", "protocol major of the host")]
    host_minor: Annotated[int, Wire("B", "protocol minor of the host")]
    telemetry_ms: PeriodMs


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Keeps the dead-man quiet and acknowledges events."""

    TYPE = Type.PING
    host_ms: Annotated[int, Wire("I", "host's clock, ms, echoed")]
    last_event_seq: Annotated[int, Wire("H", "last event seen in order; 0 = none")]


@dataclass(frozen=True, slots=True)
class HelloAck(Message):
    """Who the controller is, and the last action whose motion it began."""

    TYPE = Type.HELLO_ACK
    proto_major: Annotated[int, Wire("B", "protocol major")]
    proto_minor: Annotated[int, Wire("B", "protocol minor")]
    fw_major: FwMajor
    fw_minor: FwMinor
    fw_patch: FwPatch
    git: Annotated[int, Wire("I", "first 32 bits of the source commit")]
    board: Annotated[int, Wire("B", "board: 0 simulated, 1 mega2560")]
    uid: Annotated[bytes, Wire("6s", "unique id of the board")]
    caps: Annotated[int, Wire("I", "capabilities, see Caps")]
    lids: Annotated[int, Wire("B", "number of lids, 1..16")]
    reset_cause: Cause
    last_action_id: ActionId


@dataclass(frozen=True, slots=True)
class Boot(Message):
    """Sent once after a reset, session 0; the host must not depend on it."""

    TYPE = Type.BOOT
    fw_major: FwMajor
    fw_minor: FwMinor
    fw_patch: FwPatch
    reset_cause: Cause
    last_action_id: ActionId


@dataclass(frozen=True, slots=True)
class Pong(Message):
    """Answer to PING."""

    TYPE = Type.PONG
    host_ms: Annotated[int, Wire("I", "the PING's host_ms")]
    uptime_ms: Annotated[int, Wire("I", "controller's clock since reset, ms")]


class Command(Message):
    """A CMD payload."""

    __slots__ = ()
    TYPE = Type.CMD


@dataclass(frozen=True, slots=True)
class Open(Command):
    """Open one lid once; it shuts by itself after hold_ms."""

    CMD = Cmd.OPEN
    lid: LidNo
    action_id: ActionId
    hold_ms: Annotated[int, Wire("H", "time open before it shuts, ms; clamped by the device")]
    start_within_ms: Annotated[int, Wire("H", "the motion begins within this time of acceptance or never, ms")]


@dataclass(frozen=True, slots=True)
class Close(Command):
    """Shut one lid now."""

    CMD = Cmd.CLOSE
    lid: LidNo
    action_id: ActionId


@dataclass(frozen=True, slots=True)
class StopNow(Command):
    """Halt every motion and forget waiting ones."""

    CMD = Cmd.STOP


@dataclass(frozen=True, slots=True)
class StopLatch(Command):
    """As STOP, and nothing moves until STOP_CLEAR. Not an emergency stop."""

    CMD = Cmd.STOP_LATCH


@dataclass(frozen=True, slots=True)
class StopClear(Command):
    """Clear stop latch and latched faults; never moves a lid."""

    CMD = Cmd.STOP_CLEAR
    magic: Magic = MAGIC


@dataclass(frozen=True, slots=True)
class Jog(Command):
    """Set one servo's pulse, only while calibrating."""

    CMD = Cmd.JOG
    lid: LidNo
    pulse_us: Annotated[int, Wire("H", "servo pulse, us")]


@dataclass(frozen=True, slots=True)
class Calibrate(Command):
    """Enter (1) or leave (0) calibration, which also ends by itself."""

    CMD = Cmd.CALIBRATE
    on: Annotated[int, Wire("B", "1 = on, 0 = off")]


@dataclass(frozen=True, slots=True)
class SetCal(Command):
    """Store one lid's calibration in the device."""

    CMD = Cmd.SET_CAL
    lid: LidNo
    open_us: OpenUs
    closed_us: ClosedUs
    speed_us_per_20ms: Speed
    jam_ma: JamMa


@dataclass(frozen=True, slots=True)
class GetCal(Command):
    """Ask for one lid's calibration: RESULT, then DIAG."""

    CMD = Cmd.GET_CAL
    lid: LidNo


@dataclass(frozen=True, slots=True)
class SetTelemetry(Command):
    """Change the idle telemetry period."""

    CMD = Cmd.SET_TELEMETRY
    period_ms: PeriodMs


@dataclass(frozen=True, slots=True)
class Indicate(Command):
    """Lamp and buzzer."""

    CMD = Cmd.INDICATE
    pattern: Annotated[int, Wire("B", "pattern, see Pattern")]
    duration_ms: Annotated[int, Wire("H", "duration, ms")]


@dataclass(frozen=True, slots=True)
class Reboot(Command):
    """Restart the controller."""

    CMD = Cmd.REBOOT
    magic: Magic = MAGIC


@dataclass(frozen=True, slots=True)
class EnterBootloader(Command):
    """Restart into the bootloader; refused unless all lids are closed."""

    CMD = Cmd.ENTER_BOOTLOADER
    magic: Magic = MAGIC


@dataclass(frozen=True, slots=True)
class Result(Message):
    """Answer to one CMD, same seq: accepted or refused. What then happens comes as an EVENT."""

    TYPE = Type.RESULT
    code: Annotated[int, Wire("B", "see Code")]
    detail: Annotated[int, Wire("H", "BAD_SEQ: expected seq; BUSY, RATE_LIMIT: retry after, ms; else 0")]


@dataclass(frozen=True, slots=True)
class Event(Message):
    """One physical happening, repeated until acknowledged."""

    TYPE = Type.EVENT
    event_seq: Annotated[int, Wire("H", "1..65535, then 1 again; also the header's seq")]
    kind: Annotated[int, Wire("B", "see EventKind")]
    lid: LidOrNone
    action_id: ActionId
    value: Annotated[int | None, Wire("H", "by kind; 65535 = unknown", 0xFFFF)]


@dataclass(frozen=True, slots=True)
class Calibration(Message):
    """DIAG 21: the calibration in force."""

    TYPE = Type.DIAG
    CMD = Cmd.GET_CAL
    lid: LidNo
    open_us: OpenUs
    closed_us: ClosedUs
    speed_us_per_20ms: Speed
    jam_ma: JamMa


@dataclass(frozen=True, slots=True)
class LidTelemetry(Message):
    """One lid's slot in TELEMETRY; a lid that is not fitted has state ABSENT and all else unknown."""

    state: Annotated[int, Wire("B", "see LidPhase")]
    pos_us: Annotated[int | None, Wire("H", "servo pulse sent now, us; 65535 = none", 0xFFFF)]
    limits: Annotated[int | None, Wire("B", "limit switches, bit 0 closed, bit 1 open; 255 = unknown", 0xFF)]
    current_ma: Annotated[int | None, Wire("H", "servo current, mA; 65535 = unknown", 0xFFFF)]
    fill_mm: Annotated[int | None, Wire("H", "distance to the waste, mm; 65535 = unknown", 0xFFFF)]


ABSENT = LidTelemetry(LidPhase.ABSENT, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Telemetry(Message):
    """The state of the controller and of lids 0..3."""

    TYPE = Type.TELEMETRY
    uptime_ms: Annotated[int, Wire("I", "controller's clock since reset, ms")]
    state: Annotated[int, Wire("B", "see ControllerState")]
    stop: Annotated[int, Wire("B", "bit 0 mushroom switch pressed, bit 1 software latch")]
    vin_mv: Annotated[int | None, Wire("H", "supply, mV; 65535 = unknown", 0xFFFF)]
    vservo_mv: Annotated[int | None, Wire("H", "servo supply, mV; 65535 = unknown", 0xFFFF)]
    slots: tuple[LidTelemetry, LidTelemetry, LidTelemetry, LidTelemetry]
    pinch: Annotated[int | None, Wire("B", "pinch inputs, bit n = slot n; 255 = unknown", 0xFF)]
    temp_c: Annotated[int | None, Wire("b", "board temperature, degrees C; -128 = unknown", -128)]
    crc_errors: Annotated[int, Wire("B", "bad CRC or COBS, count modulo 256")]
    length_errors: Annotated[int, Wire("B", "unknown type or command, wrong length, reserved bits; modulo 256")]
    seq_errors: Annotated[int, Wire("B", "wrong session or seq, modulo 256")]
    overruns: Annotated[int, Wire("B", "frames longer than the buffer, modulo 256")]


@dataclass(frozen=True, slots=True)
class TelemetryMore(Message):
    """Lids 4..7, 8..11 or 12..15 of a larger bin; sent right after TELEMETRY."""

    TYPE = Type.TELEMETRY_MORE
    first_lid: Annotated[int, Wire("B", "lid of the first slot: 4, 8 or 12")]
    slots: tuple[LidTelemetry, LidTelemetry, LidTelemetry, LidTelemetry]
    pinch: Annotated[int | None, Wire("B", "pinch inputs, bit n = slot n; 255 = unknown", 0xFF)]


MESSAGES: tuple[type[Message], ...] = (
    Hello,
    Open,
    Close,
    StopNow,
    StopLatch,
    StopClear,
    Jog,
    Calibrate,
    SetCal,
    GetCal,
    SetTelemetry,
    Indicate,
    Reboot,
    EnterBootloader,
    Ping,
    HelloAck,
    Result,
    Event,
    Telemetry,
    Boot,
    Pong,
    Calibration,
    TelemetryMore,
)
"""Every message of this version."""

_FIELDS: dict[type[Message], tuple[tuple[str, Wire | None], ...]] = {
    m: _read_fields(m) for m in (*MESSAGES, LidTelemetry)
}
_LAYOUTS = {m: struct.Struct("<" + _format(m)) for m in _FIELDS}
_BY_ID: dict[tuple[int, int | None], type[Message]] = {(m.TYPE, m.CMD): m for m in MESSAGES}
_WITH_CMD = (Type.CMD, Type.DIAG)
_HEADER = struct.Struct("<BBHH")
HEADER_SIZE = _HEADER.size


class MajorError(MessageError):
    """A frame of another protocol major: only its header, and the first two bytes of HELLO and HELLO_ACK, can be understood."""

    def __init__(self, type_id: int, major: int, session: int, payload: bytes = b"") -> None:
        super().__init__(f"frame of protocol {major}, this end speaks {PROTO_MAJOR}")
        self.type_id = type_id
        self.major = major
        self.session = session
        hello = type_id in (Type.HELLO, Type.HELLO_ACK) and payload[:1] == bytes([major])
        self.minor = payload[1] if hello and len(payload) > 1 else None
        """The sender's protocol minor, where its frame says one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Header and message. ``session`` 0 = none."""

    session: int
    seq: int
    message: Message
    retransmit: bool = False

    def to_body(self) -> bytes:
        """The frame's body without CRC."""
        flags = PROTO_MAJOR << 4 | (RETRANSMIT if self.retransmit else 0)
        return _HEADER.pack(self.message.TYPE, flags, self.session, self.seq) + self.message.to_bytes()

    @classmethod
    def from_body(cls, body: bytes) -> Frame:
        """Read a body whose CRC was right and is cut off; raises MajorError or MessageError."""
        if len(body) < HEADER_SIZE:
            raise MessageError(f"a body has {HEADER_SIZE} bytes of header, not {len(body)}")
        type_id, flags, session, seq = _HEADER.unpack_from(body)
        if flags >> 4 != PROTO_MAJOR:
            raise MajorError(type_id, flags >> 4, session, body[HEADER_SIZE:])
        if flags & RESERVED_BITS:
            raise MessageError(f"reserved header bits set: 0x{flags:02X}")
        payload = body[HEADER_SIZE:]
        message = _message_class(type_id, payload)
        return cls(session, seq, message.from_bytes(payload), bool(flags & RETRANSMIT))


def _message_class(type_id: int, payload: bytes) -> type[Message]:
    first = payload[0] if type_id in _WITH_CMD and payload else None
    found = _BY_ID.get((type_id, first))
    if found is None:
        raise MessageError(f"no message of type 0x{type_id:02X}" + ("" if first is None else f", command {first}"))
    return found
