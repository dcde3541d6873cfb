"""A host session and a body over a line with faults, in steps of virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from firmware_protocol.session import Connected, HostSession, SessionEvent
from tests.firmware_protocol.bodies.stand import STEP_MS, Stand

Fault = Callable[[bytes], Iterator[bytes]]
"""What of these bytes arrives, in portions; called in each step, also without bytes."""


def clean(data: bytes) -> Iterator[bytes]:
    """A good line."""
    yield data


class Link:
    """Both ends. Give it a stand whose session nobody else uses."""

    def __init__(self, stand: Stand, to_device: Fault = clean, to_host: Fault = clean) -> None:
        self.stand = stand
        self.host = HostSession(0x4242)
        self.to_device = to_device
        self.to_host = to_host
        self.host.start(self.now_s)

    @property
    def now_s(self) -> float:
        """The host's clock."""
        return self.stand.now_ms / 1000

    def step(self, ms: float = STEP_MS) -> list[SessionEvent]:
        """One step of both ends."""
        *first, last = [b"", *self.to_device(self.host.take_output())]
        said = b"".join(self.stand.exchange(0, part) for part in first if part) + self.stand.exchange(ms, last)
        events: list[SessionEvent] = []
        for part in self.to_host(said):
            events += self.host.receive(part, self.now_s)
        return events + self.host.tick(self.now_s)

    def run(self, ms: float) -> list[SessionEvent]:
        """Many steps."""
        return [event for _ in range(round(ms / STEP_MS)) for event in self.step()]

    def connect(self) -> Connected:
        """Run until a session is open."""
        for _ in range(2000):
            for event in self.step():
                if isinstance(event, Connected):
                    return event
        raise AssertionError("no session in 10 s")
