"""The items that a simulated person throws away: photographs where there are some, drawings where not, and which of the two."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.sim.compose import as_card, cut_out
from bin_daemon.sim.drawn import drawn_items
from bin_daemon.sim.stamps import TABLE, find_stamps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bin_daemon.domain import Image

LONG_SIDE_PX = 512
"""No item is shown larger; larger photographs are made smaller when read."""
MOST = 96
"""At most this many photographs of a folder are read, evenly from all categories: 70 MB and a few seconds."""
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_CHOICES = {c.value: c for c in Category}

Kind = Literal["photographs", "drawn"]


@dataclass(frozen=True, slots=True)
class Photo:
    """One item: ``rgba`` is uint8 H x W x 4 in R, G, B, alpha order, cropped to the item."""

    name: str
    category: Category
    rgba: Image


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Items to throw away. ``kind`` says whether they are photographs; ``faults`` tells of each unreadable file, and why."""

    kind: Kind
    items: tuple[Photo, ...]
    faults: tuple[str, ...] = ()


Row = tuple[Path, Category, str]


def load_photos(source: str | Path = "auto", cache_dir: Path | None = None) -> PhotoSet:
    """Read the items of one source.

    ``auto``: the fetched stamps, else drawn items. ``stamps``: the fetched stamps. ``drawn``: drawn items. Anything else is a
    folder of photographs: subfolders named recyclable, kitchen, hazardous and other, or a MANIFEST.csv (columns file, split,
    bin, fine_label; its test split is used). An opaque photograph is cut out where its background is plain, else laid as a card.
    ``cache_dir`` is where `fetch_stamps` put the stamps; default: this user's cache folder.

    Raises `ConfigError` when a named source is not there or holds no readable photograph; one bad file only lands in ``faults``.
    """
    word = str(source) or "auto"
    if word == "drawn":
        return PhotoSet("drawn", _drawn())
    if word in {"auto", "stamps"}:
        folder = find_stamps(cache_dir or default_cache_dir())
        if folder is not None:
            return _read_all([(folder / name, category, title) for name, category, title in TABLE], str(folder))
        if word == "auto":
            return PhotoSet("drawn", _drawn())
        raise ConfigError(
            "The stamps' photographs are not in the cache.",
            hint="Fetch them first (`make demo` does), or use photos=drawn.",
        )
    folder = Path(source).expanduser()
    rows = _manifest_rows(folder) if (folder / "MANIFEST.csv").is_file() else _folder_rows(folder)
    return _read_all(rows, str(folder))


def default_cache_dir() -> Path:
    """This user's cache folder of the program."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("bin-daemon"))


def read_photo(path: Path) -> Image:
    """One picture as uint8 H x W x 4, RGBA, cropped to what can be seen; raises `ConfigError` naming an unreadable file."""
    try:
        with Pillow.open(path) as picture:
            picture.draft("RGB", (LONG_SIDE_PX, LONG_SIDE_PX))
            has_alpha = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
            upright = ImageOps.exif_transpose(picture).convert("RGBA" if has_alpha else "RGB")
            upright.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX))
            pixels = np.array(upright, np.uint8)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as err:
        raise ConfigError(f"{path}: not a readable picture ({err}).", hint="Replace or remove the file.") from err
    if not has_alpha:
        cut = cut_out(np.ascontiguousarray(pixels[..., ::-1]))
        return as_card(pixels) if cut is None else cut
    x, y, w, h = cv2.boundingRect(np.ascontiguousarray(pixels[..., 3]))
    if not w:
        raise ConfigError(f"{path}: wholly transparent.", hint="Replace or remove the file.")
    return np.asarray(pixels[y : y + h, x : x + w].copy(), np.uint8)


def _read_all(rows: list[Row], where: str) -> PhotoSet:
    items: list[Photo] = []
    faults: list[str] = []
    for path, category, name in rows:
        try:
            items.append(Photo(name, category, read_photo(path)))
        except ConfigError as err:  # noqa: PERF203 - one bad file must not stop the others
            faults.append(str(err))
    if not items:
        shown = faults[0] if faults else "no picture found"
        raise ConfigError(
            f"{where}: no readable photograph ({shown}).",
            hint="Give a folder with subfolders "
            + ", ".join(_CHOICES)
            + ", each with photographs, or one with a MANIFEST.csv.",
        )
    return PhotoSet("photographs", tuple(items), tuple(faults))


def _folder_rows(folder: Path) -> list[Row]:
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: no such folder of photographs.", hint="photos= is auto, stamps, drawn or a folder's path."
        )
    found = (
        [
            (path, category, path.stem)
            for path in sorted((folder / category.value).rglob("*"))
            if path.is_file() and path.suffix.lower() in ENDINGS
        ]
        for category in Category
    )
    return _evenly(found)


def _manifest_rows(folder: Path) -> list[Row]:
    table = folder / "MANIFEST.csv"
    by_category: dict[Category, list[Row]] = {c: [] for c in Category}
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["split"] != "test":
                    continue
                path = folder / row["file"]
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise ConfigError(
                        f"{table}: {row['file']} lies outside the folder.", hint="Name files below the folder only."
                    )
                name = f"{row['fine_label'].replace('_', ' ')} {path.stem}"
                by_category[_CHOICES[row["bin"]]].append((path, _CHOICES[row["bin"]], name))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as err:
        raise ConfigError(
            f"{table}: not a table of photographs ({err!r}).",
            hint="It needs the columns file, split, bin and fine_label.",
        ) from err
    return _evenly(by_category.values())


def _evenly(by_category: Iterable[list[Row]]) -> list[Row]:
    """One of each category in turn, spread over each list, at most `MOST`."""
    share = MOST // len(Category)
    spread = [rows[:: max(1, len(rows) // share)][:share] for rows in by_category]
    return [row for row in chain.from_iterable(zip_longest(*spread)) if row is not None]


def _drawn() -> tuple[Photo, ...]:
    return tuple(Photo(name, category, rgba) for name, category, rgba in drawn_items())
