"""The journal's promise: durable before anything moves, one outcome and one event each."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from bin_daemon.domain import Decision, Fault, LidCommand, LidReport, ManualRequest, Outcome
from bin_daemon.events import wallclock

FAULT = Fault("camera_lost", "error", "The camera is gone.", "Plug it in.")


def test_begin_is_on_disk_before_it_returns(desk: Any, item: Callable[..., Any]) -> None:
    """Another connection sees the open row, and no event yet, once begin() returned."""
    journal, one = desk.journal(), item()
    journal.begin(*one.parts)
    assert desk.sql("SELECT event_id, action_id, outcome FROM actions") == [(one.placement.id, one.action_id, None)]
    assert desk.events(journal) == []


def test_finish_tells_the_whole_story(desk: Any, item: Callable[..., Any]) -> None:
    """The event carries everything a dashboard counts, with the latencies of each stage."""
    journal, one = desk.journal(), item()
    journal.begin(*one.parts)
    journal.finish(LidReport(one.action_id, Outcome.CLOSED, "CLOSED", 2510.0, 3.21))
    (event,) = desk.events(journal)
    assert event["latency_ms"] == {"settle": 400.0, "classify": 42.0, "decide": 10.0, "wire": 3.21}
    assert (event["id"], event["seq"], event["boot_id"], event["clock"]) == (one.placement.id, 1, "boot-1", "synced")
    assert (event["category"], event["lid"], event["outcome"], event["open_ms"]) == ("recyclable", 1, "closed", 2510.0)
    assert event["ts"] == "2027-01-15T08:00:00.000Z"
    assert event["v"] == 1
    assert sum(event["categories"].values()) == pytest.approx(1.0)
    assert desk.sql("SELECT outcome FROM actions") == [("closed",)]


@pytest.mark.parametrize(("kind", "outcome"), [("unsure", "unsure_kept_shut"), ("refused", "refused")])
def test_a_decision_without_command_ends_at_once(desk: Any, item: Callable[..., Any], kind: str, outcome: str) -> None:
    """No lid moves, so row and event are there when begin() returns."""
    journal, one = desk.journal(), item(opens=False, unsure=kind == "unsure")
    journal.begin(*one.parts)
    (event,) = desk.events(journal)
    assert (event["outcome"], event["lid"], event["category"], event["guess"]) == (outcome, None, None, "recyclable")
    assert event["latency_ms"]["decide"] == 10.0


def test_a_second_or_strange_report_changes_nothing(desk: Any, item: Callable[..., Any]) -> None:
    """A controller that reports twice does not make two events."""
    journal, one = desk.journal(), item()
    journal.begin(*one.parts)
    for outcome in (Outcome.CLOSED, Outcome.FAULT):
        journal.finish(LidReport(one.action_id, outcome))
    journal.finish(LidReport(4_000_000, Outcome.CLOSED))
    assert [x["outcome"] for x in desk.events(journal)] == ["closed"]
    assert journal.stray_reports == 2


def test_manual_opens_are_told_too(desk: Any) -> None:
    """A technician's open leaves the same trace, refused or not."""
    journal = desk.journal()
    command = LidCommand(2, None, 2500, 1500, 77)
    for decision in (Decision("manual", "by hand", command), Decision("maintenance", "hands inside", None)):
        journal.begin_manual(ManualRequest(str(uuid.uuid4()), 2), decision)
    journal.finish(LidReport(77, Outcome.CLOSED, open_ms=2000.0))
    told = [(x["manual"], x["lid"], x["outcome"]) for x in desk.events(journal)]
    assert told == [(True, 2, "refused"), (True, 2, "closed")]


def test_seq_counts_without_gap_over_restarts_of_one_boot(desk: Any, item: Callable[..., Any]) -> None:
    """The same boot_id goes on counting, another one starts at 1."""
    for boot_id in ("boot-1", "boot-1", "boot-2"):
        journal = desk.journal(boot_id)
        journal.begin(*item(opens=False).parts)
        journal.close()
    told = [(x["boot_id"], x["seq"]) for x in desk.events(desk.journal("boot-3"))]
    assert told == [("boot-1", 1), ("boot-1", 2), ("boot-2", 1)]


def test_recover_closes_what_a_crash_left_open(desk: Any, item: Callable[..., Any]) -> None:
    """Each open row becomes one interrupted event that says what the controller did; called late, it spares new rows."""
    first = desk.journal("boot-1")
    items = [item(), item(), item()]
    for one in items:
        first.begin(*one.parts)
    second = desk.journal("boot-2")
    fresh = item()
    second.begin(*fresh.parts)
    assert second.recover(items[1].action_id) == 3
    assert second.recover(items[1].action_id) == 0
    told = {x["id"]: (x["outcome"], x["code"]) for x in desk.events(second)}
    codes = ["unknown", "opened", "not_opened"]
    assert told == {x.placement.id: ("interrupted", code) for x, code in zip(items, codes, strict=True)}
    second.finish(LidReport(fresh.action_id, Outcome.CLOSED))
    assert len(desk.events(second)) == 4


