"""Fixtures: decisions and reports to journal, a virtual clock, a real broker on loopback."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import uuid_utils

from bin_daemon.config.settings import JournalSettings
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    Frame,
    LabelScore,
    LidCommand,
    Placement,
)
from bin_daemon.events import Journal

_actions = itertools.count(1)


@dataclass
class VirtualClock:
    """Monotonic and wall time that only a test moves."""

    t_s: float = 1000.0
    at: float = 1_800_000_000.0
    synced: bool = True

    def forward(self, seconds: float) -> None:
        """Both clocks go on."""
        self.t_s += seconds
        self.at += seconds


@dataclass
class Item:
    """What the line hands to the journal for one item."""

    placement: Placement
    verdict: Classification
    decision: Decision

    @property
    def action_id(self) -> int:
        """The command's action id."""
        assert self.decision.command
        return self.decision.command.action_id

    @property
    def parts(self) -> tuple[Placement, Classification, Decision]:
        """As arguments of `Journal.begin`."""
        return self.placement, self.verdict, self.decision


def make_item(*, opens: bool = True, unsure: bool = False, t_s: float = 999.99) -> Item:
    """A sure can into lid 1, or a decision without command."""
    grey = np.zeros((8, 8), np.uint8)
    frame = Frame(1, t_s, 64, 64, grey, lambda: np.zeros((64, 64, 3), np.uint8))
    placement = Placement(str(uuid_utils.uuid7()), t_s, (frame,), (0, 0, 64, 64), 400.0)
    probs = {Category.RECYCLABLE: 0.91, Category.KITCHEN: 0.05, Category.HAZARDOUS: 0.02, Category.OTHER: 0.02}
    top5 = tuple(LabelScore(f"label {i}", i, 0.5 / (i + 1)) for i in range(5))
    verdict = Classification(Category.RECYCLABLE, probs, top5, 0.86, 1.0, "stand-in-1", 42.0, t_s)
    command = LidCommand(1, Category.RECYCLABLE, 2500, 1500, next(_actions)) if opens else None
    decision = Decision("sure", "recyclable 0.91", command, Category.RECYCLABLE if opens else None, unsure)
    return Item(placement, verdict, decision)


@pytest.fixture
def item() -> Callable[..., Item]:
    """Factory of items."""
    return make_item


@pytest.fixture
def clock() -> VirtualClock:
    """Time that only the test moves."""
    return VirtualClock()


@dataclass
class Desk:
    """Opens journals of one file and looks into it from outside."""

    path: Path
    clock: VirtualClock
    opened: list[Journal] = field(default_factory=list)

    def journal(self, boot_id: str = "boot-1", **settings: Any) -> Journal:
        """Open the journal as a new run."""
        journal = Journal(
            self.path,
            JournalSettings(**settings),
            boot_id,
            clock=lambda: self.clock.t_s,
            wall=lambda: self.clock.at,
            synced=lambda: self.clock.synced,
        )
        self.opened.append(journal)
        return journal

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the file through a connection of its own."""
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def events(self, journal: Journal, topic: str = "event/item") -> list[dict[str, Any]]:
        """Unsent events of one topic."""
        return [orjson.loads(x.payload) for x in journal.outbox.batch(10_000) if x.topic == topic]


@pytest.fixture
def desk(tmp_path: Path, clock: VirtualClock) -> Iterator[Desk]:
    """A journal file in a folder of its own; all journals are closed at the end."""
    desk = Desk(tmp_path / "state" / "journal.sqlite3", clock)
    yield desk
    for journal in desk.opened:
        journal.close()
