"""Full fine-tuning: timm's optimiser, schedule and moving average, torch's mixed precision; the loop from here.

Same seed, same pictures, same threads: the same weights on a CPU, bit for bit, also after a stop at any step. Nothing is drawn
from a random state that would have to be carried over: every portion of every batch seeds the generators by its own number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from bin_daemon.errors import ModelError
from bin_daemon.training.loss import SortingLoss
from bin_daemon.training.optimise import (
    freeze,
    make_average,
    make_mixup,
    make_optimizer,
    make_schedule,
    precision,
    set_drop_path,
)
from bin_daemon.training.order import EpochOrder, Shares
from bin_daemon.training.pictures import TrainingPictures
from bin_daemon.training.ranks import Ranks, apart

if TYPE_CHECKING:
    from bin_daemon.model.bundle import Preprocessing
    from bin_daemon.training.dataset import DataSet
    from bin_daemon.training.recipe import FinetuneRecipe

LOOK_EVERY = 10
"""Steps between two looks at the loss: reading it makes a GPU wait."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What the averaged weights are worth on held-out pictures, 0..1; ``loss`` is of the category."""

    accuracy: float
    loss: float
    more: dict[str, float] = field(default_factory=dict)
    """Other metrics by name, for the log."""


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one epoch brought. ``val_accuracy`` is of the four categories, of the averaged weights; ``epoch`` counts from 1."""

    epoch: int
    step: int
    train_loss: float
    val_accuracy: float
    val_loss: float
    lr: float
    more: dict[str, float]


Validate = Callable[[torch.nn.Module], Validation]
"""Network in eval mode -> what it is worth."""
Watch = Callable[["Finetuning", int, float], None]
"""Told between two steps: the training, steps done since the last call, mean loss of the last step. May take its `state`."""


class Finetuning:
    """One training; `epochs` runs it step by step, so that the caller may stop after any epoch and keep ``best``.

    ``recipe`` is resolved (see `FinetuneRecipe.resolved`). ConfigError when recipe, network or data contradict each other.
    """

    def __init__(  # noqa: PLR0917 - the parts of one training
        self,
        network: torch.nn.Module,
        data: DataSet,
        how: Preprocessing,
        recipe: FinetuneRecipe,
        seed: int,
        ranks: Ranks | None = None,
    ) -> None:
        self.recipe, self.seed, self.ranks = recipe, seed, ranks or Ranks()
        device = self.ranks.device
        labels = data.indices("train")
        drawn = recipe.balance_by == "draw"
        shares = Shares(recipe.batch_size, recipe.batch_per_step or 1, self.ranks.rank, self.ranks.processes)
        self._shares = shares
        self._order = EpochOrder(labels, shares, seed, draw_power=recipe.loss.balance if drawn else 0.0)
        self.steps_per_epoch = self._order.steps
        self._dtype = precision(recipe.amp, device)
        set_drop_path(network, recipe.drop_path or 0.0)
        self._frozen = freeze(network, recipe.freeze_to)
        self.network = network.to(device, **_layout(device))
        self.average = make_average(self.network, recipe)
        self._forward = self.ranks.wrap(self.network)
        self._optimizer = make_optimizer(self.network, recipe)
        self._set_lr = make_schedule(self._optimizer, recipe, self.steps_per_epoch)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
        self._mixup = make_mixup(recipe, len(data.labels))
        counts = np.ones(len(data.labels), np.int64) if drawn else np.bincount(labels, minlength=len(data.labels))
        self._loss_of = SortingLoss(counts, data.categories(), recipe.loss).to(device)
        self._pictures = TrainingPictures(data.splits["train"], how, recipe.augment, seed)
        self._waiting: list[torch.Tensor] = []
        self.step = 0
        self.epochs_done = 0
        self._loss_sum = 0.0
        self.best: dict[str, torch.Tensor] = {}
        """Averaged weights of the best epoch so far, on the CPU; the later one where they tie."""
        self.best_worth = (-1.0, 0.0)
        """Category accuracy and minus its loss."""

    def epochs(
        self, validate: Validate, watch: Watch = lambda _t, _n, _x: None, look_every: int = LOOK_EVERY
    ) -> Iterator[EpochResult]:
        """Train on from where the state stands; ``watch`` is told every ``look_every`` steps and at the end of each epoch.

        Raises:
            ModelError: The loss is no longer a number.
        """
        loader = self._loader()
        while self.epochs_done < self.recipe.epochs:
            self._order.epoch = self.epochs_done
            self._order.skip = self.step - self.epochs_done * self.steps_per_epoch
            if self._order.skip < self.steps_per_epoch:
                self._train_epoch(iter(loader), watch, look_every)
            yield self._end_epoch(validate(self.average.module.eval()))

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs, of plain values and tensors; the tensors are the living ones."""
        return {
            "step": self.step,
            "epochs_done": self.epochs_done,
            "loss_sum": self._loss_sum,
            "best_worth": list(self.best_worth),
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any], best: dict[str, torch.Tensor]) -> None:
        """Go on from `state` (of the same recipe, data and seed)."""
        self.network.load_state_dict(state["network"])
        self.average.module.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        self.step, self.epochs_done, self._loss_sum = state["step"], state["epochs_done"], state["loss_sum"]
        accuracy, minus_loss = state["best_worth"]
        self.best, self.best_worth = best, (accuracy, minus_loss)
        self._set_lr(self.step)

    @property
    def lr(self) -> float:
        """Learning rate of the next step, of the parts that learn fastest."""
        return max(float(x["lr"]) for x in self._optimizer.param_groups)

    def last(self) -> dict[str, torch.Tensor]:
        """The averaged weights as they are now, on the CPU."""
        return {k: v.detach().cpu().clone() for k, v in self.average.module.state_dict().items()}

    def _loader(self) -> DataLoader[tuple[torch.Tensor, int]]:
        workers = self.recipe.workers
        return DataLoader(
            self._pictures,
            batch_sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.ranks.device.type == "cuda",
            generator=torch.Generator(),  # for the workers' seeds, which nobody uses: not from the global state
        )

    def _train_epoch(self, portions: Iterator[Any], watch: Watch, look_every: int) -> None:
        self.network.train()
        for part in self._frozen:
            part.eval()
        until = (self.epochs_done + 1) * self.steps_per_epoch
        while self.step < until:
            self._waiting.append(self._train_step(portions))
            if self.step % look_every == 0 or self.step == until:
                steps = len(self._waiting)
                watch(self, steps, self._look())

    def _train_step(self, portions: Iterator[Any]) -> torch.Tensor:
        """One move of the weights; returns this process's mean loss, still on the device."""
        losses = torch.zeros((), device=self.ranks.device)
        turns = self._shares.portions
        for turn in range(turns):
            images, labels = next(portions)
            with apart(self._forward, last=turn == turns - 1):
                loss = self._loss(images, labels, self._shares.number(self.step, turn)) / turns
                self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            losses += loss.detach()
        if self.recipe.clip_norm:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        self.step += 1
        self._set_lr(self.step)
        self.average.update(self.network, self.step)
        return losses

    def _loss(self, images: torch.Tensor, labels: torch.Tensor, number: int) -> torch.Tensor:
        device = self.ranks.device
        draw = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        torch.default_generator.manual_seed(draw)  # drop path; torch.manual_seed alone takes half a millisecond
        if device.type == "cuda":
            torch.cuda.manual_seed(draw)
        images, labels = images.to(device, non_blocking=True, **_layout(device)), labels.to(device, non_blocking=True)
        if self._mixup:
            np.random.seed(draw)  # noqa: NPY002 - timm uses the old generator
            images, labels = self._mixup(images, labels)
        with torch.autocast(device.type, dtype=self._dtype, enabled=self._dtype is not None):
            logits = self._forward(images)
        return self._loss_of(logits.float(), labels)

    def _look(self) -> float:
        """Read the losses that wait, as means over the processes; the last one."""
        values = self.ranks.mean(torch.stack(self._waiting)).tolist()
        for at, value in enumerate(values, self.step - len(values) + 1):
            if not np.isfinite(value):
                raise ModelError(
                    f"the loss became {value} in epoch {self.epochs_done + 1}, step {at}",
                    hint="--restart with a lower --lr; --resume --export best makes a bundle of what was good before",
                )
        self._loss_sum += sum(values)
        self._waiting = []
        return float(values[-1])

    def _end_epoch(self, found: Validation) -> EpochResult:
        worth = (found.accuracy, -found.loss)
        if worth >= self.best_worth:
            self.best, self.best_worth = self.last(), worth
        self.epochs_done += 1
        loss, self._loss_sum = self._loss_sum / self.steps_per_epoch, 0.0
        return EpochResult(self.epochs_done, self.step, loss, found.accuracy, found.loss, self.lr, found.more)


def _layout(device: torch.device) -> dict[str, Any]:
    return {"memory_format": torch.channels_last} if device.type == "cuda" else {}
