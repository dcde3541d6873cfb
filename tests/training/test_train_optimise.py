"""The parts of a training against their sources: the paper's layer groups, timm's drop path and losses, schedule, precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from bin_daemon.errors import ConfigError
from bin_daemon.training.loss import LossRecipe, SortingLoss
from bin_daemon.training.optimise import freeze, make_optimizer, make_schedule, paper_layer, precision, set_drop_path
from bin_daemon.training.recipe import FinetuneRecipe

CPU = torch.device("cpu")


def network(name: str, **more: Any) -> torch.nn.Module:
    """A network of timm without memory for its weights."""
    with torch.device("meta"):
        made: torch.nn.Module = timm.create_model(name, num_classes=4, **more)
    return made


def test_layers_are_the_papers() -> None:
    """ConvNeXt-Base has the 14 rates of the paper's optim_factory.py, from 0.8 ** 13 in the stem to 1 in the head; no decay on
    norms, biases and layer scale.
    """
    base = network("convnext_base")
    recipe = FinetuneRecipe().resolved("convnext_base", from_weights=True, processes=1)
    optimizer = make_optimizer(base, recipe)
    scale = {id(p): g["lr_scale"] for g in optimizer.param_groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    named = dict(base.named_parameters())
    assert len(scale) == len(named)
    steps = {n: round(float(np.log(scale[id(p)]) / np.log(0.8))) for n, p in named.items()}
    wanted = {
        "stem.0.weight": 13,
        "stages.0.blocks.2.gamma": 12,
        "stages.1.downsample.1.weight": 11,
        "stages.2.downsample.1.weight": 10,
        "stages.2.blocks.0.conv_dw.weight": 10,
        "stages.2.blocks.26.mlp.fc1.weight": 2,
        "stages.3.downsample.1.bias": 1,
        "stages.3.blocks.2.norm.bias": 1,
        "head.norm.weight": 0,
        "head.fc.weight": 0,
    }
    assert {n: steps[n] for n in wanted} == wanted
    assert all((decay[id(p)] == 0.1) == (p.ndim > 1) for p in named.values())
    assert {paper_layer(n) for n in named} == {0, 1, 2, *range(3, 12), 98, 99}


def test_defaults_follow_card_and_start() -> None:
    """From weights: 0.8 and a small head; afresh: neither. Drop path goes by size, warm-up is at most a fifth."""
    card = FinetuneRecipe().resolved("convnext_base", from_weights=True, processes=4)
    assert (card.epochs, card.batch_size, card.lr, card.weight_decay, card.warmup_epochs) == (100, 128, 5e-5, 0.1, 10)
    assert (card.drop_path, card.layer_decay, card.head_init_scale, card.batch_per_step) == (0.5, 0.8, 0.001, 32)
    assert (card.loss.smoothing, card.augment.erase_prob, card.ema_decay) == (0.1, 0.25, 0.9999)
    fresh = FinetuneRecipe(epochs=20).resolved("convnext_atto", from_weights=False, processes=1)
    assert (fresh.layer_decay, fresh.head_init_scale, fresh.drop_path, fresh.warmup_epochs) == (1.0, 1.0, 0.1, 4)


def test_drop_path_is_timms() -> None:
    """Set afterwards it is what timm's constructor sets, block by block; a rate of 0 takes it out again."""
    ours, theirs = network("convnext_tiny"), network("convnext_tiny", drop_path_rate=0.4)
    set_drop_path(ours, 0.4)

    def rates(x: torch.nn.Module) -> list[float]:
        return [float(getattr(m.drop_path, "drop_prob", 0.0)) for m in x.modules() if hasattr(m, "drop_path")]

    assert rates(ours) == pytest.approx(rates(theirs))
    assert max(rates(ours)) == pytest.approx(0.4)
    set_drop_path(ours, 0.0)
    assert not any(rates(ours))


def test_schedule_warms_up_and_falls() -> None:
    """From a hundredth to the full rate in the warm-up, then a cosine down to the least; each layer group keeps its share."""
    base = network("convnext_atto")
    recipe = FinetuneRecipe(epochs=10, warmup_epochs=2, layer_decay=0.8)
    optimizer = make_optimizer(base, recipe)
    set_lr = make_schedule(optimizer, recipe, steps=5)
    seen = []
    for step in range(51):
        set_lr(step)
        seen.append(max(g["lr"] for g in optimizer.param_groups))
        assert all(g["lr"] == pytest.approx(seen[-1] * g["lr_scale"]) for g in optimizer.param_groups)
    assert seen[0] == pytest.approx(5e-7)
    assert np.argmax(seen) == 10
    assert seen[10] == pytest.approx(5e-5, rel=0.12)  # timm's cosine runs beneath the warm-up
    assert seen[50] == pytest.approx(1e-6)
    assert np.all(np.diff(seen[10:]) < 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_loss_is_timms(smoothing: float) -> None:
    """Without category, balance and focal factor it is timm's loss, for labels and for mixed pictures alike."""
    rng = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(6, 5, generator=rng), torch.tensor([0, 1, 2, 3, 4, 0])
    theirs: Any = LabelSmoothingCrossEntropy(smoothing)  # type: ignore[no-untyped-call]
    soft: Any = SoftTargetCrossEntropy()  # type: ignore[no-untyped-call]
    recipe = LossRecipe(smoothing=smoothing, category_weight=0, balance=0)
    loss = SortingLoss(np.array([9, 1, 1, 1, 1]), np.array([0, 0, 1, 2, 3]), recipe)
    assert loss(logits, labels).item() == pytest.approx(theirs(logits, labels).item(), abs=1e-6)
    mixed = torch.rand(6, 5, generator=rng).softmax(1)
    assert loss(logits, mixed).item() == pytest.approx(soft(logits, mixed).item(), abs=1e-6)


def test_mixed_pictures_of_one_label_are_that_label() -> None:
    """Category, balance and focal parts give the same for a label and for all of a picture's share on it."""
    logits, labels = torch.randn(4, 5, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 1, 2, 4])
    recipe = LossRecipe(smoothing=0, category_weight=0.7, balance=0.5, hard_gamma=2)
    loss = SortingLoss(np.array([9, 1, 3, 1, 1]), np.array([0, 0, 1, 2, 3]), recipe)
    one_hot = torch.nn.functional.one_hot(labels, 5).float()
    assert loss(logits, labels).item() == pytest.approx(loss(logits, one_hot).item(), abs=1e-6)


def test_focal_factor_is_the_papers() -> None:
    """-(1 - p) ** gamma * log p, Lin et al. 2017; a picture known well weighs next to nothing."""
    logits, labels = torch.tensor([[4.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 0])
    recipe = LossRecipe(smoothing=0, category_weight=0, balance=0, hard_gamma=2)
    p = logits.softmax(1)[:, 0]
    found = SortingLoss(np.array([1, 1]), np.array([0, 1]), recipe)(logits, labels)
    assert found.item() == pytest.approx((-((1 - p) ** 2) * p.log()).mean().item(), abs=1e-6)


def test_precision_and_freezing_say_what_there_is() -> None:
    """On a CPU auto is off, bf16 works, fp16 is refused; an unknown part to freeze to is refused with the parts there are."""
    assert precision("auto", CPU) is None
    assert precision("bf16", CPU) is torch.bfloat16
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        precision("fp16", CPU)
    with pytest.raises(ConfigError, match=r"stages\.9") as caught:
        freeze(network("convnext_atto"), "stages.9")
    assert caught.value.hint == "one of stem, stages.0, stages.1, stages.2, stages.3"
