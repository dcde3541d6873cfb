"""Sick disks: full, read-only, corrupt. Sorting goes on, nothing is lost that memory can hold, and a person is told."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bin_daemon.config.settings import JournalSettings
from bin_daemon.domain import LidReport, Outcome
from bin_daemon.events import Journal
from bin_daemon.events.outbox import BACKLOG_MAX
from bin_daemon.events.store import BALLAST_BYTES


def live(journal: Journal, one: Any) -> None:
    """One item from decision to outcome."""
    journal.begin(*one.parts)
    journal.finish(LidReport(one.action_id, Outcome.CLOSED))


def freeze_size(journal: Journal, spare_pages: int = 0) -> None:
    """From now on SQLite says SQLITE_FULL as soon as the file would grow by more than ``spare_pages``."""
    db = journal._store.connection()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages + spare_pages}")


def test_a_file_that_cannot_grow_gives_up_history_before_events(desk: Any, item: Callable[..., Any]) -> None:
    """On SQLITE_FULL ended rows whose event is acknowledged go first; no event is lost while that suffices."""
    journal = desk.journal()
    for _ in range(120):
        live(journal, item())
    journal.outbox.ack({x.event_id for x in journal.outbox.batch(120)})
    freeze_size(journal)
    items = [item() for _ in range(60)]
    for one in items:
        live(journal, one)
    assert journal.flush()
    assert {x["id"] for x in desk.events(journal)} == {x.placement.id for x in items}
    assert journal.outbox.stats.dropped == 0


def test_a_full_file_drops_the_oldest_events_and_says_so(desk: Any, item: Callable[..., Any], clock: Any) -> None:
    """When nothing else can go, the oldest unsent events do: counted, with a fault, and the newest is there."""
    journal = desk.journal()
    freeze_size(journal, spare_pages=30)
    items = [item() for _ in range(150)]
    for one in items:
        live(journal, one)
        clock.forward(2.0)
    assert journal.flush()
    stats = journal.outbox.stats
    assert stats.dropped > 0
    assert desk.events(journal)[-1]["id"] == items[-1].placement.id
    told = stats.rows + stats.dropped - 150
    assert 1 <= told <= 5  # the fault events themselves
    assert "events_dropped" in {x.code for x in journal.active_faults}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB, where mounting is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_really_full_disk_sorts_on_and_heals(small_disk: Path, item: Callable[..., Any]) -> None:
    """Another program fills the disk: the ballast is given back, sorting goes on, and the file is whole afterwards."""
    now = [1000.0]
    journal = Journal(small_disk / "journal.sqlite3", JournalSettings(), "boot-1", clock=lambda: now[0])
    ballast = small_disk / "journal.sqlite3.ballast"
    assert ballast.stat().st_size == BALLAST_BYTES
    filler = small_disk / "other.log"
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(fd, b"x" * 4096)
    os.close(fd)
    items = [item() for _ in range(120)]
    for one in items:
        live(journal, one)
        now[0] += 2.0
    assert not ballast.exists()
    assert journal.active_faults
    stats = journal.outbox.stats
    assert stats.rows + stats.dropped >= 120
    assert items[-1].placement.id in {x.event_id for x in journal.outbox.batch(2000)}
    filler.unlink()
    assert journal.flush()
    assert ballast.exists()
    assert journal._store.read("PRAGMA integrity_check") == [("ok",)]
    assert "journal_not_durable" not in {x.code for x in journal.active_faults}
    journal.close()


def test_a_folder_that_cannot_be_made_leaves_memory(tmp_path: Path, item: Callable[..., Any]) -> None:
    """An unusable state directory: events still reach the publisher, from memory, with the fault first."""
    (tmp_path / "file").write_text("not a folder")
    journal = Journal(tmp_path / "file" / "journal.sqlite3", JournalSettings(), "boot-1", clock=lambda: 1.0)
    one = item()
    live(journal, one)
    rows = journal.outbox.batch(10)
    assert [x.topic for x in rows] == ["event/fault", "event/item"]
    assert orjson.loads(rows[1].payload)["id"] == one.placement.id
    assert [x.code for x in journal.active_faults] == ["journal_not_durable"]
    journal.outbox.ack({rows[1].event_id})
    assert [x.topic for x in journal.outbox.batch(10)] == ["event/fault"]
    assert journal.flush() is False


def test_memory_is_bounded_and_its_loss_counted(tmp_path: Path, item: Callable[..., Any]) -> None:
    """Days without a disk do not eat the memory: the oldest go, counted."""
    (tmp_path / "file").write_text("not a folder")
    journal = Journal(tmp_path / "file" / "journal.sqlite3", JournalSettings(), "boot-1", clock=lambda: 1.0)
    for _ in range(BACKLOG_MAX + 50):
        journal.begin(*item(opens=False).parts)
    stats = journal.outbox.stats
    assert stats.rows == BACKLOG_MAX
    assert stats.dropped == 51  # 50 items and the fault event


def test_a_disk_that_comes_back_gets_everything(tmp_path: Path, item: Callable[..., Any]) -> None:
    """What waited in memory is written, in order, once the disk is well; a second start sees it."""
    block = tmp_path / "state"
    block.write_text("in the way")
    now = [1000.0]
    journal = Journal(block / "journal.sqlite3", JournalSettings(), "boot-1", clock=lambda: now[0])
    items = [item() for _ in range(5)]
    for one in items:
        live(journal, one)
    block.unlink()
    now[0] += 2.0
    last = item()
    live(journal, last)
    assert journal.active_faults == ()
    journal.close()
    again = Journal(block / "journal.sqlite3", JournalSettings(), "boot-2", clock=lambda: now[0])
    told = [orjson.loads(x.payload)["id"] for x in again.outbox.batch(50) if x.topic == "event/item"]
    assert told == [x.placement.id for x in (*items, last)]
    again.close()


def test_any_damage_is_put_aside_and_the_start_succeeds(desk: Any, item: Callable[..., Any]) -> None:
    """Overwritten headers and random pages, 40 seeded ways: the journal opens, works, keeps the old file and says so."""
    first = desk.journal("boot-0")
    for _ in range(40):
        live(first, item())
    first.close()
    good = desk.path.read_bytes()
    damaged = 0
    for seed in range(40):
        rng = random.Random(seed)
        bad = bytearray(good)
        at = 0 if seed % 4 == 0 else rng.randrange(0, len(bad), 4096)
        bad[at : at + 4096] = rng.randbytes(4096)
        desk.path.write_bytes(bad[: rng.randrange(100, len(bad))] if seed % 5 == 0 else bad)
        journal = desk.journal(f"boot-{seed + 1}")
        one = item()
        live(journal, one)
        assert one.placement.id in {x["id"] for x in desk.events(journal)}
        asides = [x for x in desk.path.parent.glob("*.corrupt-*") if x.name.endswith(f"-{seed + 1}")]
        if asides:
            damaged += 1
            assert [x.code for x in journal.active_faults] == ["journal_corrupt"]
        journal.close()
        desk.path.unlink()
    assert damaged >= 30


def test_what_can_be_read_from_a_corrupt_file_is_saved(desk: Any, item: Callable[..., Any]) -> None:
    """Unsent events and open decisions of the readable part go over to the new file."""
    first = desk.journal("boot-0")
    items = [item() for _ in range(20)]
    for one in items:
        live(first, one)
    left = item()
    first.begin(*left.parts)
    root = dict(first._store.read("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
    first.close()
    page = int(root["dead_letters"])
    with desk.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    journal = desk.journal("boot-1")
    assert journal.recover(left.action_id) == 1
    told = {x["id"]: x["outcome"] for x in desk.events(journal)}
    assert told == {x.placement.id: "closed" for x in items} | {left.placement.id: "interrupted"}


def test_corruption_while_running_heals_in_place(desk: Any, item: Callable[..., Any]) -> None:
    """A file that rots under the daemon is put aside at the next write; the open item still ends as one event."""
    journal = desk.journal()
    live(journal, item())
    one = item()
    journal.begin(*one.parts)
    journal._store.close()
    journal._store._checked = True
    desk.path.write_bytes(b"rotten" * 4096)
    journal.finish(LidReport(one.action_id, Outcome.CLOSED))
    assert [x["id"] for x in desk.events(journal)] == [one.placement.id]
    assert [x.code for x in journal.active_faults] == ["journal_corrupt"]
    assert desk.sql("SELECT outcome FROM actions") == [("closed",)]


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages of a Linux file system")
def test_the_file_does_not_grow_without_bound(desk: Any, item: Callable[..., Any]) -> None:
    """The WAL stays within its 64 pages (and one transaction), however many events pass."""
    journal = desk.journal()
    for _ in range(150):
        live(journal, item())
        journal.outbox.ack({x.event_id for x in journal.outbox.batch(5)})
    wal = desk.path.with_name(desk.path.name + "-wal")
    assert wal.stat().st_size <= 128 * 4096


def test_a_disk_that_cannot_delete_does_not_send_twice(desk: Any, item: Callable[..., Any]) -> None:
    """What the broker has is not sent again in a loop because the disk refuses to forget it."""
    journal = desk.journal()
    for _ in range(5):
        live(journal, item())
    rows = journal.outbox.batch(10)
    db = journal._store.connection()
    db.execute("PRAGMA query_only = 1")
    journal.outbox.ack({x.event_id for x in rows[:3]})
    journal.outbox.bury(rows[3], "too large")
    assert journal.outbox.batch(10) == rows[4:]
    assert journal.outbox.stats.rows == 1
    db.execute("PRAGMA query_only = 0")
    journal.outbox.ack({rows[4].event_id})
    assert journal.outbox.stats.rows == 0
    assert desk.sql("SELECT COUNT(*) FROM outbox") == [(0,)]
