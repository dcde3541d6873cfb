"""The outbox: events wait on disk until the broker has acknowledged them; capped, and every loss is counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, cast

from bin_daemon.events.payloads import EVENT_BYTES_MAX
from bin_daemon.events.store import Store, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
    queued_at REAL  -- NULL: the clock was not to be believed, so that row never grows old
);
CREATE TABLE IF NOT EXISTS dead_letters (
    n INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, why TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
DEAD_LETTERS_MAX = 100
"""Kept for a person to look at; each may be large."""
BACKLOG_MAX = 1000
"""Records kept in memory while the disk refuses: about 2 MB."""
ROOM_ROWS = 64
"""Oldest events given up at once when the disk is full and nothing else can go: one WAL checkpoint's worth of pages."""

Statement = tuple[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One event on its way; ``topic`` is relative to ``<base>/<bin_id>``."""

    event_id: str
    topic: str
    payload: bytes
    queued_at: float | None = None
    """Wall clock; None when that was not synchronised."""


@dataclass(frozen=True, slots=True)
class Record:
    """What belongs together: journal statements and the event that tells of them, written in one transaction."""

    statements: tuple[Statement, ...]
    event: OutboxRow | None = None


class OutboxStats(NamedTuple):
    """For `health`: ``rows`` wait, ``dropped`` were given up since the file was made, ``dead_letters`` will never be taken."""

    rows: int
    dropped: int
    dead_letters: int


class Backlog:
    """Records that are not on disk yet; thread-safe, bounded: the oldest goes first and its event is counted as lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[Record] = deque()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Queue one record."""
        with self._lock:
            self._records.append(record)
            if len(self._records) > BACKLOG_MAX:
                self.lost += self._records.popleft().event is not None

    def snapshot(self) -> tuple[Record, ...]:
        """All records, oldest first."""
        with self._lock:
            return tuple(self._records)

    def written(self, count: int) -> None:
        """The oldest ``count`` are on disk now."""
        with self._lock:
            for _ in range(min(count, len(self._records))):
                self._records.popleft()

    def forget(self, event_ids: Collection[str]) -> int:
        """These events need not be sent any more (their journal statements stay); returns how many there were."""
        with self._lock:
            hits = [i for i, x in enumerate(self._records) if x.event and x.event.event_id in event_ids]
            for i in hits:
                self._records[i] = replace(self._records[i], event=None)
            return len(hits)


class Outbox:
    """Events of the journal's file and, while the disk refuses, of its memory. Any thread may call."""

    def __init__(self, store: Store, backlog: Backlog, *, max_rows: int, max_age_s: float) -> None:
        self._store = store
        self._backlog = backlog
        self._max_rows = max_rows
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._stats: OutboxStats | None = None
        self._gone: set[str] = set()

    def batch(self, limit: int, skip: Collection[str] = ()) -> list[OutboxRow]:
        """The oldest events not in ``skip``, at most ``limit``, in order. A sick disk gives what is in memory."""
        rows: list[OutboxRow] = []
        skip = {*skip, *self._gone}
        try:
            found = self._store.read(
                "SELECT event_id, topic, payload, queued_at FROM outbox ORDER BY n LIMIT ?", (limit + len(skip),)
            )
            rows = [OutboxRow(*cast("tuple[str, str, bytes, float | None]", x)) for x in found]
        except StoreError:
            self.recount()
        known = {x.event_id for x in rows}
        rows += [x.event for x in self._backlog.snapshot() if x.event and x.event.event_id not in known]
        return [x for x in rows if x.event_id not in skip][:limit]

    def ack(self, event_ids: Collection[str]) -> None:
        """The broker has them: they leave. What a sick disk cannot delete is remembered, and sent again only after a restart."""
        if not event_ids:
            return
        self._backlog.forget(event_ids)
        self._gone.update(event_ids)
        leaving = list(self._gone)
        self._leave(
            lambda db: db.executemany("DELETE FROM outbox WHERE event_id = ?", [(x,) for x in leaving]), leaving
        )

    def bury(self, row: OutboxRow, why: str) -> None:
        """The broker will never take this one: put it aside so that later ones flow."""
        self._backlog.forget({row.event_id})
        self._gone.add(row.event_id)
        self._leave(lambda db: _bury(db, row, why), [row.event_id])

    def _leave(self, job: Callable[[sqlite3.Connection], object], event_ids: list[str]) -> None:
        try:
            self._store.write(job)
            self._gone.difference_update(event_ids)
        except StoreError:
            if len(self._gone) > BACKLOG_MAX:
                self._gone.clear()  # rather told twice than remembered without bound
        finally:
            self.recount()

    @property
    def stats(self) -> OutboxStats:
        """Counted on disk and in memory."""
        with self._lock:
            if self._stats is None:
                self._stats = self._counted()
            known = self._stats
        waiting = sum(1 for x in self._backlog.snapshot() if x.event)
        return OutboxStats(
            max(0, known.rows - len(self._gone)) + waiting, known.dropped + self._backlog.lost, known.dead_letters
        )

    def recount(self) -> None:
        """Something changed that is not worth tracking: count again when next asked."""
        with self._lock:
            self._stats = None

    def insert(self, db: sqlite3.Connection, row: OutboxRow) -> None:
        """Add one event inside the caller's transaction; too large a one is buried at once."""
        if len(row.payload) > EVENT_BYTES_MAX:
            _bury(db, row, f"{len(row.payload)} bytes are more than {EVENT_BYTES_MAX}")
            return
        db.execute(
            "INSERT OR IGNORE INTO outbox(event_id, topic, payload, queued_at) VALUES (?, ?, ?, ?)",
            (row.event_id, row.topic, row.payload, row.queued_at),
        )

    def trim(self, db: sqlite3.Connection) -> None:
        """Keep to the number of rows inside the caller's transaction."""
        (span,) = db.execute("SELECT (SELECT MAX(n) FROM outbox) - (SELECT MIN(n) FROM outbox) + 1").fetchone()
        if (span or 0) <= self._max_rows:  # rows leave almost in order, so this spares counting 100,000 rows each time
            return
        (rows,) = db.execute("SELECT COUNT(*) FROM outbox").fetchone()
        if rows > self._max_rows:
            drop_oldest(db, rows - self._max_rows)

    def drop_old(self, db: sqlite3.Connection, now_at: float) -> None:
        """Give up what is older than the cap inside the caller's transaction; looks at every row, so now and then only."""
        gone = db.execute("DELETE FROM outbox WHERE queued_at < ?", (now_at - self._max_age_s,)).rowcount
        count(db, "dropped", gone)

    @property
    def dropped(self) -> int:
        """As in `stats`, without counting rows; raises StoreError."""
        found = self._store.read("SELECT value FROM counters WHERE name = 'dropped'")
        return (cast("int", found[0][0]) if found else 0) + self._backlog.lost

    def _counted(self) -> OutboxStats:
        try:
            ((rows,),) = self._store.read("SELECT COUNT(*) FROM outbox")
            counters = dict(cast("list[tuple[str, int]]", self._store.read("SELECT name, value FROM counters")))
        except StoreError:
            return OutboxStats(0, 0, 0)
        return OutboxStats(cast("int", rows), counters.get("dropped", 0), counters.get("dead_letters", 0))


def count(db: sqlite3.Connection, name: str, more: int) -> None:
    """Add to a counter that survives restarts."""
    if more > 0:
        db.execute(
            "INSERT INTO counters(name, value) VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
            (name, more),
        )


def drop_oldest(db: sqlite3.Connection, rows: int) -> None:
    """Give up the oldest events, counted."""
    oldest = "SELECT n FROM outbox ORDER BY n LIMIT ?"
    count(db, "dropped", db.execute(f"DELETE FROM outbox WHERE n IN ({oldest})", (rows,)).rowcount)  # noqa: S608 - constant


def _bury(db: sqlite3.Connection, row: OutboxRow, why: str) -> None:
    db.execute("DELETE FROM outbox WHERE event_id = ?", (row.event_id,))
    db.execute(
        "INSERT INTO dead_letters(event_id, topic, payload, why) VALUES (?, ?, ?, ?)",
        (row.event_id, row.topic, row.payload, why),
    )
    db.execute("DELETE FROM dead_letters WHERE n <= (SELECT MAX(n) FROM dead_letters) - ?", (DEAD_LETTERS_MAX,))
    count(db, "dead_letters", 1)
