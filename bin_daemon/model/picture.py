"""From a picture file of any kind to an 8-bit RGB picture, or one clear error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

MAX_PIXELS = 178_956_970
"""Pillow's own limit (537 MB as RGB), checked before any pixel is decoded: more is a decompression bomb, not an item."""

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
"""What a camera or a phone writes. Pillow knows 35 more: rarely used decoders, and EPS, for which it starts Ghostscript."""

_HINT = "give a JPEG, PNG, WebP, BMP or TIFF photograph"


def read_picture(file: Path) -> Image.Image:
    """Read a picture file as RGB, turned upright by its EXIF orientation.

    Grey, palette, CMYK and other modes are converted; 16-bit grey is scaled to 8 bits; alpha is dropped, as the model's
    own pipeline drops it. Raises ModelError when there is no such file, it is no picture, damaged, or above MAX_PIXELS.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of half the limit, and of odd metadata that we do not use
            with Image.open(file, formats=KINDS) as picture:
                return _to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        reason = "the file is empty" if file.stat().st_size == 0 else "not a picture of a known kind"
        raise ModelError(f"{file}: {reason}", hint=_HINT) from None
    except Image.DecompressionBombError:
        raise ModelError(f"{file}: more than {MAX_PIXELS} pixels", hint="give a smaller picture") from None
    except FileNotFoundError:
        raise ModelError(f"{file}: no such file", hint=_HINT) from None
    except MemoryError:
        raise ModelError(f"{file}: too large for this machine's memory", hint="give a smaller picture") from None
    except Exception as error:  # noqa: BLE001 - on damaged files Pillow's decoders raise nearly everything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ModelError(f"{file}: cannot be read: {reason}", hint=_HINT) from None


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
