"""The Python reference and the C core side by side: where do they differ, and what is the shortest script that shows it?"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.firmware_protocol.fuzz.scripts import Boot, Op, Script, explain, to_bytes, trace


class CoreEnd:
    """The C core under ASan and UBSan: `program` is scripted.c with a core."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def trace(self, script: Script) -> list[bytes]:
        """Its record of each op; a complaint of a sanitizer is an AssertionError."""
        done = subprocess.run([self.program], input=to_bytes(script), capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, f"{self.program.name} ended with {done.returncode}: {done.stderr.decode()[-4000:]}"
        return list(_split(done.stdout))


def _split(records: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(records):
        size = int.from_bytes(records[at : at + 2], "little")
        yield records[at + 2 : at + 2 + size]
        at += 2 + size


@dataclass
class Difference:
    """The first op after which the two ends do not agree."""

    script: Script
    """Up to and with that op."""
    python: bytes
    core: bytes

    def __str__(self) -> str:
        said = "\n".join(f"    {op!r}," for op in self.script)
        return (
            f"the ends differ after the last of\n{said}\nPython: {explain(self.python)}\nC:      {explain(self.core)}"
        )


def difference(core: CoreEnd, script: Script, records: list[bytes] | None = None) -> Difference | None:
    """The first difference; ``records`` are the reference's when they are known."""
    for n, (python, other) in enumerate(zip(records or trace(script), core.trace(script), strict=True)):
        if python != other:
            return Difference(script[: n + 1], python, other)
    return None


def shrink(script: Script, fails: Callable[[Script], bool]) -> Script:
    """Leave out ops, from large portions to single ones, for as long as it still fails. The Boot stays."""
    size = len(script) // 2
    while size:
        at = 1
        while at < len(script):
            shorter: list[Op] = script[:at] + script[at + size :]
            if len(shorter) < len(script) and fails(shorter):
                script = shorter
            else:
                at += size
        size //= 2
    assert isinstance(script[0], Boot)
    return script
