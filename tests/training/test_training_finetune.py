"""Full fine-tuning on drawn shapes: learns, repeats itself bit for bit, survives Ctrl-C."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.weights import read_weights
from bin_daemon.training.data import load
from bin_daemon.training.finetune import Finetuning, Validation
from bin_daemon.training.order import EpochOrder, Shares
from bin_daemon.training.pictures import AugmentRecipe, TrainingPictures
from bin_daemon.training.recipe import FinetuneRecipe, LossRecipe
from bin_daemon.training.run import Order, train_bundle
from bin_daemon.training.screen import QuietScreen
from bin_daemon.training.start import find_start

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

PLAIN = AugmentRecipe(auto_augment="", erase_prob=0.0, min_scale=0.8)
RECIPE = FinetuneRecipe(
    epochs=8,
    batch_size=16,
    lr=4e-3,
    weight_decay=0.05,
    warmup_epochs=1,
    layer_decay=1.0,
    drop_path=0.0,
    head_init_scale=1.0,
    augment=PLAIN,
)


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
    short = replace(RECIPE, epochs=1, warmup_epochs=0, drop_path=0.3, augment=AugmentRecipe(mixup=0.2, cutmix=0.2))
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
    """NaN weights would be written otherwise: epoch, step and the mend are named."""
    start = find_start(str(tiny_bundle.path), None)
    network = start.network(4, seed=0)
    recipe = RECIPE.resolved("convnext_atto", from_weights=True, processes=1)
    training = Finetuning(network, load(shapes), start.preprocessing, recipe, seed=1)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="nan in epoch 1, step 1") as caught:
        next(iter(training.epochs(lambda _n: Validation(0.0, 0.0))))
    assert "--lr" in caught.value.hint


def test_a_batch_in_portions_is_the_same_batch(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Gradients added up over portions give the weights of the whole batch, to rounding."""
    short = replace(RECIPE, epochs=2)
    train(shapes, tiny_bundle, tmp_path / "whole", short)
    train(shapes, tiny_bundle, tmp_path / "portions", replace(short, batch_per_step=4))
    whole, portions = (read_weights(tmp_path / x / "model.safetensors") for x in ("whole", "portions"))
    assert max(float(np.abs(np.subtract(whole[k], portions[k])).max()) for k in whole) < 1e-4


def test_order_is_a_function_of_seed_epoch_and_position() -> None:
    """Every picture once an epoch but the last few; processes share each batch's portions; a skip leaves the rest as it was."""
    labels = np.repeat([0, 1], [20, 5])
    alone = EpochOrder(labels, Shares(8, 2), seed=5)
    portions = list(alone)
    assert len(portions) == len(alone) == 12  # 3 batches of 8; one picture waits
    assert len({x for portion in portions for x in portion}) == 24
    shared = [list(EpochOrder(labels, Shares(8, 2, rank, 2), seed=5)) for rank in (0, 1)]
    assert [x for pair in zip(*shared, strict=True) for x in pair] == portions
    numbers = [Shares(8, 2, rank, 2).number(step, turn) for step in range(2) for turn in (0, 1) for rank in (0, 1)]
    assert numbers == [Shares(8, 2).number(step, turn) for step in range(2) for turn in range(4)] == list(range(8))
    alone.skip = 2
    assert list(alone) == portions[8:]
    alone.epoch, alone.skip = 1, 0
    assert [[x[1] for x in portion] for portion in alone] != [[x[1] for x in portion] for portion in portions]


def test_balanced_draws_show_rare_labels_as_often() -> None:
    """With power 1 a label of 5 pictures is shown about as often as one of 95; by loss or not at all, it is not."""
    labels = np.repeat([0, 1], [95, 5])
    for power, low, high in ((1.0, 0.35, 0.65), (0.0, 0.05, 0.05)):
        order, shown = EpochOrder(labels, Shares(100, 100), seed=1, draw_power=power), []
        for epoch in range(20):
            order.epoch = epoch
            shown += [labels[place] for portion in order for _, place in portion]
        assert low <= np.mean(shown) <= high


def test_frozen_parts_stay_to_the_bit(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """--freeze-to stages.1 leaves stem and two stages as they came; the rest learns, with balanced draws and focal loss."""
    loss = LossRecipe(balance=1.0, hard_gamma=2.0)
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0, freeze_to="stages.1", balance_by="draw", loss=loss)
    train(shapes, tiny_bundle, tmp_path / "out", recipe)
    before, after = read_weights(tiny_bundle.weights_path), read_weights(tmp_path / "out" / "model.safetensors")
    for name, value in before.items():
        frozen = name.startswith(("stem.", "stages.0.", "stages.1."))
        same = value.shape == after[name].shape and bool((value == after[name]).all())
        assert same == frozen, name
