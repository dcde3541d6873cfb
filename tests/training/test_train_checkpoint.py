"""Checkpoint files: whole or not there, whatever happens while they are written; and the work folder around them."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bin_daemon.errors import ConfigError, ModelError, UnreachableError
from bin_daemon.training.checkpoint import listed, read_best, read_latest, write_best, write_checkpoint
from bin_daemon.training.work import LOG_FILE, RECIPE_FILE, Cadence, Checkpoints, alone, begin

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE: dict[str, Any] = {"best": "", "best_worth": [0.5, -1.0], "network": {"w": torch.arange(4.0)}}


@pytest.fixture
def little_room() -> Iterator[int]:
    """No file of this process may grow beyond this many bytes: the kernel refuses as it does on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    yield 64 << 10
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def training(step: int, size: int = 4) -> Any:
    """What `Checkpoints` needs of a training."""
    state = {"step": step, "best_worth": [0.5, -1.0], "network": {"w": torch.zeros(size)}}
    return SimpleNamespace(
        step=step,
        steps_per_epoch=10,
        epochs_done=0,
        best={"w": torch.zeros(size)},
        best_worth=(0.5, -1.0),
        state=lambda: state,
    )


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    """Newest first; best weights come back as they were, with text about them."""
    best = write_best(tmp_path, {"w": torch.ones(2)}, {"about": "{}"})
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, {**STATE, "best": best, "step": step})
    assert [x.name[:19] for x in listed(tmp_path)] == ["checkpoint-00000003", "checkpoint-00000002"]
    found = read_latest(tmp_path, pytest.fail)
    assert found is not None
    assert found[0]["step"] == 3
    assert found[1]["w"].tolist() == [1.0, 1.0]
    assert read_latest(tmp_path / "none", pytest.fail) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "best"])
def test_damage_is_known(damage: str, tmp_path: Path) -> None:
    """A file cut off, one bit flipped, nothing in it, or the best weights gone: each is told, and the one before is taken."""
    best = write_best(tmp_path, {"w": torch.ones(2)}, {})
    write_checkpoint(tmp_path, 1, {**STATE, "step": 1})
    newest = write_checkpoint(tmp_path, 2, {**STATE, "step": 2, "best": best})
    content = bytearray(newest.read_bytes())
    if damage == "best":
        (tmp_path / best).unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    else:
        newest.write_bytes(content[:-50] if damage == "cut" else b"")
    told: list[str] = []
    found = read_latest(tmp_path, told.append)
    assert found is not None
    assert found[0]["step"] == 1
    assert len(told) == 1
    assert (best if damage == "best" else newest.name) in told[0]


def test_a_pickle_that_wants_more_is_refused(tmp_path: Path) -> None:
    """Named like a checkpoint, with the right digest, and yet nothing of it is run."""
    write_checkpoint(tmp_path, 1, {**STATE, "trap": Path("x")})
    with pytest.raises(ModelError, match="none of 1 checkpoints"):
        read_latest(tmp_path, lambda _text: None)


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, little_room: int) -> None:
    """The training is told and goes on, nothing half-written stays; with room again the next one is written, best weights too."""
    told: list[str] = []
    keeper = Checkpoints(tmp_path, Cadence(0, 1), {}, told.append)
    keeper.write(training(1))
    before = sorted(tmp_path.iterdir())
    keeper.write(training(2, size=little_room))
    assert sorted(tmp_path.iterdir()) == before
    assert len(told) == 1
    assert "no checkpoint at step 2" in told[0]
    assert "File too large" in told[0]
    keeper.write(training(3))
    assert [x.name[:19] for x in listed(tmp_path)] == ["checkpoint-00000003", "checkpoint-00000001"]
    with pytest.raises(OSError, match="large"):
        write_best(tmp_path, {"w": torch.zeros(little_room)}, {})
    assert not list(tmp_path.glob("*.partial"))


def test_when_they_are_due(tmp_path: Path) -> None:
    """By steps or by the clock, whichever is first; not at an epoch's end, where one comes after the validation anyway."""
    now = [0.0]
    keeper = Checkpoints(tmp_path, Cadence(minutes=1, steps=4), {}, pytest.fail, now=lambda: now[0])
    written = []
    for step, seconds in ((1, 59), (2, 60), (3, 61), (4, 62), (10, 200), (11, 201)):
        now[0] = seconds
        keeper.watch(training(step))
        written.append(any(x.name.startswith(f"checkpoint-{step:08d}") for x in listed(tmp_path)))
    assert written == [False, True, False, True, False, True]
    assert len(list(tmp_path.glob("best-*"))) == 1  # the same best weights are not written again


def test_where_a_training_may_begin(tmp_path: Path) -> None:
    """Not in a file, among other things, or over a training; --restart removes that training's files and no others."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="a file, not a folder"):
        begin(tmp_path / "file", resume=False, restart=False)
    with pytest.raises(ConfigError, match="holds file and is no work folder"):
        begin(tmp_path, resume=True, restart=True)
    work = tmp_path / "a" / "work"
    assert not begin(work, resume=True, restart=False)
    for name in (RECIPE_FILE, LOG_FILE, "checkpoint-00000001-0.pt", "best-0.safetensors", "notes.txt"):
        (work / name).write_text("")
    assert begin(work, resume=True, restart=False)
    with pytest.raises(ConfigError, match="a training was begun here"):
        begin(work, resume=False, restart=False)
    assert not begin(work, resume=False, restart=True)
    assert [x.name for x in work.iterdir()] == ["notes.txt"]
    with pytest.raises(ConfigError, match="Not a directory"):
        begin(tmp_path / "file" / "work", resume=False, restart=False)


def test_one_training_at_a_time(tmp_path: Path) -> None:
    """A second one in the same work folder is told to wait."""
    with alone(tmp_path), pytest.raises(UnreachableError, match="another training"), alone(tmp_path):
        pass


def test_best_weights_by_name_only(tmp_path: Path) -> None:
    """A file of another name is no best weights."""
    with pytest.raises(ModelError, match="was damaged"):
        read_best(tmp_path / "model.safetensors")
