"""Answers kept on disk while a long evaluation runs: after a power cut or kill -9 the next run goes on where this one stopped.

One SQLite file, one row a batch. A row's key is a digest of all that its logits depend on: model, preprocessing, engine,
versions of libraries, and path, size and time of every picture in the batch, in order. So a changed model or picture is judged
anew, and since whole batches are kept or judged, the logits are the same to the bit as without an interruption.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bin_daemon.training.dataset import Picture

ANSWERS_FILE = "answers.sqlite"
LIBRARIES = ("bin-daemon", "numpy", "onnxruntime", "opencv-python", "pillow", "timm", "torch")
"""What decodes, resizes and computes: another version may give other last bits."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, width INTEGER, digest BLOB, logits BLOB) WITHOUT ROWID"
)


class KeptAnswers:
    """Logits by batch; made by `keep_answers`."""

    def __init__(self, database: sqlite3.Connection, scope: str) -> None:
        self._database = database
        self._scope = hashlib.sha256(scope.encode()).digest()
        self._used: set[bytes] = set()

    def key(self, batch: Sequence[Picture], first: int) -> bytes:
        """What the logits of this batch depend on; ``first`` is its first picture's place, which seeds trays and views.

        An OSError (a picture that is gone) is the caller's: such a batch is never kept.
        """
        digest = hashlib.sha256(self._scope + first.to_bytes(8, "big"))
        for picture in batch:
            stat = picture.path.stat()
            digest.update(
                f"\n{picture.path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode(errors="surrogateescape")
            )
        return digest.digest()

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Logits (rows x L) kept under ``key``; None when there are none, or they were damaged since."""
        row = self._database.execute("SELECT width, digest, logits FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None or hashlib.sha256(row[2]).digest() != row[1]:
            return None
        self._used.add(key)
        return np.frombuffer(row[2], dtype=np.float32).reshape(-1, row[0])

    def put(self, key: bytes, logits: NDArray[np.float32]) -> None:
        """Keep the logits (rows x L) of one whole batch, durably against the death of this process."""
        content = np.ascontiguousarray(logits, np.float32).tobytes()
        row = (key, logits.shape[1], hashlib.sha256(content).digest(), content)
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)
        self._used.add(key)

    def forget_others(self) -> None:
        """Drop what this run did not use: answers of older models and pictures."""
        known = [k for (k,) in self._database.execute("SELECT key FROM answers")]
        with self._database:
            self._database.executemany(
                "DELETE FROM answers WHERE key = ?", [(k,) for k in known if k not in self._used]
            )


@contextmanager
def keep_answers(folder: Path, scope: str) -> Iterator[KeptAnswers]:
    """Open (or begin) the answers kept in ``folder``; ``scope`` names model, preprocessing and engine.

    A damaged file is begun anew: it holds nothing that cannot be computed again.

    Raises:
        ConfigError: The folder cannot be written, the disk is full, or another evaluation works in it.
    """
    file = folder / ANSWERS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with closing(_open(file)) as database:
            yield KeptAnswers(database, scope)
    except sqlite3.Error as error:
        busy = "locked" in str(error)
        reason = "another evaluation works in this folder" if busy else str(error)
        raise ConfigError(
            f"{file}: {reason}", hint="choose another --out, or check free space and permissions"
        ) from error
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}", hint="choose another --out") from error


def scope_of(*parts: object) -> str:
    """``parts`` and the versions of the libraries that compute, as one text."""
    return "\n".join([*map(str, parts), *(f"{name} {_version(name)}" for name in LIBRARIES)])


def _open(file: Path) -> sqlite3.Connection:
    try:
        return _connect(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, full, no permission: not damaged
            raise
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            file.with_name(name).unlink(missing_ok=True)
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=0)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")  # one evaluation a folder; also needs no shared memory
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batches, never the file
        database.execute(_TABLE)
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
    except BaseException:
        database.close()
        raise
    return database


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
