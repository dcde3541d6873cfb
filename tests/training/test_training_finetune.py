"""Full fine-tuning on drawn shapes: learns, repeats itself bit for bit, survives Ctrl-C."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.weights import read_weights
from bin_daemon.training.data import load
from bin_daemon.training.finetune import FinetuneRecipe, Finetuning
from bin_daemon.training.pictures import AugmentRecipe, EpochOrder, TrainingPictures
from bin_daemon.training.run import Order, train_bundle
from bin_daemon.training.screen import QuietScreen
from bin_daemon.training.start import find_start

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

PLAIN = AugmentRecipe(auto_augment="", erase_prob=0.0, min_scale=0.8)
RECIPE = FinetuneRecipe(epochs=8, batch_size=16, lr=4e-3, weight_decay=0.05, augment=PLAIN)


@pytest.fixture(autouse=True)
def one_thread() -> object:
    """Sums are added in one order only with a fixed number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield None
    torch.set_num_threads(before)


def train(shapes: Path, bundle: Bundle, out: Path, recipe: FinetuneRecipe, seed: int = 1) -> QuietScreen:
    """One training into ``out``; what it recorded."""
    screen = QuietScreen()
    train_bundle(Order(shapes, out, start=str(bundle.path), finetune=recipe, seed=seed), screen)
    return screen


def test_learns_and_beats_the_majority(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """The loss falls, the test accuracy is far above guessing, and the bundle carries metrics and recipe."""
    screen = train(shapes, tiny_bundle, tmp_path / "out", RECIPE)
    losses = [float(str(r["train_loss"])) for r in screen.records if r["event"] == "epoch"]
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0]
    metadata = read_bundle(tmp_path / "out").metadata
    test = metadata.metrics["test"]
    assert isinstance(test, dict)
    assert float(str(test["category_accuracy"])) >= 0.6  # guessing gives 0.25
    assert "test_trays" not in metadata.metrics  # no tray was asked for
    assert metadata.preprocessing == tiny_bundle.metadata.preprocessing


def test_same_seed_same_weights(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Two trainings with one seed are equal bit for bit, whatever the global random state; another seed is not."""
    short = replace(RECIPE, epochs=1, augment=AugmentRecipe())
    train(shapes, tiny_bundle, tmp_path / "a", short)
    torch.rand(5)
    random.random()
    train(shapes, tiny_bundle, tmp_path / "b", short)
    train(shapes, tiny_bundle, tmp_path / "c", short, seed=2)
    a, b, c = (read_weights(tmp_path / x / "model.safetensors") for x in "abc")
    assert all((a[k] == b[k]).all() for k in a)
    assert any((a[k] != c[k]).any() for k in a)


def test_pictures_do_not_depend_on_order(shapes: Path, tiny_bundle: Bundle) -> None:
    """A picture of one epoch is the same whether others were drawn before; another epoch alters it otherwise."""
    data = load(shapes)
    how = tiny_bundle.metadata.preprocessing
    pictures = TrainingPictures(data.splits["train"], how, AugmentRecipe(tray_share=0.5), seed=5)
    first = [pictures[0, i][0] for i in range(6)]
    backward = [pictures[0, i][0] for i in reversed(range(6))][::-1]
    assert all(torch.equal(x, y) for x, y in zip(first, backward, strict=True))
    assert not torch.equal(pictures[1, 0][0], first[0])
    assert first[0].shape == (3, 64, 64)
    order = EpochOrder(48, seed=5)
    assert sorted(order) == [(0, i) for i in range(48)]


def test_ctrl_c_keeps_the_best_epoch(
    shapes: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the third epoch writes the bundle of the first two and says so."""
    whole = Finetuning.epochs

    def interrupted(self: Finetuning, *args: object) -> object:
        for result in whole(self, *args):  # type: ignore[arg-type]
            yield result
            if result.epoch == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(Finetuning, "epochs", interrupted)
    screen = train(shapes, tiny_bundle, tmp_path / "out", RECIPE)
    assert {"event": "interrupted", "epochs_done": 2} in screen.records
    recipe = read_bundle(tmp_path / "out").metadata.metrics["recipe"]
    assert isinstance(recipe, dict)
    assert recipe["epochs_done"] == 2


def test_a_loss_that_is_no_number_stops(shapes: Path, tiny_bundle: Bundle) -> None:
    """NaN weights would be written otherwise: the epoch and the mend are named."""
    start = find_start(str(tiny_bundle.path), None)
    network = start.network(4, seed=0)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    training = Finetuning(network, load(shapes), start.preprocessing, RECIPE, seed=1)
    with pytest.raises(ModelError, match="nan in epoch 1") as caught:
        next(iter(training.epochs(lambda _n: 0.0, lambda _x: None)))
    assert "--lr" in caught.value.hint
