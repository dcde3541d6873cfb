"""Several processes that train one network: torch's own DistributedDataParallel, started by its `torchrun`.

    torchrun --nproc-per-node 4 -m bin_daemon train DATA --out OUT

Each process computes its share of every batch; gradients are averaged, so the weights stay equal. Process 0 alone writes and
tells.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed

from bin_daemon.errors import ConfigError

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets for each process."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together; alone by default."""

    rank: int = 0
    processes: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """The one that writes files and tells the person."""
        return self.rank == 0

    def wrap(self, network: torch.nn.Module) -> torch.nn.Module:
        """What to call for a forward pass whose gradients are shared."""
        if self.processes == 1:
            return network
        places = [self.device.index] if self.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(network, device_ids=places)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of every element over the processes; all must call it at the same point."""
        if self.processes > 1:
            distributed.all_reduce(values)
            values /= self.processes
        return values

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of ranks, on every process; all must call it at the same point."""
        if self.processes == 1:
            return [value]
        found: list[Any] = [None] * self.processes
        distributed.all_gather_object(found, value)
        return found


def apart(forward: torch.nn.Module, *, last: bool) -> AbstractContextManager[Any]:
    """Gradients are shared once a step, in its last portion; before that each process adds up its own."""
    if last or not isinstance(forward, torch.nn.parallel.DistributedDataParallel):
        return contextlib.nullcontext()
    return forward.no_sync()


@contextmanager
def open_ranks() -> Iterator[Ranks]:
    """This process's place as the environment tells it; alone where none of torchrun's variables counts processes.

    Raises:
        ConfigError: The environment is set by half, or the processes cannot find each other.
    """
    if "WORLD_SIZE" not in os.environ and "RANK" not in os.environ:
        yield Ranks(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        return
    rank, local, processes = _from_environment()
    cuda = torch.cuda.is_available()
    if cuda and local >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local} of this machine, but only {torch.cuda.device_count()} GPUs",
            hint="torchrun --nproc-per-node: as many as there are GPUs",
        )
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    try:
        distributed.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=processes)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"process {rank} of {processes} cannot join the others at {os.environ['MASTER_ADDR']}: {error}",
            hint="start with torchrun --nproc-per-node N -m bin_daemon train ...",
        ) from None
    try:
        yield Ranks(rank, processes, device)
    finally:
        distributed.destroy_process_group()


def _from_environment() -> tuple[int, int, int]:
    missing = [x for x in VARIABLES if x not in os.environ]
    hint = "start with torchrun --nproc-per-node N -m bin_daemon train ..., or unset these variables to train alone"
    if missing:
        given = [x for x in VARIABLES if x in os.environ]
        raise ConfigError(f"{', '.join(given)} set, but not {', '.join(missing)}", hint=hint)
    try:
        rank, local, processes = (int(os.environ[x]) for x in VARIABLES[:3])
    except ValueError as error:
        raise ConfigError(f"{', '.join(VARIABLES[:3])}: {error}", hint=hint) from None
    if not (0 <= rank < processes and local >= 0):
        raise ConfigError(f"RANK {rank}, LOCAL_RANK {local}, WORLD_SIZE {processes} do not fit together", hint=hint)
    return rank, local, processes
