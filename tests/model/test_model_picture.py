"""Picture files: every kind becomes RGB, upright; what is no picture is one clear error."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bin_daemon.errors import ModelError
from bin_daemon.model import picture as picture_module
from bin_daemon.model.picture import MAX_PIXELS, read_picture, read_stream

RED = (200, 30, 40)


def _half_red(mode: str = "RGB") -> Image.Image:
    picture = Image.new("RGB", (40, 20), (250, 250, 250))
    picture.paste(RED, (0, 0, 20, 20))
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("plain.png", _half_red()),
        ("alpha.png", _half_red("RGBA")),
        ("palette.png", _half_red().quantize(8)),
        ("cmyk.tiff", _half_red("CMYK")),
        ("lab.bmp", _half_red()),
        ("web.webp", _half_red()),
        ("jpeg.jpg", _half_red()),
        ("cmyk.jpg", _half_red("CMYK")),
    ],
)
def test_colour_kinds_become_rgb(name: str, picture: Image.Image, tmp_path: Path) -> None:
    """The red half stays red within what the file kind loses."""
    picture.save(tmp_path / name, quality=100)
    found = read_picture(tmp_path / name)
    assert found.mode == "RGB"
    assert found.size == (40, 20)
    assert np.abs(np.asarray(found)[10, 5].astype(int) - RED).max() <= 12


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    """As the model's own pipeline: a transparent pixel keeps its colour."""
    Image.new("RGBA", (4, 4), (*RED, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png").getpixel((1, 1)) == RED


def test_a_palette_with_alpha_steps_keeps_its_colours(tmp_path: Path) -> None:
    """Pillow warns of such files and mangles them on the direct way to RGB."""
    _half_red().quantize(8).save(tmp_path / "steps.png", transparency=bytes([0, 128, 255, 10, 20, 30, 40, 50]))
    assert read_picture(tmp_path / "steps.png").getpixel((5, 10)) == RED


@pytest.mark.parametrize(("mode", "value", "wanted"), [("L", 77, 77), ("1", 1, 255), ("LA", (77, 9), 77)])
def test_grey_kinds_become_equal_channels(mode: str, value: Any, wanted: int, tmp_path: Path) -> None:
    """Grey, black-and-white, grey with alpha."""
    Image.new(mode, (3, 3), value).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png").getpixel((1, 1)) == (wanted,) * 3


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    """Mid grey of 16 bits is mid grey of 8; Pillow alone makes it white."""
    Image.fromarray(np.array([[0, 32_896], [65_535, 257]], np.uint16)).save(tmp_path / "deep.png")
    assert np.asarray(read_picture(tmp_path / "deep.png"))[:, :, 0].tolist() == [[0, 128], [255, 1]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int, tmp_path: Path) -> None:
    """A phone's picture stands upright for all eight orientations."""
    upright = _half_red()
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "phone.png", exif=exif)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "phone.png")), np.asarray(upright))


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return header + struct.pack(">I", 1000) + b"IDAT"


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A 41-byte file that claims 900 megapixels, and one that claims a little above the limit."""
    for side in (30_000, 13_380):
        (tmp_path / "bomb.png").write_bytes(_png_header(side, side))
        with pytest.raises(ModelError, match=f"more than {MAX_PIXELS} pixels"):
            read_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a picture"),
        (_png_header(9, 9), "cannot be read"),
        (b"\xff\xd8\xff", "not a picture"),
    ],
)
def test_what_is_no_picture_is_one_error(content: bytes, message: str, tmp_path: Path) -> None:
    """Empty, text, a header only: named, with a hint."""
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_picture(tmp_path / "bad.jpg")
    assert "bad.jpg" in str(caught.value)
    assert caught.value.hint


def test_only_kinds_of_photographs_are_decoded(tmp_path: Path) -> None:
    """PostScript would be run by Ghostscript, and rare decoders are where the holes are: never tried."""
    Image.new("RGB", (8, 8), RED).save(tmp_path / "drawing.eps")
    Image.new("RGB", (8, 8), RED).save(tmp_path / "texture.dds")
    for name in ("drawing.eps", "texture.dds"):
        with pytest.raises(ModelError, match="not a picture of a known kind"):
            read_picture(tmp_path / name)


def test_whatever_a_decoder_raises_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's AVIF decoder raises RuntimeError on a damaged file; nothing may come through as a traceback."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Failed to decode image")

    (tmp_path / "item.png").write_bytes(b"any")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ModelError, match="cannot be read: Failed to decode image"):
        read_picture(tmp_path / "item.png")


def test_a_truncated_photo_is_refused(tmp_path: Path) -> None:
    """Half a JPEG would show a grey half: refused."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "half.jpg")
    content = (tmp_path / "half.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"half\.jpg: cannot be read: .*truncated"):
        read_picture(tmp_path / "half.jpg")


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    """A folder and a name that is not there."""
    with pytest.raises(ModelError, match="is a folder"):
        read_picture(tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        read_picture(tmp_path / "nothing.png")


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    """A measurement in TIFF has no known range to show."""
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "depth.tiff")
    with pytest.raises(ModelError, match="floating-point"):
        read_picture(tmp_path / "depth.tiff")


def test_a_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    """A FIFO that nobody writes to, a device that never ends: an error at once."""
    os.mkfifo(tmp_path / "pipe.jpg")
    for file in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(ModelError, match="is no regular file"):
            read_picture(file)


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9'/></svg>",
        b"<!doctype html><html><img></html>",
        b"%PDF-1.7",
    ],
)
def test_drawings_and_pages_are_no_photographs(content: bytes, tmp_path: Path) -> None:
    """SVG, HTML (a login page that was saved as a picture) and PDF under a picture's name."""
    (tmp_path / "item.jpg").write_bytes(content)
    with pytest.raises(ModelError, match=r"item\.jpg: not a picture of a known kind"):
        read_picture(tmp_path / "item.jpg")


def test_a_zero_byte_in_a_name_is_one_error() -> None:
    """Not a traceback out of the operating system's call."""
    with pytest.raises(ModelError, match="cannot be read"):
        read_picture(Path("a\0b.jpg"))


def test_a_stream_is_read_to_its_end_and_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture from a pipe is the picture of the file; an endless stream is refused."""
    content = io.BytesIO()
    _half_red().save(content, "PNG")
    found = read_stream(io.BytesIO(content.getvalue()), "standard input")
    assert np.array_equal(np.asarray(found), np.asarray(_half_red()))
    monkeypatch.setattr(picture_module, "MAX_STREAM_BYTES", 50)
    with pytest.raises(ModelError, match=r"standard input: more than 0 MiB"):
        read_stream(io.BytesIO(content.getvalue()), "standard input")
