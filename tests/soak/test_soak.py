"""The soak itself: a short one finds nothing, and what is planted is found and named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Frame, TrayKind
from bin_daemon.placement.told import WAITING_MOST, Told
from tests.soak import sight
from tests.soak.__main__ import watch
from tests.soak.samples import GROWTH_BYTES, Sample, complaints, growth_bytes


def samples(*megabytes: float, files: int = 0, threads: int = 0, waiting: int = 0) -> list[Sample]:
    """One each 1,000 frames; the last one holds so many more of the rest."""
    found = [Sample(1000 * n, int(x * 1e6), 0, 9, 5) for n, x in enumerate(megabytes)]
    last = found[-1]
    found[-1] = Sample(last.frames, last.anonymous_bytes, 0, 9 + files, 5 + threads, waiting)
    return found


def test_a_short_soak_of_all_parts_finds_nothing() -> None:
    """Detector and whole line, as `make soak` runs them, for a few frames: the rig works and nothing grows at once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--short"], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.endswith("nothing grew\n")
    assert "line: 500 of 500 frames" in done.stdout


def test_planted_leaks_are_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Lists that hold each frame for ever, a file that is never closed, a thread that never ends."""
    kept: list[list[bytes]] = []
    files: list[int] = []
    ends = threading.Event()

    def leak(frame: Frame) -> None:
        kept.append([bytes(20_000)])
        if frame.seq % 100 == 0:
            files.append(os.dup(0))
            threading.Thread(target=ends.wait, daemon=True).start()

    try:
        found = watch("detector", 400, sight.run(400, 4, film_frames=50, beside=leak))
    finally:
        ends.set()
        for each in files:
            os.close(each)
    memory, opened, threads = found
    assert memory.startswith("detector: memory grew by ")
    assert "list" in memory
    assert opened.startswith("detector: files grew from ")
    assert threads.startswith("detector: threads grew from ")
    assert "400 of 400 frames" in capsys.readouterr().out


def test_a_line_of_growth_is_measured_and_a_late_step_is_none() -> None:
    """0.2 MB each 1,000 frames is told as what it comes to; half a megabyte that comes once and stays is no leak."""
    assert growth_bytes(samples(70, 70.2, 70.4, 70.6, 70.8, 71.0)) == pytest.approx(1_000_000)
    assert growth_bytes(samples(70, 70, 70, 70, 70, 70.5)) == 0


@pytest.mark.parametrize(
    ("grown", "word"),
    [
        (samples(70, 71, 72, 73), "memory grew by 3.00 MB over 3,000 frames"),
        (samples(70, 70, 70, files=1), "files grew from 9 to 10"),
        (samples(70, 70, 70, threads=2), "threads grew from 5 to 7"),
        (samples(70, 70, 70, waiting=3), "waiting grew from 0 to 3"),
    ],
)
def test_each_kind_of_growth_is_told(grown: list[Sample], word: str) -> None:
    """One line for it, and no other."""
    (line,) = complaints("line", grown, Counter({"Frame": 1}), Counter({"Frame": 2}))
    assert line.startswith(f"line: {word}")


def test_flat_is_flat() -> None:
    """Noise up to the limit, and less of everything, is no growth."""
    below = GROWTH_BYTES / 1e6 * 0.9
    assert complaints("line", samples(70, 70 + below / 2, 70 + below, files=-1), Counter(), Counter()) == []


def test_outcomes_that_nobody_takes_do_not_pile_up() -> None:
    """The daemon reads conditions only: the newest outcomes are kept, the oldest go."""
    told = Told(PlacementSettings())
    picture = np.zeros((45, 80), np.uint8)
    for seq in range(2 * WAITING_MOST):
        told.tell(TrayKind.PLACEMENT, Frame(seq, float(seq), 640, 360, picture, lambda: picture))
    assert [x.frame_seq for x in told.take()] == list(range(WAITING_MOST, 2 * WAITING_MOST))
    assert told.take() == ()
