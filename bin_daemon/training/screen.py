"""What a person or a script sees of long work: a progress bar and tables, or JSON lines; and a log file of JSON lines.

A script gets results on stdout, and progress on stderr: one line every `PROGRESS_S` seconds and one at the end of each part.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue
    from rich.console import RenderableType
    from rich.progress import Task


PROGRESS_S = 2.0
"""Between two lines of progress for a script."""


class Advance(Protocol):
    """Told of every step done."""

    def __call__(self, steps: int, words: str) -> None:
        """``steps`` done since the last call; ``words`` stand beside the bar."""


class Screen(Protocol):
    """Where work tells how it goes."""

    def progress(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """A bar for ``total`` steps."""

    def record(self, event: str, values: dict[str, JsonValue]) -> None:
        """One line for the log, and for a script's stdout."""

    def show(self, what: RenderableType) -> None:
        """For a person only."""


class QuietScreen:
    """Shows nothing and keeps what was recorded: for tests and for use as a library."""

    def __init__(self) -> None:
        self.records: list[dict[str, JsonValue]] = []

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """See `Screen`."""
        del title, total
        yield lambda steps, words: None  # noqa: ARG005 - the protocol's names

    def record(self, event: str, values: dict[str, JsonValue]) -> None:
        """See `Screen`."""
        self.records.append({"event": event, **values})

    def show(self, what: RenderableType) -> None:
        """See `Screen`."""


class ConsoleScreen:
    """A terminal: bars on stderr, results on stdout; with ``as_json`` JSON lines alone on both."""

    def __init__(
        self, *, as_json: bool, write: Callable[[bytes], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._as_json = as_json
        self._write = write
        self._clock = clock
        self._out = Console()
        self._bars = Console(stderr=True, quiet=as_json)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """See `Screen`."""
        if self._as_json:
            lines = _ProgressLines(title, total, self._clock)
            yield lines.advance
            lines.tell()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}"),
        )
        with Progress(*columns, console=self._bars) as bar:
            task = bar.add_task(title, total=total, words="")
            yield lambda steps, words: bar.update(task, advance=steps, words=words)

    def record(self, event: str, values: dict[str, JsonValue]) -> None:
        """See `Screen`."""
        line = orjson.dumps({"event": event, **values})
        self._write(line + b"\n")
        if self._as_json:
            print(line.decode(), flush=True)  # noqa: T201 - the script's stdout

    def show(self, what: RenderableType) -> None:
        """See `Screen`."""
        if not self._as_json:
            self._out.print(what, soft_wrap=isinstance(what, Text))  # a path must stay one word, to be copied


class _RateColumn(ProgressColumn):
    """Steps a second, of late."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


class _ProgressLines:
    """Progress for a script; ``per_s`` is the mean since the beginning."""

    def __init__(self, title: str, total: int, clock: Callable[[], float]) -> None:
        self._title, self._total, self._clock = title, total, clock
        self._done = 0
        self._began = self._told = clock()

    def advance(self, steps: int, words: str) -> None:
        """See `Advance`."""
        del words
        self._done += steps
        if self._clock() - self._told >= PROGRESS_S:
            self.tell()

    def tell(self) -> None:
        """One line now."""
        self._told = self._clock()
        spent = self._told - self._began
        rate = self._done / spent if spent > 0 else None
        left = None if not rate else (self._total - self._done) / rate
        line = {
            "event": "progress",
            "part": self._title,
            "done": self._done,
            "total": self._total,
            "per_s": None if rate is None else round(rate, 2),
            "left_s": None if left is None else round(left, 1),
        }
        print(orjson.dumps(line).decode(), file=sys.stderr, flush=True)  # noqa: T201 - the script's stderr


@contextmanager
def open_screen(*, as_json: bool, log: Path | None, append: bool = False) -> Iterator[Screen]:
    """The terminal's screen, with a log of JSON lines in file ``log``; ConfigError when it cannot be written.

    The log is begun anew, or with ``append`` gone on with.
    """
    if log is None:
        yield ConsoleScreen(as_json=as_json, write=lambda _line: None)
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab" if append else "wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"{log}: {error.strerror}", hint="choose another --out") from error
    with file:
        yield ConsoleScreen(as_json=as_json, write=file.write)
