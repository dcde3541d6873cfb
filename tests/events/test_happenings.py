"""Stop and fill as events: in the outbox at once, counted with the others, small, and readable by anybody."""

from __future__ import annotations

from typing import Any

import pytest

from bin_daemon.domain import Category, FillChange, StopEdge
from bin_daemon.events.payloads import EventFill, EventStop


def test_the_stop_is_told_edge_by_edge(desk: Any) -> None:
    """Each edge is one event with its own id, a sentence for people, and the next number of this run."""
    journal = desk.journal()
    for edge in StopEdge:
        journal.tell_stop(edge)
    rows = [x for x in journal.outbox.batch(9) if x.topic == "event/stop"]
    events = [EventStop.model_validate_json(x.payload) for x in rows]
    assert [x.event for x in events] == list(StopEdge)
    assert [x.seq for x in events] == [1, 2, 3, 4]
    assert len({x.id for x in events}) == 4
    assert all(x.text for x in events)
    assert all(len(x.payload) < 400 for x in rows)


@pytest.mark.parametrize(("now", "before"), [(0.52471, 0.4), (None, 0.4), (0.4, None)])
def test_a_level_is_told_with_what_it_was(desk: Any, now: float | None, before: float | None) -> None:
    """Four digits; null for a sensor that has gone or come."""
    journal = desk.journal()
    journal.tell_fill(FillChange(2, Category.KITCHEN, now, before))
    (event,) = [EventFill.model_validate(x) for x in desk.events(journal, "event/fill")]
    assert (event.lid, event.category) == (2, Category.KITCHEN)
    assert event.full_frac == (None if now is None else round(now, 4))
    assert event.before_frac == before


def test_they_outlive_a_kill(desk: Any) -> None:
    """What was told is in the next run's outbox, and its numbers start anew."""
    desk.journal().tell_stop(StopEdge.PRESSED)
    later = desk.journal("boot-2")
    later.tell_stop(StopEdge.CLEARED)
    assert [(x["boot_id"], x["seq"], x["event"]) for x in desk.events(later, "event/stop")] == [
        ("boot-1", 1, "pressed"),
        ("boot-2", 1, "cleared"),
    ]
