"""What the bin tells of itself: the retained topics info, state and health, and `bin-daemon status`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bin_daemon.app.changes import FillWatch, StopWatch
from bin_daemon.app.faults import CAMERA_LOST
from bin_daemon.app.parts import Parts
from bin_daemon.app.tally import Tally
from bin_daemon.config import Loaded
from bin_daemon.domain import Fault, Frame, Sight
from bin_daemon.pipeline import Pipeline
from bin_daemon.service.health import process_health

FPS_FRAMES = 30
MOST_FPS = 240.0
"""No camera of ours is faster: numbers that run faster are no frame numbers."""
FAULT_REST_S = 3.0
"""A fault is cleared when it has been away for so long: a value at its limit must not fill outbox and disk with edges."""


class Telling:
    """Read from any thread; written by the main thread."""

    def __init__(
        self,
        loaded: Loaded,
        parts: Parts,
        pipeline: Pipeline,
        tally: Tally,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = loaded.settings
        self._parts = parts
        self._pipeline = pipeline
        self._tally = tally
        self._clock = clock
        self._config = hashlib.sha256(loaded.settings.model_dump_json().encode()).hexdigest()[:16]
        self._frames: deque[tuple[int, float]] = deque(maxlen=FPS_FRAMES)
        self._version = importlib.metadata.version("bin-daemon")
        self._hardware = _hardware()
        self._own: set[str] = set()
        self._seen_t_s: dict[str, float] = {}
        self._stop = StopWatch()
        self._fill = FillWatch(loaded.settings.fill, loaded.settings.lids)
        self.newest: Frame | None = None

    def frame(self, frame: Frame) -> None:
        """A frame arrived: for the frame rate and its age."""
        self.newest = frame
        self._frames.append((frame.seq, frame.t_s))

    def update_faults(self, found: Iterable[Fault]) -> None:
        """Raise and clear so that the journal's faults are what was found; the journal's own faults are its own business."""
        now_s = self._clock()
        present = {fault.code: fault for fault in found}
        for code, seen_t_s in list(self._seen_t_s.items()):
            if code not in present and now_s - seen_t_s >= FAULT_REST_S:
                self._parts.journal.clear_fault(code)
                del self._seen_t_s[code]
        for fault in present.values():
            self._parts.journal.raise_fault(fault)
            self._seen_t_s[fault.code] = now_s
        self._own = set(present)

    def update_changes(self) -> None:
        """Tell what happened to the stop and to the compartments since the last turn."""
        lids, journal = self._parts.lids.state, self._parts.journal
        now_s = self._clock()
        for edge in self._stop.update(lids, now_s):
            journal.tell_stop(edge)
        for change in self._fill.update(lids, now_s):
            journal.tell_fill(change)

    @property
    def sight(self) -> Sight:
        """Whether there is a picture that can be trusted: the detector does not know that the camera is gone."""
        return Sight.LOST if CAMERA_LOST in self._own else self._parts.detector.sight

    def info(self) -> dict[str, Any]:
        """What this bin is: version, hardware, firmware, model, configuration, capabilities, commands."""
        hello = self._parts.lids.hello
        return {
            "version": self._version,
            "name": self._settings.bin.name or self._settings.bin.id,
            "hardware": self._hardware,
            "firmware": hello.title if hello else "",
            "model": self._parts.classifier.info,
            "config": self._config,
            "capabilities": sorted(hello.capabilities) if hello else [],
        }

    def state(self) -> dict[str, Any]:
        """The full present state."""
        lids = self._parts.lids.state
        levels = self._fill.full_frac
        categories = {x.lid: x.category.value for x in self._settings.lids}
        return {
            "mode": self._pipeline.mode.value,
            "sight": self.sight.value,
            "tray": self._parts.detector.state.value,
            "controller": lids.connected,
            "stopped": lids.stopped,
            "stop_pressed": self._stop.pressed,
            "lids": [
                {
                    "lid": x.lid,
                    "category": categories.get(x.lid),
                    "position": x.position.value,
                    "full_frac": _percent(levels.get(x.lid, x.full_frac)),
                }
                for x in lids.lids.values()
            ],
            "faults": [
                {"code": x.code, "severity": x.severity, "text": x.text, "fix": x.fix}
                for x in self._parts.journal.active_faults
            ],
        }

    def health(self) -> dict[str, Any]:
        """Figures for a graph; the publisher adds its own under ``mqtt``."""
        newest_t_s = self.newest.t_s if self.newest else None
        telemetry = self._parts.lids.telemetry
        return {
            **self._tally.health(),
            **self._frame_rates(),
            "frame_age_ms": None if newest_t_s is None else round((self._clock() - newest_t_s) * 1000),
            "head_start": self._parts.classifier.counts,
            "serial": {"stray_reports": self._parts.journal.stray_reports, **self._parts.lids.line_errors},
            "controller_temp_c": telemetry.temp_c if telemetry else None,
            "supply_mv": telemetry.vin_mv if telemetry else None,
            **process_health(self._settings.service.state_dir),
        }

    def _frame_rates(self) -> dict[str, float | None]:
        """``fps``: what the camera sends, by its numbers; ``looked_fps``: what the line was shown of it."""
        frames = tuple(self._frames)
        span_s = frames[-1][1] - frames[0][1] if len(frames) > 1 else 0.0
        if span_s <= 0:
            return {"fps": None, "looked_fps": None}
        looked, sent = len(frames) - 1, frames[-1][0] - frames[0][0]
        if not looked <= sent <= MOST_FPS * span_s:  # numbers of somebody's own camera that do not count frames
            sent = looked
        return {"fps": round(sent / span_s, 1), "looked_fps": round(looked / span_s, 1)}


def _percent(frac: float | None) -> float | None:
    """To the full percent."""
    return None if frac is None else round(frac, 2)


def _hardware() -> str:
    """The board's own name where the device tree tells it (Jetson, Raspberry Pi), else machine and system."""
    try:
        return Path("/proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    except OSError:
        return f"{platform.machine()} {platform.system()}"
