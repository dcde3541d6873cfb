"""The demo as a person and a script start it: the whole line, real broker or none, pure JSON, an honest exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

ITEM_KEYS = {
    "item", "truth", "category", "label", "probability", "lid", "outcome", "event_id", "latency_ms",
}  # fmt: skip
WITHOUT_BROKER = """
import sys
import bin_daemon.demo.broker as broker
broker.find_mosquitto = lambda: None
from bin_daemon.__main__ import main
sys.argv[0] = "bin-daemon"
main()
"""


def run_demo(*program: str) -> subprocess.CompletedProcess[str]:
    """Two drawn items; ends by itself, needs no terminal."""
    words = [sys.executable, *program, "demo", "--items", "2", "--photos", "drawn", "--seed", "3"]
    return subprocess.run(
        [*words, "--json"], capture_output=True, text=True, check=False, timeout=150, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    ("program", "broker"),
    [(("-m", "bin_daemon"), "mosquitto"), (("-c", WITHOUT_BROKER), "in-process bus")],
)
def test_the_demo_tells_each_item_and_a_summary(program: tuple[str, ...], broker: str) -> None:
    """Pure JSON lines; every item has one event that a separate subscriber got; the exit code says it worked."""
    done = run_demo(*program)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    *items, summary = lines
    assert [set(x) for x in items] == [ITEM_KEYS] * 2
    for item in items:
        assert item["truth"] in {"recyclable", "kitchen", "hazardous", "other"}
        assert item["outcome"] in {"closed", "unsure_kept_shut"}
        assert set(item["latency_ms"]) == {"settle", "classify", "decide", "wire"}
    assert len({x["event_id"] for x in items}) == 2
    assert (summary["items"], summary["events_received"], summary["double_opens"]) == (2, 2, 0)
    assert summary["broker"].startswith(broker)
    assert summary["correct"] == sum(x["category"] == x["truth"] for x in items)
    assert "DRAWN" in done.stderr
    assert done.returncode == 0, done.stderr[-2000:]
