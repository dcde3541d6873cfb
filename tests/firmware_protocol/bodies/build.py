"""Compiles the bodies that are programs. What is missing is named once and in plain words, never skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
FIRMWARE = Path(os.environ.get("BIN_FIRMWARE_SOURCES", ROOT / "firmware_protocol" / "firmware"))
"""Elsewhere for `board_mutants`, which tests what these tests notice."""
SOURCES = Path(__file__).with_name("c")
SIMAVR = Path("/usr/include/simavr")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


class BuildError(Exception):
    """A body cannot be built: a tool is missing (it says which package has it), or the compiler complains."""


def compile_host_body(folder: Path) -> Path:
    """The C core and its board of the tests, under ASan and UBSan."""
    need("gcc", "gcc")
    core = [str(x) for x in sorted(FIRMWARE.glob("*.c"))]
    ours = [str(SOURCES / x) for x in ("host_body.c", "lockstep.c")]
    program = folder / "host_body"
    run(["gcc", "-std=c11", *WARNINGS, *SANITIZED, f"-I{FIRMWARE}", f"-I{SOURCES}", *ours, *core, "-o", str(program)])
    return program


def compile_avr_body(folder: Path) -> Path:
    """Simavr with an ATmega2560, wired as pins.h says."""
    need("gcc", "gcc")
    if not (SIMAVR / "sim_avr.h").exists():
        raise BuildError("simavr is not installed: apt-get install simavr libsimavr-dev libelf-dev")
    ours = [str(SOURCES / x) for x in ("avr_body.c", "lockstep.c")]
    board = FIRMWARE / "boards" / "mega2560"
    program = folder / "avr_body"
    flags = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", f"-I{board}", f"-I{SOURCES}"]
    run(["gcc", *flags, "-isystem", str(SIMAVR), *ours, "-o", str(program), "-lsimavr", "-lelf"])
    return program


def build_image(folder: Path) -> Path:
    """The real firmware image, as `make firmware` builds it, but outside of the source tree: others may be building there."""
    need("avr-gcc", "gcc-avr avr-libc binutils-avr")
    need("make", "make")
    run(["make", "--no-print-directory", "-C", str(FIRMWARE), f"BUILD={folder}"])
    return folder / "mega2560.elf"


def need(tool: str, packages: str) -> None:
    """Raises BuildError unless the tool is there."""
    if shutil.which(tool) is None:
        raise BuildError(f"{tool} is not installed: apt-get install {packages}")


def run(command: list[str]) -> None:
    """Raises BuildError with what the tool said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
