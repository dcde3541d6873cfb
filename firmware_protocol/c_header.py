"""The text of firmware/protocol.h: every number that the C controller shares with Python, so that none is typed twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum, IntFlag

from firmware_protocol import framing, limits
from firmware_protocol import messages as m
from firmware_protocol.lid_core import default_calibration
from firmware_protocol.messages import LidTelemetry, Message, wire_fields, wire_offsets
from firmware_protocol.version import FIRMWARE

INT_MAX = 0x7FFF
"""The least that C promises, and what an AVR has."""
_HEAD = """\
/* Made from messages.py, limits.py, framing.py and version.py by `python -m firmware_protocol.generate`: do not edit.
 * SPEC.md tells what it means. Numbers above 32767 end in u: int may have 16 bits. */
#ifndef BIN_PROTOCOL_H
#define BIN_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>
"""


def protocol_h(enums: tuple[type[IntEnum | IntFlag], ...]) -> str:
    """The whole header; ``enums`` become C enums whose members are named BIN_<ENUM>_<MEMBER>."""
    parts = [
        _HEAD,
        "/* Versions. */",
        *_defines({"FW_MAJOR": FIRMWARE[0], "FW_MINOR": FIRMWARE[1], "FW_PATCH": FIRMWARE[2]}),
        *_defines({name: getattr(m, name) for name in ("PROTO_MAJOR", "PROTO_MINOR")}),
        "\n/* The frame. */",
        *_defines(
            {name: getattr(framing, name) for name in ("HEADER_SIZE", "CRC_SIZE", "BODY_MAX", "WIRE_MAX", "SILENCE_MS")}
        ),
        *_defines({name: getattr(m, name) for name in ("RETRANSMIT", "RESERVED_BITS", "MAX_LIDS", "SLOTS", "NO_LID")}),
        f"#define BIN_MAGIC 0x{m.MAGIC:08X}UL",
        "\n/* The device's own limits: ms, us, mV, mA. */",
        *_defines({k: v for k, v in vars(limits).items() if k.isupper() and k != "TICKS"}),
        "\n/* The calibration until SET_CAL. */",
        *_defines({f"DEFAULT_{name.upper()}": value for name, value in _default_calibration()}),
        "",
        *(_enum(enum) for enum in enums),
        "/* Payload sizes, and offsets of the fields in their payload. */",
        *(_layout(cls) for cls in m.MESSAGES),
        _layout(LidTelemetry),
        _payload_size(),
        _names_lid(),
        "#endif\n",
    ]
    return "\n".join(parts)


def _defines(numbers: dict[str, int]) -> Iterator[str]:
    return (f"#define BIN_{name} {value}{'u' if value > INT_MAX else ''}" for name, value in numbers.items())


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _enum(enum: type[IntEnum | IntFlag]) -> str:
    name = _snake(enum.__name__)
    members = [f"    BIN_{name.upper()}_{member.name} = {member.value}" for member in enum]
    return f"enum bin_{name} {{\n" + ",\n".join(members) + "\n};\n"


def _layout(cls: type[Message]) -> str:
    name = _snake(cls.__name__).upper()
    offsets = [f"#define BIN_AT_{name}_{field.upper()} {offset}" for field, _, offset in wire_offsets(cls)]
    return "\n".join([f"#define BIN_SIZE_{name} {cls.size()}", *offsets])


def _payload_size() -> str:
    """A C function instead of a table: constants of an AVR live in RAM, code does not."""
    plain = [cls for cls in m.MESSAGES if cls.CMD is None]
    lines = [
        "",
        "/* Exact payload length of the message that a frame of this type carries; `command` is the first byte of its payload",
        " * and counts only for CMD and DIAG. 0 = there is no such message. */",
        "static inline uint8_t bin_payload_size(uint8_t type, uint8_t command)",
        "{",
        "    switch (type) {",
        *(f"    case BIN_TYPE_{cls.TYPE.name}: return BIN_SIZE_{_snake(cls.__name__).upper()};" for cls in plain),
        *_by_command(m.Type.CMD),
        *_by_command(m.Type.DIAG),
        "    default: return 0;",
        "    }",
        "}",
        "",
    ]
    return "\n".join(lines)


def _names_lid() -> str:
    with_lid = [cls for cls in m.MESSAGES if cls.TYPE is m.Type.CMD and "lid" in dict(wire_fields(cls))]
    (at,) = {at for cls in with_lid for name, _, at in wire_offsets(cls) if name == "lid"}  # one place for all
    lines = [
        f"#define BIN_AT_COMMAND_LID {at}",
        "",
        "/* Whether a CMD names a lid, which then lies at BIN_AT_COMMAND_LID of its payload. */",
        "static inline bool bin_names_lid(uint8_t command)",
        "{",
        "    switch (command) {",
        *(f"    case BIN_CMD_{cls.CMD.name}:" for cls in with_lid if cls.CMD is not None),
        "        return true;",
        "    default:",
        "        return false;",
        "    }",
        "}",
        "",
    ]
    return "\n".join(lines)


def _default_calibration() -> Iterator[tuple[str, int]]:
    cal = default_calibration(0)
    return ((name, getattr(cal, name)) for name, _ in wire_fields(m.Calibration) if name != "lid")


def _by_command(type_id: m.Type) -> Iterator[str]:
    yield f"    case BIN_TYPE_{type_id.name}:"
    yield "        switch (command) {"
    for cls in m.MESSAGES:
        if type_id == cls.TYPE and cls.CMD is not None:
            yield f"        case BIN_CMD_{cls.CMD.name}: return BIN_SIZE_{_snake(cls.__name__).upper()};"
    yield "        default: return 0;"
    yield "        }"
