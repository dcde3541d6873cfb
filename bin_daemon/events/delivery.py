"""From the outbox to the broker: a small window in flight, and what each reason code means for a row.

| the broker says | the row |
|---|---|
| success, no subscribers | leaves |
| not authorised | stays; fault; sending pauses with growing, jittered rests |
| quota exceeded and all else | stays; the same rests; a row refused `REFUSALS_MAX` times is put aside |
| too large, topic or payload invalid | is put aside, later rows flow |
| cuts the connection each time this row alone is in flight | is put aside after `CUTS_MAX` times |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from bin_daemon.domain import Fault
from bin_daemon.events import client as codes
from bin_daemon.events.client import Acked, Client, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.events.outbox import Outbox, OutboxRow

WINDOW = 20
"""Events in flight; the default of mosquitto's max_inflight_messages. More gains nothing: the disk is slower."""
PACKET_OVERHEAD_BYTES = 64
"""Fixed header, lengths, packet id, properties of a PUBLISH without topic and payload; generous."""
REFUSALS_MAX = 10
CUTS_MAX = 6
SUSPICIOUS_CUTS = 3
"""After so many cuts rows go one by one, so that the poison one is alone when it strikes."""
REST_FIRST_S = 1.0
REST_MAX_S = 60.0
_DEAD = {
    codes.TOPIC_INVALID: "topic invalid",
    codes.PACKET_TOO_LARGE: "packet too large",
    codes.PAYLOAD_INVALID: "payload invalid",
}
_PATIENT = {codes.NOT_AUTHORIZED, codes.QUOTA_EXCEEDED}
"""A person or time mends these: never a reason to put an event aside."""

NOT_AUTHORISED_FAULT = "mqtt_not_authorised"
DEAD_FAULT = "event_put_aside"


class FaultSink(Protocol):
    """Where faults are told; the journal."""

    def raise_fault(self, fault: Fault) -> None:
        """Once per edge."""

    def clear_fault(self, code: str) -> None:
        """Once per edge."""


