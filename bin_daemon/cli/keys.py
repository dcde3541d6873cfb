"""Single keys and whole lines from stdin, never waiting: whoever asks has a session with a controller to keep alive meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import termios
import tty
from typing import Any

_SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "pgup",
    "\x1b[6~": "pgdn",
}
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|[^\x1b]")
_UNFINISHED = re.compile(r"\x1b(?:[\[O][0-9;]*)?$")


class Keys:
    """Keys of the terminal on stdin, a context manager. Ctrl-C still interrupts. Raises EOFError when the terminal is gone."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._before: list[Any] | None = None
        self._waiting = ""

    def __enter__(self) -> Keys:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def read(self) -> list[str]:
        """Keys pressed since the last call: characters, or up, down, left, right, pgup, pgdn."""
        fresh = _read(self._fd)
        text = self._waiting + fresh
        tail = _UNFINISHED.search(text)
        whole = text[: tail.start()] if tail else text
        # A sequence may come in two parts; one whose other part does not come is the Esc key, which means nothing here.
        self._waiting = tail.group() if tail and fresh else ""
        found = _KEY.findall(whole)
        return [_SEQUENCES.get(x.replace("\x1bO", "\x1b["), x if len(x) == 1 else "") for x in found]


class Lines:
    """Lines of a script or pipe on stdin. Raises EOFError at its end."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._waiting = ""
        self._ended = False

    def read(self) -> str | None:
        """The next whole line, None while there is none."""
        if "\n" not in self._waiting and not self._ended:
            try:
                self._waiting += _read(self._fd)
            except EOFError:
                self._ended = True
                self._waiting += "\n" if self._waiting else ""
        if "\n" not in self._waiting:
            if self._ended:
                raise EOFError
            return None
        line, self._waiting = self._waiting.split("\n", 1)
        return line.strip()


def _read(fd: int) -> str:
    """What is there, empty when nothing is. Raises EOFError at the end, also for a terminal that was closed."""
    if not select.select([fd], [], [], 0)[0]:
        return ""
    try:
        data = os.read(fd, 1024)
    except OSError as error:
        raise EOFError from error
    if not data:
        raise EOFError
    return data.decode("utf-8", "replace")
