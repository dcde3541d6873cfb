"""What the whole daemon costs while nobody comes: processor time of the process in a second, beside a bare motion script.

Real: all of the daemon, its camera above the driver; the controller is a process of its own, as the real one is a machine of
its own. Both programs watch the same pictures at the same rate at the same time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.far_end import far_end
from tests.benchmarks.figures import Figure, alone, paired
from tests.benchmarks.start import daemon
from tests.benchmarks.still_life import FOLDER_VARIABLE, FPS, Pictures, save_jpegs, to_jpeg

AIM = "< 1"
WINDOW_S = 2.0
SETTLE_S = 4.0
"""The tray is learnt, and what start-up left behind is done."""


def measure(bundle: Path, pictures: Pictures, folder: Path, windows: int) -> list[Figure]:
    """So many windows of time."""
    frames = folder / "frames"
    frames.mkdir()
    save_jpegs(frames, [to_jpeg(x) for x in pictures.empty])
    camera = {"camera.source": "tests.benchmarks.still_life:StillCamera"}
    with (
        far_end(folder) as end,
        daemon(bundle, environment={FOLDER_VARIABLE: str(frames)}, **camera, **{"controller.port": end.port}) as (
            ours,
            _,
        ),
        _poller(frames) as peer,
    ):
        time.sleep(SETTLE_S)
        percents = [_percents(ours, peer) for _ in range(windows)]
        resident_mb = ours.memory_info().rss / 1e6
    return [
        paired(
            f"whole daemon idle, MJPG 720p, {FPS:g} fps",
            "% of a core",
            [x for x, _ in percents],
            [x for _, x in percents],
            against="OpenCV full decode + absdiff, nothing else",
            aim=AIM,
        ),
        alone("  resident memory of that", "MB", [resident_mb]),
    ]


def _percents(ours: psutil.Process, peer: psutil.Process) -> tuple[float, float]:
    """Shares of a core in one window of time."""
    began_s, before = time.monotonic(), [_cpu_s(ours), _cpu_s(peer)]
    time.sleep(WINDOW_S)
    took_s, after = time.monotonic() - began_s, [_cpu_s(ours), _cpu_s(peer)]
    return 100 * (after[0] - before[0]) / took_s, 100 * (after[1] - before[1]) / took_s


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _poller(frames: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "tests.benchmarks.plain_poller", str(frames), str(FPS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if not process.stdout or not process.stdout.readline():
                raise RuntimeError("the motion script failed")
            yield psutil.Process(process.pid)
        finally:
            process.kill()
