"""What a person must mend before the daemon can start: exit 78, one message with file and mend, never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bin_daemon.model.bundle import METADATA_FILE, WEIGHTS_FILE
from tests.faults.rig import BOUND_S, Bin


def refused(smart_bin: Bin, settings: dict[str, object], *words: str) -> None:
    """The daemon ends with 78 and its message holds all these words."""
    daemon = smart_bin.start(settings, wait_ready=False)
    assert daemon.wait(BOUND_S) == 78
    said = smart_bin.log.read_text()
    assert said.startswith("bin-daemon: ")
    assert said.count("bin-daemon: ") == 1
    assert "  mend: " in said
    assert "Traceback" not in said
    assert len(said) < 2000
    for word in words:
        assert word in said
    assert not smart_bin.controller.motions


def truncate(path: Path) -> None:
    """Half of it is missing."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit of the last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    """Nothing in it."""
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    """Something else."""
    path.write_bytes(b"\x80\x02}q\x00." * 50)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (WEIGHTS_FILE, truncate),
        (WEIGHTS_FILE, flip),
        (WEIGHTS_FILE, empty),
        (WEIGHTS_FILE, Path.unlink),
        (METADATA_FILE, truncate),
        (METADATA_FILE, garbage),
        (METADATA_FILE, Path.unlink),
    ],
)
def test_damaged_bundle(smart_bin: Bin, name: str, damage: Callable[[Path], object], kitchen_bundle: Path) -> None:
    """Weights or metadata truncated, bit-flipped, emptied, replaced or missing: refused by name."""
    copy = smart_bin.folder / "model"
    shutil.copytree(kitchen_bundle, copy)
    damage(copy / name)
    refused(smart_bin, {"model.bundle": str(copy)}, str(copy))


def test_missing_bundle(smart_bin: Bin) -> None:
    """A folder that is not there."""
    refused(smart_bin, {"model.bundle": "/nonexistent/model"}, "/nonexistent/model")


def test_no_bundle_at_all(smart_bin: Bin) -> None:
    """No model was ever activated."""
    refused(smart_bin, {"model.bundle": ""}, "no active model", str(smart_bin.folder / "state"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[camera]\nfsp = 3\n", ("bin.toml:2", "fsp")),
        ("[camera]\nfps = -1\n", ("bin.toml:2", "camera.fps")),
        ("[camera\n", ("bin.toml:1",)),
        ("\xff\xfe", ("bin.toml",)),
    ],
)
def test_bad_config(smart_bin: Bin, text: str, words: tuple[str, ...]) -> None:
    """An unknown key, a value out of bounds, broken TOML, no text at all: file, line and key are named."""
    (smart_bin.folder / "bin.toml").write_bytes(text.encode("latin-1"))
    refused(smart_bin, {}, *words)


def test_camera_that_is_no_camera(smart_bin: Bin) -> None:
    """A dotted path to nothing."""
    refused(smart_bin, {"camera.source": "tests.faults.cameras:Nothing"}, "tests.faults.cameras:Nothing")


def test_state_folder_that_is_a_file(smart_bin: Bin) -> None:
    """Nowhere to keep the journal."""
    (smart_bin.folder / "state").touch()
    refused(smart_bin, {}, str(smart_bin.folder / "state"))
