"""``python -m tests.training.killed DATA START FOLDER NAME=MOMENT ...``: trainings that are killed with SIGKILL, one by one.

A MOMENT is 'step:N' (after N steps), 'partial:N' (while the N-th checkpoint or best file is written), or 'best:N' (between best
weights and the checkpoint that refers to them, the N-th or a later one). Imports torch once and forks a child for each training.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from bin_daemon.training import checkpoint, finetune, work
from bin_daemon.training.recipe import AugmentRecipe, FinetuneRecipe, LossRecipe
from bin_daemon.training.run import Order, train_bundle
from bin_daemon.training.screen import QuietScreen
from bin_daemon.training.work import Cadence

RECIPE = FinetuneRecipe(
    epochs=2,
    batch_size=16,
    batch_per_step=8,
    lr=4e-3,
    drop_path=0.3,
    loss=LossRecipe(hard_gamma=1.0),
    augment=AugmentRecipe(mixup=0.1),
)
"""Six steps of two portions, with everything that draws random numbers."""


def order(data: Path, start: str, folder: Path, name: str, **more: Any) -> Order:
    """The training that is killed, and gone on with; a name that begins with 'workers' has two."""
    recipe = FinetuneRecipe(**{**_values(RECIPE), "workers": 2 if name.startswith("workers") else 0})
    return Order(data, folder / name, start=start, finetune=recipe, cadence=Cadence(0, 2), **more)


def _values(recipe: FinetuneRecipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in recipe.__slots__}


def _die_at(moment: str) -> None:
    """Arrange for this process to kill itself."""
    kind, _, number = moment.partition(":")
    place, name = {
        "step": (finetune.Finetuning, "_train_step"),
        "partial": (checkpoint, "_digest"),
        "best": (work, "write_checkpoint"),
    }[kind]
    original, calls = getattr(place, name), [0]

    def counted(*args: Any) -> Any:
        calls[0] += 1
        if kind == "step":
            result = original(*args)
        if calls[0] >= int(number) and (kind != "best" or args[2]["best"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result if kind == "step" else original(*args)

    setattr(place, name, counted)


def main(data: Path, start: str, folder: Path, *cases: str) -> None:
    """Run and kill them; fails when one comes to its end."""
    torch.set_num_threads(1)
    for case in cases:
        name, _, moment = case.partition("=")
        child = os.fork()
        if child == 0:
            _die_at(moment)
            train_bundle(order(data, start, folder, name), QuietScreen())
            os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"{case} was not killed: {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
