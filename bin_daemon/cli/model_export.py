"""`bin-daemon model export`: make what an engine needs, and measure how well it agrees before anything is judged with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from bin_daemon.model.agreement import Agreement
    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.photos import Photo

    Export = Callable[[Bundle, list[Photo], Path, Callable[[], None]], tuple[dict[str, Any], Agreement | None]]


class Target(str, Enum):
    """What can be made; the other engines need no file of their own."""

    ONNX = "onnx"
    INT8 = "onnx-int8"
    TENSORRT = "onnx-tensorrt"


def export(
    word: Annotated[
        str | None,
        typer.Argument(metavar="[ID|DIR]", help="Default: the model that the daemon runs.", show_default=False),
    ] = None,
    engine: Annotated[
        Target,
        typer.Option("--engine", help="onnx for CPU and GPU, onnx-int8 for the CPU, onnx-tensorrt builds ahead."),
    ] = Target.ONNX,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            metavar="DIR|CSV",
            help="Compare on these: DIR/*.jpg, DIR/LABEL/*.jpg (a label, its index or a category), or a table file,label.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object on stdout.")] = False,
) -> None:
    """Make the file that an engine runs, and compare it with the exact network.

    int8 needs --pictures and is refused, leaving nothing, when category accuracy falls by more than 0.5 points; without labels,
    when fewer than 99.5 % of the pictures get the same category.
    """
    from bin_daemon.cli.model_store import find_bundle_folder
    from bin_daemon.config import load_settings
    from bin_daemon.errors import ConfigError
    from bin_daemon.model.bundle import read_bundle
    from bin_daemon.model.photos import find_photos
    from bin_daemon.model.store import resolve_bundle

    settings = load_settings(config)
    state_dir = settings.service.state_dir
    path = find_bundle_folder(word, settings) if word else resolve_bundle(settings.model, state_dir)
    if engine is Target.INT8 and pictures is None:
        raise ConfigError(
            "int8 changes answers: without pictures nobody knows how many",
            hint="--pictures DIR with a few hundred photographs, at best in one folder for each label or category",
        )
    bundle = read_bundle(path)
    photos = find_photos(pictures, bundle.metadata) if pictures else []
    with _progress(len(photos), quiet=as_json) as advance:
        facts, agreement = _EXPORTS[engine](bundle, photos, state_dir, advance)
    if as_json:
        print_json({"model": str(path), "engine": engine.value, **facts, "agreement": _as_dict(agreement)})
    else:
        _tell(path, engine, facts, agreement)


def _onnx(
    bundle: Bundle, photos: list[Photo], _: Path, advance: Callable[[], None]
) -> tuple[dict[str, Any], Agreement | None]:
    from bin_daemon.model.export import export as make

    info = make(bundle, photos, advance)
    return info.model_dump(exclude={"agreement"}), info.agreement


def _int8(
    bundle: Bundle, photos: list[Photo], _: Path, advance: Callable[[], None]
) -> tuple[dict[str, Any], Agreement | None]:
    from bin_daemon.model.int8_export import export_int8

    info = export_int8(bundle, photos, advance=advance)
    return info.model_dump(exclude={"agreement"}), info.agreement


def _tensorrt(
    bundle: Bundle, photos: list[Photo], state_dir: Path, advance: Callable[[], None]
) -> tuple[dict[str, Any], Agreement | None]:
    from bin_daemon.model.gpu_export import export_tensorrt

    folder, agreement = export_tensorrt(bundle, state_dir, photos, advance, _tell_build)
    return {"cache": str(folder)}, agreement


_EXPORTS: dict[Target, Export] = {Target.ONNX: _onnx, Target.INT8: _int8, Target.TENSORRT: _tensorrt}


def _tell_build(longest_s: float) -> None:
    typer.echo(f"building for this GPU, once: minutes, at most {longest_s / 60:.0f}", err=True)


def _tell(path: Path, engine: Target, facts: dict[str, Any], agreement: Agreement | None) -> None:
    from bin_daemon.model.agreement import ENOUGH_PICTURES
    from bin_daemon.model.onnx_file import WHOLE_GELU_OPSET

    made = facts.get("cache") or ", ".join(facts["sha256"])
    typer.echo(f"{path}: made {made}")
    if "max_logit_difference" in facts:
        typer.echo(f"largest logit difference to torch on two check pictures: {facts['max_logit_difference']:.2g}")
    if facts.get("opset", WHOLE_GELU_OPSET) < WHOLE_GELU_OPSET:
        typer.echo(
            f"opset {facts['opset']}: this torch takes Gelu apart (slower on a GPU); torch 2.5 and newer keep it whole"
        )
    if facts.get("reduce_range"):
        typer.echo("weights have 7 bits: this CPU adds 8-bit products of more only with overflow")
    if agreement is None:
        return
    typer.echo(
        f"{agreement.pictures} pictures: same category {agreement.same_category:.2%}, same label {agreement.same_top1:.2%}, "
        f"largest logit difference {agreement.max_logit_difference:.2g}"
    )
    if agreement.category_accuracy is not None and agreement.exact_category_accuracy is not None:
        typer.echo(
            f"{agreement.labelled} of them labelled: category accuracy {agreement.category_accuracy:.2%}, "
            f"exact network {agreement.exact_category_accuracy:.2%}"
        )
    if engine is not Target.ONNX and agreement.pictures < ENOUGH_PICTURES:
        typer.echo(f"note: {agreement.pictures} pictures say little; give {ENOUGH_PICTURES} or more")


@contextlib.contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr over the pictures."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=quiet or not total, transient=True) as bar:
        task = bar.add_task("comparing", total=total or None)
        yield lambda: bar.advance(task)


def _as_dict(agreement: Agreement | None) -> dict[str, Any] | None:
    return None if agreement is None else agreement.model_dump() | {"drop_points": agreement.drop_points}
