"""A broker inside the process, for a demo without mosquitto: no network, no persistence, the same client port.

It knows what the line needs: retained messages, ``+`` and ``#``, last will, and that a second client of the same id takes
over. It is no broker for production and says so by its ``kind``.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.events.client import (
    SESSION_TAKEN_OVER,
    SUCCESS,
    UNSPECIFIED,
    Acked,
    Inbox,
    Lost,
    Message,
    News,
    Received,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT's topic filters: ``+`` is one level, ``#`` at the end is the rest."""
    wanted, have = topic_filter.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(have) or level not in {"+", have[i]}:
            return False
    return len(wanted) == len(have)


class Bus:
    """All topics of one process. ``running`` False refuses connections, as an absent broker does."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._clients: dict[str, BusClient] = {}
        self._retained: dict[str, Message] = {}
        self.running = True

    def client(self, client_id: str) -> BusClient:
        """A new, unconnected client."""
        return BusClient(self, client_id)

    def stop(self) -> None:
        """As a broker that is killed: all clients lose their connection and no will is sent."""
        with self._lock:
            self.running = False
            for client in self._clients.values():
                client.news.put(Lost(UNSPECIFIED, "the bus was stopped"))
            self._clients.clear()

    def start(self) -> None:
        """Take connections again; retained messages are still there."""
        self.running = True

    def join(self, client: BusClient) -> None:
        """Called by a client's connect."""
        with self._lock:
            if not self.running:
                raise DeviceError("the in-process bus is stopped", hint="Start it.")
            if before := self._clients.get(client.client_id):
                self.leave(before, Lost(SESSION_TAKEN_OVER, "Session taken over"))
            self._clients[client.client_id] = client

    def leave(self, client: BusClient, lost: Lost | None) -> None:
        """With ``lost``: not by its own will, so its last will is sent."""
        with self._lock:
            if self._clients.get(client.client_id) is client:
                del self._clients[client.client_id]
                if lost:
                    client.news.put(lost)
                    if client.will:
                        self.send(client.will)

    def has(self, client: BusClient) -> bool:
        """Whether this very client is connected."""
        return self._clients.get(client.client_id) is client

    def send(self, message: Message) -> None:
        """Deliver to all that want it, and keep it when it is retained."""
        with self._lock:
            if message.retain:
                if message.payload:
                    self._retained[message.topic] = message
                else:
                    self._retained.pop(message.topic, None)
            for client in self._clients.values():
                client.deliver(message)

    def retained(self, topic_filter: str) -> list[Message]:
        """What a new subscriber would see."""
        with self._lock:
            return [x for topic, x in self._retained.items() if matches(topic_filter, topic)]


class BusClient:
    """`bin_daemon.events.client.Client` on a `Bus`."""

    kind = "in-process"

    def __init__(self, bus: Bus, client_id: str) -> None:
        self.max_packet_bytes: int | None = None
        self.receive_max = 65_535
        self.client_id = client_id
        self.will: Message | None = None
        self.news = Inbox()
        self._bus = bus
        self._filters: list[str] = []
        self._handles = itertools.count(1)

    @property
    def overflow(self) -> int:
        """Incoming messages thrown away because they came too fast."""
        return self.news.overflow

    def connect(self, will: Message, timeout_s: float) -> None:  # noqa: ARG002 - the port's signature
        """See `bin_daemon.events.client.Client`; at once."""
        self._bus.join(self)
        self.will = will

    def subscribe(self, topic_filter: str) -> None:
        """See `bin_daemon.events.client.Client`."""
        self._filters.append(topic_filter)

    def publish(self, message: Message) -> int:
        """See `bin_daemon.events.client.Client`; acknowledged at once."""
        if not self._bus.has(self):
            raise DeviceError("the in-process bus dropped us", hint="Start it.")
        handle = next(self._handles)
        self._bus.send(message)
        if message.qos:
            self.news.put(Acked(handle, SUCCESS))
        return handle

    def poll(self, timeout_s: float) -> Sequence[News]:
        """See `bin_daemon.events.client.Client`."""
        return self.news.take(timeout_s)

    def close(self, timeout_s: float) -> None:  # noqa: ARG002 - the port's signature
        """See `bin_daemon.events.client.Client`."""
        self._bus.leave(self, None)

    def deliver(self, message: Message) -> None:
        """Called by the bus."""
        if any(matches(x, message.topic) for x in self._filters):
            self.news.put(Received(message))
