"""The supervised worker: reopen for ever on device trouble, give up on a crash loop, end when told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bin_daemon.errors import DeviceError
from bin_daemon.service.worker import BACKOFF_MAX_S, CRASHES, Worker

BOUND_S = 5.0


class Device:
    """Opens; each step takes the next word of the script: ok, device, bug. Counts how often it was opened and closed."""

    def __init__(self, script: list[str]) -> None:
        self.script = script
        self.opened = 0
        self.closed = 0
        self.done = threading.Event()

    @contextmanager
    def open(self) -> Iterator[Callable[[], None]]:
        """One life of the device."""
        assert self.opened == self.closed, "opened again while the old handle was open"
        self.opened += 1
        try:
            yield self.step
        finally:
            self.closed += 1

    def step(self) -> None:
        """The next word."""
        if not self.script:
            self.done.set()
            return
        word = self.script.pop(0)
        if word == "device":
            raise DeviceError("cable out", hint="put it back")
        if word == "bug":
            raise ZeroDivisionError


def run(script: list[str]) -> tuple[Device, Worker]:
    """A worker over the script, no waiting between its tries, ended when the script is."""
    device = Device(script)
    worker = Worker("w", device.open, jitter=lambda _: 0.0)
    worker.start()
    device.done.wait(BOUND_S)
    return device, worker


def test_reopens_after_device_errors_and_counts_the_recovery() -> None:
    """Device errors reopen the device, one recovery is counted, nothing is left failing."""
    device, worker = run(["ok", "device", "device", "device", "ok"])
    status = worker.status
    worker.stop()
    assert worker.join(BOUND_S)
    assert (device.opened, device.closed) == (4, 4)
    assert (status.failing, status.failures, status.recoveries, status.dead) == ("", 0, 1, False)


def test_crash_loop_kills_the_worker_for_good() -> None:
    """The fifth bug within a minute ends the worker and says so."""
    device = Device(["bug"] * CRASHES + ["ok"])
    worker = Worker("w", device.open, jitter=lambda _: 0.0)
    worker.start()
    assert worker.join(BOUND_S)
    assert worker.status.dead
    assert device.script == ["ok"]


def test_a_single_bug_is_survived() -> None:
    """One bug reopens the device and the worker lives on."""
    _, worker = run(["bug", "ok"])
    assert not worker.status.dead
    worker.stop()
    assert worker.join(BOUND_S)


def test_back_off_grows_and_is_capped() -> None:
    """The waits double from 0.25 s and never exceed the cap."""
    waits: list[float] = []

    def note(wait_s: float) -> float:
        waits.append(wait_s)
        return 0.0

    device = Device(["device"] * 12)
    worker = Worker("w", device.open, jitter=note)
    worker.start()
    assert device.done.wait(BOUND_S)
    worker.stop()
    worker.join(BOUND_S)
    assert waits[:3] == [0.25, 0.5, 1.0]
    assert waits[-1] == BACKOFF_MAX_S


def test_failing_worker_still_beats() -> None:
    """A handled failure is a sign of life: the watchdog must not kill a bin whose camera is unplugged."""
    now = [100.0]
    device = Device(["device"])
    worker = Worker("w", device.open, clock=lambda: now[0], jitter=lambda _: 0.0)
    now[0] = 200.0
    worker.start()
    assert device.done.wait(BOUND_S)
    assert worker.status.beat_t_s == 200.0
    worker.stop()
    worker.join(BOUND_S)
