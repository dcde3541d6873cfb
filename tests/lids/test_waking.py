"""A board that resets when its port is opened: quiet until it has started, and only there."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
import serial

from bin_daemon.config.settings import ControllerSettings, LidSettings
from bin_daemon.domain import Category
from bin_daemon.lids import SerialLids, waking
from bin_daemon.lids.waking import QUIET_S, has_modem_lines, wait_until_awake
from firmware_protocol.framing import encode
from firmware_protocol.messages import Boot, Frame, Pong
from tests.technician.mega_board import MegaBoard, program_image

IMAGE = program_image()


def lids_at(port: str) -> SerialLids:
    """Of a bin with one lid."""
    return SerialLids(ControllerSettings(port=port), [LidSettings(lid=1, category=Category.OTHER)], {})


def test_the_daemon_waits_for_an_arduino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening resets it into its bootloader, which one byte too early would hold for 9 s, and HELLO again and again for ever."""
    monkeypatch.setattr(waking, "has_modem_lines", lambda _: True)
    with MegaBoard(tmp_path / "tty", [IMAGE], IMAGE, auto_reset=True) as board:
        lids, begun = lids_at(board.path), time.monotonic()
        with lids.session():
            assert lids.state.connected
            assert board.bootloader_entries == 1
            assert 0.5 < time.monotonic() - begun < QUIET_S + 1.0


def test_a_port_without_modem_lines_is_spoken_to_at_once(tmp_path: Path) -> None:
    """A pty has none, nor has a simulator's URL: no second is lost there."""
    with MegaBoard(tmp_path / "tty", [IMAGE], IMAGE) as board:
        with serial.Serial(board.path) as port:
            assert not has_modem_lines(port)
            wait_until_awake(port, board.path, clock=lambda: pytest.fail("no clock is asked"))
        lids = lids_at(board.path)
        with lids.session():
            assert lids.state.connected
    with serial.serial_for_url("loop://") as port:
        assert not has_modem_lines(port)


def test_a_serial_port_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the kernel answers for a UART or a USB serial device."""
    with MegaBoard(tmp_path / "tty", [], None) as board, serial.Serial(board.path) as port:
        monkeypatch.setattr(fcntl, "ioctl", lambda *_: b"\x06\x00\x00\x00")
        assert has_modem_lines(port)


def test_what_ends_the_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """BOOT, of any major; not noise, nor a frame of an earlier session; the time; somebody who shuts down."""
    monkeypatch.setattr(waking, "has_modem_lines", lambda _: True)
    boot = encode(Frame(0, 0, Boot(1, 0, 0, 2, 0)).to_body())
    of_major_2 = encode(b"\x85\x20" + bytes(5))
    stale = encode(Frame(7, 0, Pong(1, 2)).to_body())
    now = [0.0]

    def passed(*heard: bytes, give_up_at_s: float = 99.0) -> float:
        now[0], waiting = 0.0, list(heard)

        def read(*_: object) -> bytes:
            now[0] += 0.25
            return waiting.pop(0) if waiting else b""

        monkeypatch.setattr(waking, "read_some", read)
        port = serial.serial_for_url("loop://", do_not_open=True)
        wait_until_awake(port, "x", clock=lambda: now[0], give_up=lambda: now[0] >= give_up_at_s)
        return now[0]

    assert passed(b"", b"\x00", boot) == 0.75
    assert passed(b"\xfe\x00", boot[:5], boot[5:]) == 0.75
    assert passed(b"\xfe\xfe\x00\x00", os.urandom(3) + b"\x00") == QUIET_S
    assert passed(stale, stale, boot) == 0.75
    assert passed(of_major_2) == 0.25
    assert passed(stale) == QUIET_S
    assert passed() == QUIET_S
    assert passed(give_up_at_s=0.5) == 0.5
