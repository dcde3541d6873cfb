"""Every small damage of every golden frame, and 10 million bytes of noise, at the C core: nothing moves, all is told, it lives.

COBS weakens the CRC: two wrong bits can move a border so that the rest is a frame again. How often is measured here, not hoped.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_protocol.framing import encode
from firmware_protocol.vectors import FRAMES
from tests.firmware_protocol.fuzz.build import compile_program

NOISE_BYTES = 10_000_000


@dataclass(frozen=True)
class Count:
    """One kind of damage to one frame."""

    frame: str
    damage: str
    cases: int
    passed: int
    moved: int
    uncounted: int
    unanswered: int


@pytest.fixture(scope="module")
def program(built: Path) -> Path:
    """flips.c with the core."""
    return compile_program("flips", built)


def run(program: Path, *arguments: str, data: bytes = b"") -> list[Count]:
    """What it counted."""
    done = subprocess.run([program, *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    return [Count(FRAMES[int(number)][0], damage, *map(int, counts)) for number, damage, *counts in rows]


def test_every_single_and_double_flip_and_every_cut(program: Path) -> None:
    """All of them, of all golden frames: 532,000 cases. None passes for a frame of its own length, none goes unnoticed."""
    frames = [(frame, encode(frame.to_body())) for _, frame in FRAMES]
    data = b"".join(struct.pack("<HHB", f.session, f.seq, len(wire)) + wire for f, wire in frames)
    counts = run(program, data=data)
    for damage in ("single", "double", "cut"):
        assert len([x for x in counts if x.damage == damage]) == len(FRAMES)
    doubles = {x.frame: x.cases for x in counts if x.damage == "double"}
    for (name, _), (_, wire) in zip(FRAMES, frames, strict=True):
        bits = 8 * len(wire)
        assert doubles[name] == bits * (bits - 1) // 2
    assert [x for x in counts if x.passed or x.moved or x.uncounted or x.unanswered] == []


def test_ten_million_bytes_of_noise(program: Path) -> None:
    """A session with shut lids: no pulse, and after each 1000 bytes the very next frame is answered."""
    (count,) = run(program, str(NOISE_BYTES), "4")
    assert (count.cases, count.moved, count.unanswered) == (NOISE_BYTES // 1000, 0, 0)
    assert count.passed > NOISE_BYTES // 200, "the counters tell of it"
