"""Where each key of a TOML text stands. No kept Python library tells that, so this walks text that tomllib has accepted.

It therefore checks nothing: it only has to find keys, and to step over values without being fooled by what they contain.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from bin_daemon.config.toml import parse_toml

KeyPath = tuple[str | int, ...]
"""("lids", 1, "category"): table names, array indices, key."""


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column from 1; ``width`` is the length of the key as it is written."""

    line: int
    column: int
    width: int


_SPACE = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})'''  # up to two quotes may stand right before the closing three
    r"""|'''.*?'''(?:'{0,2})"""
    r"""|"(?:\\.|[^"\\])*"|'[^']*'""",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def key_positions(text: str) -> Mapping[KeyPath, Position]:
    """Each table, key and array element of ``text`` with the place where it first appears.

    ``text`` must be valid TOML; a table written ``[a.b]`` stands at the word ``b``, an array element at its own first character.
    """
    return _Walk(text.replace("\r\n", "\n")).found


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.found: dict[KeyPath, Position] = {}
        self.elements: dict[KeyPath, int] = {}  # how often [[path]] has been seen
        table: KeyPath = ()
        self.skip(_GAP)
        while self.at < len(text):
            table = self.header() if text[self.at] == "[" else self.pair(table)
            self.skip(_GAP)

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        taken = match.group() if match else ""
        self.at += len(taken)
        return taken

    def note(self, path: KeyPath, start: int, width: int) -> None:
        line = bisect_right(self.line_starts, start)
        self.found.setdefault(path, Position(line, start - self.line_starts[line - 1] + 1, width))

    def header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``: the table that the following pairs belong to."""
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        path = self.dotted((), into_arrays=True, last_is_new=is_array)
        self.at += 2 if is_array else 1
        return path

    def dotted(self, path: KeyPath, *, into_arrays: bool = False, last_is_new: bool = False) -> KeyPath:
        """One key with dots; a name that is an array of tables means its newest element."""
        while True:
            self.skip(_SPACE)
            start = self.at
            raw = self.skip(_KEY)
            path = (*path, _plain(raw))
            self.note(path, start, len(raw))
            self.skip(_SPACE)
            is_last = not self.text.startswith(".", self.at)
            if is_last and last_is_new:
                self.elements[path] = self.elements.get(path, 0) + 1
            if into_arrays and path in self.elements:
                path = (*path, self.elements[path] - 1)
                self.note(path, start, len(raw))
            if is_last:
                return path
            self.at += 1

    def pair(self, table: KeyPath) -> KeyPath:
        path = self.dotted(table)
        self.at += 1  # the =
        self.skip(_SPACE)
        self.value(path)
        return table

    def value(self, path: KeyPath) -> None:
        opening = self.text[self.at]
        if opening in "[{":
            self.items(path, is_array=opening == "[")
        elif not self.skip(_STRING):
            self.skip(_SCALAR)

    def items(self, path: KeyPath, *, is_array: bool) -> None:
        """The inside of ``[ ]`` or ``{ }``."""
        self.at += 1
        index = 0
        self.skip(_GAP)
        while self.text[self.at] not in "]}":
            if is_array:
                self.note((*path, index), self.at, 1)
                self.value((*path, index))
            else:
                self.pair(path)
            index += 1
            self.skip(_GAP)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_GAP)
        self.at += 1


def _plain(raw: str) -> str:
    """The key without quotes and escapes."""
    if raw[0] == "'":
        return raw[1:-1]
    return str(parse_toml(f"k = {raw}")["k"]) if raw[0] == '"' else raw
