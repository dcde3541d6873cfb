"""kill -9 between any two SQL statements: nothing lost, nothing told twice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

ROUNDS = 60


def test_every_begun_item_ends_once_wherever_the_writer_dies(desk: Any) -> None:
    """60 writers die at their 1st, 2nd, ... statement: each begun item has one outcome row and one event id, each in order."""
    script = Path(__file__).with_name("journal_victim.py")
    done = subprocess.run(
        [sys.executable, script, desk.path, str(ROUNDS)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rounds = [orjson.loads(x) for x in done.stdout.splitlines()]
    assert sum(x["killed"] for x in rounds) >= 20
    assert not rounds[-1]["killed"]  # late enough not to be reached: the sweep covered every statement
    journal = desk.journal("boot-last")
    journal.recover(None)
    rows = dict(desk.sql("SELECT event_id, outcome FROM actions"))
    events = Counter(x["id"] for x in desk.events(journal))
    begun = [x for r in rounds for x in r["begun"]]
    ended = [x for r in rounds for x in r["ended"]]
    assert set(begun) <= set(rows)
    assert set(rows.values()) == {"closed", "interrupted"}
    assert all(rows[x] == "closed" for x in ended)
    assert set(events) == set(rows)
    assert set(events.values()) == {1}
    assert journal._store.read("PRAGMA integrity_check") == [("ok",)]
