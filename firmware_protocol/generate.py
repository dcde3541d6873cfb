"""Makes SPEC.md's tables, vectors.json and firmware/protocol.h from the code: ``python -m firmware_protocol.generate [--check]``.

``--check`` writes nothing and exits 1 when a file is stale.
"""

from __future__ import annotations

import re
import sys
from enum import IntEnum, IntFlag
from pathlib import Path

from firmware_protocol import limits
from firmware_protocol import messages as m
from firmware_protocol.c_header import protocol_h
from firmware_protocol.messages import LidTelemetry, Message, Wire, wire_offsets
from firmware_protocol.vectors import vectors_json

FOLDER = Path(__file__).parent
_TYPES = {"B": "u8", "b": "i8", "H": "u16", "I": "u32", "6s": "6 B"}
_ENUMS = (
    m.Code,
    m.EventKind,
    m.ResetCause,
    m.Caps,
    m.LidPhase,
    m.ControllerState,
    m.Stop,
    m.Limits,
    m.Pattern,
    m.TimeoutReason,
)


def generated(folder: Path = FOLDER) -> dict[Path, str]:
    """What each generated file should hold; raises ValueError when SPEC.md has lost a marker."""
    spec = folder / "SPEC.md"
    text = spec.read_text(encoding="utf-8")
    for name, made in (("messages", _messages()), ("values", _values()), ("limits", _limits())):
        text = _put(text, name, made)
    header = folder / "firmware" / "protocol.h"
    return {spec: text, folder / "vectors.json": vectors_json(), header: protocol_h((m.Type, m.Cmd, *_ENUMS))}


def _put(text: str, name: str, made: str) -> str:
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"SPEC.md needs exactly one part between '{begin}' and '{end}'")
    return pattern.sub(lambda _: f"{begin}\n{made}\n{end}", text)


def _messages() -> str:
    return "\n\n".join([*(_message(cls) for cls in m.MESSAGES), _message(LidTelemetry)])


def _message(cls: type[Message]) -> str:
    first_line = (cls.__doc__ or "").strip().splitlines()[0]
    title, rows = f"Lid slot, {cls.size()} bytes", list[str]()
    if cls is not LidTelemetry:
        ids = f"type 0x{cls.TYPE:02X}" + ("" if cls.CMD is None else f", command {int(cls.CMD)}")
        title = f"{cls.__name__}: {ids}, payload {cls.size()} bytes"
        if cls.CMD is not None:
            rows = [f"| 0 | u8 | command | {int(cls.CMD)} |"]
    rows += (f"| {at} | {_type(wire)} | {name} | {_text(wire)} |" for name, wire, at in wire_offsets(cls))
    head = [f"#### {title}", "", first_line, "", "| offset | type | field | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _type(wire: Wire | None) -> str:
    return f"{m.SLOTS} x lid slot" if wire is None else _TYPES[wire.fmt]


def _text(wire: Wire | None) -> str:
    return "see the lid slot at the end" if wire is None else wire.text


def _values() -> str:
    return "\n\n".join(_enum(enum) for enum in _ENUMS)


def _enum(enum: type[IntEnum | IntFlag]) -> str:
    first_line = (enum.__doc__ or "").strip().splitlines()[0]
    kind = "bit value" if issubclass(enum, IntFlag) else "value"
    rows = [f"| {member.value} | {member.name} |" for member in enum]
    return "\n".join([f"#### {enum.__name__}", "", first_line, "", f"| {kind} | name |", "|---|---|", *rows])


def _limits() -> str:
    numbers = {k: v for k, v in vars(limits).items() if k.isupper() and k != "TICKS"}
    return "\n".join(["| limit | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in numbers.items())])


def stale(folder: Path = FOLDER) -> list[Path]:
    """Generated files that are missing or differ from what the code says."""
    return [p for p, text in generated(folder).items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def main(argv: list[str]) -> int:
    """Write the generated files, or only look with ``--check``; 0 = all is fresh."""
    if argv not in ([], ["--check"]):
        sys.stderr.write("usage: python -m firmware_protocol.generate [--check]\n")
        return 2
    found = stale()
    if not argv:
        for path, text in generated().items():
            path.write_text(text, encoding="utf-8")
        found = []
    for path in found:
        sys.stderr.write(f"{path.name} is stale: run python -m firmware_protocol.generate\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
