"""When the line lets the camera idle, and that whatever happens on the tray ends it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bin_daemon.app.parts import make_camera
from bin_daemon.app.watchfulness import QUIET, Watchfulness
from bin_daemon.config import CameraSettings
from bin_daemon.placement.states import State
from bin_daemon.sensing import Pace, Slot

if TYPE_CHECKING:
    from pathlib import Path


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


CAMERA = """
from contextlib import nullcontext
from itertools import count

import numpy as np

from bin_daemon.domain import Frame

class Camera:
    def __init__(self, settings):
        self.number = count()

    def open(self):
        return nullcontext(self.read)

    def read(self):
        n = next(self.number)
        grey8 = np.random.default_rng(n).integers(0, 255, (8, 8), dtype=np.uint8)
        return Frame(n, n / 15, 64, 64, grey8, lambda: grey8)
"""


def test_the_slot_hands_the_pace_to_the_camera_that_was_built_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle and alert reach a running camera through the slot alone: nothing is opened again."""
    (tmp_path / "paced_cams").mkdir()
    (tmp_path / "paced_cams" / "__init__.py").write_text("")
    (tmp_path / "paced_cams" / "own.py").write_text(CAMERA)
    monkeypatch.syspath_prepend(str(tmp_path))
    slot = Slot()
    with make_camera(CameraSettings(source="paced_cams.own:Camera", idle_fps=5), slot).open() as read:
        assert [read().seq for _ in range(3)] == [0, 1, 2]
        slot.pace = Pace.IDLE
        assert [read().seq for _ in range(3)] == [5, 8, 11]
        slot.pace = Pace.ALERT
        assert [read().seq for _ in range(3)] == [12, 13, 14]
