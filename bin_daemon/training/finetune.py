"""Full fine-tuning: AdamW, warm-up and cosine, moving average of the weights; parts from timm, the loop from here.

Same seed, same pictures, same threads: the same weights on a CPU, bit for bit. Nothing is drawn from a hidden random state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined] # re-exported without __all__
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.model_ema import ModelEmaV3
from torch.utils.data import DataLoader

from bin_daemon.errors import ModelError
from bin_daemon.training.loss import LossRecipe, SortingLoss
from bin_daemon.training.pictures import AugmentRecipe, EpochOrder, TrainingPictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.model.bundle import Preprocessing
    from bin_daemon.training.data import DataSet


@dataclass(frozen=True, slots=True)
class FinetuneRecipe:
    """The published recipe of ConvNeXt's fine-tuning where not said otherwise."""

    epochs: int = 100
    batch_size: int = 128
    lr: float = 5e-5
    weight_decay: float = 0.1
    """Not on norms and biases (timm's default)."""
    warmup_epochs: int = 10
    clip_norm: float = 5.0
    """A single bad batch must not throw the weights away."""
    ema_decay: float = 0.9998
    """Warms up with the number of steps, so that short trainings have a useful average too."""
    workers: int = 0
    loss: LossRecipe = field(default_factory=LossRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one epoch brought. ``val_accuracy`` is of the four categories, of the averaged weights."""

    epoch: int
    train_loss: float
    val_accuracy: float
    lr: float


Validate = Callable[[torch.nn.Module], float]
"""Network in eval mode -> category accuracy on held-out pictures."""


@dataclass(slots=True)
class Finetuning:
    """One training; `epochs` runs it step by step, so that the caller may stop after any epoch and keep ``best``."""

    network: torch.nn.Module
    data: DataSet
    how: Preprocessing
    recipe: FinetuneRecipe
    seed: int
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    """Averaged weights of the best epoch so far; the later one where they tie."""
    best_accuracy: float = -1.0

    def epochs(self, validate: Validate, advance: Callable[[float], None]) -> Iterator[EpochResult]:
        """Train epoch after epoch; ``advance`` is told the loss after every step.

        Raises:
            ModelError: The loss is no longer a number.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = self.network.to(device)
        order = EpochOrder(len(self.data.splits["train"]), self.seed)
        loader = self._loader(order)
        optimizer: Any = create_optimizer_v2(network, "adamw", lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)
        schedule, _ = create_scheduler_v2(
            optimizer,
            "cosine",
            num_epochs=self.recipe.epochs,
            warmup_epochs=min(self.recipe.warmup_epochs, self.recipe.epochs // 5),
            warmup_lr=self.recipe.lr / 100,
            warmup_prefix=False,
            step_on_epochs=False,
            updates_per_epoch=len(loader),
        )
        average = ModelEmaV3(network, decay=self.recipe.ema_decay, use_warmup=True)
        counts = np.bincount(self.data.indices("train"), minlength=len(self.data.labels))
        loss_of = SortingLoss(counts, self.data.categories(), self.recipe.loss).to(device)
        step = 0
        for epoch in range(self.recipe.epochs):
            order.epoch = epoch
            network.train()
            torch.manual_seed(self.seed * 1_000_003 + epoch)  # drop path
            losses = []
            for images, labels in loader:
                with torch.autocast(device.type, dtype=torch.float16, enabled=device.type == "cuda"):
                    logits = network(images.to(device))
                loss = loss_of(logits.float(), labels.to(device))
                losses.append(_number(loss, epoch))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), self.recipe.clip_norm)
                optimizer.step()
                step += 1
                schedule.step_update(step)
                average.update(network, step)
                advance(losses[-1])
            accuracy = validate(average.module.eval())
            if accuracy >= self.best_accuracy:
                self.best_accuracy = accuracy
                self.best = copy.deepcopy({k: v.cpu() for k, v in average.module.state_dict().items()})
            yield EpochResult(epoch + 1, float(np.mean(losses)), accuracy, float(optimizer.param_groups[0]["lr"]))

    def _loader(self, order: EpochOrder) -> DataLoader[tuple[torch.Tensor, int]]:
        pictures = TrainingPictures(self.data.splits["train"], self.how, self.recipe.augment, self.seed)
        return DataLoader(pictures, batch_size=self.recipe.batch_size, sampler=order, num_workers=self.recipe.workers)


def _number(loss: torch.Tensor, epoch: int) -> float:
    value = float(loss.detach())
    if not np.isfinite(value):
        raise ModelError(f"the loss became {value} in epoch {epoch + 1}", hint="lower --lr")
    return value
