"""Lamp signals over the real link: they reach the board, give way to commands, and do no harm where there is nobody."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bin_daemon.config.settings import ControllerSettings, LidSettings
from bin_daemon.domain import Category, LidCommand, LidsState, Pattern, Signal
from bin_daemon.lids import SerialLids
from bin_daemon.service.worker import Worker
from bin_daemon.sim import controller as sim_controller
from bin_daemon.sim.controller import SimulatedController, controller
from bin_daemon.sim.options import SimOptions
from firmware_protocol import messages as m
from firmware_protocol import reference
from firmware_protocol.framing import Decoder
from firmware_protocol.session import HostSession

LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1))
WAIT, FAULT = Signal(Pattern.WAIT, 5000), Signal(Pattern.FAULT, 5000)
names = (f"signal{n}" for n in itertools.count())


def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> None:
    """Wait for a condition, bounded."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


@contextmanager
def linked(
    name: str, wait: Callable[[LidsState], bool] = lambda state: state.all_closed, *, lives_on: bool = False
) -> Iterator[SerialLids]:
    """A running link to the simulated controller of that name, which ends with it unless it ``lives_on``."""
    lids = SerialLids(ControllerSettings(port=f"sim://{name}?travel_ms=80", telemetry_ms=50), LIDS)
    worker = Worker("link", lids.session, jitter=lambda _: 0.05)
    worker.start()
    try:
        until(lambda: wait(lids.state))
        yield lids
    finally:
        worker.stop()
        assert worker.join(2.0)
        if not lives_on:
            device(name).shut_down()


def device(name: str) -> SimulatedController:
    """The controller behind that name."""
    return controller(name, SimOptions(travel_ms=80))


def patterns(name: str) -> list[m.Pattern]:
    """What its lamp showed."""
    return [x.pattern for x in list(device(name).board.lamp.history)]


class Wire:
    """Counts what the host writes, by message type and command."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[m.Message] = []
        self._decoder = Decoder()
        far = device(name)
        receive = far.receive

        def tapped(data: bytes) -> None:
            self.sent += [m.Frame.from_body(body).message for body in self._decoder.feed(data)]
            receive(data)

        monkeypatch.setattr(far, "receive", tapped)

    def commands(self) -> list[str]:
        """Names of the commands, in order."""
        return [type(x).__name__ for x in self.sent if isinstance(x, m.Command)]


def test_a_signal_reaches_the_board() -> None:
    """Pattern and duration as asked, and it ends by itself."""
    name = next(names)
    with linked(name) as lids:
        lids.signal(Signal(Pattern.UNSURE, 300))
        until(lambda: patterns(name) == [m.Pattern.UNSURE, m.Pattern.OFF])
        assert device(name).board.lamp.history[0].duration_ms == 300


def test_an_open_goes_first_and_the_newest_signal_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an OPEN waits for its answer, signals wait; of three only the last is sent, once the line is free."""
    name = next(names)
    with linked(name) as lids:
        wire = Wire(name, monkeypatch)
        ask = HostSession.send

        def busy(session: HostSession, command: m.Command, now_s: float) -> int:
            ticket = ask(session, command, now_s)
            if isinstance(command, m.Open):
                for signal in (WAIT, FAULT, Signal(Pattern.ACCEPTED, 700)):
                    lids.signal(signal)
            return ticket

        monkeypatch.setattr(HostSession, "send", busy)
        lids.open(LidCommand(1, None, 1000, 1500, 77))
        until(lambda: patterns(name) == [m.Pattern.ACCEPTED])
        assert wire.commands() == ["Open", "Indicate"]


def test_without_an_indicator_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that has no lamp is never asked to light one."""
    name = next(names)
    bare = reference.SIM_CAPS & ~m.Caps.INDICATOR
    monkeypatch.setattr(
        sim_controller, "ReferenceController", lambda *a, **k: reference.ReferenceController(*a, **k, caps=bare)
    )
    with linked(name) as lids:
        wire = Wire(name, monkeypatch)
        for _ in range(20):
            lids.signal(FAULT)
        assert lids.close(1)
        assert wire.commands() == ["Close"]


def test_without_a_connection_it_returns_at_once_and_is_not_told_late() -> None:
    """No error, no wait; what the person should have seen then is not shown when the controller comes back."""
    name = next(names)
    device(name).unplug()
    with linked(name, lambda state: not state.connected) as lids:
        began_s = time.monotonic()
        for _ in range(100):
            lids.signal(FAULT)
        assert time.monotonic() - began_s < 0.5
        device(name).plug()
        until(lambda: lids.state.all_closed)
        lids.signal(WAIT)
        until(lambda: patterns(name) == [m.Pattern.WAIT])


def test_a_host_that_dies_leaves_a_fault_lamp_until_the_next_comes() -> None:
    """The controller's own doing: HOST_LOST shows FAULT, whatever showed before; HELLO darkens it."""
    name = next(names)
    with linked(name, lives_on=True) as lids:
        lids.signal(Signal(Pattern.ACCEPTED, 60_000))
        until(lambda: patterns(name) == [m.Pattern.ACCEPTED])
    until(lambda: patterns(name) == [m.Pattern.ACCEPTED, m.Pattern.FAULT])
    with linked(name):
        until(lambda: patterns(name)[2:] == [m.Pattern.OFF])


def test_every_press_of_the_stop_switch_is_counted() -> None:
    """Also one that ends before the next telemetry; the state tells pressed from latched."""
    name = next(names)
    with linked(name) as lids:
        assert not lids.state.stopped
        device(name).press_stop()
        until(lambda: lids.state.stop_pressed)
        assert (lids.state.stopped, lids.state.stop_presses) == (True, 1)
        device(name).press_stop(pressed=False)
        until(lambda: not lids.state.stop_pressed)
        assert (lids.state.stopped, lids.state.stop_presses) == (True, 1)
        assert lids.clear_stop()
        until(lambda: not lids.state.stopped)
        assert lids.state.stop_presses == 1
