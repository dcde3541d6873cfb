"""The journal's rows: their tables, how they begin and end, what can go when room is needed, what a sick file still gives."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.events import outbox as box
from bin_daemon.events.outbox import OutboxRow, Statement
from bin_daemon.events.payloads import ItemDraft, utc_text
from bin_daemon.events.store import Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bin_daemon.config.settings import JournalSettings

SCHEMA = """
CREATE TABLE IF NOT EXISTS actions (
    n INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, action_id INTEGER, begun_at REAL NOT NULL,
    draft TEXT NOT NULL, outcome TEXT, code TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS actions_open ON actions(n) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS actions_id ON actions(action_id);
CREATE TABLE IF NOT EXISTS faults (code TEXT PRIMARY KEY, severity TEXT NOT NULL, text TEXT NOT NULL, fix TEXT NOT NULL);
"""
OPEN_ROWS = "SELECT event_id, action_id, begun_at, draft FROM actions WHERE outcome IS NULL ORDER BY n"


@dataclass(frozen=True, slots=True)
class OpenAction:
    """A decision that has not ended. ``action_id`` is None when no command was given."""

    draft: ItemDraft
    action_id: int | None
    begun_at: float

    def begun(self) -> Statement:
        """The row that stands before anything moves."""
        sql = "INSERT OR IGNORE INTO actions(event_id, action_id, begun_at, draft) VALUES (?, ?, ?, ?)"
        return sql, (self.draft.id, self.action_id, self.begun_at, self.draft.model_dump_json())

    def ended(self, outcome: str, code: str) -> Statement:
        """The same row with its outcome, whether or not the first could be written; an ended row never changes again."""
        sql = """INSERT INTO actions(event_id, action_id, begun_at, draft, outcome, code) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT(event_id) DO UPDATE SET outcome = excluded.outcome, code = excluded.code, draft = excluded.draft
            WHERE outcome IS NULL"""
        return sql, (self.draft.id, self.action_id, self.begun_at, self.draft.model_dump_json(), outcome, code)


def from_rows(rows: Iterable[tuple[object, ...]]) -> list[OpenAction]:
    """Rows of `OPEN_ROWS`. One that this version cannot read, or whose bits flipped, still ends as an event."""
    found = []
    for event_id, action_id, begun_at, draft in rows:
        at = begun_at if isinstance(begun_at, float) else 0.0
        found.append(
            OpenAction(_draft(str(event_id), at, draft), action_id if isinstance(action_id, int) else None, at)
        )
    return found


def fate(store: Store, action: OpenAction, last_action_id: int | None) -> str:
    """What became of it, from the last action that the controller executed: opened, not_opened or unknown.

    One lid moves at a time, so an action that began after the last executed one was not executed.
    """
    if not last_action_id or action.action_id is None:
        return "unknown"
    if action.action_id == last_action_id:
        return "opened"
    ask = "SELECT (SELECT MAX(n) FROM actions WHERE action_id = ?) < (SELECT n FROM actions WHERE event_id = ?)"
    try:
        ((earlier,),) = store.read(ask, (last_action_id, action.draft.id))
    except StoreError:
        return "unknown"
    return "not_opened" if earlier else "unknown"


def tidy(db: sqlite3.Connection, now_at: float | None, settings: JournalSettings, seq_name: str) -> None:
    """Ended rows leave by age (when the clock can be believed) and by number; counters of earlier runs leave with them."""
    if now_at is not None:
        oldest_at = now_at - settings.max_age_days * 86400
        db.execute("DELETE FROM actions WHERE outcome IS NOT NULL AND begun_at < ?", (oldest_at,))
    db.execute(
        "DELETE FROM actions WHERE outcome IS NOT NULL AND n <= (SELECT MAX(n) FROM actions) - ?", (settings.max_rows,)
    )
    db.execute("DELETE FROM counters WHERE name LIKE 'seq:%' AND name <> ?", (seq_name,))


def make_room(db: sqlite3.Connection) -> None:
    """The disk is full: ended rows are history, the oldest unsent events are telemetry; open decisions always stay."""
    oldest = "SELECT n FROM actions WHERE outcome IS NOT NULL ORDER BY n LIMIT 1000"
    if db.execute(f"DELETE FROM actions WHERE n IN ({oldest})").rowcount < box.ROOM_ROWS:  # noqa: S608 - constant
        box.drop_oldest(db, box.ROOM_ROWS)


def readable(aside: Path) -> tuple[list[OutboxRow], list[OpenAction]]:
    """Unsent events and open decisions of a sick file, row by row until SQLite gives up."""
    events: list[OutboxRow] = []
    actions: list[OpenAction] = []
    with contextlib.closing(sqlite3.connect(aside)) as db:
        with contextlib.suppress(sqlite3.Error):
            for row in db.execute("SELECT event_id, topic, payload, queued_at FROM outbox ORDER BY n"):
                events.append(OutboxRow(*row))  # noqa: PERF401 - keeps those before the error
        with contextlib.suppress(sqlite3.Error):
            for row in db.execute(OPEN_ROWS):
                actions.extend(from_rows([row]))
    return [x for x in events if isinstance(x.payload, bytes)], actions


def _draft(event_id: str, begun_at: float, text: object) -> ItemDraft:
    try:
        return ItemDraft.model_validate_json(str(text))
    except ValueError:
        return ItemDraft(
            id=event_id,
            ts=utc_text(begun_at),
            clock="unsynced",
            manual=False,
            category=None,
            reason="unreadable",
            text="The record of this decision cannot be read; another version wrote it, or the disk is sick.",
        )
