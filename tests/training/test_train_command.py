"""`bin-daemon train` as typed: help, curves, mixed precision, resuming without options, and what is refused before any work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
import torch
from typer.testing import CliRunner

from bin_daemon.cli import app
from bin_daemon.errors import BinError
from bin_daemon.model.bundle import read_bundle

if TYPE_CHECKING:
    from bin_daemon.model.bundle import Bundle


@pytest.fixture(scope="module")
def begun(shapes: Path, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch in bf16 with curves; the folder that holds ``model`` and its work folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("begun")
    words = ["train", str(shapes), "--out", str(folder / "model"), "--from", str(tiny_bundle.path), "--json"]
    more = ["--epochs", "1", "--batch-size", "16", "--lr", "0.004", "--amp", "bf16", "--tensorboard", "--name", "Mine"]
    result = CliRunner().invoke(app, [*words, *more])
    assert result.exit_code == 0, result.output
    return folder


def test_curves_log_and_recipe_lie_in_the_work_folder(begun: Path) -> None:
    """TensorBoard reads loss and accuracy from its folder; the bundle's metadata holds the command that makes it again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    work = begun / "model.train"
    curves = EventAccumulator(str(work / "tensorboard"))
    curves.Reload()
    tags = set(curves.Tags()["scalars"])
    assert {"train/loss", "train/lr", "val/accuracy", "val/loss", "val/macro_f1", "val/top1", "val/top5"} <= tags
    epoch = next(x for x in map(orjson.loads, (work / "log.jsonl").read_bytes().splitlines()) if x["event"] == "epoch")
    assert curves.Scalars("val/accuracy")[0].value == pytest.approx(epoch["val_accuracy"])
    assert orjson.loads((work / "recipe.json").read_bytes())["amp"] == "bf16"
    recipe = read_bundle(begun / "model").metadata.metrics["recipe"]
    assert isinstance(recipe, dict)
    command = str(recipe["command"])
    assert "--from tiny" in command
    assert "--epochs 1 --batch-size 16 --lr 0.004 --amp bf16" in command


def test_resume_takes_the_options_of_the_work_folder(begun: Path, shapes: Path) -> None:
    """--resume alone goes on (here: exports the best again) and the log goes on too; an option that differs is refused."""
    log = begun / "model.train" / "log.jsonl"
    before = log.read_bytes()
    words = ["train", str(shapes), "--out", str(begun / "again"), "--work", str(begun / "model.train"), "--resume"]
    result = CliRunner().invoke(app, [*words, "--export", "best"])
    assert result.exit_code == 0, result.output
    assert read_bundle(begun / "again").sha256 == read_bundle(begun / "model").sha256
    assert log.read_bytes().startswith(before)
    refused = CliRunner().invoke(app, [*words, "--epochs", "2"])
    assert isinstance(refused.exception, BinError)
    assert "epochs is 2, was 1" in str(refused.exception)


def test_bad_input_is_refused_before_any_work(begun: Path, shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Each is one of our errors that names the option or file, and nothing is left behind."""
    start, out = ["--from", str(tiny_bundle.path)], tmp_path / "made" / "out"
    one = tmp_path / "one"
    shutil.copytree(shapes, one)
    for label in ("apple", "cell", "stripe"):
        for split in ("train", "val", "test"):
            shutil.rmtree(one / split / label)
    (tmp_path / "file").write_text("mine")
    cases = (
        ([str(tmp_path / "none"), *start], "none"),
        ([str(shapes), *start], "--batch-size 128, but only 48 training pictures"),
        ([str(shapes), *start, "--lr", "0"], "lr: Input should be greater than 0"),
        ([str(shapes), *start, "--arch", "convnext_base"], "--arch convnext_base"),
        ([str(shapes), *start, "--batch-size", "16", "--amp", "fp16"], "fp16 needs a GPU"),
        ([str(shapes), *start, "--batch-size", "16", "--freeze-to", "stages.7"], "stages.7"),
        ([str(shapes), *start, "--export", "best"], "--export best"),
        ([str(shapes), *start, "--resume", "--restart"], "contradict"),
        ([str(shapes), *start, "--recipe", str(tmp_path / "none.toml")], "none.toml"),
        ([str(one), *start, "--batch-size", "4"], "one label only"),
        ([str(shapes), *start, "--batch-size", "16", "--work", str(tmp_path / "file")], "a file, not a folder"),
    )
    for words, said in cases:
        result = CliRunner().invoke(app, ["train", *words, "--out", str(out)])
        assert isinstance(result.exception, BinError), (words, result.output)
        assert said in str(result.exception)
        assert result.exception.hint
        assert not out.parent.exists(), words
    result = CliRunner().invoke(app, ["train", str(shapes), *start, "--out", str(tmp_path / "file")])
    assert "exists and is no model bundle" in str(result.exception)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_work_folder(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Told before any work."""
    tmp_path.chmod(0o555)
    words = ["train", str(shapes), "--from", str(tiny_bundle.path), "--batch-size", "16", "--out", str(tmp_path / "x")]
    result = CliRunner().invoke(app, words)
    tmp_path.chmod(0o755)
    assert "Permission denied" in str(result.exception)


def test_help_reads_well_at_80_columns() -> None:
    """Every option with a word about it, in panels, nothing cut off or wider than the terminal."""
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("Recipe", "Loss", "Pictures", "Work folder", "Head only", "--from", "--resume", "--layer-decay"):
        assert words in result.output
    assert "…" not in result.output
