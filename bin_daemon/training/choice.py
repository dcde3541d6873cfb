"""Which value counts: the command line's over the recipe file's over that of the training gone on with over the model card's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bin_daemon.errors import ConfigError
from bin_daemon.training.recipe import (
    OPTIONS,
    FinetuneRecipe,
    LossRecipe,
    differences,
    nested,
    read_values,
    with_values,
)
from bin_daemon.training.work import RECIPE_FILE

TRAY_SHARE_OF_HEAD = 0.5
"""A head alone is trained in minutes and for the demo's bin, so it sees trays unless told otherwise."""
BESIDE = {"seed": int, "from": str, "arch": str}
"""What a recipe file holds besides the recipe itself; null where there is none."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a training is to be."""

    recipe: FinetuneRecipe
    head: LossRecipe
    """Loss of a head alone."""
    seed: int
    start: str | None
    arch: str | None


def choose(given: Mapping[str, Any], file: Path | None, going_on: Path | None, *, head_only: bool) -> Chosen:
    """Put the sources of values together.

    Args:
        given: Options of the command line by name, only those that were typed.
        file: A recipe file.
        going_on: Work folder of the training that is resumed.
        head_only: Whether only a head is trained.

    Raises:
        ConfigError: A value is wrong, or differs from the resumed training's; with its name.
    """
    options = {k: v for k, v in given.items() if k in OPTIONS}
    if head_only:
        options = {"tray_share": TRAY_SHARE_OF_HEAD, **options}
    beside = {"from" if k == "start" else k: v for k, v in given.items() if k in {"start", "arch", "seed"}}
    stored = going_on / RECIPE_FILE if going_on else None
    base, known = FinetuneRecipe(), dict[str, Any]()
    if stored is not None and stored.exists():
        base, known = _read(stored, base)
    old = base, dict(known)
    if file is not None:
        base, more = _read(file, base)
        known |= more
    base = with_values(base, nested(options), "command line")
    known |= beside
    if stored is not None and stored.exists():
        _refuse(stored, {**old[0].to_json(), **old[1]}, {**base.to_json(), **known})
    if "from" in beside and "arch" not in beside:
        known["arch"] = None  # a recipe's architecture goes with its own start
    if "arch" in beside and "from" not in beside:
        known["from"] = None
    head = replace(LossRecipe(), **nested(options).get("loss", {}))
    return Chosen(base, head, known.get("seed", 1), known.get("from"), known.get("arch"))


def _refuse(stored: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    if found := differences(old, new):
        raise ConfigError(
            f"{stored.parent}: cannot go on with another recipe: {'; '.join(found)}",
            hint="leave these as they were, or begin again with --restart",
        )


def _read(file: Path, base: FinetuneRecipe) -> tuple[FinetuneRecipe, dict[str, Any]]:
    values = read_values(file)
    beside: dict[str, Any] = {}
    for key, kind in BESIDE.items():
        value = values.pop(key, None)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ConfigError(f"{file}: {key}: {value!r} is no {kind.__name__}", hint="see `bin-daemon train --help`")
        if value is not None:
            beside[key] = value
    return with_values(base, values, str(file)), beside
