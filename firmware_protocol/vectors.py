"""Golden bytes: one example or more of every message, as body and as wire, for this end, the C core and outside programs."""

from __future__ import annotations

import json
from typing import Any

from firmware_protocol import messages as m
from firmware_protocol.framing import crc16, encode
from firmware_protocol.messages import Frame, LidTelemetry, Message, wire_fields

_SESSION = 0x4D2
_UID = bytes.fromhex("0123456789AB")
_LID = LidTelemetry(m.LidPhase.OPENING, 1500, 0, 412, 230)
_BLIND = LidTelemetry(m.LidPhase.CLOSED, None, None, None, None)

FRAMES: tuple[tuple[str, Frame], ...] = (
    ("hello", Frame(_SESSION, 0, m.Hello(1, 0, 500))),
    ("hello repeated", Frame(_SESSION, 0, m.Hello(1, 0, 500), retransmit=True)),
    ("ping", Frame(_SESSION, 0, m.Ping(123456, 7))),
    ("open", Frame(_SESSION, 1, m.Open(2, 0xC0FFEE01, 1500, 400))),
    ("open repeated", Frame(_SESSION, 1, m.Open(2, 0xC0FFEE01, 1500, 400), retransmit=True)),
    ("close", Frame(_SESSION, 2, m.Close(2, 0xC0FFEE02))),
    ("stop", Frame(_SESSION, 3, m.StopNow())),
    ("stop_latch", Frame(_SESSION, 4, m.StopLatch())),
    ("stop_clear", Frame(_SESSION, 5, m.StopClear())),
    ("jog", Frame(_SESSION, 6, m.Jog(0, 1480))),
    ("calibrate", Frame(_SESSION, 7, m.Calibrate(1))),
    ("set_cal", Frame(_SESSION, 8, m.SetCal(3, 1950, 1050, 20, 900))),
    ("get_cal", Frame(_SESSION, 9, m.GetCal(3))),
    ("set_telemetry", Frame(_SESSION, 10, m.SetTelemetry(1000))),
    ("indicate", Frame(_SESSION, 11, m.Indicate(m.Pattern.UNSURE, 2000))),
    ("reboot", Frame(_SESSION, 12, m.Reboot())),
    ("enter_bootloader", Frame(0xFFFF, 0xFFFF, m.EnterBootloader())),
    ("hello_ack", Frame(_SESSION, 0, m.HelloAck(1, 0, 1, 2, 3, 0x89ABCDEF, 1, _UID, 0x15F, 4, 8, 0xC0FFEE01))),
    ("boot", Frame(0, 0, m.Boot(1, 2, 3, m.ResetCause.WATCHDOG, 0xC0FFEE01))),
    ("pong", Frame(_SESSION, 0, m.Pong(123456, 98765))),
    ("accepted", Frame(_SESSION, 1, m.Result(m.Code.OK_ACCEPTED, 0))),
    ("accepted, told again", Frame(_SESSION, 1, m.Result(m.Code.OK_ACCEPTED, 0), retransmit=True)),
    ("busy", Frame(_SESSION, 2, m.Result(m.Code.BUSY, 740))),
    ("opened", Frame(_SESSION, 5, m.Event(5, m.EventKind.OPENED, 2, 0xC0FFEE01, 1010))),
    ("closed, never open", Frame(_SESSION, 6, m.Event(6, m.EventKind.CLOSED, 2, 0xC0FFEE01, None))),
    ("host_lost", Frame(_SESSION, 7, m.Event(7, m.EventKind.HOST_LOST, m.NO_LID, 0, 2001))),
    ("calibration", Frame(_SESSION, 9, m.Calibration(3, 1950, 1050, 20, 900))),
    (
        "telemetry",
        Frame(
            _SESSION,
            0,
            m.Telemetry(
                60000, m.ControllerState.MOVING, 0, 5010, 4980, (_LID, _BLIND, _BLIND, m.ABSENT), 0, -5, 1, 2, 3, 255
            ),
        ),
    ),
    (
        "telemetry, all unknown",
        Frame(
            _SESSION, 0, m.Telemetry(0, m.ControllerState.IDLE, 3, None, None, (_BLIND,) * 4, None, None, 0, 0, 0, 0)
        ),
    ),
    ("telemetry_more", Frame(_SESSION, 0, m.TelemetryMore(4, (_LID, _BLIND, m.ABSENT, m.ABSENT), 1))),
)


def vectors_json() -> str:
    """The text of vectors.json."""
    listed = {"crc": {"of": "123456789", "is": crc16(b"123456789")}, "frames": [_vector(n, f) for n, f in FRAMES]}
    return json.dumps(listed, indent=1) + "\n"


def _vector(name: str, frame: Frame) -> dict[str, Any]:
    body = frame.to_body()
    message = frame.message
    return {
        "name": name,
        "type": int(message.TYPE),
        "command": None if message.CMD is None else int(message.CMD),
        "session": frame.session,
        "seq": frame.seq,
        "retransmit": frame.retransmit,
        "fields": _fields(message),
        "body": (body + crc16(body).to_bytes(2, "big")).hex(),
        "wire": encode(body).hex(),
    }


def _fields(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, wire in wire_fields(type(message)):
        value = getattr(message, name)
        if wire is None:
            found[name] = [_fields(slot) for slot in value]
        else:
            found[name] = value.hex() if isinstance(value, bytes) else None if value is None else int(value)
    return found
