"""Photographs of things with transparent ground, from Debian's ``tuxpaint-stamps-default``: fetched when wanted, never shipped.

The package holds drawings too; the table names photographs only. Its licence is GPL-2 or public domain, per file.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bin_daemon.domain import Category
from bin_daemon.errors import UnreachableError

PACKAGE = "tuxpaint-stamps-default"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
"""Where the package puts them when it is installed."""
FOLDER = "tuxpaint-stamps"
"""The name within the cache folder."""
FETCH_TIMEOUT_S = 900.0
"""160 MB over a slow line; apt-get itself gives up sooner on a dead one."""

# Truth by the national categories (GB/T 19095-2019): ceramics, used plasters, pens, small wooden ware and incandescent bulbs are
# "other" (only fluorescent lamps are hazardous); metal, hard plastic and small electronics are recyclable; mercury is hazardous.
# Used needles are not taken with household waste everywhere; where they are, it is with the hazardous.
TABLE: tuple[tuple[str, Category, str], ...] = (
    ("food/fruit/Apricot_whole.png", Category.KITCHEN, "apricot"),
    ("food/fruit/Cherry_Stella.png", Category.KITCHEN, "cherries"),
    ("food/fruit/Strawberry2.png", Category.KITCHEN, "strawberry"),
    ("food/fruit/avocado.png", Category.KITCHEN, "avocado"),
    ("food/fruit/cherimoya.png", Category.KITCHEN, "cherimoya"),
    ("food/fruit/kiwi.png", Category.KITCHEN, "kiwi"),
    ("food/fruit/lemon.png", Category.KITCHEN, "lemon"),
    ("food/fruit/mandarine.png", Category.KITCHEN, "mandarin"),
    ("food/fruit/orange_seville.png", Category.KITCHEN, "bitter orange"),
    ("food/spices/ginger.png", Category.KITCHEN, "ginger root"),
    ("food/vegetables/broccoli.png", Category.KITCHEN, "broccoli"),
    ("plants/mushrooms/cep-1.png", Category.KITCHEN, "mushroom"),
    ("household/kettle.png", Category.RECYCLABLE, "steel kettle"),
    ("household/key.png", Category.RECYCLABLE, "key"),
    ("household/rubberduck.png", Category.RECYCLABLE, "plastic duck"),
    ("household/dishes/utensils/nutcracker.png", Category.RECYCLABLE, "nutcracker"),
    ("household/tools/hammer.png", Category.RECYCLABLE, "hammer"),
    ("household/tools/plyers.png", Category.RECYCLABLE, "pliers"),
    ("household/tools/saw.png", Category.RECYCLABLE, "hand saw"),
    ("household/tools/toolbox.png", Category.RECYCLABLE, "metal toolbox"),
    ("household/tools/wrench.png", Category.RECYCLABLE, "spanner"),
    ("household/tools/wrench_adjustable.png", Category.RECYCLABLE, "adjustable spanner"),
    ("household/tools/wrench_plumbers.png", Category.RECYCLABLE, "pipe wrench"),
    ("hobbies/camera_35mm.png", Category.RECYCLABLE, "film camera"),
    ("medical/mercurythermometer.png", Category.HAZARDOUS, "mercury thermometer"),
    ("medical/syringe.png", Category.HAZARDOUS, "syringe"),
    ("household/Lightbulb.png", Category.OTHER, "incandescent bulb"),
    ("household/dishes/mug.png", Category.OTHER, "ceramic mug"),
    ("household/dishes/pitcher_small.png", Category.OTHER, "porcelain jug"),
    ("household/dishes/teapot.png", Category.OTHER, "teapot"),
    ("household/arttools/highlighter.png", Category.OTHER, "marker pen"),
    ("household/tools/paintbrush_large.png", Category.OTHER, "paintbrush"),
    ("clothes/clothespin_new.png", Category.OTHER, "clothes peg"),
    ("medical/bandage_adhesive.png", Category.OTHER, "sticking plaster"),
    ("sports/tennis_ball.png", Category.OTHER, "tennis ball"),
)


def find_stamps(cache_dir: Path, installed: Path = INSTALLED) -> Path | None:
    """The folder that holds every file of the table: the cache's or the installed package's; None when there is neither."""
    return next((folder for folder in (cache_dir / FOLDER, installed) if _is_complete(folder)), None)


def fetch_stamps(cache_dir: Path, installed: Path = INSTALLED) -> Path:
    """Fetch the photographs into ``cache_dir`` (160 MB pass by, 2 MB are kept); returns at once when they are there.

    Needs apt-get and dpkg but no root. Raises `UnreachableError`, and leaves nothing behind, when the package cannot be had.
    """
    found = find_stamps(cache_dir, installed)
    if found is not None:
        return found
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".fetch-") as work:
            return _fetch_into(cache_dir / FOLDER, Path(work))
    except OSError as err:
        raise UnreachableError(
            f"The photographs could not be stored in {cache_dir}: {err.strerror or err}.",
            hint="Free some space (400 MB for a moment) or name another cache folder.",
        ) from err


def _fetch_into(target: Path, work: Path) -> Path:
    _run(["apt-get", "download", "-q", PACKAGE], work)
    packages = sorted(work.glob("*.deb"))
    if not packages:
        raise UnreachableError(f"apt-get brought no {PACKAGE}.", hint="Run `apt-get update` as root, then try again.")
    _run(["dpkg", "-x", str(packages[0]), "tree"], work)
    tree, kept = work / "tree" / "usr/share/tuxpaint/stamps", work / FOLDER
    missing = [name for name, _, _ in TABLE if not (tree / name).is_file()]
    if missing:
        raise UnreachableError(
            f"{packages[0].name} lacks {len(missing)} of the {len(TABLE)} photographs, the first is {missing[0]}.",
            hint="This distribution's package is another version; use a folder of your own photographs instead.",
        )
    for name, _, _ in TABLE:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, kept / name)
    shutil.rmtree(target, ignore_errors=True)  # an incomplete one from elsewhere; a complete one was returned above
    return kept.rename(target)


def _run(command: list[str], folder: Path) -> None:
    hint = "Check the network and run `apt-get update` as root; without the photographs drawn items are shown."
    program = shutil.which(command[0])
    if program is None:
        raise UnreachableError(
            f"{command[0]} is not on this machine, so {PACKAGE} cannot be fetched.",
            hint="Only Debian and its kin have it; use a folder of your own photographs, or the drawn items.",
        )
    try:
        subprocess.run(  # noqa: S603 - fixed arguments, the program found on PATH
            [program, *command[1:]], cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as err:
        raise UnreachableError(f"{command[0]} took more than {FETCH_TIMEOUT_S:.0f} s.", hint=hint) from err
    except subprocess.CalledProcessError as err:
        said = (err.stderr or "").strip().splitlines()
        raise UnreachableError(f"{' '.join(command)} failed: {said[-1] if said else 'no message'}", hint=hint) from err


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name, _, _ in TABLE)
