"""No lid opens before the Maestro's dead-man was seen at work: every wrong setting is told, with the setting's own name."""

from __future__ import annotations

from typing import Any

import pytest

from bin_daemon.config.settings import CalibrationSettings
from bin_daemon.errors import DeviceError
from bin_daemon.lids.maestro_bytes import Dialect
from bin_daemon.sim.maestro_board import INPUT_MAX, PROTOCOL, Channel, Mode
from tests.lids.maestro_rig import MaestroBench


def test_a_well_set_maestro_is_proved() -> None:
    """It takes the time-out and a little more, moves no lid, and leaves every channel at its closed pulse."""
    bench = MaestroBench()
    began_s = bench.now_s
    bench.prove()
    assert 2.0 <= bench.now_s - began_s < 2.9
    assert bench.motions == []
    assert [bench.device.pulse_us(n) for n in range(1, 5)] == [1000] * 4
    assert [x.speed for x in bench.device.board.channels[:4]] == [200] * 4
    assert bench.core.state.all_closed


def test_lids_that_stand_open_are_shut_first() -> None:
    """The host died without a time-out to help: the proof shuts them at their own speed, then fails for the missing time-out."""
    slow = CalibrationSettings(open_us=2000, closed_us=1000, speed_us_per_20ms=20)
    bench = MaestroBench(calibration=slow, timeout_ms=0)
    bench.device.set_target(2, 1000)
    bench.device.set_target(2, 2000)
    bench.let_pass(1.0)
    assert bench.device.away()
    with pytest.raises(DeviceError, match="has not sent its channels home"):
        bench.prove()
    assert bench.device.all_closed
    travel_s = bench.motions[-1].t_s - bench.motions[-2].t_s
    assert travel_s > 0.8


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"timeout_ms": 0}, "2 s of silence", "set Timeout to 2.00 s"),
    ({"home_us": 0}, r"channel 0 \(lid 1\) sends no pulse", '"Go to" 1000'),
    ({"home_us": -1}, r"channel 0 \(lid 1\) sends no pulse", '"Go to" 1000'),
    ({"home_us": 2000}, "goes away from 1000 us", '"Go to" 1000'),
    ({"home_us": 1000, "min_us": 1010}, "stays at 1010 us", "Min and Max"),
    ({"script": 1}, "a script runs", "Run script on startup"),
    ({"uart": 1}, "answered 0 of 2 bytes", "USB Dual Port"),
    ({"crc": 1}, "answered 0 of 2 bytes", "CRC"),
]


@pytest.mark.parametrize(("settings", "seen", "mend"), WRONG, ids=[str(x[0]) for x in WRONG])
def test_a_wrong_setting_is_told(settings: dict[str, Any], seen: str, mend: str) -> None:
    """What was seen, and the setting that mends it. The proof opens no lid; one that the Maestro itself flung open when it was
    switched on is shut.
    """
    bench = MaestroBench(**settings)
    bench.let_pass(0.5)
    opened = bench.opens()
    with pytest.raises(DeviceError, match=seen) as caught:
        bench.prove()
    assert mend in caught.value.hint
    bench.let_pass(1.0)
    assert bench.opens() == opened == (dict.fromkeys(range(1, 5), 1) if settings.get("home_us") == 2000 else {})
    assert bench.device.all_closed


def test_ignore_is_seen_though_the_channel_stands_at_its_closed_pulse() -> None:
    """The trap: an earlier host left the pulse at closed, Go Home changes nothing, and all looks well until the host dies."""
    bench = MaestroBench(home_us=-1)
    for lid in range(1, 5):
        bench.device.set_target(lid, 1000)
    with pytest.raises(DeviceError, match="sends no pulse"):
        bench.prove()


def test_a_time_out_that_is_too_short() -> None:
    """It would run out between two turns and shut every lid that opens."""
    bench = MaestroBench(timeout_ms=250)
    object.__setattr__(bench.options, "timeout_ms", 2000)
    with pytest.raises(DeviceError, match="reports TIMEOUT") as caught:
        bench.prove()
    assert "controller.maestro.timeout_s" in caught.value.hint


def test_another_time_out_than_configured() -> None:
    """Longer than controller.maestro.timeout_s: lids would stand open for longer than promised."""
    bench = MaestroBench(timeout_ms=5000)
    object.__setattr__(bench.options, "timeout_ms", 2000)
    with pytest.raises(DeviceError, match="has not sent"):
        bench.prove()


@pytest.mark.parametrize("mode", [Mode.INPUT, Mode.OUTPUT])
def test_a_channel_that_is_no_servo(mode: Mode) -> None:
    """An input has a voltage, an output a level; neither can be switched off like a servo, or be sent home."""
    bench = MaestroBench()
    bench.device.board.channels[1] = Channel(mode=mode, reading=INPUT_MAX, home=6000, position=6000, target=6000)
    with pytest.raises(DeviceError, match=r"channel 1 \(lid 2\)") as caught:
        bench.prove()
    assert "Maestro Control Center" in caught.value.hint


def test_a_channel_that_keeps_its_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were pulses not taken away, an "Ignore" would pass for a home."""
    aim = Channel.aim
    monkeypatch.setattr(Channel, "aim", lambda channel, target: aim(channel, target) if target else None)
    with pytest.raises(DeviceError, match="cannot be switched off"):
        MaestroBench(home_us=-1).prove()


def test_one_wrong_channel_among_four() -> None:
    """Only lid 3's home is wrong: it is named."""
    bench = MaestroBench()
    bench.device.board.channels[2].home = 0
    with pytest.raises(DeviceError, match=r"channel 2 \(lid 3\)"):
        bench.prove()


def test_another_device_number_does_not_answer() -> None:
    """Pololu protocol, device 12 asked as 13."""
    bench = MaestroBench(dialect=Dialect(13))
    with pytest.raises(DeviceError, match="answered 0 of 2 bytes") as caught:
        bench.prove()
    assert "device number" in caught.value.hint


@pytest.mark.parametrize("answer", [b"\xff\xff", b"OK\r\n", b"\x00\x80"])
def test_a_stranger_is_told_apart(answer: bytes) -> None:
    """Whatever answers with other bytes than a Maestro's is not taken for one."""
    bench = MaestroBench()
    bench.device._exchange = lambda data: bench.port.bytes.extend(answer)  # type: ignore[method-assign]  # noqa: ARG005
    with pytest.raises(DeviceError, match="no answer of a Maestro"):
        bench.prove()


def test_errors_of_an_earlier_host_do_not_count() -> None:
    """What is in the register, or half a command in its parser, when we come is not our trouble."""
    bench = MaestroBench()
    bench.device.fail(PROTOCOL)
    bench.device._exchange(b"\x84\x01")
    bench.prove()
    assert bench.line.counts.total() == 0


def test_an_unplugged_cable_is_a_device_error() -> None:
    """In the middle of the proof."""
    bench = MaestroBench()
    bench.device._tick = lambda: setattr(bench.port, "plugged", False)  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="cannot write"):
        bench.prove()
