"""The simulated lamp keeps SPEC.md's rules, so that tests and demo show what a board would."""

from __future__ import annotations

from bin_daemon.sim.lamp import Lamp
from firmware_protocol.messages import Pattern


def patterns(lamp: Lamp) -> list[Pattern]:
    """What it showed."""
    return [x.pattern for x in lamp.history]


def test_a_pattern_ends_by_itself() -> None:
    """Dark after duration_ms."""
    lamp = Lamp()
    lamp.indicate(Pattern.UNSURE, 1000)
    lamp.advance(0.99)
    assert lamp.pattern is Pattern.UNSURE
    lamp.advance(0.011)
    assert patterns(lamp) == [Pattern.UNSURE, Pattern.OFF]


def test_repeating_prolongs_without_a_sound() -> None:
    """The same pattern again is one showing with a later end; another one replaces it at once."""
    lamp = Lamp()
    for _ in range(5):
        lamp.indicate(Pattern.FAULT, 1000)
        lamp.advance(0.9)
    assert patterns(lamp) == [Pattern.FAULT]
    lamp.indicate(Pattern.ACCEPTED, 500)
    lamp.indicate(Pattern.OFF, 0)
    assert patterns(lamp) == [Pattern.FAULT, Pattern.ACCEPTED, Pattern.OFF]


def test_zero_stays_until_the_next_one() -> None:
    """And the last one's end does not reach into it."""
    lamp = Lamp()
    lamp.indicate(Pattern.WAIT, 500)
    lamp.indicate(Pattern.FAULT, 0)
    lamp.advance(100_000)
    assert lamp.pattern is Pattern.FAULT
    lamp.indicate(Pattern.FAULT, 200)
    lamp.advance(0.2)
    assert patterns(lamp) == [Pattern.WAIT, Pattern.FAULT, Pattern.OFF]


def test_changes_are_told_as_they_come() -> None:
    """For the simulator's output."""
    lamp, told = Lamp(), list[Pattern]()
    lamp.on_change = lambda shown: told.append(shown.pattern)
    lamp.indicate(Pattern.FULL, 100)
    lamp.advance(1)
    assert told == [Pattern.FULL, Pattern.OFF]
