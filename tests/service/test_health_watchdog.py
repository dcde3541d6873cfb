"""The watchdog decision: fed while everybody lives, however broken the devices are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bin_daemon.service.health import Latencies, may_feed_watchdog, process_health
from bin_daemon.service.worker import WorkerStatus


def status(beat_t_s: float, *, failing: str = "", dead: bool = False) -> WorkerStatus:
    """A worker as seen from outside."""
    return WorkerStatus("camera", beat_t_s, failing, "", 1 if failing else 0, 0, dead)


@pytest.mark.parametrize(
    ("loop_t_s", "worker", "why"),
    [
        (99.0, status(99.0), ""),
        (99.0, status(99.0, failing="cable out"), ""),
        (80.0, status(99.0), "main loop silent for 20.0 s"),
        (99.0, status(80.0), "camera silent for 20.0 s"),
        (99.0, status(99.0, dead=True), "camera is dead"),
    ],
)
def test_watchdog_decision(loop_t_s: float, worker: WorkerStatus, why: str) -> None:
    """An unplugged camera is fed, a hung camera, a dead worker and a stuck loop are not."""
    assert may_feed_watchdog(loop_t_s, [worker], now_s=100.0, stale_s=10.0) == why


def test_latencies_summarise() -> None:
    """Median and 95th percentile of what was measured; empty before anything was."""
    latencies = Latencies()
    assert latencies.summary() == {}
    for value in range(1, 101):
        latencies.add(float(value))
    assert latencies.summary() == {"p50": 51.0, "p95": 96.0}


def test_process_health_is_plausible(tmp_path: Path) -> None:
    """Real figures of this very process."""
    health = process_health(tmp_path)
    assert health["rss_mb"] > 5
    assert health["fds"] > 2
    assert health["disk_free_mb"] is not None
    assert process_health(tmp_path / "gone")["disk_free_mb"] is None
