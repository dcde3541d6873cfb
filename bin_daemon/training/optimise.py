"""The parts of a training that timm and torch make: parameter groups, AdamW, schedule, average, mixed precision, drop path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from timm.data.mixup import Mixup
from timm.layers.drop import DropPath
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined] # re-exported without __all__
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.model_ema import ModelEmaV3

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from bin_daemon.training.recipe import FinetuneRecipe

BLOCKS_IN_GROUP = 3
"""Of the long third stage: 27 blocks are 9 groups."""
Schedule = Callable[[int], None]
"""Number of steps done -> sets the learning rate of the next one."""


def make_optimizer(network: torch.nn.Module, recipe: FinetuneRecipe) -> Any:
    """AdamW on what is not frozen, no decay on norms and biases, the paper's layer groups where ``layer_decay`` is below 1."""
    if recipe.layer_decay == 1.0:
        return create_optimizer_v2(network, "adamw", lr=recipe.lr, weight_decay=recipe.weight_decay)
    if hasattr(network, "stages") and hasattr(network, "stem"):
        # timm counts every block as a layer: 0.8 to the power of 37 would leave ConvNeXt-Base's stem as good as frozen.
        network.group_matcher = lambda coarse=False: paper_layer  # type: ignore[assignment] # noqa: ARG005 - timm's name
    return create_optimizer_v2(
        network, "adamw", lr=recipe.lr, weight_decay=recipe.weight_decay, layer_decay=recipe.layer_decay
    )


def paper_layer(name: str) -> int:
    """Layer of a ConvNeXt parameter (timm's name), as the paper's optim_factory.py has it: 13 groups and the head for base."""
    stage = re.match(r"stages\.(\d)\.(?:blocks\.(\d+)|(downsample))", name)
    if name.startswith("stem"):
        return 0
    if stage is None:
        return 99
    number, block, downsample = int(stage[1]), int(stage[2] or 0), stage[3]
    if number == 2 and not downsample:  # noqa: PLR2004 - the third stage
        return 3 + block // BLOCKS_IN_GROUP
    return {0: 1, 1: 2, 2: 3, 3: 98}[number]


def make_schedule(optimizer: Any, recipe: FinetuneRecipe, steps: int) -> Schedule:
    """Warm-up, then cosine, step by step; ``steps`` in one epoch. A function of the step alone: nothing of it need be kept."""
    schedule, _ = create_scheduler_v2(
        optimizer,
        "cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs or 0,
        warmup_lr=recipe.lr / 100,
        warmup_prefix=False,
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps,
    )
    if schedule is None:
        raise AssertionError("timm made no schedule")
    update: Schedule = schedule.step_update
    return update


def make_average(network: torch.nn.Module, recipe: FinetuneRecipe) -> ModelEmaV3:
    """The moving average of the weights, by timm."""
    return ModelEmaV3(network, decay=recipe.ema_decay, use_warmup=True)


def make_mixup(recipe: FinetuneRecipe, num_labels: int) -> Mixup | None:
    """Mixup and cutmix by timm, None where neither is wanted; they draw from numpy's global generator."""
    augment = recipe.augment
    if not (augment.mixup or augment.cutmix):
        return None
    return Mixup(  # type: ignore[no-untyped-call]
        augment.mixup, augment.cutmix, label_smoothing=recipe.loss.smoothing, num_classes=num_labels
    )


def precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """The type of mixed precision, None for none; ConfigError where the device has it not."""
    cuda = device.type == "cuda"
    if wanted == "auto":
        wanted = "off" if not cuda else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if wanted == "fp16" and not cuda:
        raise ConfigError("--amp fp16 needs a GPU", hint="--amp bf16 works on a CPU, off is fastest on most")
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]


def set_drop_path(network: torch.nn.Module, rate: float) -> None:
    """Give every block its share of drop path, linearly from 0 to ``rate``, as timm's constructor would."""
    blocks = [x for x in network.modules() if hasattr(x, "drop_path") and not isinstance(x, DropPath)]
    for place, block in enumerate(blocks):
        share = rate * place / max(1, len(blocks) - 1)
        block.drop_path = DropPath(share) if share else torch.nn.Identity()


def freeze(network: torch.nn.Module, last: str) -> list[torch.nn.Module]:
    """Freeze all parts up to ``last``; returns them, for they must stay in eval mode. ConfigError when there is no such part."""
    if not last:
        return []
    parts: dict[str, torch.nn.Module] = {}
    for name, child in network.named_children():
        inner = {f"{name}.{k}": x for k, x in child.named_children()} if name in {"stages", "blocks"} else {name: child}
        parts.update({k: x for k, x in inner.items() if any(True for _ in x.parameters())})
    names = list(parts)[:-1]  # the head always learns
    if last not in names:
        raise ConfigError(f"--freeze-to {last}: the network has no such part", hint=f"one of {', '.join(names)}")
    frozen = [parts[x] for x in names[: names.index(last) + 1]]
    for part in frozen:
        part.requires_grad_(requires_grad=False)
    return frozen
