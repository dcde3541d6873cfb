"""`bin-daemon evaluate`: what a model is worth on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="DATA/{train,val,test}/LABEL/*.jpg, DATA/LABEL/*.jpg, classname.txt with CSV lists, or a list."
        ),
    ],
    *,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Bundle folder. Default: the active bundle, else the stand-in.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test. auto: test, else val, else what there is.")] = "auto",
    labels: Annotated[
        Path | None,
        typer.Option(
            help="classname.txt, or CSV table label,category. Default: the one in DATA, else the names alone."
        ),
    ] = None,
    match: Annotated[
        str, typer.Option(help="Whose label is whose: name, index (of the 265), category only, or auto.")
    ] = "auto",
    trays: Annotated[
        bool, typer.Option("--trays", help="Cut the items out and lay them on the simulated bin's tray first.")
    ] = False,
    views: Annotated[
        int, typer.Option(help="Show each picture so often, altered, and tell what averaging brings.")
    ] = 1,
    unfamiliar: Annotated[
        Path | None, typer.Option(help="Folder with pictures of other things: how well are they told from waste?")
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out list rows that point nowhere or repeat others.")
    ] = False,
    engine: Annotated[str, typer.Option(help="As model.engine; auto: what the config says.")] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write report.html, report.json, answers.csv here; an interrupted run goes on."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Config file: policy, prices, state folder, label overrides.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, progress as JSON lines on stderr.")
    ] = False,
) -> None:
    """Measure a model: labels, categories, calibration, risk, and what the bin's policy would have done and cost."""
    from bin_daemon.training.evaluate import Question, evaluate_model
    from bin_daemon.training.screen import open_screen

    question = Question(
        data=data,
        model=model,
        split=split,
        labels=labels,
        trays=trays,
        engine=engine,
        out=out,
        config=config,
        views=views,
        unfamiliar=unfamiliar,
        match=match,
        skip_bad_rows=skip_bad_rows,
    )
    with open_screen(as_json=as_json, log=None) as screen:
        evaluate_model(question, screen)
