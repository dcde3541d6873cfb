"""The fault KillAt: a daemon like ``bin-daemon run`` that gets SIGKILL before or after one call of one of its ports.

With ``bug`` for WHEN that call raises instead, each time: an exception that nobody foresaw.

Usage: dying_daemon.py WHEN PORT.METHOD --config FILE --set KEY=VALUE ...
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bin_daemon.app import App, make_parts, run_until_signalled
from bin_daemon.cli.run import parse_overrides
from bin_daemon.config import load
from bin_daemon.domain import LidPosition, Placement
from bin_daemon.events.client import Message
from bin_daemon.events.paho_client import PahoClient


def die() -> None:
    """At once: no handler, no farewell, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillAt:
    """Stands before a port and dies before or after the first call of ``method`` that ``counts``; all else passes through."""

    def __init__(self, port: Any, method: str, when: str, counts: Callable[[Any, tuple[Any, ...]], bool]) -> None:
        self._port = port
        self._method = method
        self._when = when
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        return self._deadly(value) if name == self._method else value

    def _deadly(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            if self._when == "before" and self._counts(None, args):
                die()
            result = call(*args)
            if self._when == "bug" and self._counts(result, args):
                raise ZeroDivisionError("a bug")
            if self._when == "after" and self._counts(result, args):
                die()
            return result

        return called


class _Ever:
    """True for the first call that carries something and for all later ones."""

    seen = False

    def __call__(self, result: Any, _: tuple[Any, ...]) -> bool:
        self.seen |= bool(result)
        return self.seen


COUNTS: dict[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "detector.update": lambda result, _: isinstance(result, Placement),
    "lids.poll": lambda result, _: bool(result),
    "client.publish": lambda _, args: isinstance(args[0], Message) and args[0].topic.endswith("event/item"),
}
"""Of most calls the very first counts; of these the first that carries something."""
BUGS: dict[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "detector.update": lambda _, args: any(x.position is LidPosition.OPEN for x in args[1].lids.values()),
    "lids.poll": _Ever(),
}


def main() -> int:
    """Run until death."""
    when, point, _, config, *rest = sys.argv[1:]
    loaded = load(Path(config), overrides=parse_overrides(rest[1::2]))
    counts = (BUGS if when == "bug" else COUNTS).get(point, lambda _result, _args: True)
    name, method = point.split(".")

    def open_client() -> Any:
        client = PahoClient(loaded.settings.mqtt, f"smartbin-{loaded.settings.bin.id}")
        return KillAt(client, method, when, counts) if name == "client" else client

    app = App(loaded, make_parts(loaded.settings), open_client=open_client)
    if name != "client":
        setattr(app.pipeline, name, KillAt(getattr(app.pipeline, name), method, when, counts))
    return run_until_signalled(app)


if __name__ == "__main__":
    sys.exit(main())
