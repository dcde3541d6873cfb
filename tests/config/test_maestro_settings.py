"""controller.kind = "maestro": what a Maestro cannot keep by itself must be in the config, and fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from bin_daemon.config import load
from bin_daemon.errors import ConfigError

LIDS = """
[[lids]]
lid = 1
category = "recyclable"
[[lids]]
lid = 2
category = "other"
"""
CALIBRATED = """
[calibration.1]
open_us = 1900
closed_us = 1100
[calibration.2]
open_us = 1900
closed_us = 1100
"""


def complaints(tmp_path: Path, controller: str, calibration: str = CALIBRATED) -> str:
    """What is said about such a config; empty when nothing."""
    file = tmp_path / "bin.toml"
    file.write_text(f'{LIDS}{calibration}[controller]\nkind = "maestro"\n[controller.maestro]\n{controller}')
    try:
        load(file)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_whole_config_is_right(tmp_path: Path) -> None:
    """Defaults do for lids on channels 0 and 1, other channels may be named."""
    assert complaints(tmp_path, "") == ""
    assert complaints(tmp_path, "channels = [7, 3]\nstop_channel = 5\ndevice = 12\ncrc = true\ntimeout_s = 1.5") == ""


@pytest.mark.parametrize(
    ("controller", "calibration", "said"),
    [
        ("", "", "needs a table [calibration.1]"),
        ("channels = [4]", CALIBRATED, "names no channel for lid 2"),
        ("channels = [4, 4]", CALIBRATED, "channel 4 is there for lid 2 and for lid 1"),
        ("stop_channel = 1", CALIBRATED, "channel 1 is there for lid 2 and for the stop switch"),
        ("channels = [0, 24]", CALIBRATED, "controller.maestro.channels[1]"),
        ("timeout_s = 0", CALIBRATED, "controller.maestro.timeout_s"),
        ("timeout_s = 5", CALIBRATED, "controller.maestro.timeout_s"),
        ("device = 128", CALIBRATED, "controller.maestro.device"),
        ("", CALIBRATED.replace("1100", "1100\nspeed_us_per_20ms = 3", 1), "5.3 s from end to end"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, controller: str, calibration: str, said: str) -> None:
    """The key, and what is wrong with it."""
    assert said in complaints(tmp_path, controller, calibration)


def test_our_own_controller_needs_none_of_it(tmp_path: Path) -> None:
    """The same gaps are no complaint for kind smartbin."""
    file = tmp_path / "bin.toml"
    file.write_text(f"{LIDS}[controller.maestro]\nchannels = [4]\n")
    assert load(file).settings.controller.kind == "smartbin"
