"""A controller firmware image: Intel HEX in, one run of bytes out, and the identification block that says what it is.

The block lies somewhere in the flash: 8 bytes ``BINFW 00 01 00``, then board u8, version 3 x u8, git u32 (little endian),
protocol 2 x u8.
"""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from pathlib import Path

from intelhex import HexReaderError, IntelHex

from bin_daemon.errors import ConfigError

MAGIC = b"BINFW\0\1\0"
_BLOCK = struct.Struct("<4BI2B")
MEGA2560 = 1
BOARDS = {0: "simulated", MEGA2560: "mega2560"}
APP_END = 0x3E000
"""The Mega's bootloader lies from here up: 253952 bytes are left for the program (boards.txt, maximum_size)."""
ERASED = 0xFF
END_RECORD = ":00000001FF"
"""Without it the rest of the file is missing: a copy that was cut short at the end of a line."""
FILE_MAX = 4_000_000
"""A full 256 KB in Intel HEX takes 0.7 MB."""
GET_ONE = "build one with `make firmware`, or copy it again"


def board_name(board: int) -> str:
    """In people's words."""
    return BOARDS.get(board, f"unknown board {board}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a firmware is, as its image and its HELLO say it."""

    board: int
    version: tuple[int, int, int]
    git: int
    """First 32 bits of the source commit; 0 = built without git."""
    protocol: tuple[int, int] | None = None

    @property
    def words(self) -> str:
        """Version and commit, as people compare them."""
        return f"{'.'.join(map(str, self.version))} ({f'git {self.git:08x}' if self.git else 'no git'})"

    def same_build(self, other: Identity) -> bool:
        """Version, commit and board are the same."""
        return (self.board, self.version, self.git) == (other.board, other.version, other.git)


@dataclass(frozen=True, slots=True)
class Image:
    """Flash from address 0 on, gaps filled as erased flash reads. ``identity`` None: not one of our firmwares."""

    data: bytes
    identity: Identity | None

    @property
    def sha256(self) -> str:
        """Over ``data``."""
        return hashlib.sha256(self.data).hexdigest()


def image_of(data: bytes) -> Image:
    """From flash bytes: trailing erased bytes are cut off.

    The first block counts: behind a short program may lie the rest of a longer one that was there before.
    """
    data = data[:APP_END].rstrip(bytes([ERASED]))
    start = data.find(MAGIC)
    end = start + len(MAGIC) + _BLOCK.size
    if start < 0 or end > len(data):
        return Image(data, None)
    board, major, minor, patch, git, *protocol = _BLOCK.unpack(data[start + len(MAGIC) : end])
    return Image(data, Identity(board, (major, minor, patch), git, (protocol[0], protocol[1])))


def read_image(file: Path) -> Image:
    """Read an Intel HEX file. Raises `ConfigError`: not there, not HEX, damaged, empty, or reaching into the bootloader.

    Gaps are filled: Arduino's bootloader erases page after page from 0 up, and a skipped page would shift all that follow.
    """
    content = _load(file)
    last = content.maxaddr()
    if last is None:
        raise ConfigError(f"{file}: holds no bytes", hint=GET_ONE)
    if last >= APP_END:
        raise ConfigError(
            f"{file}: reaches up to 0x{last:x}; the bootloader begins at 0x{APP_END:x}",
            hint="this is no image for a Mega 2560 with its bootloader; " + GET_ONE,
        )
    image = image_of(bytes(content.tobinarray(start=0, end=last)))
    if not image.data:
        raise ConfigError(f"{file}: holds nothing but erased flash", hint=GET_ONE)
    return image


def write_hex(image: Image) -> bytes:
    """As Intel HEX, from address 0 without gaps."""
    content = IntelHex()
    content.frombytes(image.data)
    out = io.StringIO()
    content.write_hex_file(out)
    return out.getvalue().encode("ascii")


def _load(file: Path) -> IntelHex:
    content = IntelHex()
    content.padding = ERASED
    try:
        if file.stat().st_size > FILE_MAX:
            raise ConfigError(f"{file}: {file.stat().st_size} bytes are no firmware image", hint=GET_ONE)
        text = file.read_text(encoding="ascii")
        content.loadhex(io.StringIO(text))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", hint="give the path of an image (.hex)") from error
    except (HexReaderError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: damaged, or no Intel HEX file: {error}", hint=GET_ONE) from error
    if not text.rstrip().upper().endswith(END_RECORD):
        raise ConfigError(f"{file}: cut off: its last line is no end record", hint=GET_ONE)
    return content
