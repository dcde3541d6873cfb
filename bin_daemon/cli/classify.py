"""`bin-daemon classify`: what the model makes of picture files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from bin_daemon.config import Settings
    from bin_daemon.domain import Classification
    from bin_daemon.model.classify import Classifier

BAR_CHARACTERS = 24


def classify(
    pictures: Annotated[list[Path], typer.Argument(metavar="IMG...", help="Photographs to judge.", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Model bundle; default: the active one, else the stand-in."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, max=1000, help="Show the N most probable labels.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, one a line.")] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Config file; default /etc/bin-daemon/bin.toml where it exists."),
    ] = None,
) -> None:
    """Say which category and label the model sees in each picture.

    A picture that cannot be judged is told of, the others go on, and the command then ends with status 1.
    """
    from bin_daemon.config import load_settings
    from bin_daemon.errors import BinError

    classifier = _open(load_settings(config), model)
    failed = False
    for picture in pictures:
        try:
            verdict = classifier.classify_picture(picture, top)
        except BinError as error:
            failed = True
            _show_error(picture, error, as_json=as_json)
            continue
        if as_json:
            _print_json(_as_dict(picture, verdict))
        else:
            _console().print(_as_table(picture, verdict))
    if failed:
        raise typer.Exit(1)


def _open(settings: Settings, model: Path | None) -> Classifier:
    import platformdirs

    from bin_daemon.model.classify import open_classifier
    from bin_daemon.model.standin import ensure_standin
    from bin_daemon.model.store import active_bundle

    path = model or settings.model.bundle or active_bundle(settings.service.state_dir)
    if path is None:
        path = ensure_standin(platformdirs.user_cache_path("bin-daemon"))
    section = settings.model
    overrides = {} if model else section.label_overrides  # another model may lack the labels of the site's rules
    return open_classifier(
        path,
        engine=section.engine,
        threads=section.threads,
        cores=section.cores,
        state_dir=settings.service.state_dir,
        overrides=overrides,
    )


def _as_dict(picture: Path, verdict: Classification) -> dict[str, Any]:
    return {
        "path": str(picture),
        "category": verdict.category,
        "categories": {category.value: p for category, p in verdict.category_probs.items()},
        "top": [[x.label, x.index, x.probability] for x in verdict.top5],
    }


def _as_table(picture: Path, verdict: Classification) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(str(picture)), title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(min_width=12, overflow="fold")
    table.add_column(width=BAR_CHARACTERS)
    table.add_column(justify="right", width=7)
    for category, p in sorted(verdict.category_probs.items(), key=lambda x: -x[1]):
        table.add_row(Text(category.value, "bold" if category is verdict.category else ""), _bar(p), f"{p:.1%}")
    table.add_section()
    for score in verdict.top5:
        table.add_row(Text(f"{score.index}: {score.label}"), _bar(score.probability), f"{score.probability:.1%}")
    table.add_row()
    return table


def _bar(probability: float) -> Any:
    from rich.bar import Bar

    return Bar(1.0, 0.0, probability, width=BAR_CHARACTERS, color="green")


def _show_error(picture: Path, error: Exception, *, as_json: bool) -> None:
    from rich.text import Text

    hint = getattr(error, "hint", "")
    text = f"{error} ({hint})" if hint else str(error)
    if as_json:
        _print_json({"path": str(picture), "error": text})
    else:
        _console(stderr=True).print(Text(text, "red"), soft_wrap=True)


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _print_json(value: dict[str, Any]) -> None:
    import orjson

    print(orjson.dumps(value).decode("utf-8"), flush=True)
