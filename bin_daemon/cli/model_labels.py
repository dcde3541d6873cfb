"""`bin-daemon model labels`: index, name, category and meaning of each label, for the site's own rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bin_daemon.config import Settings
    from bin_daemon.domain import Category
    from bin_daemon.model.bundle import LabelInfo


def labels(
    find: Annotated[
        str | None,
        typer.Option("--find", metavar="WORD", help="Only labels with this in name or meaning, or this index."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Model bundle. Default: the active one, else the 265 of the card."),
    ] = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a label, one a line.")] = False,
) -> None:
    """List a model's labels: what may stand in model.label_overrides, and what the site's rules make of them."""
    from bin_daemon.config import load_settings
    from bin_daemon.model.label_lookup import search
    from bin_daemon.model.labels import site_rules

    settings = load_settings(config)
    title, infos = _labels(settings, model)
    rules = {} if model else site_rules(infos, settings.model.label_overrides)
    shown = range(len(infos)) if find is None else search(find, infos)
    if as_json:
        for i in shown:
            print_json(_as_dict(i, infos[i], rules))
    else:
        _show(title, infos, list(shown), rules)
    if not shown:
        raise typer.Exit(1)


def _labels(settings: Settings, model: Path | None) -> tuple[str, tuple[LabelInfo, ...]]:
    from bin_daemon.model.bundle import read_metadata
    from bin_daemon.model.store import active_bundle
    from bin_daemon.model.taxonomy import labels265

    path = model or settings.model.bundle or active_bundle(settings.service.state_dir)
    if path is None:
        return "the 265 labels of the card (no model is active)", labels265()
    metadata = read_metadata(path)
    return f"{metadata.name or metadata.id} ({path})", metadata.labels


def _as_dict(index: int, info: LabelInfo, rules: Mapping[int, Category]) -> dict[str, Any]:
    return {
        "index": index,
        "label": info.label,
        "gloss": info.gloss,
        "category": info.category,
        "site_category": rules.get(index, info.category),
        "similar": list(info.similar),
    }


def _show(title: str, infos: tuple[LabelInfo, ...], shown: list[int], rules: Mapping[int, Category]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("index", justify="right")
    table.add_column("label", no_wrap=True)
    table.add_column("category")
    table.add_column("meaning", overflow="fold")
    for i in shown:
        info = infos[i]
        category = Text(info.category.value)
        if i in rules and rules[i] is not info.category:
            category = Text(f"{rules[i].value} (model: {info.category.value})", "bold")
        table.add_row(str(i), Text(info.label), category, Text(info.gloss))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{len(shown)} of {len(infos)} labels")
