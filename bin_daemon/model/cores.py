"""Which CPU cores inference may use: as many threads as asked, on the cores that were named, without moving any other thread."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Cpu:
    """How inference uses the CPU: number of ``threads``, and the ``cores`` that they stay on (empty: wherever there is room)."""

    threads: int
    cores: frozenset[int] = frozenset()

    @contextmanager
    def bound(self) -> Iterator[None]:
        """The calling thread stays on the cores meanwhile; threads that are born inside stay there for good (Linux inherits).

        Engines open and run inside, so that their pools and the thread that waits for them are bound, and nothing else is.
        """
        if not self.cores:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def use_of_cpu(threads: int = 0, cores: Sequence[int] = ()) -> Cpu:
    """What the settings mean on this machine: ``threads`` 0 is one for each of ``cores``, or else all cores but one.

    ConfigError when a core is not there, or is not this process's to use.
    """
    usable = os.sched_getaffinity(0)
    if strange := sorted(set(cores) - usable):
        raise ConfigError(
            f"model.cores: this process cannot use core {', '.join(map(str, strange))}, only {_ranges(sorted(usable))}",
            hint="name cores that `nproc` and the service's CPUAffinity leave to it, or leave model.cores empty",
        )
    return Cpu(threads or len(set(cores)) or default_threads(), frozenset(cores))


def default_threads() -> int:
    """Cores that this process may use, less one for camera, serial line and MQTT; at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _ranges(cores: Sequence[int]) -> str:
    """0, 1, 2, 5 as '0-2, 5'."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and runs[-1][-1] == core - 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return ", ".join(f"{x[0]}-{x[-1]}" if len(x) > 1 else str(x[0]) for x in runs)
