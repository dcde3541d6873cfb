"""The notify socket and the shipped units."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from bin_daemon.service import systemd

UNITS = Path(__file__).parents[2] / "systemd"


def test_notify_reaches_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assignments arrive as one datagram."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        assert systemd.notify("READY=1", "STATUS=all well")
        assert sock.recv(1000) == b"READY=1\nSTATUS=all well"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, or a dead one: False, no error."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "@surely-nobody-there")
    assert not systemd.notify("READY=1")


def test_watchdog_belongs_to_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out is ours only when the pid is."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_s() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_s() is None


def test_unit_verifies(tmp_path: Path) -> None:
    """systemd-analyze finds nothing wrong with the unit (with a program that exists here)."""
    text = (UNITS / "bin-daemon.service").read_text()
    text = re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", text)
    unit = tmp_path / "bin-daemon.service"
    unit.write_text(text.replace("User=bin-daemon\nGroup=bin-daemon\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_is_well_hardened(tmp_path: Path) -> None:
    """The exposure score stays below 2 (a naive unit has 9.6)."""
    shutil.copy(UNITS / "bin-daemon.service", tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(tmp_path / "bin-daemon.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_sysusers_parse(tmp_path: Path) -> None:
    """The user and its groups can be made from the file on an empty root."""
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "bin-daemon.sysusers.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bin-daemon" in (tmp_path / "etc" / "passwd").read_text()


def test_udev_rules_name_only_known_keys() -> None:
    """Every rule line is made of key-operator-value triples that udev knows, and gives its device to a group, not to all."""
    keys = r'(SUBSYSTEMS?|ATTRS?\{\w+\}|ENV\{\w+\}|SYMLINK|GROUP|MODE)(==|\+=|=)"[^"]*"'
    rules = [x for x in (UNITS / "60-bin-daemon.rules").read_text().splitlines() if x and not x.startswith("#")]
    assert rules
    for rule in rules:
        assert re.fullmatch(rf"{keys}(, {keys})*", rule), rule
        assert 'MODE="0660"' in rule
