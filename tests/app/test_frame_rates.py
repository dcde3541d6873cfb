"""The frame rates in health: what the camera sends, and what an idle line looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from bin_daemon.app.telling import Telling
from bin_daemon.config import load
from bin_daemon.domain import Frame

if TYPE_CHECKING:
    from bin_daemon.app.parts import Parts
    from bin_daemon.app.tally import Tally
    from bin_daemon.pipeline import Pipeline


def rates(*frames: tuple[int, float]) -> tuple[float | None, float | None]:
    """``fps`` and ``looked_fps`` after frames of these numbers and times."""
    journal = SimpleNamespace(stray_reports=0)
    lids = SimpleNamespace(telemetry=None, line_errors={})
    parts = SimpleNamespace(journal=journal, lids=lids, classifier=SimpleNamespace(counts={}))
    tally = SimpleNamespace(health=dict)
    telling = Telling(
        load(None), cast("Parts", parts), cast("Pipeline", None), cast("Tally", tally), clock=lambda: frames[-1][1]
    )
    for seq, t_s in frames:
        telling.frame(Frame(seq, t_s, 64, 64, np.zeros((8, 8), np.uint8), lambda: np.zeros((64, 64, 3), np.uint8)))
    health = telling.health()
    return health["fps"], health["looked_fps"]


@pytest.fixture(autouse=True)
def _no_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIN_CONFIG", raising=False)


def test_an_idle_line_does_not_make_the_camera_look_slow() -> None:
    """Every third of 30 frames a second is looked at: the camera is still one of 30."""
    assert rates(*((3 * n, n / 10) for n in range(20))) == (30.0, 10.0)


def test_both_rates_are_one_while_alert() -> None:
    """Every frame is looked at."""
    assert rates(*((n, n / 15) for n in range(20))) == (15.0, 15.0)


@pytest.mark.parametrize("number", [lambda _: 7, lambda n: -n, lambda n: 1_000_000 * n])
def test_numbers_that_count_no_frames_are_not_believed(number: object) -> None:
    """A site's own camera may number as it likes: then what was looked at is all that is known."""
    assert rates(*((number(n), n / 10) for n in range(20))) == (10.0, 10.0)  # type: ignore[operator]


def test_no_rate_is_told_of_one_frame() -> None:
    """Nor of two at the same time."""
    assert rates((0, 1.0)) == (None, None)
    assert rates((0, 1.0), (1, 1.0)) == (None, None)
