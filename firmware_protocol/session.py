"""The host's end of the protocol, without I/O: bytes and the clock go in, bytes and events come out.

The owner feeds what it reads to `HostSession.receive`, calls `tick` when `next_deadline` has come, and writes what
`take_output` gives after each of these calls. The clock is any monotonic one, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from firmware_protocol.messages import Boot, Calibration, Code, Command, Event, HelloAck, Telemetry, TelemetryMore


class SessionError(Exception):
    """A command that cannot be sent now: no session, or too many waiting."""


class State(str, Enum):
    """Where the session stands."""

    NEW = "new"
    OPENING = "opening"
    CONNECTED = "connected"
    WRONG_VERSION = "wrong_version"
    """Final: the owner closes the port."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A session is open: who answered, and what it can do (lower-case `Caps` names)."""

    ack: HelloAck
    capabilities: frozenset[str]


@dataclass(frozen=True, slots=True)
class Answered:
    """The controller's RESULT to one command. `accepted` covers DUPLICATE: the wish was met before."""

    ticket: int
    command: Command
    code: Code | int
    detail: int
    took_s: float
    """From `send` to the RESULT."""

    @property
    def accepted(self) -> bool:
        """True when the controller will do, or has done, what was asked."""
        return self.code < Code.NO_SESSION


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A command whose fate is unknown: never repeat it, its action id tells later. ``sent`` False: it never left this end."""

    ticket: int
    command: Command
    reason: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """One EVENT, each exactly once and in order."""

    event: Event


@dataclass(frozen=True, slots=True)
class Reported:
    """Telemetry. Lids count from 0; ``message.slots`` are lids 0..3, or ``first_lid`` and up for TelemetryMore."""

    message: Telemetry | TelemetryMore


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Answer to GET_CAL."""

    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The controller says it has just started; a `Lost` and a new HELLO follow by themselves."""

    boot: Boot


@dataclass(frozen=True, slots=True)
class Lost:
    """The session is gone, why; a HELLO with the next nonce is already on its way. Repeated while nothing answers."""

    reason: str


@dataclass(frozen=True, slots=True)
class WrongVersion:
    """Another protocol major answers. ``update`` is "host" or "controller"; the session is over."""

    text: str
    update: str


SessionEvent = Union[Connected, Answered, Unanswered, Happened, Reported, Calibrated, Rebooted, Lost, WrongVersion]


class HostSession:
    """One controller, from HELLO on; it opens sessions anew by itself until the owner drops it.

    ``nonce`` is random, 1..65535; later sessions count on from it. ``telemetry_ms`` is the wanted idle period.
    """

    def __init__(self, nonce: int, *, telemetry_ms: int = 500) -> None:
        raise NotImplementedError

    @property
    def state(self) -> State:
        """Where the session stands."""
        raise NotImplementedError

    @property
    def ack(self) -> HelloAck | None:
        """The last HELLO_ACK, None before the first."""
        raise NotImplementedError

    def start(self, now_s: float) -> None:
        """The port has just been opened: flush the line and say HELLO."""
        raise NotImplementedError

    def send(self, command: Command, now_s: float) -> int:
        """Queue one command and return its ticket (1..); its end comes as exactly one `Answered` or `Unanswered` with that ticket.

        STOP and STOP_LATCH go before all that waits. Raises SessionError when no session is open or the queue is full.
        """
        raise NotImplementedError

    def receive(self, data: bytes, now_s: float) -> list[SessionEvent]:
        """Take bytes as they came from the port, in any portions."""
        raise NotImplementedError

    def tick(self, now_s: float) -> list[SessionEvent]:
        """Do what is due: repeats, PING, giving up."""
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        """When `tick` must be called at the latest, same clock; None: nothing is due until `start` or bytes."""
        raise NotImplementedError

    def take_output(self) -> bytes:
        """Bytes to write now, each once."""
        raise NotImplementedError
