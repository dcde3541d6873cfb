"""Payloads: what a dashboard may rely on, and the caps that keep an event deliverable."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bin_daemon.domain import Category, LabelScore, LidReport, Outcome
from bin_daemon.events.outbox import OutboxRow
from bin_daemon.events.payloads import EVENT_BYTES_MAX, TOPICS, EventItem, utc_text


def test_timestamps_are_rfc_3339_with_milliseconds() -> None:
    """UTC, a Z, three digits; also for a board that woke in 1970."""
    assert utc_text(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"
    assert utc_text(0.0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_every_topic_has_a_schema_with_version_and_time(topic: str) -> None:
    """``v`` and ``ts`` stand in each JSON payload, and a JSON Schema can be made from each model."""
    schema = TOPICS[topic].model_json_schema()
    assert schema["properties"]["v"]["default"] == 1
    assert "ts" in schema["required"]


def test_an_event_takes_less_than_a_kilobyte(desk: Any, item: Callable[..., Any]) -> None:
    """A usual event is small enough for thousands of bins on one broker."""
    journal, one = desk.journal(), item()
    journal.begin(*one.parts)
    journal.finish(LidReport(one.action_id, Outcome.CLOSED, "CLOSED", 2510.0, 3.21))
    (row,) = journal.outbox.batch(2)
    assert len(row.payload) < 1000


def test_monstrous_texts_are_cut_and_odd_ones_survive(desk: Any, item: Callable[..., Any]) -> None:
    """A label of a megabyte, or a name that is no UTF-8, still makes a valid event within a few kilobytes."""
    journal, one = desk.journal(), item()
    top5 = (LabelScore("\ud800" + "x" * 1_000_000, 1, 0.1),) * 900
    verdict = replace(one.verdict, top5=top5, model_id="m" * 10_000)
    decision = replace(one.decision, text="\udcff" * 100_000)
    journal.begin(one.placement, verdict, decision)
    journal.finish(LidReport(one.action_id, Outcome.CLOSED, "C" * 10_000))
    (row,) = journal.outbox.batch(2)
    assert len(row.payload) < 4000
    event = EventItem.model_validate_json(row.payload)
    assert len(event.top5) == 5


def test_numbers_that_are_none_do_not_break_the_json(desk: Any, item: Callable[..., Any]) -> None:
    """NaN from a sick model becomes null, which every JSON reader takes; the event is told."""
    journal, one = desk.journal(), item()
    probs = {**one.verdict.category_probs, Category.KITCHEN: math.nan}
    journal.begin(one.placement, replace(one.verdict, category_probs=probs, margin=math.nan), one.decision)
    journal.finish(LidReport(one.action_id, Outcome.CLOSED))
    (row,) = journal.outbox.batch(2)
    assert b"NaN" not in row.payload
    assert b'"margin":null' in row.payload


def test_agreement_and_familiarity_reach_the_event(desk: Any, item: Callable[..., Any]) -> None:
    """How far the frames of an item agreed, and how strange it looked; null where the model cannot tell."""
    journal, told = desk.journal(), []
    for familiarity in (0.0123456, None):
        one = item()
        journal.begin(one.placement, replace(one.verdict, agreement=0.75, familiarity=familiarity), one.decision)
        journal.finish(LidReport(one.action_id, Outcome.CLOSED))
        told.append(EventItem.model_validate_json(journal.outbox.batch(9)[-1].payload))
    assert [(x.agreement, x.familiarity) for x in told] == [(0.75, 0.0123), (0.75, None)]


def test_an_event_over_the_cap_is_put_aside_when_made(desk: Any) -> None:
    """It would make brokers cut the connection for ever: it never gets into the outbox."""
    journal = desk.journal()
    row = OutboxRow("large", "event/item", b"x" * (EVENT_BYTES_MAX + 1))
    journal._store.write(lambda db: journal.outbox.insert(db, row))
    journal.outbox.recount()
    assert journal.outbox.stats == (0, 0, 1)
