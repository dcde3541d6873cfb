"""The host's end of the protocol, without I/O: bytes and the clock go in, bytes and events come out.

The owner feeds what it reads to `HostSession.receive`, calls `tick` when `next_deadline` has come, and writes what
`take_output` gives after each of these calls. The clock is any monotonic one, in seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Union

from firmware_protocol import messages as msg
from firmware_protocol.framing import Decoder, Encoder, Errors
from firmware_protocol.messages import (
    Boot,
    Calibration,
    Caps,
    Code,
    Command,
    Event,
    Frame,
    HelloAck,
    Telemetry,
    TelemetryMore,
)

TIMEOUT_S = 0.060
"""For one answer: a frame of 62 bytes takes 5.4 ms at 115200 baud, and telemetry may stand before it."""
RETRIES = 5
PING_S = 0.5
SILENCE_S = 2.0
"""As the controller's dead-man: after this it has shut the lids anyway."""
HELLO_S = 0.25
"""Between HELLOs once the first quick ones went unanswered: a board may sit in its bootloader."""
HELLO_GIVE_UP_S = 5.0
"""A `Lost` is reported each time this has passed without HELLO_ACK."""
NUMBERS = 0xFFFF
"""Sessions, seq and event numbers count 1..65535 and then from 1 again; 0 means none."""
QUEUE_MAX = 8
EVENT_GAP_S = 1.0
"""A missing event is repeated every 200 ms; after this the controller's ring has dropped it."""
FIRST_ACK_S = 0.45
"""The first event of a session may not be the oldest: wait for two repeats before naming it."""
EVENTS_SEEN = 16
"""Twice the controller's ring: an event repeated into the next session is still known."""


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
    """A command without answer. ``sent`` False: it never left this end.

    ``sent`` True: its fate is unknown; it may be repeated with the SAME action id, unless `Connected` then tells of a power-on.
    """

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
    """Another protocol major answers. ``update`` is "host" or "controller", the older side; the session is over."""

    text: str
    """Both sides' versions, and which to update."""
    update: str
    major: int
    """The controller's protocol major."""


SessionEvent = Union[  # noqa: UP007  # read at run time, also by Python 3.9's typing
    Connected, Answered, Unanswered, Happened, Reported, Calibrated, Rebooted, Lost, WrongVersion
]


@dataclass(slots=True)
class _Waiting:
    """One command from `send` to its end."""

    ticket: int
    command: Command
    asked_s: float
    seq: int = 0
    tries: int = 0
    sent_s: float = 0.0


