"""What a script sees of long work: lines of progress with rate and time left."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import orjson

from bin_daemon.training.screen import ConsoleScreen

if TYPE_CHECKING:
    import pytest


def test_progress_lines_tell_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    """One line every two seconds and one at the end, on stderr; the rate is the mean so far."""
    seconds = count(0.0, 0.5)
    screen = ConsoleScreen(as_json=True, write=lambda _line: None, clock=lambda: next(seconds))
    with screen.progress("test", 40) as advance:
        for _ in range(5):
            advance(8, "")
    out, err = capsys.readouterr()
    assert out == ""
    told = [orjson.loads(x) for x in err.splitlines()]
    assert [x["done"] for x in told] == [32, 40]
    assert told[0]["left_s"] == round(8 / told[0]["per_s"], 1)
    assert told[-1]["left_s"] == 0
    assert {x["part"] for x in told} == {"test"}


def test_a_part_that_fails_ends_without_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A script is not told that unfinished work is done."""
    screen = ConsoleScreen(as_json=True, write=lambda _line: None, clock=lambda: 0.0)
    try:
        with screen.progress("test", 40) as advance:
            advance(8, "")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert capsys.readouterr().err == ""
