"""A training's work folder: recipe, log, checkpoints, TensorBoard; and when a training may begin or go on in it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from bin_daemon.errors import BinError, ConfigError, UnreachableError
from bin_daemon.model.durable import write_durably
from bin_daemon.model.lock import locked
from bin_daemon.training.checkpoint import KEPT, tidy, write_best, write_checkpoint

if TYPE_CHECKING:
    from bin_daemon.training.finetune import Finetuning
    from bin_daemon.training.ranks import Ranks

RECIPE_FILE = "recipe.json"
LOG_FILE = "log.jsonl"
BOARD_FOLDER = "tensorboard"
OURS = ("checkpoint-*.pt", "best-*.safetensors", "*.partial", RECIPE_FILE, LOG_FILE, BOARD_FOLDER)


@dataclass(frozen=True, slots=True)
class Cadence:
    """When checkpoints are written, besides after every epoch."""

    minutes: float = 10.0
    """At most about this long between two; 0: not by time."""
    steps: int = 0
    """Every so many steps; 0: not by steps."""


def default_work(out: Path) -> Path:
    """Beside the bundle."""
    return out.with_name(f"{out.name}.train")


def begin(folder: Path, *, resume: bool, restart: bool) -> bool:
    """Whether a training goes on in ``folder`` (True) or begins there; with ``restart`` what lies there is removed.

    Raises:
        ConfigError: A training lies there and neither was asked for, or something else does, or it cannot be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: a file, not a folder", hint="choose another --work")
        found = sorted(x.name for x in folder.iterdir()) if folder.exists() else []
        if RECIPE_FILE in found:
            if resume:
                return True
            if not restart:
                raise ConfigError(
                    f"{folder}: a training was begun here",
                    hint="--resume goes on with it, --restart begins again and deletes it, --work FOLDER leaves it be",
                )
            clear(folder)
        elif foreign := [x for x in found if x != LOG_FILE]:
            raise ConfigError(f"{folder}: holds {foreign[0]} and is no work folder", hint="choose another --work")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}", hint="choose another --work") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder}: may not be written by this user", hint="choose another --work")
    return False


@contextmanager
def begun(folder: Path, *, resume: bool, restart: bool) -> Iterator[bool]:
    """`begin`; a training that is refused before its recipe is written leaves nothing behind."""
    made = [x for x in (folder, *folder.parents) if not x.exists()]
    going_on = begin(folder, resume=resume, restart=restart)
    try:
        yield going_on
    except BinError:
        if made and not (folder / RECIPE_FILE).exists():
            clear(folder)
            with contextlib.suppress(OSError):  # not empty: somebody else's
                for path in made:
                    path.rmdir()
        raise


def clear(folder: Path) -> None:
    """Remove a training's files, and nothing else."""
    for pattern in OURS:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One training at a time in a work folder; UnreachableError when another one works there."""
    try:
        with locked(folder):
            yield
    except UnreachableError:
        raise UnreachableError(
            f"{folder}: another training is at work here", hint="wait until it has ended, or choose another --work"
        ) from None


def write_recipe(folder: Path, values: dict[str, Any]) -> None:
    """The recipe as run, so that ``--recipe`` can read it back."""
    text = orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n"
    try:
        write_durably(folder / RECIPE_FILE, text)
    except OSError as error:
        raise ConfigError(f"{folder / RECIPE_FILE}: {error.strerror}", hint="choose another --work") from None


def environment(ranks: Ranks) -> dict[str, Any]:
    """What besides the recipe decides the last bit of the weights."""
    import timm
    import torch

    cuda = ranks.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(ranks.device) if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "processes": ranks.processes,
    }


@dataclass(slots=True)
class Checkpoints:
    """Writes them when they are due, and goes on without where the disk does not take them."""

    folder: Path
    cadence: Cadence
    about: dict[str, Any]
    """Stored in each: labels, recipe, environment."""
    warn: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    _kept: list[str] = field(default_factory=list)
    """Files of best weights that the kept checkpoints refer to, oldest first."""
    _best_of: tuple[float, float] | None = None
    _last_s: float = 0.0

    def __post_init__(self) -> None:
        self._last_s = self.now()

    def taken(self, state: dict[str, Any]) -> None:
        """The training goes on from this state: its best weights are on disk already."""
        accuracy, minus_loss = state["best_worth"]
        self._kept, self._best_of = [state["best"]], (accuracy, minus_loss)

    def watch(self, training: Finetuning) -> None:
        """Between two steps: write one when it is due."""
        by_steps = bool(self.cadence.steps) and training.step % self.cadence.steps == 0
        by_time = bool(self.cadence.minutes) and self.now() - self._last_s >= 60 * self.cadence.minutes
        ends_epoch = training.step % training.steps_per_epoch == 0  # it comes after the validation
        if (by_steps or by_time) and not ends_epoch:
            self.write(training)

    def write(self, training: Finetuning) -> None:
        """Write one now; a full disk is told and leaves the one before."""
        self._last_s = self.now()
        best = self._kept[-1] if self._kept else ""
        try:
            if training.best and training.best_worth != self._best_of:
                about = {"about": orjson.dumps(self.about).decode(), "epochs_done": str(training.epochs_done)}
                best = write_best(self.folder, training.best, about)
            write_checkpoint(self.folder, training.step, {**training.state(), "best": best, "about": self.about})
            self._best_of = training.best_worth
            self._kept = [*self._kept, best][-KEPT:]
            tidy(self.folder, set(self._kept))
        except OSError as error:
            why = error.strerror or str(error)
            self.warn(f"no checkpoint at step {training.step}: {why}; training goes on, the one before is kept")
