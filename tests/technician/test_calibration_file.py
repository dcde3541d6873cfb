"""conf.d/50-calibration.toml: written whole or not at all, without losing a word of somebody else; read back as config."""

from __future__ import annotations

from pathlib import Path

import pytest

from bin_daemon.config import CalibrationSettings, load
from bin_daemon.errors import ConfigError
from bin_daemon.technician.calibration_file import calibration_file, overridden, remember, why_not_writable
from firmware_protocol.messages import Calibration

VALUES = CalibrationSettings(
    open_us=1785, closed_us=1145, speed_us_per_20ms=13, jam_ma=860, uid="00000000002a", measured="2026-11-24"
)


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A bin's main config file."""
    file = tmp_path / "bin.toml"
    file.write_text("config_version = 1\n")
    return file


def test_what_is_remembered_is_read_as_config(main: Path) -> None:
    """Two lids, each a table; the first again with other values, and what it was stands beside."""
    file = calibration_file(main)
    remember(file, 1, VALUES)
    remember(file, 3, VALUES)
    newer = VALUES.model_copy(update={"open_us": 1700})
    remember(file, 1, newer, Calibration(0, 1785, 1145, 13, 860))
    loaded = load(main)
    assert dict(loaded.settings.calibration) == {1: newer, 3: VALUES}
    assert loaded.origins["calibration.1.open_us"].startswith(f"{file}:")
    assert "open_us = 1700 # before: 1785\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert overridden(main, 1, newer) == ""


@pytest.mark.parametrize(
    "old",
    [
        "# mine\n[mqtt]\nhost = 'a'  # why\n\n[calibration.2] # note\nopen_us = 1500\nclosed_us = 600\n",
        "[calibration.1]\nopen_us=1000\n# a note\nclosed_us=2000\n[bin]\nid = 'x'\n",
        "calibration.2.open_us = 1500\ncalibration.2.closed_us = 600\ncalibration.1.open_us = 1000\n",
        "calibration = {1 = {open_us = 1000}, 2 = {open_us = 1500, closed_us = 600}}\n[bin]\nid = 'x'\n",
        "[calibration]\n# kept\n1 = {open_us = 1000}\n[bin]\nid = 'x'\n",
        "\ufeff[bin]\r\nid = 'x'\r\n",
        "",
    ],
)
def test_every_other_word_stays(main: Path, old: str) -> None:
    """Comments, other keys, other lids, whichever way TOML lets a person write them."""
    file = calibration_file(main)
    file.parent.mkdir()
    file.write_text(old, "utf-8", newline="")
    remember(file, 1, VALUES)
    new = file.read_text("utf-8")
    for word in ("mine", "why", "note", "kept", "'x'", "'a'", "1500"):
        assert (word in new) == (word in old)
    assert load(main).settings.calibration[1] == VALUES


@pytest.mark.parametrize("old", ["calibration = 5\n", "[calibration\n", "[[calibration]]\nx = 1\n", b"\xff\xfe\x00"])
def test_what_cannot_be_edited_is_left_alone(main: Path, old: str | bytes) -> None:
    """Said with the file and what mends it; not a byte has changed."""
    file = calibration_file(main)
    file.parent.mkdir()
    data = old if isinstance(old, bytes) else old.encode()
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"50-calibration\.toml") as caught:
        remember(file, 1, VALUES)
    assert caught.value.hint
    assert file.read_bytes() == data
    assert list(file.parent.iterdir()) == [file]


def test_a_write_that_fails_leaves_the_old_file(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disk full at the last moment: the old values stand, no litter."""
    file = calibration_file(main)
    remember(file, 1, VALUES)
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        remember(file, 1, VALUES.model_copy(update={"open_us": 1700}))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_later_drop_in_is_named(main: Path) -> None:
    """Who else has the last word on this lid."""
    file = calibration_file(main)
    remember(file, 1, VALUES)
    (file.parent / "60-site.toml").write_text("[calibration.1]\nopen_us = 1600\n")
    assert overridden(main, 1, VALUES) == f"{file.parent / '60-site.toml'}:2"


def test_without_a_main_file_there_is_no_place(main: Path) -> None:
    """Drop-ins are read only beside one. A folder that is writable is told from one that is not there."""
    with pytest.raises(ConfigError, match="no config file"):
        calibration_file(None)
    assert why_not_writable(calibration_file(main)) == ""
    assert "nowhere" in why_not_writable(main.parent / "nowhere" / "conf.d" / "50-calibration.toml")
