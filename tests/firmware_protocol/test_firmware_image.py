"""The image of the Mega 2560 as a file: what it holds, what it must not hold, and that it is the same each time."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_protocol import messages as m
from firmware_protocol.version import FIRMWARE
from tests.firmware_protocol.bodies import build
from tests.firmware_protocol.bodies.build import FIRMWARE as SOURCES

BOARD = SOURCES / "boards" / "mega2560"
FLASH_BYTES = 0x3E000
"""The last 8 kB belong to the bootloader."""
RAM_BYTES = 8192
EEPROM_BYTES = 4096
STACK_BYTES = 2048
"""Must be left at least; less than 400 have been seen in use."""
README_TOLERANCE = 0.05
MAGIC = b"BINFW\x00\x01\x00"
MEGA2560 = 1
VECTORS = 57
HANDLED = {
    "PCINT0": 9,
    "TIMER0_COMPA": 21,
    "USART0_RX": 25,
    "USART0_UDRE": 26,
    "ADC": 29,
}
"""The interrupts that the board uses, by the data sheet's numbers from 0 = reset."""
HEAP_OR_FLOAT = re.compile(r"^(malloc|free|calloc|realloc|.*printf.*|__\w*[sd]f[23]?|__fp_\w+)$")

ARDUINO = {
    **{n: f"A{n - 22}" for n in range(22, 30)},
    **{n: f"C{37 - n}" for n in range(30, 38)},
    **{n: f"L{49 - n}" for n in range(42, 50)},
    **{n: f"B{53 - n}" for n in range(50, 54)},
    **dict(enumerate(("E0", "E1", "E4", "E5", "G5", "E3", "H3", "H4", "H5", "H6", "B4", "B5", "B6", "B7"))),
    14: "J1",
    15: "J0",
    16: "H1",
    17: "H0",
    18: "D3",
    19: "D2",
    20: "D1",
    21: "D0",
    38: "D7",
    39: "G2",
    40: "G1",
    41: "G0",
}
"""Digital pins of the Arduino Mega 2560, by its published pin mapping."""


def run(*command: object) -> str:
    """What a tool says; it must end well."""
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def image(build_once: Callable[[str, Callable[[Path], Path]], Path]) -> Path:
    """The ELF that the tests of the emulated board run."""
    return build_once("image", build.build_image)


@pytest.fixture(scope="session")
def flash(image: Path) -> bytes:
    """What the hex file puts into the chip's flash, from address 0."""
    binary = image.with_suffix(".bin")
    run("avr-objcopy", "-I", "ihex", "-O", "binary", image.with_suffix(".hex"), binary)
    return binary.read_bytes()


def identity(flash: bytes) -> tuple[int, ...]:
    """Board, version (3), commit, protocol (2), by the identification block."""
    return struct.unpack_from("<4BI2B", flash, flash.index(MAGIC) + len(MAGIC))


def test_the_image_says_what_it_is(flash: bytes) -> None:
    """The identification block stands in the hex file once: board, version, commit, protocol."""
    assert flash.count(MAGIC) == 1
    board, *version, _, major, minor = identity(flash)
    assert (board, tuple(version), major, minor) == (MEGA2560, FIRMWARE, m.PROTO_MAJOR, m.PROTO_MINOR)


def test_sizes(image: Path, flash: bytes) -> None:
    """It leaves the bootloader alone and the stack its room; `make` reports the same figures, README nearly."""
    size = {
        name: int(size) for name, size in re.findall(r"^\.(\w+) +(\d+)", run("avr-size", "-A", image), re.MULTILINE)
    }
    ram = size["data"] + size["bss"] + size["noinit"]
    assert len(flash) == size["text"] + size["data"] <= FLASH_BYTES
    assert ram <= RAM_BYTES - STACK_BYTES
    assert 0 < size["eeprom"] <= EEPROM_BYTES
    said = re.findall(r"^(\w+) +(\d+)", run("make", "-s", "-C", SOURCES, "size", f"BUILD={image.parent}"), re.MULTILINE)
    assert {name: int(value) for name, value in said} == {
        "flash": len(flash),
        "RAM": ram,
        "EEPROM": size["eeprom"],
        "stack": RAM_BYTES - ram,
    }
    readme = (SOURCES / "README.md").read_text("utf-8")
    for name, used in (("flash", len(flash)), ("RAM", ram), ("EEPROM", size["eeprom"])):
        told = re.search(rf"^\| {name} \| ([\d,]+) \|", readme, re.MULTILINE)
        assert told
        assert abs(int(told[1].replace(",", "")) / used - 1) < README_TOLERANCE, f"README says {told[0]}, it is {used}"


