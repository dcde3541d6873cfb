"""Train a whole network in its work folder: begin or go on, checkpoints, log, curves, validation after each epoch."""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.training.board import Board, open_board
from bin_daemon.training.checkpoint import read_latest
from bin_daemon.training.finetune import LOOK_EVERY, EpochResult, Finetuning, Validation
from bin_daemon.training.judge import ask, category_probabilities
from bin_daemon.training.metrics import log_loss, measure, top_k
from bin_daemon.training.publish import label_infos
from bin_daemon.training.ranks import Ranks
from bin_daemon.training.recipe import differences
from bin_daemon.training.work import BOARD_FOLDER, Checkpoints, alone, begin, environment, write_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bin_daemon.training.dataset import DataSet
    from bin_daemon.training.recipe import FinetuneRecipe
    from bin_daemon.training.run import Order
    from bin_daemon.training.screen import Advance, Screen
    from bin_daemon.training.start import Start


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves: the chosen weights, in the network, and how they came about."""

    network: torch.nn.Module
    recipe: FinetuneRecipe
    epochs_done: int
    step: int


@dataclass(slots=True)
class WholeTraining:
    """One order at work on the whole network; every process of a shared training has one."""

    order: Order
    start: Start
    data: DataSet
    screen: Screen
    ranks: Ranks = field(default_factory=Ranks)

    def run(self) -> Trained:
        """Train to the end, or to Ctrl-C after at least one epoch; see `Finetuning` and `begin` for what is refused."""
        order, names = self.order, [x.label for x in self.data.labels]
        recipe = order.finetune.resolved(
            self.start.architecture.name, from_weights=bool(self.start.weights), processes=self.ranks.processes
        )
        network = self.start.network(len(names), order.seed, labels=names, head_scale=recipe.head_init_scale or 1.0)
        training = Finetuning(network, self.data, self.start.preprocessing, recipe, order.seed, self.ranks)
        self._say(self.start.of_head(names))
        with ExitStack() as stack:
            resuming = False
            if self.ranks.first:
                resuming = begin(order.work_folder, resume=order.resume, restart=order.restart)
                stack.enter_context(alone(order.work_folder))
            resuming = self.ranks.gather(resuming)[0]
            keeper = self._prepare(training, recipe, resuming=resuming)
            folder = order.work_folder / BOARD_FOLDER if order.tensorboard and self.ranks.first else None
            board = stack.enter_context(open_board(folder, training.step))
            if not order.export:
                self._train(training, keeper, board)
            return self._chosen(training)

    def _prepare(self, training: Finetuning, recipe: FinetuneRecipe, *, resuming: bool) -> Checkpoints:
        """Take the state of the last checkpoint where there is one; write the recipe where the training begins."""
        order = self.order
        about = {
            "labels": [{"label": x.label, "category": x.category.value} for x in self.data.labels],
            "architecture": self.start.architecture.model_dump(mode="json"),
            "preprocessing": self.start.preprocessing.model_dump(mode="json"),
            "start": self.start.source,
            "seed": order.seed,
            "pictures": _fingerprint(self.data),
            "recipe": recipe.to_json(),
            "environment": environment(self.ranks),
        }
        keeper = Checkpoints(order.work_folder, order.cadence, about, self._warn)
        found = read_latest(order.work_folder, self._warn) if resuming else None
        if found is not None:
            state, best = found
            self._refuse_other(state["about"], about)
            training.restore(state, best)
            keeper.taken(state)
            self._record("resumed", {"step": training.step, "epochs_done": training.epochs_done})
            self._say(f"going on after step {training.step}, {training.epochs_done} epochs done")
        elif order.export:
            raise ConfigError(f"{order.work_folder}: no checkpoint to export", hint="leave out --export to train on")
        if self.ranks.first and not resuming:
            write_recipe(
                order.work_folder, {"seed": order.seed, "from": order.start, "arch": order.arch, **recipe.to_json()}
            )
        self.ranks.gather(None)  # nobody writes a checkpoint while another one still reads
        return keeper

    def _refuse_other(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        found = differences(old["recipe"], new["recipe"])
        found += [f"{x} is {new[x]}, was {old[x]}" for x in ("seed", "start") if old[x] != new[x]]
        found += [
            f"the {x} differ" for x in ("labels", "pictures", "architecture", "preprocessing") if old[x] != new[x]
        ]
        if found:
            raise ConfigError(
                f"{self.order.work_folder}: cannot go on with another recipe: {'; '.join(found)}",
                hint="leave these as they were, or begin again with --restart",
            )
        for name, now in new["environment"].items():
            if (before := old["environment"].get(name)) != now:
                self._warn(f"{name} is {now}, was {before}: the weights will not be the same to the last bit")

    def _train(self, training: Finetuning, keeper: Checkpoints, board: Board) -> None:
        steps = training.recipe.epochs * training.steps_per_epoch
        look = math.gcd(LOOK_EVERY, self.order.cadence.steps)
        try:
            with self.screen.progress("training", steps) as advance:
                advance(training.step, "")
                for result in training.epochs(self._validate, self._watch(keeper, board, advance), look):
                    self._tell(result, board)
                    if self.ranks.first:
                        keeper.write(training)
        except KeyboardInterrupt:
            if not training.best or self.ranks.processes > 1:
                raise
            self._record("interrupted", {"epochs_done": training.epochs_done})

    def _watch(self, keeper: Checkpoints, board: Board, advance: Advance) -> Callable[[Finetuning, int, float], None]:
        def watch(training: Finetuning, steps: int, loss: float) -> None:
            advance(steps, f"loss {loss:.3f}, best val {max(0.0, training.best_worth[0]):.1%}")
            board.add(training.step, {"train/loss": loss, "train/lr": training.lr})
            if self.ranks.first:
                keeper.watch(training)

        return watch

    def _tell(self, result: EpochResult, board: Board) -> None:
        self._record("epoch", asdict(result))
        values = {"accuracy": result.val_accuracy, "loss": result.val_loss, **result.more}
        board.add(result.step, {"train/epoch_loss": result.train_loss, **{f"val/{k}": v for k, v in values.items()}})

    def _validate(self, network: torch.nn.Module) -> Validation:
        """On the val pictures, each process with its share of them."""
        pictures, many = self.data.splits["val"], self.ranks.processes
        mine = pictures[self.ranks.rank :: many] if len(pictures) >= many else pictures
        answers = ask(mine, self.start.preprocessing, run_torch(network), on_tray=False, advance=lambda _n: None)
        parts = self.ranks.gather(answers) if mine is not pictures else [answers]
        logits = np.concatenate([x.logits for x in parts])
        labels = np.array([p.label_index for x in parts for p in x.pictures], dtype=np.int64)
        return judged(logits, labels, self.data)

    def _chosen(self, training: Finetuning) -> Trained:
        weights = training.last() if self.order.export == "last" else training.best
        if not weights:
            raise ModelError(
                f"{self.order.work_folder}: no epoch was finished, so none is best",
                hint="--resume to go on, or --export last",
            )
        training.network.load_state_dict(weights)
        return Trained(training.network.eval(), training.recipe, training.epochs_done, training.step)

    def _record(self, event: str, values: dict[str, Any]) -> None:
        self.screen.record(event, values)

    def _say(self, text: str) -> None:
        self.screen.show(text)

    def _warn(self, text: str) -> None:
        self.screen.record("warning", {"text": text})
        self.screen.show(f"warning: {text}")


def judged(logits: NDArray[np.float32], labels: NDArray[np.int64], data: DataSet) -> Validation:
    """Logits N x L and true labels N -> category accuracy, its loss and macro F1, and fine top-1 and top-5; no temperature."""
    probs = category_probabilities(logits, 1.0, label_infos(data))
    truth = data.categories()[labels]
    found = measure(probs, truth)
    loss = log_loss(probs, truth)
    pairs = [
        (p or 0.0, r) for p, r in zip(found.precision.values(), found.recall.values(), strict=True) if r is not None
    ]
    f1 = float(np.mean([2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs]))
    scores = logits.astype(np.float64)
    more = {"macro_f1": f1, "top1": top_k(scores, labels, 1), "top5": top_k(scores, labels, 5)}
    return Validation(found.accuracy, loss, more)


def run_torch(network: torch.nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network as a plain function of arrays, on whatever device it lies."""
    device = next(network.parameters()).device

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch).to(device)).float().cpu().numpy(), np.float32)

    return run


def _fingerprint(data: DataSet) -> str:
    """Of the pictures that are trained on and validated with: names, sizes and labels."""
    digest = hashlib.sha256()
    for split in ("train", "val"):
        for x in data.splits[split]:
            line = f"{split} {os.path.relpath(x.path, data.root)} {x.path.stat().st_size} {x.label_index}\n"
            digest.update(line.encode())
    return digest.hexdigest()[:16]
