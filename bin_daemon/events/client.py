"""The port to a broker: five calls and three kinds of news. Behind it stands paho, or the demo's in-process bus."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# MQTT 5 reason codes that we act on (OASIS MQTT 5.0, table 2-6).
SUCCESS = 0x00
NO_SUBSCRIBERS = 0x10
UNSPECIFIED = 0x80
MALFORMED_PACKET = 0x81
PROTOCOL_ERROR = 0x82
IMPLEMENTATION_ERROR = 0x83
NOT_AUTHORIZED = 0x87
KEEPALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOPIC_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97
PAYLOAD_INVALID = 0x99


@dataclass(frozen=True, slots=True)
class Message:
    """One message either way. ``answer_to`` and ``correlation`` are MQTT 5's Response Topic and Correlation Data."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    answer_to: str = ""
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker answered a QoS 1 publish with this reason code (0: it has the message)."""

    handle: int
    code: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message for us."""

    message: Message


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone; ``code`` is the broker's reason, or 0x80 and up for the library's guess."""

    code: int
    text: str


News = Acked | Received | Lost


class Client(Protocol):
    """One connection, used once, by one thread."""

    kind: str
    """``mqtt``, or ``in-process`` for the bus: a person is told which."""
    max_packet_bytes: int | None
    """The broker's limit as it told us at connect, None when it has none."""
    receive_max: int
    """How many QoS 1 publishes the broker takes unanswered."""

    @property
    def overflow(self) -> int:
        """Incoming messages that were thrown away because they came too fast."""

    def connect(self, will: Message, timeout_s: float) -> None:
        """Connect with Clean Start, no session expiry and this last will. Raises DeviceError after at most ``timeout_s``."""

    def subscribe(self, topic_filter: str) -> None:
        """At QoS 1; what was retained earlier is not wanted (RetainHandling 2), and a retained flag stays visible."""

    def publish(self, message: Message) -> int:
        """Send; returns the handle that `Acked` will carry (QoS 0 is never acknowledged). Raises DeviceError when lost."""

    def poll(self, timeout_s: float) -> Sequence[News]:
        """News since the last call; waits at most ``timeout_s`` for the first."""

    def close(self, timeout_s: float) -> None:
        """Say good-bye (no last will); returns after at most ``timeout_s``, whatever the broker does."""


class Inbox:
    """News between the network's thread and ours. Messages are bounded, as anyone may send; acknowledgements are ours."""

    def __init__(self, messages_max: int = 200) -> None:
        self._queue: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._messages_max = messages_max
        self.overflow = 0
        """Messages that were thrown away because nobody took them fast enough."""

    def put(self, news: News) -> None:
        """Called on the network's thread; never blocks."""
        if isinstance(news, Received) and self._queue.qsize() >= self._messages_max:
            self.overflow += 1
            return
        self._queue.put(news)

    def take(self, timeout_s: float) -> list[News]:
        """All news; waits for the first."""
        found: list[News] = []
        try:
            found.append(self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait())
            while True:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            return found
