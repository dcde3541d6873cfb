"""kill -9 of the whole event path under load, over a real broker: nothing lost, doubles removable by id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bin_daemon.config.settings import MqttSettings
from bin_daemon.events.paho_client import PahoClient

ROUNDS = 15


def test_every_begun_item_reaches_a_subscriber_once_by_id(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], listener_class: Any, desk: Any
) -> None:
    """15 processes die at random moments: the set of begun items is the set of received ids, each with one outcome."""
    broker = make_broker("max_queued_messages 0")
    broker.start()
    settings = MqttSettings(host="127.0.0.1", port=broker.port)
    listener = listener_class(PahoClient(settings, "test", messages_max=1_000_000), "smartbin/+/event/item")
    script = Path(__file__).with_name("line_victim.py")
    done = subprocess.run(
        [sys.executable, script, str(broker.port), desk.path, str(ROUNDS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    begun = {x for x in done.stdout.split() if len(x) == 36}
    post = make_post(port=broker.port)
    post.journal.recover(None)
    assert post.drive(lambda: not post.journal.outbox.stats.rows, timeout_s=30)
    outcomes: dict[str, set[str]] = {}

    def all_here() -> bool:
        for event in listener.of("event/item"):
            outcomes.setdefault(event["id"], set()).add(event["outcome"])
        return begun <= outcomes.keys()

    for _ in range(100):
        if all_here():
            break
        listener.look(0.1)
    assert begun <= outcomes.keys(), f"lost {len(begun - outcomes.keys())} of {len(begun)}"
    assert len(begun) > 50
    assert all(len(x) == 1 for x in outcomes.values())
    rows = dict(desk.sql("SELECT event_id, outcome FROM actions"))
    assert {key: {value} for key, value in rows.items()} == outcomes
    listener.client.close(1.0)
