"""`bin-daemon model import`: a foreign checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.importing import Chosen


def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Checkpoint (.pt, .pth, .bin, .safetensors) or a model's folder.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Becomes the bundle; new or empty. Default: the model store."),
    ] = None,
    bundle_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Name for events and folders. Default: from size and content.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Name for people; empty: the id.")] = "",
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="CSV table label,category or classname.txt. Default: the checkpoint's own."
        ),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            "--eps",
            metavar="FAMILY",
            help="mmcls0 (1e-5 in the downsampling norms) or mmpretrain1 (1e-6 everywhere). Default: by the "
            "framework's version in the checkpoint.",
        ),
    ] = None,
    card_preprocessing: Annotated[
        bool,
        typer.Option(
            "--card-preprocessing", help="Prepare pictures as the model's card says, whatever its config says."
        ),
    ] = False,
    licence: Annotated[str, typer.Option("--licence", help="Of the weights.")] = "unknown",
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Turn a ConvNeXt checkpoint of mmcls, mmpretrain, Facebook, timm or torchvision into a model bundle.

    A configuration.json beside the checkpoint decides how pictures are prepared, else the config inside it. Nothing in a
    checkpoint is executed, and the active model stays.
    """
    from bin_daemon.config import load_settings
    from bin_daemon.model.importing import import_checkpoint

    chosen: list[Chosen] = []
    bundle = import_checkpoint(
        path,
        out,
        load_settings(config).service.state_dir,
        labels=labels,
        norm_eps=eps,
        card_preprocessing=card_preprocessing,
        bundle_id=bundle_id,
        name=name,
        licence=licence,
        on_chosen=chosen.append,
    )
    if as_json:
        print_json({"path": str(bundle.path), **found(chosen[0], bundle)})
    else:
        show_import(chosen[0], bundle)


def found(chosen: Chosen, bundle: Bundle) -> dict[str, Any]:
    """What was found and chosen, and why, as plain values."""
    from bin_daemon.model.label_lookup import count_categories

    checkpoint, metadata = chosen.checkpoint, bundle.metadata
    return {
        "id": metadata.id,
        "sha256": bundle.sha256,
        "checkpoint": {"file": str(checkpoint.file), "sha256": checkpoint.sha256, "layout": checkpoint.layout},
        "architecture": metadata.architecture.model_dump(mode="json"),
        "parameters": sum(x.size for x in checkpoint.weights.values()),
        "eps": {"family": checkpoint.norm_eps.family, "reason": checkpoint.norm_eps.reason},
        "labels": {"count": len(chosen.labels), "reason": chosen.labels_reason, **count_categories(chosen.labels)},
        "preprocessing": {**metadata.preprocessing.model_dump(mode="json"), "reason": chosen.preprocessing_reason},
        "licence": metadata.licence,
        "notes": list(checkpoint.notes),
    }


def show_import(chosen: Chosen, bundle: Bundle) -> None:
    """The same for people, with the next step."""
    said = found(chosen, bundle)
    how, sizes = bundle.metadata.preprocessing, said["architecture"]["kwargs"]
    counts = ", ".join(f"{n} {c}" for c, n in said["labels"].items() if c not in {"count", "reason"})
    rows = {
        "network": f"{said['architecture']['name']} {sizes or ''}".strip() + f", {said['parameters']:,} parameters",
        "layout": said["checkpoint"]["layout"],
        "norm eps": f"{said['eps']['family']} ({said['eps']['reason']})",
        "labels": f"{said['labels']['count']}: {counts} ({said['labels']['reason']})",
        "pictures": f"{how.backend} {how.interpolation}, {how.resize} side {how.resize_px}, crop {how.crop_px}, {how.colour}"
        f" ({said['preprocessing']['reason']})",
        "licence": said["licence"],
    }
    for name, text in rows.items():
        print(f"{name:9}  {text}")
    for note in said["notes"]:
        print(f"{'note':9}  {note}")
    print(f"{'bundle':9}  {bundle.path}")
    print(f"next: bin-daemon classify --model {bundle.path} PHOTO.jpg; bin-daemon model activate {bundle.path}")
