"""`bin-daemon train`: make a model bundle from labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RECIPE, LOSS, PICTURES = "Recipe (default: the model card's)", "Loss", "Pictures"
WORK, HEAD = "Work folder", "Head only"


def train(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with train/, val/ and test/, each holding LABEL/*.jpg; or lists with classname.txt."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle folder to write.")],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="START",
            help="timm:NAME such as timm:convnext_base.fb_in22k, a bundle's folder, a checkpoint file, or imagenet-lite0.",
        ),
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Without --from: timm's ConvNeXt to begin afresh, e.g. convnext_atto.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV table label,category. Default: labels.csv or MANIFEST.csv in DATA.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model for people; empty: the folder's.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pictures, same machine: same weights.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout instead of a progress bar.")] = False,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="Values from this TOML or JSON file, such as a work folder's recipe.json.", rich_help_panel=RECIPE
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training pictures.", rich_help_panel=RECIPE)] = 100,
    batch_size: Annotated[
        int, typer.Option(help="Pictures in one step, of all processes together.", rich_help_panel=RECIPE)
    ] = 128,
    batch_per_step: Annotated[
        int | None,
        typer.Option(
            help="Pictures a process takes at once, where memory is short. Default: its share.", rich_help_panel=RECIPE
        ),
    ] = None,
    lr: Annotated[
        float,
        typer.Option(help="Highest learning rate. Afresh rather 4e-3 x batch / 4096.", rich_help_panel=RECIPE),
    ] = 5e-5,
    min_lr: Annotated[float, typer.Option(help="Where the cosine ends.", rich_help_panel=RECIPE)] = 1e-6,
    weight_decay: Annotated[
        float, typer.Option(help="AdamW's, not on norms and biases.", rich_help_panel=RECIPE)
    ] = 0.1,
    warmup_epochs: Annotated[
        int | None, typer.Option(help="Default: 10, at most a fifth of all.", rich_help_panel=RECIPE)
    ] = None,
    layer_decay: Annotated[
        float | None,
        typer.Option(help="Lower layers learn slower by this factor. Default: 0.8, afresh 1.", rich_help_panel=RECIPE),
    ] = None,
    drop_path: Annotated[
        float | None, typer.Option(help="Default by size: base 0.5, tiny and smaller 0.1.", rich_help_panel=RECIPE)
    ] = None,
    head_init_scale: Annotated[
        float | None, typer.Option(help="Of a new last layer. Default: 0.001, afresh 1.", rich_help_panel=RECIPE)
    ] = None,
    freeze_to: Annotated[
        str, typer.Option(metavar="PART", help="Keep the parts up to this one, e.g. stages.1.", rich_help_panel=RECIPE)
    ] = "",
    clip_norm: Annotated[float, typer.Option(help="Longest gradient; 0: any.", rich_help_panel=RECIPE)] = 5.0,
    ema_decay: Annotated[float, typer.Option(help="Moving average of the weights.", rich_help_panel=RECIPE)] = 0.9999,
    amp: Annotated[
        str,
        typer.Option(help="Mixed precision: auto (on a GPU), off, bf16 or fp16.", rich_help_panel=RECIPE),
    ] = "auto",
    smoothing: Annotated[float, typer.Option(help="Label smoothing.", rich_help_panel=LOSS)] = 0.1,
    category_weight: Annotated[
        float,
        typer.Option(help="Of the category's loss beside the label's; 0: the card's plain loss.", rich_help_panel=LOSS),
    ] = 1.0,
    balance: Annotated[
        float | None,
        typer.Option(
            help="Rare labels count more: 0 not, 1 as much as all others. Default: 0, with --head-only 0.5.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    balance_by: Annotated[
        str, typer.Option(help="loss: they weigh more; draw: they are shown more.", rich_help_panel=LOSS)
    ] = "loss",
    hard_gamma: Annotated[
        float, typer.Option(help="Focal loss: hard pictures count more; 2 is usual, 0 off.", rich_help_panel=LOSS)
    ] = 0.0,
    auto_augment: Annotated[
        str, typer.Option(help="timm's words for it; empty: none.", rich_help_panel=PICTURES)
    ] = "rand-m9-mstd0.5-mmax9-inc1",
    erase_prob: Annotated[float, typer.Option(help="Of erasing a part.", rich_help_panel=PICTURES)] = 0.25,
    min_scale: Annotated[float, typer.Option(help="Least share that a crop keeps.", rich_help_panel=PICTURES)] = 0.08,
    mixup: Annotated[float, typer.Option(help="Alpha of mixing two pictures.", rich_help_panel=PICTURES)] = 0.0,
    cutmix: Annotated[float, typer.Option(help="Alpha of pasting one into another.", rich_help_panel=PICTURES)] = 0.0,
    tray_share: Annotated[
        float | None,
        typer.Option(
            help="Share whose item is laid on a random tray. Default: 0, with --head-only 0.5.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Recipe, log and checkpoints. Default: OUT.train.", rich_help_panel=WORK)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last checkpoint, if any.", rich_help_panel=WORK)
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete the training that lies there first.", rich_help_panel=WORK)
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Between checkpoints, besides every epoch.", rich_help_panel=WORK)
    ] = 10.0,
    checkpoint_steps: Annotated[
        int, typer.Option(min=0, help="The same in steps; 0: by time alone.", rich_help_panel=WORK)
    ] = 0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves for it too (extra train).", rich_help_panel=WORK)
    ] = False,
    export: Annotated[
        str,
        typer.Option(
            metavar="best|last", help="With --resume: make the bundle of these weights now.", rich_help_panel=WORK
        ),
    ] = "",
    head_only: Annotated[
        bool,
        typer.Option(
            "--head-only",
            help="Keep the network as it is and train its last layer: minutes instead of hours.",
            rich_help_panel=HEAD,
        ),
    ] = False,
    export_head: Annotated[
        Path | None,
        typer.Option(help="From imagenet-lite0: also write the head alone to this folder.", rich_help_panel=HEAD),
    ] = None,
) -> None:
    """Train a classifier on labelled pictures and write it as a model bundle, with its measured metrics.

    Ctrl-C ends the training and keeps the best epoch so far; after a kill --resume goes on to the same weights.

    Several GPUs: torchrun --nproc-per-node N -m bin_daemon train ...
    """
    # What was given of the following is taken from the context: it goes over a recipe file, what was not given does not.
    del (
        start,
        arch,
        seed,
        epochs,
        batch_size,
        batch_per_step,
        lr,
        min_lr,
        weight_decay,
        warmup_epochs,
        layer_decay,
        workers,
    )
    del head_init_scale, freeze_to, clip_norm, ema_decay, amp, smoothing, balance, balance_by, hard_gamma, tray_share
    del auto_augment, erase_prob, min_scale, mixup, cutmix, category_weight, drop_path

    from bin_daemon.training.choice import choose
    from bin_daemon.training.ranks import open_ranks
    from bin_daemon.training.run import Order, train_bundle
    from bin_daemon.training.screen import QuietScreen, open_screen
    from bin_daemon.training.work import LOG_FILE, Cadence, begun, default_work

    folder = work or default_work(out)
    source = context.get_parameter_source
    given = {k: v for k, v in context.params.items() if getattr(source(k), "name", "") == "COMMANDLINE"}
    chosen = choose(given, recipe, folder if resume else None, head_only=head_only)
    order = Order(
        data,
        out,
        start=chosen.start,
        arch=chosen.arch,
        labels=labels,
        head_only=head_only,
        export_head=export_head,
        finetune=chosen.recipe,
        seed=chosen.seed,
        name=name,
        head=chosen.head,
        work=folder,
        resume=resume,
        restart=restart or head_only,
        cadence=Cadence(checkpoint_minutes, checkpoint_steps),
        tensorboard=tensorboard,
        export=export,  # type: ignore[arg-type] # `check` looks at it
    )
    order.check()
    with open_ranks() as ranks:
        if not ranks.first:
            train_bundle(order, QuietScreen(), ranks)
            return
        with (
            begun(folder, resume=resume, restart=order.restart) as going_on,
            open_screen(as_json=as_json, log=folder / LOG_FILE, append=going_on) as screen,
        ):
            train_bundle(order, screen, ranks)
