"""kill -9 between any two stages of an item's life: nothing lost, nothing opened twice, every lid shut."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.rig import EMPTY, Bin, wait_for

DYING = str(Path(__file__).with_name("dying_daemon.py"))
POINTS = [
    ("after", "detector.update", 0, 0),
    ("before", "classifier.classify", 0, 0),
    ("after", "classifier.classify", 0, 0),
    ("before", "journal.begin", 0, 0),
    ("after", "journal.begin", 1, 0),
    ("before", "lids.open", 1, 0),
    ("after", "lids.open", 1, 1),
    ("after", "lids.poll", 1, 1),
    ("before", "journal.finish", 1, 1),
    ("after", "journal.finish", 1, 1),
    ("before", "client.publish", 1, 1),
    ("after", "client.publish", 1, 1),
]
"""When, where, how many items had been decided by then, and how many lids were told to open."""


@pytest.mark.parametrize(("when", "point", "decided", "told"), POINTS)
def test_killed(far_bin: Bin, when: str, point: str, decided: int, told: int) -> None:
    """The lids shut by themselves; the next run ends every decision with one outcome and one event, and opens nothing anew."""
    victim = far_bin.start(command=(DYING, when, point), wait_ready=False)
    assert victim.wait(60) == -signal.SIGKILL
    far_bin.daemon = None
    wait_for(lambda: len(far_bin.controller.openings()) >= told, "the opening that was commanded")
    wait_for(far_bin.controller.all_shut, "all lids shut by the controller alone", 10)
    opened_before = dict(far_bin.controller.openings())

    far_bin.start({"camera.source": EMPTY})
    wait_for(lambda: None not in far_bin.outcomes().values(), "every decision ended")
    outcomes = far_bin.outcomes()
    assert len(outcomes) == decided
    wait_for(lambda: far_bin.subscriber.ids() == set(outcomes), "every decision told")
    for event in far_bin.subscriber.events():
        assert outcomes[event["id"]] == event["outcome"]
    assert far_bin.controller.openings() == opened_before
    assert set(opened_before.values()) <= {1}
    assert far_bin.stop() == 0
