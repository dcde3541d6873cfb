"""vectors.json from C: the same golden bytes that `test_wire_codec` holds Python to, through frame.c and protocol.h."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import firmware_protocol
from firmware_protocol import messages as m
from tests.firmware_protocol.bodies.build import FIRMWARE, SANITIZED, WARNINGS, run

FOLDER = Path(__file__).with_name("c")


def compile_vectors(folder: Path) -> Path:
    """The checker, under ASan and UBSan."""
    program = folder / "vectors"
    sources = [str(FOLDER / "vectors.c"), str(FIRMWARE / "frame.c")]
    run(["gcc", "-std=c99", "-Wpedantic", *WARNINGS, *SANITIZED, f"-I{FIRMWARE}", *sources, "-o", str(program)])
    return program


@pytest.fixture(scope="session")
def vectors_program(build_once: Callable[[str, Callable[[Path], Path]], Path]) -> Path:
    """Compiled once a session."""
    return build_once("vectors", compile_vectors)


@pytest.fixture
def frames() -> list[dict[str, Any]]:
    """The golden frames."""
    path = Path(firmware_protocol.__file__).with_name("vectors.json")
    listed: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["frames"]
    return listed


def check(program: Path, frames: list[dict[str, Any]]) -> tuple[int, str]:
    """Exit status and what the checker says of these frames."""
    lines = [f"{x['name']}|{x['type']}|{x['command'] or 0}|{x['body']}|{x['wire']}\n" for x in frames]
    done = subprocess.run([program], input="".join(lines), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_golden_frame(vectors_program: Path, frames: list[dict[str, Any]]) -> None:
    """Each frame is encoded and decoded to the byte; each one cut anywhere or with any bit turned is refused and counted."""
    cuts = sum(2 * (len(x["wire"]) // 2 - 2) for x in frames)
    flips = sum(8 * (len(x["wire"]) // 2) for x in frames)
    assert check(vectors_program, frames) == (0, f"{len(frames)} frames, {cuts} cuts, {flips} flips\n")
    assert {(x["type"], x["command"]) for x in frames} == {(cls.TYPE, cls.CMD) for cls in m.MESSAGES}


@pytest.mark.parametrize(
    ("field", "said"),
    [("body", "frame_encode makes another wire"), ("wire", "frame_take finds another body"), ("type", "another type")],
)
def test_a_wrong_vector_is_noticed(vectors_program: Path, frames: list[dict[str, Any]], field: str, said: str) -> None:
    """The checker itself: one changed byte of a vector does not pass."""
    (frame,) = (x for x in frames if x["name"] == "open")
    old = frame[field]
    frame[field] = old + 1 if isinstance(old, int) else old[:20] + f"{int(old[20:22], 16) ^ 4:02x}" + old[22:]
    status, text = check(vectors_program, frames)
    assert status == 1
    assert f"open: {said}" in text
