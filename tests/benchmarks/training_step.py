"""A training step here beside a bare timm loop with the same network, pictures, augmentation, optimiser, schedule and average.

Both in one process, a few steps each in turns. A small network on purpose: with a large one everything around it costs nothing.
Ours also has the category's loss, the seeding that makes it repeatable, and looks at the loss; the bare loop has none of these.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bin_daemon.domain import Category
from tests.benchmarks.figures import Figure, in_turns, paired

STEPS = 4
"""Of one turn."""
SIDE_PX = 256


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything; random pictures suffice, for speed does not depend on what is on them."""

    architecture: str
    crop_px: int
    batch: int


SIZES = {"base": Size("convnext_atto", 224, 16), "tiny": Size("convnext_atto", 32, 2)}
"""By `Effort.network`."""


def measure(folder: Path, size: str, rounds: int) -> list[Figure]:
    """Seconds of a step, and of the pictures of a step alone."""
    what = SIZES[size]
    root = write_pictures(folder / "training", STEPS * what.batch // len(Category))
    ours, bare = _ours(root, what), _bare(root, what)
    for run in (*ours, *bare):  # first calls set up what later ones use
        run()
    steps = in_turns(rounds, {"ours": ours[0], "bare": bare[0]})
    pictures = in_turns(rounds, {"ours": ours[1], "bare": bare[1]})
    name = f"{what.architecture}, {what.crop_px} px, batch {what.batch}"
    return [
        paired(f"training step, {name}", "s", steps["ours"], steps["bare"], against="bare timm loop", aim="<= 1.05"),
        paired("its pictures alone", "s", pictures["ours"], pictures["bare"], against="timm's data set", aim="<= 1.05"),
    ]


def write_pictures(root: Path, each: int) -> Path:
    """A data set of random JPEGs, ``each`` of every category; its folder."""
    rng = np.random.default_rng(0)
    for category in Category:
        folder = root / "train" / category.value
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            coarse = rng.integers(0, 256, (16, 20, 3), np.uint8)
            picture = cv2.resize(coarse, (SIDE_PX * 5 // 4, SIDE_PX), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{number}.jpg"), picture)
    rows = "".join(f"{c.value},{c.value}\n" for c in Category)
    (root / "labels.csv").write_text(f"label,category\n{rows}")
    return root


def _per_step(work: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) / STEPS

    return timed


def _ours(root: Path, what: Size) -> tuple[Callable[[], float], Callable[[], float]]:
    from bin_daemon.model.bundle import Preprocessing
    from bin_daemon.training.data import load
    from bin_daemon.training.finetune import Finetuning, Validation
    from bin_daemon.training.recipe import FinetuneRecipe
    from bin_daemon.training.start import find_start

    start = find_start(None, what.architecture)
    how = Preprocessing(resize_px=what.crop_px * 8 // 7, crop_px=what.crop_px)
    recipe = FinetuneRecipe(epochs=10_000, batch_size=what.batch, warmup_epochs=10)
    resolved = recipe.resolved(what.architecture, from_weights=False, processes=1)
    training = Finetuning(start.network(len(Category), 1), load(root), how, resolved, 1)
    training.best_worth = (2.0, 0.0)  # no epoch is better: weights are not copied
    epochs = training.epochs(lambda _network: Validation(0.0, 0.0))
    loader, numbers = training._loader(), itertools.count(1)

    def pictures() -> None:
        training._order.epoch = next(numbers)  # every time other alterations: some are dear, some cheap
        list(loader)

    return _per_step(lambda: next(epochs)), _per_step(pictures)


def _bare(root: Path, what: Size) -> tuple[Callable[[], float], Callable[[], float]]:
    """The loop as one would write it with timm's parts."""
    import timm
    import torch
    from timm.data import ImageDataset, create_transform  # type: ignore[attr-defined] # exported all the same
    from timm.loss.cross_entropy import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined] # exported all the same
    from timm.scheduler.scheduler_factory import create_scheduler_v2
    from timm.utils.model_ema import ModelEmaV3
    from torch.utils.data import DataLoader

    from bin_daemon.training.recipe import AugmentRecipe

    augment = AugmentRecipe()
    transform: Any = create_transform(
        what.crop_px,
        is_training=True,
        scale=(augment.min_scale, 1.0),
        auto_augment=augment.auto_augment,
        re_prob=augment.erase_prob,
        re_mode="pixel",
        interpolation="bicubic",
    )
    pictures: Any = ImageDataset(str(root / "train"), transform=transform)  # type: ignore[no-untyped-call]
    loader = DataLoader(pictures, batch_size=what.batch, shuffle=True, drop_last=True)
    network = timm.create_model(what.architecture, num_classes=len(Category), drop_path_rate=0.1)
    optimizer: Any = create_optimizer_v2(network, "adamw", lr=5e-5, weight_decay=0.1)
    schedule: Any = create_scheduler_v2(
        optimizer, "cosine", num_epochs=10_000, warmup_epochs=10, step_on_epochs=False, updates_per_epoch=STEPS
    )[0]
    average: Any = ModelEmaV3(network, decay=0.9999, use_warmup=True)
    loss_of: Any = LabelSmoothingCrossEntropy(0.1)  # type: ignore[no-untyped-call]

    def epoch() -> Iterator[int]:
        step = 0
        while True:
            network.train()
            for images, labels in loader:
                loss = loss_of(network(images), labels)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                step += 1
                schedule.step_update(step)
                average.update(network, step)
            yield step

    epochs = epoch()
    return _per_step(lambda: next(epochs)), _per_step(lambda: list(loader))
