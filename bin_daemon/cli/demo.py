"""`bin-daemon demo`: a bin sorting photographs before your eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    *,
    items: Annotated[int, typer.Option(min=1, max=1000, help="How many items people bring.")] = 12,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines on stdout: one object an item, last a summary.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed, other items and hands.")] = 7,
    photos: Annotated[str, typer.Option(help="auto, stamps, drawn, or a folder of photographs.")] = "auto",
    fetch: Annotated[
        bool,
        typer.Option("--fetch", help="Fetch the photographs of Debian's tuxpaint-stamps-default first (160 MB, once)."),
    ] = False,
    model: Annotated[Path | None, typer.Option(help="Bundle folder; default: the stand-in model.")] = None,
) -> None:
    """Show the whole line at work: simulated camera and lids, everything else real. Needs no hardware; ends by itself.

    Exit 0 when the line worked, whatever was sorted right or wrong.
    """
    from bin_daemon.demo import DemoOptions, play

    raise typer.Exit(
        play(DemoOptions(items=items, as_json=as_json, seed=seed, photos=photos, fetch=fetch, model=model))
    )
