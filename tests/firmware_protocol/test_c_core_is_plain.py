"""What the C core promises of itself: plain C99 for three compilers, no memory but its own, no floating point."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.firmware_protocol.bodies.build import FIRMWARE, need, run
from tests.firmware_protocol.core_mutants import EQUIVALENT, REBUILT, mutants

SOURCES = [str(FIRMWARE / x) for x in ("frame.c", "bin_core.c", "bin_link.c")]
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wmissing-prototypes", "-Werror"]
C99 = ["-std=c99", "-Wpedantic", *STRICT]
AVR = ["avr-gcc", "-std=gnu99", "-Os", "-mmcu=atmega2560", "-DBIN_LIDS_MAX=4", *STRICT]
STRINGS = {"memcpy", "memmove", "memset"}
"""All that the core asks of a C library."""
RAM_MAX = 640
"""Of four lids on an AVR, survivor included; the chip has 8192 bytes."""


def test_gcc_and_clang_have_nothing_to_say() -> None:
    """Not one warning with all that counts."""
    clang = shutil.which("clang") or shutil.which("clang-14")
    assert clang, "clang is not installed: apt-get install clang"
    for compiler in ("gcc", clang):
        run([compiler, *C99, "-O2", "-fsyntax-only", *SOURCES])


def symbols(program: str, objects: list[Path]) -> list[tuple[str, str]]:
    """Kind and name of each symbol."""
    done = subprocess.run([program, *map(str, objects)], capture_output=True, text=True, check=True)
    return re.findall(r"^[0-9a-f ]* ([A-Za-z]) (\S+)$", done.stdout, flags=re.MULTILINE)


def compiled(compiler: list[str], folder: Path) -> list[Path]:
    """Object files of the core."""
    objects = []
    for source in SOURCES:
        objects.append(folder / f"{Path(source).stem}.o")
        run([*compiler, "-c", source, "-o", str(objects[-1])])
    return objects


def test_no_globals_no_malloc(tmp_path: Path) -> None:
    """No variable outside of the context (constants apart), and nothing of a C library but three string functions."""
    found = symbols("nm", compiled(["gcc", *C99, "-O1"], tmp_path))
    own = {name for kind, name in found if kind == "T"}
    assert "bin_core_tick" in own
    assert [x for x in found if x[0] in "BbDdCc"] == []
    assert {name for kind, name in found if kind == "U"} - own <= STRINGS


def test_small_and_without_floats_on_an_avr(tmp_path: Path) -> None:
    """The board's compiler has nothing to say either, asks for no floating point, and needs little RAM."""
    need("avr-gcc", "gcc-avr avr-libc binutils-avr")
    found = symbols("avr-nm", compiled(AVR, tmp_path))
    helpers = {name for kind, name in found if kind == "U" and name.startswith("__")}
    assert [x for x in helpers if re.search(r"[sd]f\d?$|float|fix", x)] == []
    assert [x for x in found if x[0] in "BbDdCc"] == []
    source = tmp_path / "size.c"
    source.write_text('#include "bin_core.h"\nchar ram[sizeof(struct bin_core) + sizeof(struct bin_survivor)];\n')
    run([*AVR, "-fno-common", f"-I{FIRMWARE}", "-c", str(source), "-o", str(tmp_path / "size.o")])
    done = subprocess.run(["avr-nm", "-S", str(tmp_path / "size.o")], capture_output=True, text=True, check=True)
    (size,) = re.findall(r"^\w+ (\w+) \w ram$", done.stdout, flags=re.MULTILINE)
    assert 256 < int(size, 16) <= RAM_MAX


@pytest.mark.parametrize("bad", ["double half(int x) { return x * 0.5; }", "int count;"])
def test_the_checks_notice(tmp_path: Path, bad: str) -> None:
    """The two checks above see a float and a global when there is one."""
    need("avr-gcc", "gcc-avr avr-libc binutils-avr")
    source = tmp_path / "bad.c"
    source.write_text(bad)
    run(["avr-gcc", "-std=gnu99", "-Os", "-mmcu=atmega2560", "-c", str(source), "-o", str(tmp_path / "bad.o")])
    found = symbols("avr-nm", [tmp_path / "bad.o"])
    assert [x for x in found if x[0] in "BbDdCc" or (x[0] == "U" and re.search(r"[sd]f\d?$|float|fix", x[1]))]


def test_explained_mutants_are_mutants() -> None:
    """Each survivor that core_mutants explains is still a line of the core: no excuse outlives what it excused."""
    texts = ((FIRMWARE / f"{name}.c").read_text(encoding="utf-8") for name in REBUILT)
    said = {x.said for text in texts for x in mutants(text)}
    assert len(said) > 1000
    assert set(EQUIVALENT) - said == set()
