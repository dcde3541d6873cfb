"""From a picture file of any kind to an 8-bit RGB picture, or one clear error.

What ModelScope's own pipeline makes of a file (modelscope 1.40, mmcls 0.25, mmcv 1.7.2), and what we do. "same" means that the
network's input is equal to the last bit, measured by feeding both the same files:

| picture | ModelScope | here |
|---|---|---|
| portrait, landscape, short side 256, smaller than the crop, 1 x 300, 2 x 5000, 1 x 1, 8000 x 6000 | resized, cropped | same |
| EXIF orientation 1 to 8 | turned upright | same |
| grey, black and white, palette, YCbCr, Lab, CMYK (JPEG, TIFF) | turned to RGB by Pillow | same |
| alpha: RGBA, LA, palette or key colour | dropped, the hidden colour shows | same |
| progressive JPEG, interlaced PNG, GIF and other moving pictures (first frame), WebP, BMP, PPM | decoded | same |
| 16 bits a channel, colour | cut to the upper 8 bits by Pillow | same |
| 16-bit grey | everything above 255 turns white | scaled to 8 bits |
| 32-bit integer or floating-point TIFF | cut to 0..255 | refused: their range is not known |
| truncated, damaged | refused | refused |
| above 178,956,970 pixels | refused | refused |
| array H x W x 3 (BGR), H x W (grey) of uint8 | taken | same |
| array with alpha, of another type or shape | fails inside OpenCV or Pillow | refused |
"""

from __future__ import annotations

import io
import stat
import warnings
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from PIL import Image

MAX_PIXELS = 178_956_970
"""Pillow's own limit (537 MB as RGB), checked before any pixel is decoded: more is a decompression bomb, not an item."""

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
"""What a camera or a phone writes. Pillow knows 35 more: rarely used decoders, and EPS, for which it starts Ghostscript."""

MAX_STREAM_BYTES = 256 << 20
"""Of a picture that comes through a pipe; the largest photographs have a tenth of that."""

_HINT = "give a JPEG, PNG, WebP, BMP or TIFF photograph"


def read_picture(file: Path) -> Image.Image:
    """Read a picture file as RGB, turned upright by its EXIF orientation; see the table above for each kind.

    Raises ModelError when there is no such file, it is no regular file (a pipe would be waited for without end), no picture,
    damaged, or above MAX_PIXELS.
    """
    try:
        found = file.stat()
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ModelError(f"{file}: {what}", hint=_HINT) from None
    except ValueError as error:  # a zero byte in the name
        raise ModelError(f"{str(file)!r}: cannot be read: {error}", hint=_HINT) from None
    if not stat.S_ISREG(found.st_mode):
        what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is no regular file"
        raise ModelError(f"{file}: cannot be read: {what}", hint=_HINT)
    return _decode(file, str(file), is_empty=found.st_size == 0)


def read_stream(stream: BinaryIO, name: str) -> Image.Image:
    """As `read_picture`, from a stream that is read to its end; ``name`` stands in errors."""
    try:
        content = stream.read(MAX_STREAM_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{name}: cannot be read: {error.strerror}", hint=_HINT) from None
    if len(content) > MAX_STREAM_BYTES:
        raise ModelError(f"{name}: more than {MAX_STREAM_BYTES >> 20} MiB", hint="give a smaller picture")
    return _decode(io.BytesIO(content), name, is_empty=not content)


def _decode(source: Path | BinaryIO, name: str, *, is_empty: bool) -> Image.Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of half the limit, and of odd metadata that we do not use
            with Image.open(source, formats=KINDS) as picture:
                return _to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        reason = "the file is empty" if is_empty else "not a picture of a known kind"
        raise ModelError(f"{name}: {reason}", hint=_HINT) from None
    except Image.DecompressionBombError:
        raise ModelError(f"{name}: more than {MAX_PIXELS} pixels", hint="give a smaller picture") from None
    except MemoryError:
        raise ModelError(f"{name}: too large for this machine's memory", hint="give a smaller picture") from None
    except Exception as error:  # noqa: BLE001 - on damaged files Pillow's decoders raise nearly everything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ModelError(f"{name}: cannot be read: {reason}", hint=_HINT) from None


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if picture.mode.startswith("I"):
        return _sixteen_bit_to_rgb(picture)
    if picture.mode == "P" and isinstance(picture.info.get("transparency"), bytes):
        picture = picture.convert("RGBA")  # Pillow drops such alpha wrongly on the direct way
    return picture.convert("RGB")


def _sixteen_bit_to_rgb(picture: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255; Pillow's own conversion cuts everything above 255 to white."""
    import numpy as np
    from PIL import Image

    values = np.asarray(picture).astype(np.float32)
    if values.min() < 0 or values.max() > 65535:  # noqa: PLR2004 - the range of 16 bits
        raise ValueError("32-bit pixels have no known range")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")
