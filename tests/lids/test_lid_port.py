"""The port's edge: whatever pyserial raises on a port in trouble becomes one DeviceError that says where and what mends it."""

from __future__ import annotations

import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.lids.port import check_url, opened, read_some, translated, write_all
from bin_daemon.sim.controller import controller
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.pty import PtyPort
from bin_daemon.sim.serve import PtyController
from bin_daemon.sim.world import world

BAUD = 115200


@pytest.fixture
def pty(tmp_path: Path) -> Iterator[PtyPort]:
    """A pty behind a link."""
    port = PtyPort(tmp_path / "by-id")
    yield port
    port.unplug()


def failing(url: str) -> DeviceError:
    """The error of opening ``url``."""
    with pytest.raises(DeviceError) as caught, opened(url, BAUD):
        pass
    assert url in str(caught.value)
    return caught.value


def test_absent_port(tmp_path: Path) -> None:
    """ENOENT: plug it in."""
    assert "plug the controller in" in failing(str(tmp_path / "ttyACM0")).hint


def test_not_a_serial_port(tmp_path: Path) -> None:
    """ENOTTY of an ordinary file: the setting names the wrong thing."""
    (tmp_path / "file").touch()
    assert "no serial port" in failing(str(tmp_path / "file")).hint


def test_port_in_use(pty: PtyPort) -> None:
    """EAGAIN of the exclusive lock: another program has it."""
    with opened(pty.path, BAUD):
        assert "another program" in failing(pty.path).hint


def test_forbidden_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """EACCES: the group is missing."""

    def refuse(*_: object, **__: object) -> serial.Serial:
        raise serial.SerialException(13, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    assert "dialout" in failing("/dev/ttyACM0").hint


def test_bytes_pass_both_ways(pty: PtyPort) -> None:
    """All 256 values, unchanged, no echo."""
    data = bytes(range(256))
    with opened(pty.path, BAUD) as port:
        write_all(port, pty.path, data)
        got = b""
        while len(got) < 256:
            got += pty.read(1.0) or b""
        assert got == data
        pty.write(data)
        assert read_some(port, pty.path) == data


def test_quiet_port_returns_in_time(pty: PtyPort) -> None:
    """Nothing to read: empty after about 0.25 s, so that the worker shows a sign of life."""
    with opened(pty.path, BAUD) as port:
        before = time.monotonic()
        assert read_some(port, pty.path) == b""
        assert 0.2 < time.monotonic() - before < 2.0


def test_unplugged_while_open(pty: PtyPort) -> None:
    """Reading and writing a port that vanished."""
    with opened(pty.path, BAUD) as port:
        pty.unplug()
        with pytest.raises(DeviceError, match="cannot read"):
            read_some(port, pty.path)
        with pytest.raises(DeviceError, match="cannot write"):
            write_all(port, pty.path, b"x")


def test_replugged_under_the_same_name(pty: PtyPort) -> None:
    """The link leads to a new pty; the old handle is of no use, the name is."""
    with opened(pty.path, BAUD):
        pty.unplug()
        pty.plug()
    with opened(pty.path, BAUD) as port:
        pty.write(b"new")
        assert read_some(port, pty.path) == b"new"


def test_a_reader_that_sleeps_does_not_hold_us(pty: PtyPort) -> None:
    """100 kB that nobody takes: an error within the write time-out, not a block."""
    with opened(pty.path, BAUD) as port:
        before = time.monotonic()
        with pytest.raises(DeviceError, match="cannot write"):
            write_all(port, pty.path, bytes(100_000))
        assert time.monotonic() - before < 5.0


def read_twice(port: serial.Serial, url: str) -> None:
    """The close comes during the first read; pyserial may still call that a time-out."""
    read_some(port, url)
    read_some(port, url)


def test_closed_during_a_read(pty: PtyPort) -> None:
    """Closing from another thread during a read is a DeviceError, not pyserial's TypeError."""
    with opened(pty.path, BAUD) as port:
        timer = threading.Timer(0.05, port.close)
        timer.start()
        with pytest.raises(DeviceError, match="cannot read"):
            read_twice(port, pty.path)
        timer.join()


@pytest.mark.parametrize("error", [termios.error(22, "Invalid argument"), TypeError("NoneType"), OSError(5, "EIO")])
def test_odd_errors_are_translated(error: Exception) -> None:
    """termios.error is no OSError, and is caught all the same."""
    with pytest.raises(DeviceError, match="COM9: cannot set"), translated("COM9", "cannot set"):
        raise error


def test_bugs_are_not_hidden() -> None:
    """What no port raises passes through."""
    with pytest.raises(KeyError), translated("COM9", "cannot read"):
        raise KeyError("x")


@pytest.mark.parametrize("url", ["foo://bin", "sim://bin?speed=3", "hwgrep://[", "spy:///dev/null?file=/nowhere/x"])
def test_a_wrong_url_is_the_technicians(url: str) -> None:
    """A scheme or parameter that nobody knows is a ConfigError before anything is opened."""
    with pytest.raises(ConfigError) as caught:
        check_url(url)
    assert url in str(caught.value)
    assert caught.value.hint


def test_a_port_sought_by_name_may_be_unplugged_at_the_start() -> None:
    """hwgrep:// that finds nothing is weather, as an absent /dev name is: the daemon starts and looks again."""
    check_url("hwgrep://no such controller")
    assert "cannot open" in str(failing("hwgrep://no such controller"))


def test_sim_port_behaves_like_a_port() -> None:
    """The simulated port: exclusive, cancellable, broken when unplugged, absent until replugged."""
    url = "sim://portlike?silent=1"
    with opened(url, BAUD) as port:
        assert "another program" in failing(url).hint
        assert read_some(port, url) == b""
        port.cancel_read()
        assert port.read(1) == b""
        device = controller("portlike")
        device.unplug()
        with pytest.raises(DeviceError, match="cannot read"):
            read_some(port, url)
        with pytest.raises(DeviceError, match="cannot write"):
            write_all(port, url, b"x")
    assert "plug the controller in" in failing(url).hint
    device.plug()
    with opened(url, BAUD):
        pass
    device.shut_down()
    with pytest.raises(serial.PortNotOpenError):
        port.read(1)


def test_controller_rests_when_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread ends by itself once the host is gone and the lids are shut, and starts again with the next host."""
    monkeypatch.setattr("bin_daemon.sim.far_end.LINGER_S", 0.1)
    device = controller("resting", SimOptions(travel_ms=100.0))
    for _ in range(2):
        with opened("sim://resting?travel_ms=100", BAUD) as port:
            assert any(t.name == "sim-resting" for t in threading.enumerate())
            assert read_some(port, "sim://resting") != b"" or device.all_closed
        end = time.monotonic() + 3.0
        while any(t.name == "sim-resting" for t in threading.enumerate()):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_link_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """One clear error, and nothing stays open."""
    with pytest.raises(ConfigError) as caught:
        PtyController(world("nolink"), SimOptions(), tmp_path / "absent" / "link")
    assert "absent" in str(caught.value)


def test_other_options_make_a_fresh_controller() -> None:
    """One name, other options: the new ones hold."""
    first = controller("fresh", SimOptions(jam=1))
    assert controller("fresh") is first
    assert controller("fresh", SimOptions(jam=1)) is first
    assert controller("fresh", SimOptions(jam=2)) is not first
