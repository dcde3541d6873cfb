"""The journal: a decision is on disk before anything moves, and ends as exactly one outcome and one event.

One SQLite file holds both the journal (``actions``) and the outbox, so that an outcome and the event that tells of it are one
transaction. When the disk refuses, sorting goes on: records wait in a bounded memory, a fault is raised, the publisher still
gets the events, and all is written once the disk is well. After a crash the open rows are closed as ``interrupted``; nothing
is ever repeated.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Literal, cast

import structlog
import uuid_utils

from bin_daemon.domain import (
    Classification,
    Decision,
    Fault,
    FillChange,
    LidReport,
    ManualRequest,
    Outcome,
    Placement,
    StopEdge,
)
from bin_daemon.events import actions
from bin_daemon.events import outbox as box
from bin_daemon.events.actions import OpenAction
from bin_daemon.events.outbox import Backlog, Outbox, OutboxRow, Record, Statement
from bin_daemon.events.payloads import (
    Clock,
    EventItem,
    ItemDraft,
    Payload,
    When,
    fault_event,
    fill_event,
    item_draft,
    manual_draft,
    stop_event,
    utc_text,
)
from bin_daemon.events.store import Store, StoreError
from bin_daemon.events.wallclock import clock_is_synced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bin_daemon.config.settings import JournalSettings

RETRY_S = 1.0
"""A disk that refused is asked again at most this often, so that a sick one does not slow the line."""
TIDY_S = 600.0
"""How often old journal rows are dropped."""
OPEN_MAX = 64
"""Commands without a report; one lid moves at a time, so that more means lost reports."""
STORE_FAULT = "journal_not_durable"
CORRUPT_FAULT = "journal_corrupt"
LOSS_FAULT = "events_dropped"


class Journal:
    """`bin_daemon.pipeline.JournalPort`, plus faults and recovery. Any thread may call; nothing here raises for the disk.

    ``path`` is the SQLite file (its folder is made; ``PATH.ballast`` and ``PATH.corrupt-<boot>`` stand beside it),
    ``boot_id`` names this run: ``seq`` counts its events from 1. ``clock`` is the monotonic clock of ``t_s``, ``wall`` gives
    unix seconds, ``synced`` says whether that can be believed. `outbox` is for the publisher. Faults that an earlier run left
    raised are cleared at start: whoever still sees them raises them again.
    """

    def __init__(
        self,
        path: Path,
        settings: JournalSettings,
        boot_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        synced: Callable[[], bool] = clock_is_synced,
    ) -> None:
        self._settings = settings
        self._boot_id = boot_id
        self._clock = clock
        self._wall = wall
        self._synced = synced
        self._log = structlog.get_logger()
        self._lock = threading.RLock()
        self._backlog = Backlog()
        self._asides: list[Path] = []
        self._store = Store(
            path, actions.SCHEMA + box.SCHEMA, tag=boot_id, make_room=actions.make_room, quarantined=self._asides.append
        )
        self.outbox = Outbox(
            self._store, self._backlog, max_rows=settings.max_rows, max_age_s=settings.max_age_days * 86400
        )
        self._open: dict[int, OpenAction] = {}
        self._faults: dict[str, Fault] = {}
        self._seq = 0
        self._failed_t_s: float | None = None
        self._tidied_t_s = clock()
        self._dropped_seen = 0
        self.stray_reports = 0
        """Reports of commands that this run did not begin, or that had ended already."""
        self._stale: list[OpenAction] = []
        self._start()

    @property
    def active_faults(self) -> tuple[Fault, ...]:
        """Raised and not yet cleared, oldest first."""
        return tuple(self._faults.values())

    def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
        """Record an item's decision, durably. A decision without command is finished in the same transaction."""
        with self._lock:
            at, ts, clock = self._now()
            draft = item_draft(placement, verdict, decision, ts=ts, clock=clock)
            self._begin(draft, decision, at, lambda: max(0.0, (self._clock() - verdict.t_s) * 1000))

    def begin_manual(self, request: ManualRequest, decision: Decision) -> None:
        """Record a manual open, durably; refused ones too."""
        with self._lock:
            at, ts, clock = self._now()
            self._begin(manual_draft(request, decision, ts=ts, clock=clock), decision, at, None)

    def finish(self, report: LidReport) -> None:
        """Outcome row and event row of one command, in one transaction. A report of an ended or unknown command is counted."""
        with self._lock:
            opened = self._open.pop(report.action_id, None)
            if opened is None:
                self.stray_reports += 1
                self._log.debug("report of no open command", action_id=report.action_id, outcome=report.outcome.value)
                return
            self._end(opened, report.outcome, report.code, open_ms=report.open_ms, wire_ms=report.wire_ms)
            self._flush()

    def raise_fault(self, fault: Fault) -> None:
        """Tell of a fault once; again only after it was cleared."""
        with self._lock:
            if fault.code not in self._faults:
                self._add_fault(fault)
                self._flush()

    def clear_fault(self, code: str) -> None:
        """Tell that a fault is gone; nothing happens when it was not raised."""
        with self._lock:
            if code in self._faults:
                self._drop_fault(code)
                self._flush()

    def tell_stop(self, edge: StopEdge) -> None:
        """Tell what happened to the stop."""
        with self._lock:
            when = self._when()
            self._happening(when, "event/stop", stop_event(edge, when))
            self._flush()

    def tell_fill(self, change: FillChange) -> None:
        """Tell that a compartment's level has changed."""
        with self._lock:
            when = self._when()
            self._happening(when, "event/fill", fill_event(change, when))
            self._flush()

    def recover(self, last_action_id: int | None) -> int:
        """Close what an earlier run left open as ``interrupted``; returns how many. Call it at any time, also much later.

        ``last_action_id`` is what the controller says it executed last (None: it cannot say). The event's ``code`` tells
        whether that lid was ``opened``, ``not_opened``, or ``unknown``. Nothing is repeated.
        """
        with self._lock:
            stale, self._stale = self._stale, []
            for action in stale:
                self._end(action, Outcome.INTERRUPTED, actions.fate(self._store, action, last_action_id))
            self._flush()
            if stale:
                self._log.warning("closed decisions that an earlier run left open", count=len(stale))
            return len(stale)

    def flush(self) -> bool:
        """Write what memory holds, now; True when all is on disk. For shutdown and for a quiet moment."""
        with self._lock:
            self._failed_t_s = None
            self._flush()
            self._store.refill()
            return not len(self._backlog)

    def close(self) -> None:
        """Write what can be written and close the file."""
        with self._lock:
            self.flush()
            self._store.close()

    def _begin(self, draft: ItemDraft, decision: Decision, at: float, decided_ms: Callable[[], float] | None) -> None:
        command = decision.command
        opened = OpenAction(draft, command.action_id if command else None, at)
        if command is None:
            if decided_ms:
                opened = OpenAction(_decided(draft, decided_ms()), None, at)
            self._end(opened, Outcome.UNSURE_KEPT_SHUT if decision.unsure else Outcome.REFUSED, "")
            self._flush()
            return
        self._backlog.add(Record((opened.begun(),)))
        self._flush()
        if decided_ms:
            opened = OpenAction(_decided(draft, decided_ms()), command.action_id, at)
        self._open[command.action_id] = opened
        if len(self._open) > OPEN_MAX:
            self.finish(LidReport(next(iter(self._open)), Outcome.NO_REPLY, "REPORT_LOST"))

    def _end(
        self,
        opened: OpenAction,
        outcome: Outcome,
        code: str,
        *,
        open_ms: float | None = None,
        wire_ms: float | None = None,
    ) -> None:
        draft = opened.draft
        if wire_ms is not None:
            latency = draft.latency_ms.model_copy(update={"wire": round(wire_ms, 2)})
            draft = draft.model_copy(update={"latency_ms": latency})
        event = EventItem(
            **draft.model_dump(),
            seq=self._next_seq(),
            boot_id=self._boot_id,
            outcome=outcome,
            code=code[:80],
            open_ms=None if open_ms is None else round(open_ms, 1),
        )
        ended = OpenAction(draft, opened.action_id, opened.begun_at).ended(outcome.value, code)
        self._backlog.add(Record((ended,), self._row(draft.id, "event/item", event.json_bytes())))

    def _add_fault(self, fault: Fault) -> None:
        self._faults[fault.code] = fault
        row = (
            "INSERT OR REPLACE INTO faults(code, severity, text, fix) VALUES (?, ?, ?, ?)",
            (fault.code, fault.severity, fault.text, fault.fix),
        )
        self._fault_record(fault, "raised", row)

    def _drop_fault(self, code: str) -> None:
        self._fault_record(self._faults.pop(code), "cleared", ("DELETE FROM faults WHERE code = ?", (code,)))

    def _fault_record(self, fault: Fault, edge: Literal["raised", "cleared"], statement: Statement) -> None:
        when = self._when()
        self._happening(when, "event/fault", fault_event(fault, edge, when), statement)

    def _happening(self, when: When, topic: str, event: Payload, *statements: Statement) -> None:
        self._backlog.add(Record(statements, self._row(when.id, topic, event.json_bytes())))

    def _when(self) -> When:
        _, ts, clock = self._now()
        return When(str(uuid_utils.uuid7()), self._next_seq(), self._boot_id, ts, clock)

    def _row(self, event_id: str, topic: str, payload: bytes) -> OutboxRow:
        return OutboxRow(event_id, topic, payload, self._wall() if self._synced() else None)

    def _flush(self) -> None:
        """Try to write the backlog; keep it where the disk refuses."""
        now_s = self._clock()
        if self._failed_t_s is not None and now_s - self._failed_t_s < RETRY_S:
            return
        try:
            self._write_backlog()
        except StoreError as error:
            self._failed_t_s = now_s
            if STORE_FAULT not in self._faults:
                self._add_fault(
                    Fault(STORE_FAULT, "error", f"The journal cannot be written ({error.kind}): {error}", error.hint)
                )
            return
        self._failed_t_s = None
        self._after_success()

    def _write_backlog(self) -> None:
        records = self._backlog.snapshot()
        if not records:
            return
        now_at = self._wall() if self._synced() else None
        tidy = self._clock() - self._tidied_t_s >= TIDY_S

        def job(db: sqlite3.Connection) -> None:
            for record in records:
                for sql, values in record.statements:
                    db.execute(sql, values)
                if record.event:
                    self.outbox.insert(db, record.event)
            db.execute("INSERT OR REPLACE INTO counters(name, value) VALUES (?, ?)", (self._seq_name, self._seq))
            if any(x.event for x in records):
                self.outbox.trim(db)
            if tidy:
                if now_at is not None:
                    self.outbox.drop_old(db, now_at)
                actions.tidy(db, now_at, self._settings, self._seq_name)

        self._store.write(job)
        self._backlog.written(len(records))
        self.outbox.recount()
        if tidy:
            self._tidied_t_s = self._clock()
            self._store.refill()

    def _after_success(self) -> None:
        while self._asides:
            self._salvage(self._asides.pop())
        if STORE_FAULT in self._faults:
            self._log.info("the journal is durable again")
            self._drop_fault(STORE_FAULT)
        with contextlib.suppress(StoreError):
            self._watch_losses(self.outbox.dropped)
        if len(self._backlog):  # the faults of a moment ago
            with contextlib.suppress(StoreError):
                self._write_backlog()

    def _watch_losses(self, dropped: int) -> None:
        if dropped > self._dropped_seen and LOSS_FAULT not in self._faults:
            text = f"{dropped - self._dropped_seen} unsent events had to be given up; {dropped} since the journal was made."
            self._add_fault(Fault(LOSS_FAULT, "warning", text, "Bring the broker back, or free space on the disk."))
        self._dropped_seen = max(dropped, self._dropped_seen)

    def _start(self) -> None:
        """Look at what an earlier run left; a sick disk leaves us in memory with a fault."""
        try:
            self._load()
        except StoreError as error:
            self._failed_t_s = self._clock()
            self._add_fault(
                Fault(STORE_FAULT, "error", f"The journal cannot be opened ({error.kind}): {error}", error.hint)
            )
            return
        self._dropped_seen = self.outbox.stats.dropped
        for code in list(self._faults):
            self._drop_fault(code)
        self._flush()
        while self._asides:
            self._salvage(self._asides.pop())

    def _load(self) -> None:
        rows = self._store.read("SELECT value FROM counters WHERE name = ?", (self._seq_name,))
        self._seq = cast("int", rows[0][0]) if rows else 0
        self._stale = actions.from_rows(self._store.read(actions.OPEN_ROWS))
        for row in self._store.read("SELECT code, severity, text, fix FROM faults"):
            fault = Fault(*cast("tuple[str, str, str, str]", row))
            self._faults[fault.code] = fault

    def _salvage(self, aside: Path) -> None:
        """Take over what can still be read from a file that was put aside: unsent events and open decisions."""
        events, stale = actions.readable(aside)
        mine = {x.draft.id for x in self._open.values()}
        stale = [x for x in stale if x.draft.id not in mine]

        def job(db: sqlite3.Connection) -> None:
            for event in events:
                self.outbox.insert(db, event)
            for action in stale:
                db.execute(*action.begun())

        with contextlib.suppress(StoreError):
            self._store.write(job)
            self._stale += stale
            self.outbox.recount()
        if CORRUPT_FAULT not in self._faults:
            text = f"The journal was corrupt and was put aside as {aside.name}; {len(events)} unsent events were saved."
            self._add_fault(Fault(CORRUPT_FAULT, "error", text, "Replace the disk or SD card soon."))
            self._flush()

    @property
    def _seq_name(self) -> str:
        return f"seq:{self._boot_id}"

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _now(self) -> tuple[float, str, Clock]:
        at = self._wall()
        return at, utc_text(at), "synced" if self._synced() else "unsynced"


def _decided(draft: ItemDraft, decide_ms: float) -> ItemDraft:
    latency = draft.latency_ms.model_copy(update={"decide": round(decide_ms, 2)})
    return draft.model_copy(update={"latency_ms": latency})
