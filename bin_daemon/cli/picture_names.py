"""The pictures that a command's arguments name: files, folders, and `-` for standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

STDIN = Path("-")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
"""What counts as a picture in a folder; a file that is named itself may be called anything."""


def expand(names: Iterable[Path]) -> Iterator[Path]:
    """Each file as it was named; a folder as the pictures in it and below it, sorted; a folder without any as itself."""
    for name in names:
        if not name.is_dir():
            yield name
            continue
        found = sorted(x for x in name.rglob("*") if x.suffix.lower() in SUFFIXES and not x.is_dir())
        yield from found or [name]


def open_picture(name: Path) -> Image.Image:
    """Read the picture, from standard input for `-`; ModelError when it is none."""
    from bin_daemon.errors import ModelError
    from bin_daemon.model.picture import read_picture, read_stream

    if name == STDIN:
        return read_stream(sys.stdin.buffer, "standard input")
    if name.is_dir():
        raise ModelError(f"{name}: no picture in this folder", hint=f"known endings: {' '.join(sorted(SUFFIXES))}")
    return read_picture(name)