class Delivery:
    """What is in flight, over all connections. One thread only."""

    def __init__(
        self,
        outbox: Outbox,
        faults: FaultSink,
        prefix: str,
        *,
        clock: Callable[[], float],
        jitter: Callable[[float], float],
    ) -> None:
        self._outbox = outbox
        self._faults = faults
        self._prefix = prefix
        self._clock = clock
        self._jitter = jitter
        self._log = structlog.get_logger()
        self._in_flight: dict[int, tuple[OutboxRow | None, float]] = {}
        self._done: set[str] = set()
        self._refusals: dict[str, int] = {}
        self._cuts: dict[str, int] = {}
        self._heard = False
        """The broker answered on this connection: only then may a cut be blamed on an event, not on the network."""
        self._rests = 0
        self._rest_until_t_s = clock()

    @property
    def in_flight(self) -> int:
        """QoS 1 publishes without answer."""
        return len(self._in_flight)

    def room(self, client: Client) -> int:
        """How many more QoS 1 publishes the broker takes now."""
        return min(WINDOW, client.receive_max) - len(self._in_flight)

    def send(
        self, client: Client, topic: str, payload: bytes, *, retain: bool = False, correlation: bytes = b""
    ) -> None:
        """Publish something that is no event at QoS 1: its loss is mended by the next one."""
        handle = client.publish(Message(topic, payload, retain=retain, correlation=correlation))
        self._in_flight[handle] = (None, self._clock())

    def fill(self, client: Client) -> None:
        """Send events until the window is full."""
        now_s = self._clock()
        if now_s < self._rest_until_t_s:
            return
        room = 1 - len(self._rows_in_flight()) if self._suspicious() else self.room(client)
        if room <= 0:
            return
        flying = {x.event_id for x in self._rows_in_flight()}
        for row in self._outbox.batch(room, skip=flying | self._done):
            topic = f"{self._prefix}/{row.topic}"
            size = len(row.payload) + len(topic) + PACKET_OVERHEAD_BYTES
            if client.max_packet_bytes is not None and size > client.max_packet_bytes:
                self._bury(row, f"the broker takes {client.max_packet_bytes} bytes a packet, this has {size}")
                continue
            handle = client.publish(Message(topic, row.payload))
            self._in_flight[handle] = (row, now_s)

    def answered(self, news: Acked) -> None:
        """The broker's word on one publish."""
        self._heard = True
        row, _ = self._in_flight.pop(news.handle, (None, 0.0))
        if news.code in {codes.SUCCESS, codes.NO_SUBSCRIBERS}:
            if row:
                self._delivered(row)
            return
        if news.code == codes.NOT_AUTHORIZED:
            self._faults.raise_fault(_not_authorised(self._prefix))
        if row:
            self._refused(row, news.code)

    def settle(self) -> None:
        """Take delivered rows out of the outbox; once a step, as each is a disk write."""
        done, self._done = self._done, set()
        self._outbox.ack(done)

    def lost(self, code: int) -> None:
        """The connection is gone: all in flight will be sent again. A broker that cuts may mean one of the rows."""
        rows, heard = self._rows_in_flight(), self._heard
        self._in_flight.clear()
        self._heard = False
        if not heard or code in {codes.KEEPALIVE_TIMEOUT, codes.SESSION_TAKEN_OVER}:
            return
        for row in rows:
            self._cuts[row.event_id] = self._cuts.get(row.event_id, 0) + 1
        if len(rows) == 1 and self._cuts[rows[0].event_id] >= CUTS_MAX:
            self._bury(rows[0], f"the broker cut the connection {CUTS_MAX} times at this event (last reason {code:#x})")

    def oldest_s(self) -> float:
        """How long the oldest publish waits for its answer."""
        return max((self._clock() - since for _, since in self._in_flight.values()), default=0.0)

    def _rows_in_flight(self) -> list[OutboxRow]:
        return [row for row, _ in self._in_flight.values() if row]

    def _suspicious(self) -> bool:
        return any(x >= SUSPICIOUS_CUTS for x in self._cuts.values())

    def _delivered(self, row: OutboxRow) -> None:
        self._done.add(row.event_id)
        self._refusals.pop(row.event_id, None)
        self._cuts.pop(row.event_id, None)
        self._rests = 0
        self._faults.clear_fault(NOT_AUTHORISED_FAULT)

    def _refused(self, row: OutboxRow, code: int) -> None:
        if code in _DEAD:
            self._bury(row, f"the broker refused it: {_DEAD[code]}")
            return
        tries = self._refusals[row.event_id] = self._refusals.get(row.event_id, 0) + 1
        if code not in _PATIENT and tries >= REFUSALS_MAX:
            self._bury(row, f"the broker refused it {tries} times, reason {code:#x}")
            return
        now_s = self._clock()
        if now_s >= self._rest_until_t_s:  # one rest for all rows of a window
            rest_s = self._jitter(min(REST_MAX_S, REST_FIRST_S * 2**self._rests))
            self._rests = min(self._rests + 1, 10)
            self._rest_until_t_s = now_s + rest_s
            self._log.warning("the broker refused an event", reason=hex(code), rest_s=round(rest_s, 1))

    def _bury(self, row: OutboxRow, why: str) -> None:
        self._refusals.pop(row.event_id, None)
        self._cuts.pop(row.event_id, None)
        self._outbox.bury(row, why)
        self._log.error("event put aside", event_id=row.event_id, why=why)
        text = f"Event {row.event_id} cannot be delivered: {why}."
        self._faults.raise_fault(
            Fault(DEAD_FAULT, "warning", text, "Look at the dead letters; raise the broker's limit.")
        )


def _not_authorised(prefix: str) -> Fault:
    return Fault(
        NOT_AUTHORISED_FAULT,
        "error",
        f"The broker does not let this bin publish under {prefix}.",
        f"Allow its user to write {prefix}/# in the broker's access list.",
    )
