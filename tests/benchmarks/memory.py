"""``python -m tests.benchmarks.memory FRAMES STRETCHES``: does the line's memory grow?

Items fall for hours, on a clock that only sleeping moves. Real: simulated camera, detector, policy, durable journal, outbox.
The classifier is a stub, and lids move by the clock; a publisher that is always connected empties the outbox.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bin_daemon.app.parts import new_id
from bin_daemon.app.tally import Tally
from bin_daemon.config.settings import CameraSettings, JournalSettings, PlacementSettings, PolicySettings, Settings
from bin_daemon.domain import (
    Category,
    Classification,
    LidCommand,
    LidPosition,
    LidReport,
    LidsState,
    LidState,
    Outcome,
    Placement,
    Signal,
)
from bin_daemon.events import Journal
from bin_daemon.pipeline import Pipeline
from bin_daemon.placement import Detector
from bin_daemon.policy import Policy
from bin_daemon.service.logs import setup_logs
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.playback import CYCLE, VirtualClock
from bin_daemon.sim.world import LidMotion, World, world
from firmware_protocol.hal import Motion
from tests.benchmarks.figures import Figure

AIM_KB = 1000
"""Over 100,000 frames: less than one page of 4 kB for every 400 frames is noise of the allocator."""
SIZE = (320, 180)
"""Small pictures: the line keeps none, so that their size does not matter, and time does."""
PUBLISH_FRAMES = 100
KEEP_DAYS = 0.005
"""Seven minutes: journal rows come and go many times in one run, as they do over months."""
_POSITIONS = {
    Motion.OPENING: LidPosition.OPENING,
    Motion.OPEN: LidPosition.OPEN,
    Motion.CLOSING: LidPosition.CLOSING,
    Motion.CLOSED: LidPosition.CLOSED,
}


class PlayedLids:
    """A lid port whose lids move by the virtual clock; the scene hears of every motion."""

    def __init__(self, clock: VirtualClock, scene: World) -> None:
        self._clock = clock
        self._scene = scene
        self._due: deque[tuple[float, Motion, LidCommand]] = deque()
        self._lids = {lid: LidState(lid, LidPosition.CLOSED) for lid in range(1, 5)}

    @property
    def state(self) -> LidsState:
        """All lids now."""
        return LidsState(connected=True, lids=dict(self._lids))

    def open(self, command: LidCommand) -> None:
        """Begin one whole cycle."""
        starts = accumulate((seconds for _, seconds in CYCLE), initial=self._clock.now_s)
        self._due.extend((t_s, motion, command) for t_s, (motion, _) in zip(starts, CYCLE, strict=False))

    def signal(self, signal: Signal) -> None:
        """No lamp here."""

    def poll(self) -> Sequence[LidReport]:
        """Move on to the present."""
        reports = []
        while self._due and self._due[0][0] <= self._clock.now_s:
            t_s, motion, command = self._due.popleft()
            shut_t_s = t_s if motion is Motion.CLOSED else None
            self._lids[command.lid] = LidState(command.lid, _POSITIONS[motion], closed_t_s=shut_t_s)
            self._scene.tell(LidMotion(t_s, command.lid, motion, command.action_id))
            if motion is Motion.CLOSED:
                reports.append(LidReport(command.action_id, Outcome.CLOSED, "CLOSED", open_ms=1000.0))
        return reports


class Stub:
    """Sure of one category after the other; counts."""

    def __init__(self) -> None:
        self.items = 0

    def prefer(self, candidate: Placement | None) -> None:
        """No model, no head start."""

    def classify(self, placement: Placement) -> Classification:
        """No model."""
        self.items += 1
        best = tuple(Category)[self.items % 4]
        probs = {category: 0.97 if category is best else 0.01 for category in Category}
        return Classification(best, probs, (), 0.96, 1.0, "stub", 1.0, placement.t_s)


def run(frames: int, stretches: int) -> dict[str, Any]:
    """Play ``frames`` frames in so many stretches, after one as warm-up; samples of memory, files and threads on the way."""
    clock, me, stub, stretch = VirtualClock(), psutil.Process(), Stub(), frames // stretches
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        journal = _journal(Path(folder), clock)
        policy = Policy(PolicySettings(), Settings().lids)
        lids = PlayedLids(clock, world("memory"))
        pipeline = Pipeline(
            Detector(PlacementSettings(), new_id), stub, policy, Tally(journal, clock=clock.clock), lids
        )
        counts = []
        for _ in range(stretches + 1):
            _play(pipeline, journal, clock, stretch)
            counts.append(_sample(me))
        journal.close()
    sizes, objects, files, threads = zip(*counts, strict=True)
    slope = float(np.polyfit(np.arange(len(sizes)) * stretch, sizes, 1)[0])
    return {
        "items": stub.items,
        "frames": frames,
        "slope_kb": slope * 100_000 / 1024,
        "rss_mb": [x / 1e6 for x in sizes],
        "objects": objects[-1] - objects[0],
        "fds": files[-1] - files[0],
        "threads": threads[-1] - threads[0],
    }


def _sample(me: psutil.Process) -> tuple[int, int, int, int]:
    """Resident bytes, Python objects, files, threads. Free pages go back first: a leak could hide in what a scene left behind."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # musl has none
        ctypes.CDLL(None).malloc_trim(0)
    return me.memory_info().rss, sys.getallocatedblocks(), me.num_fds(), me.num_threads()


def _journal(folder: Path, clock: VirtualClock) -> Journal:
    return Journal(
        folder / "journal.sqlite",
        JournalSettings(max_age_days=KEEP_DAYS),
        "bench",
        clock=clock.clock,
        wall=lambda: 1.8e9 + clock.now_s,
        synced=lambda: True,
    )


def _play(pipeline: Pipeline, journal: Journal, clock: VirtualClock, frames: int) -> None:
    """One stretch with a scene of its own: a scene remembers every item that it showed, and that is not the line's memory."""
    settings = CameraSettings(source="sim:memory?photos=drawn&items=100000&seed=1", width=SIZE[0], height=SIZE[1])
    with SimCamera(settings, clock=clock.clock, sleep=clock.sleep).open() as read:
        for number in range(frames):
            pipeline.step(read())
            if number % PUBLISH_FRAMES == 0:
                journal.outbox.ack([row.event_id for row in journal.outbox.batch(PUBLISH_FRAMES)])


def measure(frames: int, stretches: int) -> tuple[list[Figure], dict[str, Any]]:
    """Run it in a process of its own; its figures, and its raw samples."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(frames), str(stretches)]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    name = f"memory growth, {found['items']} items in {frames} frames"
    return [
        Figure(name, "kB/100k frames", found["slope_kb"], len(found["rss_mb"]), aim=f"< {AIM_KB}"),
        Figure("  resident at the end", "MB", found["rss_mb"][-1], 1),
        Figure("  Python objects more than after warm-up", "", found["objects"], 1, aim="about 0"),
        Figure("  open files more than after warm-up", "", found["fds"], 1, aim="0"),
        Figure("  threads more than after warm-up", "", found["threads"], 1, aim="0"),
    ], found


if __name__ == "__main__":
    setup_logs("error")  # the line's own log would be on standard output otherwise
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201 - the parent reads it
