"""Which pictures an epoch shows, in which order and in which portions; a pure function of seed, epoch and position.

A step's batch is cut into portions of ``at_once`` pictures, numbered 0, 1, ...: process r of R takes r, r + R, ... in turn. What
a portion holds, and the random numbers that its forward pass draws, depend on its number alone: one process that takes them all,
or eight that share them, compute the same sum. Pictures that do not fill a batch wait for another epoch, as in the paper's code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Place = tuple[int, int]
"""(epoch, index of the picture)."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a batch is shared out."""

    batch_size: int
    at_once: int
    rank: int = 0
    processes: int = 1

    @property
    def portions(self) -> int:
        """Portions of one step that this process takes."""
        return self.batch_size // (self.at_once * self.processes)

    def number(self, step: int, turn: int) -> int:
        """Of the portion that this process takes in its ``turn`` of ``step``; unique in the whole training."""
        return (step * self.portions + turn) * self.processes + self.rank


class EpochOrder(Sampler[list[Place]]):
    """Portions of one process, epoch by epoch; set ``epoch`` and ``skip`` (steps already done) before each."""

    def __init__(self, labels: NDArray[np.int64], shares: Shares, seed: int, *, draw_power: float = 0.0) -> None:
        """``draw_power`` above 0: drawn with replacement, a label's pictures by (1 / their number) ** draw_power."""
        if shares.batch_size > len(labels):
            raise ConfigError(
                f"--batch-size {shares.batch_size}, but only {len(labels)} training pictures",
                hint=f"--batch-size {max(1, len(labels) // 4)} or so",
            )
        self._labels = labels
        self._shares = shares
        self._seed = seed
        counts = np.bincount(labels)
        weight = (1.0 / np.maximum(counts, 1)) ** draw_power
        self._chance = weight[labels] / weight[labels].sum() if draw_power else None
        self.epoch = 0
        self.skip = 0

    @property
    def steps(self) -> int:
        """In one epoch."""
        return len(self._labels) // self._shares.batch_size

    def __len__(self) -> int:
        return (self.steps - self.skip) * self._shares.portions

    def places(self) -> NDArray[np.int64]:
        """All pictures of the epoch in order."""
        rng = np.random.default_rng([self._seed, self.epoch])
        if self._chance is None:
            return rng.permutation(len(self._labels))
        return rng.choice(len(self._labels), len(self._labels), p=self._chance)

    def __iter__(self) -> Iterator[list[Place]]:
        order, shares = self.places(), self._shares
        for step in range(self.skip, self.steps):
            for turn in range(shares.portions):
                first = step * shares.batch_size + (turn * shares.processes + shares.rank) * shares.at_once
                yield [(self.epoch, int(x)) for x in order[first : first + shares.at_once]]
