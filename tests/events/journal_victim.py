"""A writer that is killed: forks one child a round, each dies by SIGKILL just before its n-th SQL statement.

``journal_victim.py FILE ROUNDS`` prints one JSON line a round: how many items began and ended as far as the child could tell.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import orjson
import structlog
import uuid_utils

from bin_daemon.config.settings import JournalSettings
from bin_daemon.domain import Category, Classification, Decision, Frame, LidCommand, LidReport, Outcome, Placement
from bin_daemon.events import Journal

ITEMS = 3


def one_run(path: Path, run: int, kill_at: int, said: int) -> None:
    """Live through ITEMS items; die at the given statement. Writes begun and ended ids to the pipe as it goes."""
    journal = Journal(path, JournalSettings(), f"boot-{run}")
    left = kill_at

    def tick(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    journal._store.connection().set_trace_callback(tick)
    journal.recover(None)
    frame = Frame(1, 0.0, 8, 8, np.zeros((1, 1), np.uint8), lambda: np.zeros((8, 8, 3), np.uint8))
    verdict = Classification(Category.OTHER, {Category.OTHER: 1.0}, (), 1.0, 1.0, "m", 1.0, 0.0)
    for i in range(ITEMS):
        placement = Placement(str(uuid_utils.uuid7()), 0.0, (frame,), (0, 0, 8, 8), 1.0)
        action_id = run * 100 + i + 1
        command = LidCommand(1, Category.OTHER, 500, 500, action_id)
        journal.begin(placement, verdict, Decision("sure", "", command, Category.OTHER))
        os.write(said, b"b" + placement.id.encode() + b"\n")
        journal.finish(LidReport(action_id, Outcome.CLOSED))
        os.write(said, b"e" + placement.id.encode() + b"\n")
    os._exit(0)


def main() -> None:
    """Fork, kill, collect."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    path, rounds = Path(sys.argv[1]), int(sys.argv[2])
    for run in range(rounds):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            one_run(path, run, run + 1, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read().decode().split()
        _, status = os.waitpid(pid, 0)
        begun = [x[1:] for x in said if x[0] == "b"]
        ended = [x[1:] for x in said if x[0] == "e"]
        print(orjson.dumps({"killed": os.WIFSIGNALED(status), "begun": begun, "ended": ended}).decode())  # noqa: T201


if __name__ == "__main__":
    main()
