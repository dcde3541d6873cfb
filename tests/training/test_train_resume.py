"""A training that was killed at any moment goes on to the very weights it would have had."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.weights import read_weights
from bin_daemon.training.checkpoint import listed
from bin_daemon.training.run import train_bundle
from bin_daemon.training.screen import QuietScreen
from tests.training.killed import order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

CASES = {
    "begun": "step:1",
    "middle": "step:4",
    "end": "step:6",
    "partial": "partial:3",
    "best": "best:1",
    "workers": "step:5",
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sums are added in one order only with a fixed number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def killed(shapes: Path, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one work folder of a killed training for each of `CASES`, and the training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("killed")
    words = [str(shapes), str(tiny_bundle.path), str(folder), *(f"{k}={v}" for k, v in CASES.items())]
    subprocess.run([sys.executable, "-m", "tests.training.killed", *words], check=True, timeout=150)
    train_bundle(order(shapes, str(tiny_bundle.path), folder, "undisturbed"), QuietScreen())
    return folder


@pytest.mark.parametrize("name", CASES)
def test_the_same_weights_to_the_bit(name: str, killed: Path, shapes: Path, tiny_bundle: Bundle) -> None:
    """SIGKILL before the first checkpoint, within an epoch, before the last validation, half-way through a checkpoint, between
    best weights and checkpoint, and with workers: --resume ends in the weights and metrics of the undisturbed training.
    """
    screen = QuietScreen()
    assert not (killed / name).exists()
    train_bundle(order(shapes, str(tiny_bundle.path), killed, name, resume=True), screen)
    went_on = [r for r in screen.records if r["event"] == "resumed"]
    assert len(went_on) == (0 if name == "begun" else 1)
    wanted, found = (read_weights(killed / x / "model.safetensors") for x in ("undisturbed", name))
    assert all((wanted[k] == found[k]).all() for k in wanted)
    wanted_metrics, found_metrics = (read_bundle(killed / x).metadata.metrics for x in ("undisturbed", name))
    assert wanted_metrics["test"] == found_metrics["test"]
    left = sorted(x.suffix for x in (killed / f"{name}.train").iterdir())
    assert ".partial" not in left
    assert left.count(".pt") <= 2
    assert left.count(".safetensors") <= 2


def test_a_damaged_checkpoint_is_passed_over(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """The one before it is taken with a warning, and the weights are the same; with all damaged, one error says what to do."""
    whole = order(shapes, str(tiny_bundle.path), tmp_path, "a")
    train_bundle(whole, QuietScreen())
    wanted = read_weights(tmp_path / "a" / "model.safetensors")
    newest, _ = listed(whole.work_folder)
    newest.write_bytes(newest.read_bytes()[:-100])
    screen = QuietScreen()
    train_bundle(replace(whole, resume=True), screen)
    assert [r["event"] for r in screen.records if r["event"] in {"warning", "resumed"}] == ["warning", "resumed"]
    found = read_weights(tmp_path / "a" / "model.safetensors")
    assert all((wanted[k] == found[k]).all() for k in wanted)
    assert newest.name in str(screen.records)
    for file in listed(whole.work_folder):
        file.write_bytes(b"")
    with pytest.raises(ModelError, match="none of 2 checkpoints") as caught:
        train_bundle(replace(whole, resume=True), QuietScreen())
    assert "--restart" in caught.value.hint


def test_other_options_are_refused_by_name(killed: Path, shapes: Path, tiny_bundle: Bundle) -> None:
    """Whatever shapes the weights may not change on the way; how many workers there are may."""
    same = order(shapes, str(tiny_bundle.path), killed, "undisturbed", resume=True)
    other = replace(same, seed=2, finetune=replace(same.finetune, lr=1e-3, workers=3))
    with pytest.raises(ConfigError, match=r"lr is 0\.001, was 0\.004; seed is 2, was 1$"):
        train_bundle(other, QuietScreen())


def test_a_begun_work_folder_is_not_overwritten(killed: Path, shapes: Path, tiny_bundle: Bundle) -> None:
    """Neither by mistake nor by half: without --resume or --restart the error names both, and all stays as it was."""
    again = order(shapes, str(tiny_bundle.path), killed, "undisturbed")
    before = sorted(again.work_folder.iterdir())
    with pytest.raises(ConfigError, match="a training was begun here") as caught:
        train_bundle(again, QuietScreen())
    assert "--resume" in caught.value.hint
    assert "--restart" in caught.value.hint
    assert sorted(again.work_folder.iterdir()) == before


def test_best_and_last_can_be_exported(killed: Path, shapes: Path, tiny_bundle: Bundle) -> None:
    """--resume --export makes the bundle from either without a step of training; the last weights are the last average."""
    same = order(shapes, str(tiny_bundle.path), killed, "undisturbed", resume=True)
    found = {}
    for export in ("best", "last"):
        screen = QuietScreen()
        train_bundle(replace(same, export=export, out=killed / export, work=same.work_folder), screen)
        assert not [r for r in screen.records if r["event"] == "epoch"]
        found[export] = read_weights(killed / export / "model.safetensors")
    state = torch.load(listed(same.work_folder)[0], weights_only=True)
    assert all((state["average"][k].numpy() == v).all() for k, v in found["last"].items())
    undisturbed = read_weights(killed / "undisturbed" / "model.safetensors")
    assert all((undisturbed[k] == v).all() for k, v in found["best"].items())
    assert state["about"]["seed"] == 1
    assert [x["label"] for x in state["about"]["labels"]] == ["apple", "box", "cell", "stripe"]
    assert {"torch", "timm", "numpy", "python", "threads"} <= state["about"]["environment"].keys()
