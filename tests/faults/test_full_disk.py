"""The disk full, or refusing every write: sorting goes on, the fault is told, and all is on disk once there is room again."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rig import Bin, wait_for

FAULT = "journal_not_durable"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, stderr=subprocess.DEVNULL
    )
    if not made or made.returncode:
        pytest.skip("no file system may be mounted here; test_disk_refuses_writes runs everywhere")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    """Take every byte that is free."""
    with (folder / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 512):
            pass
    assert not shutil.disk_usage(folder).free


def sorts_on(smart_bin: Bin) -> None:
    """Two more items open their lids and are told, though nothing can be written."""
    opened, told = len(smart_bin.controller.openings()), len(smart_bin.subscriber.ids())
    wait_for(lambda: len(smart_bin.controller.openings()) >= opened + 2, "two items sorted without a disk")
    wait_for(lambda: len(smart_bin.subscriber.ids()) >= told + 2, "and told from memory")
    assert smart_bin.daemon
    assert smart_bin.daemon.poll() is None


def is_well_again(smart_bin: Bin) -> None:
    """The fault is cleared; after an orderly end every opening was told once, also what left the journal to make room."""
    wait_for(lambda: smart_bin.subscriber.faults(FAULT)[-1] == "cleared", "the fault cleared")
    assert smart_bin.stop() == 0
    outcomes, openings = smart_bin.outcomes(), smart_bin.controller.openings()
    assert set(outcomes.values()) == {"closed"}
    wait_for(lambda: set(outcomes) <= smart_bin.subscriber.ids(), "all that is in the journal told")
    assert {x["outcome"] for x in smart_bin.subscriber.events()} == {"closed"}
    assert len(smart_bin.subscriber.ids()) == len(openings) == sum(openings.values())
    assert smart_bin.journal("PRAGMA integrity_check") == [("ok",)]


def test_disk_full(smart_bin: Bin, small_disk: Path) -> None:
    """ENOSPC under the journal: the ballast goes first, then records wait in memory; nothing is lost."""
    smart_bin.settings["service.state_dir"] = str(small_disk)
    (smart_bin.folder / "state").symlink_to(small_disk)
    smart_bin.start()
    wait_for(smart_bin.subscriber.events, "an item before")

    def told() -> bool:
        fill(small_disk)
        return smart_bin.subscriber.faults(FAULT)[-1:] == ["raised"]

    wait_for(told, "the fault told")
    sorts_on(smart_bin)
    (small_disk / "filler").unlink()
    is_well_again(smart_bin)


def test_disk_refuses_writes(smart_bin: Bin) -> None:
    """Every write to a file fails (here: the process may write no file beyond its first byte): as above, also the log's."""
    daemon = smart_bin.start()
    wait_for(smart_bin.subscriber.events, "an item before")
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1, hard))
    wait_for(lambda: smart_bin.subscriber.faults(FAULT)[-1:] == ["raised"], "the fault told")
    sorts_on(smart_bin)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    is_well_again(smart_bin)
