"""How a wrong configuration is told to a technician: place, key, what is wrong, what was meant, and the line itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from bin_daemon.config.positions import Position

_LOOKS_SECRET = re.compile(r"(?i)pas+[w_]|pwd|secret|token")
_VALUE = re.compile(r"=.*")

MAX_SHOWN_CHARS = 160


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error: ``place`` is file:line:column, a variable or a credential."""

    place: str
    text: str
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" + (f"\n{self.excerpt}" if self.excerpt else "")


def raise_all(found: Iterable[Complaint]) -> None:
    """One ConfigError whose text lists every complaint; returns when there is none."""
    text = "\n".join(map(str, sorted(dict.fromkeys(found), key=_reading_order)))
    if text:
        raise ConfigError(text, hint="mend these, then run: bin-daemon config check FILE")


def _reading_order(complaint: Complaint) -> list[tuple[int, str]]:
    """Line 9 before line 16."""
    return [(int(x), "") if x.isdigit() else (0, x) for x in re.split(r"(\d+)", complaint.place)]


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.65) -> str | None:
    """The known word that was most likely meant; ``cutoff`` 1 allows no difference."""
    by_lower = {x.lower(): x for x in known}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def source_excerpt(text: str, position: Position, *, hide_value: bool = False) -> str:
    """The line with its number and carets under the spot; the value of anything like a secret is blotted out."""
    lines = text.split("\n")
    line = lines[position.line - 1] if position.line <= len(lines) else ""
    shown = line.replace("\t", " ")[:MAX_SHOWN_CHARS]
    if hide_value or _LOOKS_SECRET.search(line):
        shown = _VALUE.sub("= ********", shown)
    if not shown.strip():
        return ""
    # Chinese characters take two cells of a terminal.
    pad = "".join("  " if ord(c) > 0x2E7F else " " for c in line[: position.column - 1])  # noqa: PLR2004 - CJK begins here
    return f"{position.line:5} | {shown}\n      | {pad}{'^' * max(position.width, 1)}"
