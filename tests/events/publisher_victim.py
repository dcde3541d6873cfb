"""A publisher process to be killed: ``publisher_victim.py PORT JOURNAL``; prints ``connected`` once it is."""

from __future__ import annotations

import sys
from pathlib import Path

from bin_daemon.config.settings import JournalSettings, MqttSettings
from bin_daemon.events import CommandQueue, Journal, Publisher


def main() -> None:
    """Step until killed."""
    journal = Journal(Path(sys.argv[2]), JournalSettings(), "boot-1")
    publisher = Publisher(
        MqttSettings(host="127.0.0.1", port=int(sys.argv[1])),
        "bin-1",
        "boot-1",
        journal.outbox,
        journal,
        commands=CommandQueue(),
        state=dict,
        info=dict,
        health=dict,
    )
    with publisher.session() as step:
        print("connected", flush=True)  # noqa: T201
        while True:
            step()


if __name__ == "__main__":
    main()
