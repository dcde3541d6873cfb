"""`bin-daemon evaluate`: what a model is worth on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with train/, val/ and test/, each holding LABEL/*.jpg.")],
    *,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Bundle folder. Default: the active bundle, else the stand-in.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    labels: Annotated[
        Path | None, typer.Option(help="CSV table label,category. Default: labels.csv or MANIFEST.csv in DATA.")
    ] = None,
    trays: Annotated[
        bool, typer.Option("--trays", help="Cut the items out and lay them on the simulated bin's tray first.")
    ] = False,
    engine: Annotated[str, typer.Option(help="auto, torch or onnx.")] = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write report.json and answers.csv to this folder.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Config file: state folder and label overrides.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure a model: category accuracy, confusion, precision and recall, calibration, risk-coverage, expected cost."""
    from bin_daemon.training.evaluate import Question, evaluate_model
    from bin_daemon.training.screen import open_screen

    question = Question(data, model, split, labels, trays=trays, engine=engine, out=out, config=config)
    with open_screen(as_json=as_json, log=None) as screen:
        evaluate_model(question, screen)
