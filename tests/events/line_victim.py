"""Journal and publisher in one process, killed at random: ``line_victim.py PORT FILE ROUNDS`` prints each begun item's id."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import structlog
import uuid_utils

from bin_daemon.config.settings import JournalSettings, MqttSettings
from bin_daemon.domain import Category, Classification, Decision, Frame, LidCommand, LidReport, Outcome, Placement
from bin_daemon.errors import DeviceError
from bin_daemon.events import CommandQueue, Journal, Publisher
from bin_daemon.events.paho_client import PahoClient


def live(port: int, path: Path, run: int, said: int) -> None:
    """Items as fast as they go, with the publisher's steps between, until killed."""
    journal = Journal(path, JournalSettings(), f"boot-{run}")
    journal.recover(None)
    settings = MqttSettings(host="127.0.0.1", port=port)
    publisher = Publisher(
        settings,
        "bin-1",
        f"boot-{run}",
        journal.outbox,
        journal,
        commands=CommandQueue(),
        state=dict,
        info=dict,
        health=dict,
        open_client=lambda: PahoClient(settings, "smartbin-bin-1"),
    )
    frame = Frame(1, 0.0, 8, 8, np.zeros((1, 1), np.uint8), lambda: np.zeros((8, 8, 3), np.uint8))
    verdict = Classification(Category.OTHER, {Category.OTHER: 1.0}, (), 1.0, 1.0, "m", 1.0, 0.0)
    action_id = run * 10_000
    while True:
        with contextlib.suppress(DeviceError), publisher.session() as step:
            while True:
                for _ in range(5):
                    action_id += 1
                    placement = Placement(str(uuid_utils.uuid7()), 0.0, (frame,), (0, 0, 8, 8), 1.0)
                    command = LidCommand(1, Category.OTHER, 500, 500, action_id)
                    journal.begin(placement, verdict, Decision("sure", "", command, Category.OTHER))
                    os.write(said, placement.id.encode() + b"\n")
                    journal.finish(LidReport(action_id, Outcome.CLOSED))
                step()


def main() -> None:
    """Fork, let live for a moment, kill."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    port, path, rounds = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(7)
    for run in range(rounds):
        pid = os.fork()
        if pid == 0:
            live(port, path, run, 1)
        time.sleep(chance.uniform(0.02, 0.5))  # the moment of death is the point
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
