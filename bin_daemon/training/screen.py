"""What a person or a script sees of long work: a progress bar and tables, or JSON lines; and a log file of JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue
    from rich.console import RenderableType


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
    """A terminal: bars on stderr, results on stdout; with ``as_json`` nothing but JSON lines on stdout."""

    def __init__(self, *, as_json: bool, write: Callable[[bytes], object]) -> None:
        self._as_json = as_json
        self._write = write
        self._out = Console()
        self._bars = Console(stderr=True, quiet=as_json)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """See `Screen`."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
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
            self._out.print(what)


@contextmanager
def open_screen(*, as_json: bool, log: Path | None) -> Iterator[Screen]:
    """The terminal's screen, with a log of JSON lines in file ``log`` (begun anew); ConfigError when it cannot be written."""
    if log is None:
        yield ConsoleScreen(as_json=as_json, write=lambda _line: None)
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"{log}: {error.strerror}", hint="choose another --out") from error
    with file:
        yield ConsoleScreen(as_json=as_json, write=file.write)
