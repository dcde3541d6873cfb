"""Keys and lines from stdin: whole, in parts, at the end, and never waiting."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bin_daemon.cli.keys import Keys, Lines


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal on stdin; its far end."""
    far, near = pty.openpty()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=lambda: near))
    yield far
    for end in (far, near):
        os.close(end)


def test_keys_by_name(stdin: int) -> None:
    """Arrows in both dialects, paging, letters; an unknown sequence means nothing, and nothing is waited for."""
    with Keys() as keys:
        assert keys.read() == []
        os.write(stdin, b"\x1b[A\x1bOBo\x1b[C\x1b[D\x1b[5~\x1b[6~ \x1b[15~q")
        assert keys.read() == ["up", "down", "o", "right", "left", "pgup", "pgdn", " ", "", "q"]


def test_a_sequence_in_two_parts(stdin: int) -> None:
    """As over a slow line; the Esc key alone means nothing and swallows nothing."""
    with Keys() as keys:
        os.write(stdin, b"x\x1b[")
        assert keys.read() == ["x"]
        os.write(stdin, b"5~")
        assert keys.read() == ["pgup"]
        os.write(stdin, b"\x1b")
        assert keys.read() == []
        assert keys.read() == []
        os.write(stdin, b"[o")
        assert keys.read() == ["[", "o"]


def test_the_terminal_is_given_back_as_it_was(stdin: int) -> None:
    """Keys come singly inside, whole lines with echo outside."""
    before = termios.tcgetattr(stdin)
    with Keys():
        assert not termios.tcgetattr(stdin)[3] & (termios.ICANON | termios.ECHO)
    assert termios.tcgetattr(stdin) == before


def test_lines_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines, stripped; None while there is none; the last one needs no line end; then EOFError for ever."""
    near, far = os.pipe()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=lambda: near))
    lines = Lines()
    assert lines.read() is None
    os.write(far, b" begin \nj")
    assert (lines.read(), lines.read()) == ("begin", None)
    os.write(far, b"og 5\n\nquit")
    os.close(far)
    assert [lines.read(), lines.read()] == ["jog 5", ""]
    assert lines.read() == "quit"
    for _ in range(2):
        with pytest.raises(EOFError):
            lines.read()
    os.close(near)