@pytest.mark.parametrize("last", [None, 0, 12345])
def test_recover_admits_what_it_cannot_know(desk: Any, item: Callable[..., Any], last: int | None) -> None:
    """A controller that forgot (power cut), or that last served another host, tells nothing about our row."""
    desk.journal("boot-1").begin(*item().parts)
    journal = desk.journal("boot-2")
    journal.recover(last)
    assert [x["code"] for x in desk.events(journal)] == ["unknown"]


def test_a_draft_of_another_version_still_ends(desk: Any, item: Callable[..., Any]) -> None:
    """A row that this version cannot read is closed all the same, not a crash at every start."""
    first, one = desk.journal("boot-1"), item()
    first.begin(*one.parts)
    first._store.write(lambda db: db.execute("UPDATE actions SET draft = '{\"new\": 1}'"))
    journal = desk.journal("boot-2")
    assert journal.recover(None) == 1
    assert [(x["id"], x["reason"]) for x in desk.events(journal)] == [(one.placement.id, "unreadable")]


def test_faults_are_told_once_per_edge(desk: Any) -> None:
    """Raising twice tells once; clearing what is not raised tells nothing."""
    journal = desk.journal()
    journal.clear_fault(FAULT.code)
    for _ in range(3):
        journal.raise_fault(FAULT)
    assert journal.active_faults == (FAULT,)
    journal.clear_fault(FAULT.code)
    journal.clear_fault(FAULT.code)
    assert journal.active_faults == ()
    assert [x["event"] for x in desk.events(journal, "event/fault")] == ["raised", "cleared"]


def test_a_restart_clears_faults_of_the_run_before(desk: Any) -> None:
    """A fault that nobody sees any more does not stay raised for ever."""
    desk.journal("boot-1").raise_fault(FAULT)
    journal = desk.journal("boot-2")
    assert journal.active_faults == ()
    told = [(x["event"], x["code"]) for x in desk.events(journal, "event/fault")]
    assert told == [("raised", "camera_lost"), ("cleared", "camera_lost")]


def test_the_cap_drops_the_oldest_and_counts(desk: Any, item: Callable[..., Any]) -> None:
    """Beyond max_rows the newest stay, the loss is counted for good and raised as a fault."""
    journal = desk.journal(max_rows=100)
    items = [item(opens=False) for _ in range(130)]
    for one in items:
        journal.begin(*one.parts)
    stats = journal.outbox.stats
    assert stats.rows == 100
    assert stats.dropped == 31  # 130 items and the fault event that tells of the loss
    assert [x.code for x in journal.active_faults] == ["events_dropped"]
    assert items[-1].placement.id in {x.event_id for x in journal.outbox.batch(200)}
    assert items[0].placement.id not in {x.event_id for x in journal.outbox.batch(200)}
    assert desk.journal("boot-2", max_rows=1000).outbox.stats.dropped == 31


def test_old_events_leave_only_by_a_clock_that_can_be_believed(desk: Any, item: Callable[..., Any], clock: Any) -> None:
    """A board that wakes in 1970 and jumps to now must not throw its events away."""
    journal = desk.journal(max_age_days=1)
    clock.synced, clock.at = False, 100.0
    journal.begin(*item(opens=False).parts)
    clock.synced, clock.at = True, 1_800_000_000.0
    journal.begin(*item(opens=False).parts)
    assert [x["clock"] for x in desk.events(journal)] == ["unsynced", "synced"]
    clock.forward(2 * 86400)
    journal.begin(*item(opens=False).parts)
    assert [x["clock"] for x in desk.events(journal)] == ["unsynced", "synced"]
    assert journal.outbox.stats.dropped == 1


def test_ended_rows_leave_by_age_and_open_ones_stay(desk: Any, item: Callable[..., Any], clock: Any) -> None:
    """The journal is an audit with an end; an open decision is never forgotten."""
    journal = desk.journal(max_age_days=1)
    journal.begin(*item(opens=False).parts)
    journal.begin(*item().parts)
    clock.forward(3 * 86400)
    journal.begin(*item(opens=False).parts)
    assert desk.sql("SELECT outcome FROM actions ORDER BY n") == [(None,), ("refused",)]


def test_ack_and_bury_take_rows_out(desk: Any, item: Callable[..., Any]) -> None:
    """A PUBACK removes a row for good; a poison row goes aside, counted, and the rest keeps its order."""
    journal = desk.journal()
    for _ in range(4):
        journal.begin(*item(opens=False).parts)
    rows = journal.outbox.batch(10)
    journal.outbox.ack({rows[1].event_id})
    journal.outbox.bury(rows[0], "the broker said 0x95")
    assert [x.event_id for x in journal.outbox.batch(10)] == [x.event_id for x in rows[2:]]
    assert journal.outbox.batch(10, skip={rows[2].event_id}) == rows[3:]
    assert journal.outbox.stats == (2, 0, 1)
    assert desk.sql("SELECT event_id, why FROM dead_letters") == [(rows[0].event_id, "the broker said 0x95")]


def test_the_clock_check_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An impossible year is never believed, whatever the kernel says."""
    assert wallclock.clock_is_synced() in {True, False}
    monkeypatch.setattr("time.time", lambda: 100.0)
    assert wallclock.clock_is_synced() is False
