"""Compiles what these tests run: each program once per session, with the core as it is or with a copy that has a planted bug."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.firmware_protocol.bodies.build import FIRMWARE, SANITIZED, WARNINGS, need, run

HERE = Path(__file__).parent
CLANG = "clang"
FUZZED = ["-O2", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
PLAIN = [x for x in WARNINGS if x != "-Wconversion"]
"""The core itself is compiled with -Wconversion elsewhere; here a number's way through a test's table needs no casts."""


def compile_program(name: str, folder: Path, *, core: Path = FIRMWARE) -> Path:
    """scripted.c, flips.c: ordinary programs under ASan and UBSan."""
    need("gcc", "gcc")
    program = folder / name
    run(["gcc", "-std=c99", *PLAIN, *SANITIZED, *_sources(name, core), "-o", str(program)])
    return program


def compile_fuzzer(name: str, folder: Path, *, core: Path = FIRMWARE) -> Path:
    """fuzz_frame.c, fuzz_core.c: libFuzzer under ASan and UBSan."""
    need(CLANG, "clang libclang-rt-dev")
    program = folder / name
    run([CLANG, "-std=c99", *PLAIN, *FUZZED, *_sources(name, core), "-o", str(program)])
    return program


def _sources(name: str, core: Path) -> list[str]:
    parts = [str(core / x.name) for x in sorted(FIRMWARE.glob("*.c"))]
    return [f"-I{core}", f"-I{HERE}", str(HERE / f"{name}.c"), *parts]


def plant(folder: Path, file: str, sound: str, broken: str) -> Path:
    """A copy of the core in which one piece of text, which must be there once, is another."""
    for source in FIRMWARE.glob("*.[ch]"):
        shutil.copy(source, folder / source.name)
    text = (folder / file).read_text("utf-8")
    assert text.count(sound) == 1, f"{file} has {text.count(sound)} of: {sound}"
    (folder / file).write_text(text.replace(sound, broken), "utf-8")
    return folder