def test_neither_heap_nor_floats(image: Path) -> None:
    """No memory that can run out at three in the morning, no arithmetic that the chip cannot do."""
    symbols = {line.split()[-1] for line in run("avr-nm", image).splitlines()}
    assert "bin_core_tick" in symbols  # so that an empty list does not pass
    assert not [x for x in symbols if HEAP_OR_FLOAT.match(x)]


def test_interrupt_vectors(image: Path, flash: bytes) -> None:
    """Each interrupt in use has its own handler; all others end in the one that waits for the watchdog."""
    at = {name: int(value, 16) for value, _, name in map(str.split, run("avr-nm", image).splitlines())}
    targets = [_jmp(flash, number) for number in range(VECTORS)]
    stray = at["__bad_interrupt"]
    used = {number for number in range(1, VECTORS) if targets[number] != stray}
    assert used == set(HANDLED.values())
    for number in used:
        assert targets[number] == at[f"__vector_{number}"]
    assert _jmp_at(flash, stray) == at["__vector_default"]
    rjmp_to_itself = b"\xff\xcf"
    assert rjmp_to_itself in flash[at["__vector_default"] : at["__vector_default"] + 64]


def _jmp(flash: bytes, vector: int) -> int:
    return _jmp_at(flash, vector * 4)


def _jmp_at(flash: bytes, at: int) -> int:
    """Byte address that the `jmp` at this place goes to."""
    first, second = (int(x) for x in struct.unpack_from("<2H", flash, at))
    assert first & 0xFE0E == 0x940C, f"no jmp at 0x{at:x}"
    return ((first & 0x01F0) << 13 | (first & 1) << 16 | second) * 2


def test_the_same_source_gives_the_same_bytes(image: Path, flash: bytes, tmp_path: Path) -> None:
    """Neither the place nor the time of a build, nor its git folder, is in the image; and the compiler has nothing to say."""
    elsewhere = tmp_path / "firmware"
    shutil.copytree(SOURCES, elsewhere, ignore=shutil.ignore_patterns("build"))
    git = identity(flash)[4]
    command = ["make", "-s", "-C", str(elsewhere), f"GIT=0x{git:08x}ul" if git else "GIT=0ul"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (elsewhere / "build" / "mega2560.hex").read_bytes() == image.with_suffix(".hex").read_bytes()


def test_only_clean_sources_name_their_commit(tmp_path: Path) -> None:
    """The commit that last changed the firmware; none when something differs from it or there is no repository."""
    folder = tmp_path / "firmware"
    folder.mkdir()
    makefile = folder / "Makefile"
    shutil.copy(SOURCES / "Makefile", makefile)

    def named() -> str:
        return run("make", "-s", "-C", folder, "commit").strip()

    def commit(file: Path) -> str:
        who = ("git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org")
        run(*who, "add", file)
        run(*who, "commit", "-q", "-m", file.name)
        return f"0x{run(*who, 'rev-parse', 'HEAD')[:8]}ul"

    assert named() == "0ul"
    run("git", "init", "-q", tmp_path)
    first = commit(makefile)
    assert named() == first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not the firmware")
    assert named() == first
    assert commit(elsewhere) != named() == first
    makefile.write_text(makefile.read_text() + "\n")
    assert named() == "0ul"


def pins() -> dict[str, tuple[str, str]]:
    """Name in pins.h: (chip's pin such as B7, name on the board such as D13)."""
    text = (BOARD / "pins.h").read_text()
    found = re.findall(r"^#define PIN_(\w+) ([A-L]), (\d) +/\* (D\d+)", text, re.MULTILINE)
    analog = re.findall(r"^#define ADC_(\w+) (\d) +/\* (A\d+)", text, re.MULTILINE)
    return {name: (port + bit, on_board) for name, port, bit, on_board in found} | {
        name: (f"F{channel}", on_board) for name, channel, on_board in analog
    }


def test_pins_are_where_the_board_has_them() -> None:
    """Every pin of pins.h is fitted to the Arduino's header under the name in its comment, and none is used twice."""
    found = pins()
    text = (BOARD / "pins.h").read_text()
    named = re.findall(r"^#define (?:PIN|ADC)_(\w+) ", text, re.MULTILINE)
    assert set(named) - {"BANDGAP", "STEPS"} == set(found)
    assert len(set(found.values())) == len(found)
    for name, (chip, on_board) in found.items():
        expected = ARDUINO[int(on_board[1:])] if on_board[0] == "D" else f"F{on_board[1:]}"
        assert chip == expected, name


def test_the_wiring_table_is_the_pin_map() -> None:
    """README's table names every pin of pins.h with its name on the board and on the chip, and no other."""
    text = (SOURCES / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([AD]\d+) \| P([A-L]\d) \|", text, re.MULTILINE)
    assert {name: (chip, on_board) for name, on_board, chip in rows} == pins()
    assert len(rows) == len(pins())
