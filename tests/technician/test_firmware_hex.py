"""Intel HEX in, flash bytes and identity out; no damage passes for an image."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from intelhex import IntelHex

from bin_daemon.errors import ConfigError
from bin_daemon.technician.firmware_image import APP_END, MAGIC, Identity, image_of, read_image, write_hex
from tests.technician.mega_board import program_image


def hex_file(folder: Path, parts: dict[int, bytes]) -> Path:
    """An image file with these bytes at these addresses."""
    content = IntelHex()
    for address, data in parts.items():
        content.puts(address, data)
    text = io.StringIO()
    content.write_hex_file(text)
    file = folder / "image.hex"
    file.write_text(text.getvalue())
    return file


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Bytes, SHA-256 and identity survive the way through a file."""
    image = program_image((1, 2, 3), git=0xC0FFEE11, size=70_000)  # beyond 64 KB: extended address records
    file = tmp_path / "a.hex"
    file.write_bytes(write_hex(image))
    again = read_image(file)
    assert again == image
    assert again.sha256 == image.sha256
    assert again.identity == Identity(1, (1, 2, 3), 0xC0FFEE11, (1, 0))
    assert again.identity.words == "1.2.3 (git c0ffee11)"


def test_gaps_are_filled_and_the_tail_is_cut(tmp_path: Path) -> None:
    """The bootloader erases page after page: no page may be skipped. Erased flash at the end is no part of the image."""
    image = read_image(hex_file(tmp_path, {0: b"\x0c\x94", 1000: b"\x01\xff\xff"}))
    assert len(image.data) == 1001
    assert set(image.data[2:1000]) == {0xFF}
    assert image.identity is None


def test_a_longer_program_before_leaves_its_block_behind() -> None:
    """Read back from a flash that held a longer image: the first block counts."""
    old, new = program_image((1, 0, 0), size=9000), program_image((1, 1, 0), size=3000)
    moved = old.data[:3000] + old.data[300:330] + old.data[3030:]
    found = image_of(new.data + moved[len(new.data) :])
    assert found.identity
    assert found.identity.version == (1, 1, 0)


def test_a_block_at_the_very_end_that_is_cut_off_is_none() -> None:
    """The magic alone is no identity."""
    whole = b"\x0c\x94" + MAGIC + struct.pack("<4BI2B", 1, 1, 0, 0, 5, 1, 0)
    assert image_of(whole + b"\x01").identity
    assert image_of(whole[:-3]).identity is None


def test_no_damaged_file_passes(tmp_path: Path) -> None:
    """Digits changed, lines lost from the end on: an error that names the file, never another image."""
    image = program_image(size=320)
    text = write_hex(image).decode()
    file = tmp_path / "image.hex"
    for at in range(0, len(text), 3):  # 3 divides no line's length: all columns are met
        if (digit := text[at]).isalnum():
            file.write_text(text[:at] + ("0" if digit != "0" else "1") + text[at + 1 :])
            with pytest.raises(ConfigError, match=r"image\.hex"):
                read_image(file)
    lines = text.splitlines(keepends=True)
    for count in range(len(lines)):
        file.write_text("".join(lines[:count]))
        with pytest.raises(ConfigError, match=r"image\.hex"):
            read_image(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut off|no bytes"),
        (b"\x7fELF\x01\x01\x01\xff\xfe", "no Intel HEX file"),
        (b"hello\n", "no Intel HEX file"),
        (b":00000001FF\n", "no bytes"),
        (b":04000000FFFFFFFF00\n:00000001FF\n", "nothing but erased flash"),
        (b":" * 5_000_000, "no firmware image"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, said: str) -> None:
    """Files that somebody may give by mistake: the error says what is wrong, the hint how to get one."""
    file = tmp_path / "wrong.hex"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_image(file)
    assert "make firmware" in caught.value.hint


def test_no_file(tmp_path: Path) -> None:
    """Missing, or a folder."""
    with pytest.raises(ConfigError, match="No such file"):
        read_image(tmp_path / "none.hex")
    with pytest.raises(ConfigError, match="directory"):
        read_image(tmp_path)


def test_nothing_may_reach_into_the_bootloader(tmp_path: Path) -> None:
    """One byte there is too much; the last one below is not."""
    assert read_image(hex_file(tmp_path, {0: b"\x0c", APP_END - 1: b"\x01"}))
    with pytest.raises(ConfigError, match="0x3e000; the bootloader begins"):
        read_image(hex_file(tmp_path, {0: b"\x0c", APP_END: b"\x01"}))
