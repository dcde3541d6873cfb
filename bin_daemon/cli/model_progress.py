"""How a download is shown: a bar on a terminal, a line now and then in a log, JSON lines for scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from bin_daemon.model.hub import HubFile

EVERY_S = 1.0
EVERY_SHARE = 0.1
"""A log of a download has ten lines a file, not thousands."""


class Shown(Protocol):
    """Told what came."""

    def update(self, file: HubFile, there: int) -> None:
        """``there`` bytes of ``file`` have come, or were there."""


@contextmanager
def progress(*, as_json: bool) -> Iterator[Shown]:
    """What shows the progress, by where the output goes."""
    console = Console(stderr=True)
    if as_json:
        yield _JsonLines()
    elif not console.is_terminal:
        yield _Lines()
    else:
        columns = (TextColumn("{task.description}"), BarColumn(24), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console) as bars:
            yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def update(self, file: HubFile, there: int) -> None:
        """See `Shown`."""
        if file.path not in self._tasks:
            self._tasks[file.path] = self._bars.add_task(file.path[:24], total=file.size_bytes, completed=there)
        self._bars.update(self._tasks[file.path], completed=there)


class _JsonLines:
    """At most one a second, and always the last of a file."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_t_s = float("-inf")

    def update(self, file: HubFile, there: int) -> None:
        """See `Shown`."""
        now_s = self._clock()
        if there < file.size_bytes and now_s - self._last_t_s < EVERY_S:
            return
        self._last_t_s = now_s
        event = {"event": "progress", "file": file.path, "bytes": there, "of": file.size_bytes}
        print_json(event)


class _Lines:
    """Every tenth of a file."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}

    def update(self, file: HubFile, there: int) -> None:
        """See `Shown`."""
        step = int(there / max(1, file.size_bytes) / EVERY_SHARE)
        if self._steps.get(file.path) == step and there < file.size_bytes:
            return
        self._steps[file.path] = step
        print(f"{file.path}: {there / 1e6:.1f} of {file.size_bytes / 1e6:.1f} MB", flush=True)
