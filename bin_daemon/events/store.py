"""One SQLite file that survives: power cuts, a full disk, rotten pages.

WAL with ``synchronous=FULL``: six power cuts cost nothing, with NORMAL every commit since the last checkpoint was gone. When
the disk is full, SQLite cannot even DELETE; so a ballast file is given back first. A file that SQLite cannot read is put
aside as ``<name>.corrupt-<boot>`` and a new one started.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, TypeVar

import structlog

from bin_daemon.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

BALLAST_BYTES = 256 * 1024
"""Enough for the WAL (64 pages before each checkpoint) and the pages that make room."""
BUSY_S = 2.0
"""A reader from outside (diagnosis) may hold the file this long."""
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=64",
    "PRAGMA journal_size_limit=0",
)
_KINDS = (
    ("full", ("disk is full",)),
    ("corrupt", ("malformed", "not a database", "no such table", "no such column", "has no column", "encrypted")),
    ("read_only", ("readonly", "read-only", "unable to open")),
    ("io", ("disk i/o", "i/o error")),
    ("busy", ("locked", "busy")),
)
"""By message, as `sqlite_errorcode` came with Python 3.11. A foreign or half-made file counts as corrupt."""


class StoreError(DeviceError):
    """SQLite could not do it; ``kind`` is full, corrupt, read_only, io, busy or other."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, hint="Free space on the state directory, or replace the disk.")
        self.kind = kind


def translated(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's error as ours."""
    text = str(error).lower()
    kind = next((kind for kind, words in _KINDS if any(word in text for word in words)), "other")
    return StoreError(kind, f"{path}: {error}")


class Store:
    """The file, with one connection per thread; every write is one short transaction.

    ``make_room(connection)`` deletes what can be missed when the disk is full; ``salvage(old_path)`` is called with a file
    that was put aside. Opening happens at the first use and again after a failure, so that the constructor never raises.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        tag: str,
        make_room: Callable[[sqlite3.Connection], None],
        quarantined: Callable[[Path], None],
    ) -> None:
        self.path = path
        self._schema = schema
        self._tag = tag
        self._make_room = make_room
        self._quarantined = quarantined
        self._lock = threading.RLock()
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._generation = 0
        self._checked = False
        self._log = structlog.get_logger().bind(file=str(path))

    def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``job`` in one transaction, durable on return; it may run again after healing, so it must not keep state.

        Raises:
            StoreError: nothing was written, even after the ballast was given back or the file started afresh.
        """
        with self._lock:
            try:
                return self._transaction(job)
            except StoreError as error:
                self._log.warning("journal write failed", kind=error.kind, error=str(error))
                self._heal(error)
                return self._transaction(job)

    def read(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Rows of one query. Raises StoreError."""
        try:
            return self.connection().execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise translated(error, self.path) from error

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, opened when needed. Raises StoreError."""
        with self._lock:
            held: tuple[int, sqlite3.Connection] | None = getattr(self._local, "held", None)
            if held and held[0] == self._generation:
                return held[1]
            connection = self._connect()
            self._local.held = (self._generation, connection)
            self._open.append(connection)
            return connection

    def close(self) -> None:
        """Close all threads' connections."""
        with self._lock:
            self._generation += 1
            for connection in self._open:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
            self._open.clear()

    def _transaction(self, job: Callable[[sqlite3.Connection], T]) -> T:
        connection = self.connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = job(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise translated(error, self.path) from error
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return result

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._connect_checked()
            except StoreError as error:
                if error.kind != "corrupt":
                    raise
                self._quarantine()
                return self._connect_checked()
        except OSError as error:
            raise StoreError("read_only", f"{self.path}: {error.strerror}") from error

    def _connect_checked(self) -> sqlite3.Connection:
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if not self._checked:
                self._first_look(connection)
        except sqlite3.Error as error:
            if connection:
                connection.close()
            raise translated(error, self.path) from error
        return connection

    def _first_look(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")
        connection.executescript(self._schema)
        self._checked = True
        self._fill_ballast()

    def _heal(self, error: StoreError) -> None:
        if error.kind == "full":
            self._give_back()
        elif error.kind == "corrupt":
            self._quarantine()

    def _give_back(self) -> None:
        self._ballast.unlink(missing_ok=True)
        connection = self.connection()
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with contextlib.suppress(StoreError):
            self._transaction(self._make_room)
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _quarantine(self) -> None:
        self.close()
        self._checked = False
        aside = _unused(self.path.with_name(f"{self.path.name}.corrupt-{self._tag}"))
        try:
            for suffix in ("", "-wal", "-shm"):
                part = self.path.with_name(self.path.name + suffix)
                if part.exists():
                    part.replace(aside.with_name(aside.name + suffix))
        except OSError as error:
            raise StoreError("read_only", f"{self.path}: {error.strerror}") from error
        self._log.error("journal was corrupt: put aside, started afresh", aside=str(aside))
        self._quarantined(aside)

    @property
    def _ballast(self) -> Path:
        return self.path.with_name(self.path.name + ".ballast")

    def refill(self) -> None:
        """Put the ballast back when there is room again; cheap, for a quiet moment."""
        with self._lock:
            self._fill_ballast()

    def _fill_ballast(self) -> None:
        """Real bytes, not a hole; only while it leaves the disk usable."""
        with contextlib.suppress(OSError):
            if self._ballast.exists():
                return
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize < 4 * BALLAST_BYTES:
                return
            self._ballast.write_bytes(os.urandom(BALLAST_BYTES))


def _unused(path: Path) -> Path:
    """``path``, or with a number when a file of that name was put aside before."""
    candidate, count = path, 1
    while candidate.exists():
        count += 1
        candidate = path.with_name(f"{path.name}-{count}")
    return candidate
