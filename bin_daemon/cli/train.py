"""`bin-daemon train`: make a model bundle from labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[Path, typer.Argument(help="Folder with train/, val/ and test/, each holding LABEL/*.jpg.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle folder to write.")],
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="BUNDLE", help="Start from this bundle, or from 'imagenet-lite0' (extra demo)."),
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Without --from: timm's ConvNeXt to begin afresh, e.g. convnext_atto.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV table label,category. Default: labels.csv or MANIFEST.csv in DATA.")
    ] = None,
    head_only: Annotated[
        bool,
        typer.Option(
            "--head-only", help="Keep the network as it is and train its last layer: minutes instead of hours."
        ),
    ] = False,
    export_head: Annotated[
        Path | None,
        typer.Option(help="With --head-only from imagenet-lite0: also write the head alone to this folder."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training pictures.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in one step.")] = 32,
    lr: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 5e-5,
    weight_decay: Annotated[float, typer.Option(min=0, help="AdamW's weight decay.")] = 0.1,
    tray_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures whose item is laid on a random tray.")
    ] = 0.5,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pictures, same machine: same weights.")] = 1,
    name: Annotated[str, typer.Option(help="Name of the model for people; empty: the folder's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout instead of a progress bar.")] = False,
) -> None:
    """Train a classifier on labelled pictures and write it as a model bundle, with its measured metrics.

    Ctrl-C ends the training and keeps the best epoch so far.
    """
    from bin_daemon.training.finetune import FinetuneRecipe
    from bin_daemon.training.pictures import AugmentRecipe
    from bin_daemon.training.run import Order, train_bundle
    from bin_daemon.training.screen import open_screen

    recipe = FinetuneRecipe(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        workers=workers,
        augment=AugmentRecipe(tray_share=tray_share),
    )
    order = Order(
        data,
        out,
        start,
        arch,
        labels,
        head_only=head_only,
        export_head=export_head,
        finetune=recipe,
        seed=seed,
        name=name,
    )
    with open_screen(as_json=as_json, log=out.with_name(f"{out.name}.train.jsonl")) as screen:
        train_bundle(order, screen)
