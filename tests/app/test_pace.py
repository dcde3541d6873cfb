"""When the line lets the camera idle, and that whatever happens on the tray ends it at once."""

from __future__ import annotations

import pytest

from bin_daemon.app.watchfulness import QUIET, Watchfulness
from bin_daemon.placement.states import State
from bin_daemon.sensing import Pace


def paces(*states: tuple[State, float]) -> list[Pace]:
    """What is asked for after each frame."""
    watch = Watchfulness(3.0)
    return [watch.after(state, t_s) for state, t_s in states]


def test_an_empty_tray_lets_the_camera_idle_after_three_seconds() -> None:
    """Not sooner, by the frames' own time; and for as long as it stays empty."""
    states = [(State.EMPTY, 100.0 + t) for t in (0.0, 1.0, 2.9, 3.0, 500.0)]
    assert paces(*states) == [Pace.ALERT, Pace.ALERT, Pace.ALERT, Pace.IDLE, Pace.IDLE]


@pytest.mark.parametrize("state", [x for x in State if x not in QUIET])
def test_whatever_happens_is_watched_closely(state: State) -> None:
    """The first frame of it is enough, and it is watched however long it lasts."""
    found = paces((State.EMPTY, 0.0), (State.EMPTY, 10.0), (state, 10.1), (state, 99.0), (State.EMPTY, 99.1))
    assert found == [Pace.ALERT, Pace.IDLE, Pace.ALERT, Pace.ALERT, Pace.ALERT]


def test_a_dark_bin_idles_and_wakes_with_the_light() -> None:
    """All night blind: a few frames a second; the first one that shows the tray again is followed closely."""
    found = paces((State.BLIND, 0.0), (State.BLIND, 3.0), (State.EMPTY, 3.2), (State.EMPTY, 6.0), (State.EMPTY, 6.2))
    assert found == [Pace.ALERT, Pace.IDLE, Pace.ALERT, Pace.ALERT, Pace.IDLE]


def test_quiet_states_that_alternate_are_not_quiet() -> None:
    """A tray that is now seen and now not keeps the line awake."""
    states = [(State.BLIND if n % 2 else State.EMPTY, float(n)) for n in range(20)]
    assert set(paces(*states)) == {Pace.ALERT}
