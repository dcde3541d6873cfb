"""Health of the process itself, and the decision whether systemd's watchdog may be fed."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from bin_daemon.service.worker import WorkerStatus


def may_feed_watchdog(loop_beat_t_s: float, workers: Iterable[WorkerStatus], now_s: float, stale_s: float) -> str:
    """Empty when the watchdog may be fed, else the reason why not: the main loop just turned and every worker lives.

    A worker that fails and knows it is alive (degraded, keep feeding); one that hangs is not (let systemd restart us).
    """
    if now_s - loop_beat_t_s > stale_s:
        return f"main loop silent for {now_s - loop_beat_t_s:.1f} s"
    for worker in workers:
        if worker.dead:
            return f"{worker.name} is dead"
        if now_s - worker.beat_t_s > stale_s:
            return f"{worker.name} silent for {now_s - worker.beat_t_s:.1f} s"
    return ""


class Latencies:
    """The last 256 durations, ms, for median and 95th percentile."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=256)

    def add(self, value_ms: float) -> None:
        """Remember one duration."""
        self._values.append(value_ms)

    def summary(self) -> dict[str, float]:
        """``{"p50": ms, "p95": ms}``, empty when nothing was measured."""
        ordered = sorted(self._values)
        if not ordered:
            return {}
        return {"p50": round(ordered[len(ordered) // 2], 1), "p95": round(ordered[int(len(ordered) * 0.95)], 1)}


def process_health(state_dir: Path) -> dict[str, Any]:
    """RSS, open files and threads of this process, free disk of the state directory, hottest sensor; None where unknown."""
    process = psutil.Process()
    temperatures = [t.current for group in getattr(psutil, "sensors_temperatures", dict)().values() for t in group]
    try:
        disk_free_mb: float | None = round(shutil.disk_usage(state_dir).free / 1e6)
    except OSError:
        disk_free_mb = None
    return {
        "rss_mb": round(process.memory_info().rss / 1e6, 1),
        "fds": process.num_fds(),
        "threads": process.num_threads(),
        "disk_free_mb": disk_free_mb,
        "temp_c": max(temperatures, default=None),
    }
