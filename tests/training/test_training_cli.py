"""`bin-daemon train` and `bin-daemon evaluate` as a person and a script use them."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

import orjson
import pytest
import torch
from typer.testing import CliRunner

from bin_daemon.cli import app
from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.bundle import read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle


@pytest.fixture(scope="module")
def trained(shapes: Path, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle trained by the command for two epochs; beside it ``stdout.jsonl``."""
    folder = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    words = ["train", str(shapes), "--out", str(folder / "model"), "--from", str(tiny_bundle.path), "--json"]
    result = CliRunner().invoke(
        app, [*words, "--epochs", "2", "--batch-size", "16", "--lr", "0.004", "--tray-share", "0"]
    )
    assert result.exit_code == 0, result.output
    (folder / "stdout.jsonl").write_text(result.stdout)
    return folder


def test_train_writes_bundle_and_log(trained: Path) -> None:
    """Stdout is pure JSON lines, the log in the work folder holds the same, and the bundle is whole."""
    lines = [orjson.loads(x) for x in (trained / "stdout.jsonl").read_text().splitlines()]
    assert [x["event"] for x in lines] == ["data", "epoch", "epoch", "metrics"]
    assert (trained / "model.train" / "log.jsonl").read_text() == (trained / "stdout.jsonl").read_text()
    assert read_bundle(trained / "model").metadata.metrics["test"] == lines[-1]["test"]


def test_evaluate_repeats_the_bundle_s_numbers(trained: Path, shapes: Path, tmp_path: Path) -> None:
    """What training measured, evaluate measures again through the runtime's engine; files and stdout agree."""
    model = trained / "model"
    words = ["evaluate", str(shapes), "--model", str(model), "--engine", "torch", "--json", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    found = orjson.loads(result.stdout)
    stated = read_bundle(model).metadata.metrics["test"]
    assert isinstance(stated, dict)
    for key in ("category_accuracy", "confusion_rows_true", "risk_coverage", "expected_cost"):
        assert found[key] == stated[key]
    assert found["labels_shared"] == 4
    assert found["top1"] == stated["fine_top1"]
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    assert report == {k: v for k, v in found.items() if k != "event"}
    with (tmp_path / "answers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 24
    sums = [sum(float(row[c.value]) for c in Category) for row in rows]
    assert sums == pytest.approx([1.0] * 24, abs=1e-3)


def test_evaluate_counts_bad_pictures_and_foreign_labels(trained: Path, shapes: Path, tmp_path: Path) -> None:
    """A damaged picture is named and left out; a label that the model lacks counts by category alone."""
    copy = tmp_path / "copy"
    shutil.copytree(shapes, copy)
    (copy / "test" / "box" / "0.png").write_bytes(b"no picture")
    (copy / "test" / "apple").rename(copy / "test" / "pear")
    (copy / "labels.csv").write_text((copy / "labels.csv").read_text() + "pear,kitchen\n")
    for split in ("train", "val"):
        shutil.rmtree(copy / split)
    words = ["evaluate", str(copy), "--model", str(trained / "model"), "--engine", "torch"]
    found = orjson.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["items"] == 23
    assert len(found["unreadable"]) == 1
    assert "box/0.png" in found["unreadable"][0]
    assert found["labels_shared"] == 3
    shown = CliRunner().invoke(app, words).stdout
    assert "category accuracy" in shown
    assert "left out" in shown


def test_errors_are_ours(trained: Path, shapes: Path, tmp_path: Path) -> None:
    """A wrong split, engine, folder or bundle is one of our errors with a hint, and nothing is written."""
    for words, kind in (
        (["evaluate", str(shapes), "--split", "holdout"], ConfigError),
        (["evaluate", str(shapes), "--engine", "tpu"], ConfigError),
        (["evaluate", str(tmp_path / "no"), "--model", str(trained / "model")], ConfigError),
        (["evaluate", str(shapes), "--model", str(tmp_path)], ModelError),
        (["train", str(tmp_path / "no"), "--out", str(tmp_path / "out"), "--arch", "convnext_atto"], ConfigError),
    ):
        result = CliRunner().invoke(app, words)
        assert isinstance(result.exception, kind), words
        assert result.exception.hint
    assert not (tmp_path / "out").exists()