class HostSession:
    """One controller, from HELLO on; it opens sessions anew by itself until the owner drops it.

    ``nonce`` is random, 1..65535; later sessions count on from it. ``telemetry_ms`` is the wanted idle period.
    """

    def __init__(self, nonce: int, *, telemetry_ms: int = 500) -> None:
        if not 1 <= nonce <= NUMBERS:
            raise ValueError(f"a nonce is 1..65535, not {nonce}")
        self._session = nonce
        self._telemetry_ms = telemetry_ms
        self._state = State.NEW
        self._ack: HelloAck | None = None
        self._decoder = Decoder()
        self._encoder = Encoder(silence=1.0)
        self._output = bytearray()
        self._tickets = 0
        self._queue: deque[_Waiting] = deque()
        self._in_flight: _Waiting | None = None
        self._seen: deque[Event] = deque(maxlen=EVENTS_SEEN)
        self.lost_events = 0
        """Events that the controller dropped before they came through."""
        self._open_again(0.0, next_nonce=False)

    def _open_again(self, now_s: float, *, next_nonce: bool = True) -> None:
        if next_nonce:
            self._session = self._session % NUMBERS + 1
        self._seq = 0
        self._hellos = 0
        self._opening_s = self._hello_s = now_s
        self._heard_s = self._ping_s = now_s
        self._event_seq = 0
        self._first_event_s = now_s
        self._gap_s: float | None = None

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def ack(self) -> HelloAck | None:
        """The last HELLO_ACK, None before the first."""
        return self._ack

    @property
    def errors(self) -> Errors:
        """What was dropped of the bytes received."""
        return self._decoder.errors

    @property
    def idle(self) -> bool:
        """A session is open and no command waits for its turn or its answer: what is sent now delays nothing."""
        return self._state is State.CONNECTED and self._in_flight is None and not self._queue

    def start(self, now_s: float) -> None:
        """The port has just been opened: flush the line and say HELLO."""
        self._open_again(now_s, next_nonce=False)
        self._state = State.OPENING
        self._say_hello(now_s)

    def send(self, command: Command, now_s: float) -> int:
        """Queue one command and return its ticket (1..); its end comes as exactly one `Answered` or `Unanswered`
        (none after `withdraw`).

        STOP and STOP_LATCH go before all that waits. Raises SessionError when no session is open or the queue is full.
        """
        if self._state is not State.CONNECTED:
            raise SessionError(f"no session with the controller (state: {self._state.value})")
        urgent = isinstance(command, msg.StopNow | msg.StopLatch)
        if len(self._queue) >= QUEUE_MAX and not urgent:
            raise SessionError(f"{QUEUE_MAX} commands wait already")
        command.to_bytes()  # a number that does not fit its field must fail here, not in a later tick
        self._tickets += 1
        waiting = _Waiting(self._tickets, command, now_s)
        if urgent:
            self._queue.appendleft(waiting)
        else:
            self._queue.append(waiting)
        self._send_next(now_s)
        return waiting.ticket

    def withdraw(self, ticket: int) -> bool:
        """Take back a command that still waits for its turn: True, and it is never sent and ends in no event.

        False: it was sent (and may be repeated), has ended, or was never given.
        """
        for waiting in self._queue:
            if waiting.ticket == ticket:
                self._queue.remove(waiting)
                return True
        return False

    def receive(self, data: bytes, now_s: float) -> list[SessionEvent]:
        """Take bytes as they came from the port, in any portions."""
        events: list[SessionEvent] = []
        for body in self._decoder.feed(data):
            if self._state in (State.OPENING, State.CONNECTED):
                events += self._take(body, now_s)
        return events

    def tick(self, now_s: float) -> list[SessionEvent]:
        """Do what is due: repeats, PING, giving up."""
        if self._state is State.OPENING:
            return self._tick_opening(now_s)
        if self._state is State.CONNECTED:
            return self._tick_connected(now_s)
        return []

    def next_deadline(self) -> float | None:
        """When `tick` must be called at the latest, same clock; None: nothing is due until `start` or bytes."""
        if self._state is State.OPENING:
            return min(self._hello_s, self._opening_s + HELLO_GIVE_UP_S)
        if self._state is not State.CONNECTED:
            return None
        deadline = min(self._ping_s, self._heard_s + SILENCE_S)
        if self._in_flight is not None:
            deadline = min(deadline, self._in_flight.sent_s + TIMEOUT_S)
        return deadline

    def take_output(self) -> bytes:
        """Bytes to write now, each once."""
        data = bytes(self._output)
        self._output.clear()
        return data

    # ---- time -------------------------------------------------------------------------------------------------------

    def _tick_opening(self, now_s: float) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        if now_s >= self._opening_s + HELLO_GIVE_UP_S:
            self._opening_s = now_s
            events.append(Lost(f"no answer to HELLO for {HELLO_GIVE_UP_S:.0f} s"))
        if now_s >= self._hello_s:
            self._say_hello(now_s)
        return events

    def _tick_connected(self, now_s: float) -> list[SessionEvent]:
        if now_s >= self._heard_s + SILENCE_S:
            return self._lose(f"the controller has been silent for {SILENCE_S:.0f} s", now_s)
        waiting = self._in_flight
        if waiting is not None and now_s >= waiting.sent_s + TIMEOUT_S:
            if waiting.tries > RETRIES:
                return self._lose(f"no answer to {_name(waiting.command)} after {RETRIES} repeats", now_s)
            self._transmit(waiting, now_s)
        if now_s >= self._ping_s:
            self._ping(now_s)
        return []

    def _say_hello(self, now_s: float) -> None:
        hello = msg.Hello(msg.PROTO_MAJOR, msg.PROTO_MINOR, self._telemetry_ms)
        self._write(Frame(self._session, 0, hello, retransmit=self._hellos > 0), now_s)
        self._hellos += 1
        self._hello_s = now_s + (TIMEOUT_S if self._hellos <= RETRIES else HELLO_S)

    def _ping(self, now_s: float) -> None:
        seen = self._event_seq if now_s >= self._first_event_s + FIRST_ACK_S else 0
        self._write(Frame(self._session, 0, msg.Ping(int(now_s * 1000) & 0xFFFFFFFF, seen)), now_s)
        self._ping_s = now_s + PING_S

    def _send_next(self, now_s: float) -> None:
        if self._in_flight is None and self._queue:
            self._in_flight = waiting = self._queue.popleft()
            self._seq = waiting.seq = self._seq % NUMBERS + 1
            self._transmit(waiting, now_s)

    def _transmit(self, waiting: _Waiting, now_s: float) -> None:
        self._write(Frame(self._session, waiting.seq, waiting.command, retransmit=waiting.tries > 0), now_s)
        waiting.tries += 1
        waiting.sent_s = now_s

    def _write(self, frame: Frame, now_s: float) -> None:
        self._output += self._encoder.encode(frame.to_body(), now_s)

    def _lose(self, reason: str, now_s: float) -> list[SessionEvent]:
        """End this session and begin the next; every command still open ends here."""
        events: list[SessionEvent] = []
        if self._in_flight is not None:
            events.append(Unanswered(self._in_flight.ticket, self._in_flight.command, reason, sent=True))
        events += [Unanswered(x.ticket, x.command, reason, sent=False) for x in self._queue]
        self._in_flight = None
        self._queue.clear()
        self._state = State.OPENING
        self._open_again(now_s)
        self._say_hello(now_s)
        return [*events, Lost(reason)]

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _take(self, body: bytes, now_s: float) -> list[SessionEvent]:
        try:
            frame = Frame.from_body(body)
        except msg.MajorError as error:
            self.errors.length += 1
            mine = error.session == self._session and error.type_id == msg.Type.HELLO_ACK
            return self._refuse_version(error.major, error.minor) if mine else []
        except msg.MessageError:
            self.errors.length += 1
            return []
        if isinstance(frame.message, Boot) and frame.session == 0:
            return self._rebooted(frame.message, now_s)
        if frame.session != self._session:
            self.errors.seq += 1  # left over from an earlier session
            return []
        if self._state is State.OPENING:
            return self._connect(frame.message, now_s)
        self._heard_s = now_s
        return self._take_connected(frame, now_s)

    def _take_connected(self, frame: Frame, now_s: float) -> list[SessionEvent]:
        message = frame.message
        if isinstance(message, msg.Result):
            return self._answered(frame.seq, message, now_s)
        if isinstance(message, Event):
            return self._happened(message, now_s)
        if isinstance(message, Telemetry | TelemetryMore):
            return [Reported(message)]
        if isinstance(message, Calibration):
            return [Calibrated(message)]
        return []

    def _connect(self, message: msg.Message, now_s: float) -> list[SessionEvent]:
        if not isinstance(message, HelloAck):
            return []
        if message.proto_major != msg.PROTO_MAJOR:
            firmware = f"firmware {message.fw_major}.{message.fw_minor}.{message.fw_patch}"
            return self._refuse_version(message.proto_major, message.proto_minor, firmware)
        self._state = State.CONNECTED
        self._ack = message
        self._heard_s = now_s
        self._ping_s = now_s + PING_S
        return [Connected(message, capability_names(message.caps))]

    def _refuse_version(self, major: int, minor: int | None, firmware: str = "firmware unknown") -> list[SessionEvent]:
        """``minor`` and ``firmware`` as far as a frame of another major can be understood."""
        self._state = State.WRONG_VERSION
        update = "controller" if major < msg.PROTO_MAJOR else "host"
        theirs = f"{major}" if minor is None else f"{major}.{minor}"
        text = (
            f"the controller ({firmware}) speaks protocol {theirs}, "
            f"this host protocol {msg.PROTO_MAJOR}.{msg.PROTO_MINOR}: update the {update}"
        )
        return [WrongVersion(text, update, major)]

    def _rebooted(self, boot: Boot, now_s: float) -> list[SessionEvent]:
        self._seen.clear()  # its event numbers start anew
        if self._state is State.CONNECTED:
            return [Rebooted(boot), *self._lose("the controller has restarted", now_s)]
        self._say_hello(now_s)
        return [Rebooted(boot)]

    def _answered(self, seq: int, result: msg.Result, now_s: float) -> list[SessionEvent]:
        waiting = self._in_flight
        if seq == 0 and result.code == Code.NO_SESSION:
            return self._lose("the controller no longer knows this session", now_s)
        if waiting is None or waiting.seq != seq:
            return []  # the answer to a repeat of what was answered before
        if result.code in (Code.NO_SESSION, Code.BAD_SEQ):
            return self._lose(f"the controller is in another session ({Code(result.code).name})", now_s)
        self._in_flight = None
        code = Code(result.code) if result.code in Code.__members__.values() else result.code
        answered = Answered(waiting.ticket, waiting.command, code, result.detail, now_s - waiting.asked_s)
        self._send_next(now_s)
        return [answered]

    def _happened(self, event: Event, now_s: float) -> list[SessionEvent]:
        if event in self._seen:
            return []
        ahead = (event.event_seq - self._event_seq) % NUMBERS if self._event_seq else 1
        if 1 < ahead < NUMBERS // 2:
            self._gap_s = now_s if self._gap_s is None else self._gap_s
            if now_s < self._gap_s + EVENT_GAP_S:
                return []  # go back: the missing one is repeated before this one
            self.lost_events += ahead - 1
        if not self._event_seq:
            self._first_event_s = now_s
        if ahead < NUMBERS // 2:
            self._event_seq = event.event_seq
            self._gap_s = None
        self._seen.append(event)
        return [Happened(event)]


def capability_names(caps: int) -> frozenset[str]:
    """Lower-case names of the `Caps` bits that this version knows."""
    return frozenset(str(cap.name).lower() for cap in Caps if caps & cap)


def _name(command: Command) -> str:
    return type(command).__name__
