"""The publisher: keeps one connection to the broker, sends events from the outbox, tells state, takes commands.

Made for a `Worker`: ``session()`` connects (or raises DeviceError), its step runs until trouble. Between two attempts lies
full jitter up to a minute, so that a fleet does not come back in step; paho's own reconnect has none.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from bin_daemon.domain import Fault
from bin_daemon.errors import DeviceError
from bin_daemon.events.client import SESSION_TAKEN_OVER, Acked, Client, Lost, Message, News, Received
from bin_daemon.events.commands import COMMANDS, CommandGate
from bin_daemon.events.delivery import Delivery, FaultSink
from bin_daemon.events.incoming import Incoming
from bin_daemon.events.payloads import OFFLINE, ONLINE, Health, Info, MqttHealth, OpenPayload, State, utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bin_daemon.config.settings import MqttSettings
    from bin_daemon.events.command_queue import CommandQueue
    from bin_daemon.events.outbox import Outbox

STEP_S = 0.1
"""A new event waits at most this long for the next look into the outbox."""
CONNECT_S = 5.0
"""Look-up, TCP, TLS and the broker's answer together; shorter than the watchdog's patience with a worker."""
STABLE_S = 30.0
"""A connection that lives this long was a good one: the next loss starts with a short rest again."""
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
OFFLINE_FAULT_S = 60.0
THROWN_OUT_MAX = 3
"""mosquitto 2.0.11 does not say "session taken over", it just closes: so many short connections in a row mean it."""
UNANSWERED_S = 30.0
"""A publish without PUBACK for this long (or two keepalives): the broker is sick though it answers pings."""
STATE_GAP_S = 0.2
"""Changes of state are told at most this often."""
GOODBYE_S = 1.0

IMAGE_BYTES_MAX = 2_000_000
"""A picture beyond this is left out: it would hold up the events on a slow line."""

OFFLINE_FAULT = "mqtt_offline"
TAKEN_FAULT = "mqtt_client_id_taken"
Body = dict[str, Any]


class PublisherStats(NamedTuple):
    """For `health` and `status`; ``kind`` is mqtt or in-process, empty before the first connection."""

    connected: bool
    kind: str
    outbox: int
    dropped: int
    dead_letters: int
    reconnects: int
    commands_dropped: int


class Publisher:
    """Owns the connection. ``session`` and its step belong to one thread; `stats`, `flush` and `close` to any.

    ``faults`` is the journal. ``state``, ``info`` and ``health`` are called on the publisher's thread and give the bodies of
    those topics (see `bin_daemon.events.payloads`; ``v``, ``ts``, ``boot_id`` and ``health.mqtt`` are added here).
    ``open_client`` makes one unconnected client; left out, paho by ``settings``. ``jitter`` maps a longest wait to a wait.
    """

    def __init__(
        self,
        settings: MqttSettings,
        bin_id: str,
        boot_id: str,
        outbox: Outbox,
        faults: FaultSink,
        *,
        commands: CommandQueue,
        state: Callable[[], Body],
        info: Callable[[], Body],
        health: Callable[[], Body],
        open_client: Callable[[], Client] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[float], float] = lambda longest_s: random.uniform(0, longest_s),
    ) -> None:
        self.client_id = settings.client_id or f"smartbin-{bin_id}"
        self.prefix = f"{settings.base}/{bin_id}"
        self._settings = settings
        self._boot_id = boot_id
        self._outbox = outbox
        self._faults = faults
        self._bodies = {"state": state, "info": info, "health": health}
        self._open_client = open_client or self._open_paho
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._log = structlog.get_logger()
        self._delivery = Delivery(outbox, faults, self.prefix, clock=clock, jitter=jitter)
        gate = CommandGate(clock=clock, now_utc=lambda: datetime.fromtimestamp(wall(), tz=timezone.utc))
        self._incoming = Incoming(settings.base, self.prefix, commands, gate, clock=clock, wall=wall)
        self._turn = threading.Condition()
        self._closing = threading.Event()
        self._client: Client | None = None
        self._kind = ""
        self._sessions = 0
        self._short_sessions = 0
        self._thrown_out = 0
        self._connected_t_s = self._offline_since_t_s = clock()
        self._retry_t_s = clock()
        self._trouble: DeviceError | None = None
        self._overflow_before = 0
        self._last_state: Body = {}
        self._last_info: Body = {}
        self._image: bytes | None = None
        self._state_t_s = self._health_t_s = float("-inf")

    @property
    def stats(self) -> PublisherStats:
        """How delivery is doing."""
        box, client = self._outbox.stats, self._client
        overflow = self._overflow_before + (client.overflow if client else 0)
        return PublisherStats(
            client is not None,
            self._kind,
            box.rows,
            box.dropped,
            box.dead_letters,
            max(0, self._sessions - 1),
            self._incoming.dropped + overflow,
        )

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[], None]]:
        """One connection: yields the step (returns within 0.25 s; raises DeviceError when the connection is lost).

        Raises:
            DeviceError: no connection, or it is not yet time for the next attempt.
        """
        client = self._connected()
        try:
            yield self.step
        except DeviceError as error:
            if late := self._take(client.poll(0.0)):  # sending noticed it before the news came
                self._delivery.lost(late.code)
                self._loss(late)
            self._failed(error)
            raise
        finally:
            self._leave(client)

    def step(self) -> None:
        """Take news, send what is due. Raises DeviceError on trouble with the broker."""
        client = self._client
        if client is None or self._closing.is_set():
            if client:
                self._leave(client)
            self._closing.wait(STEP_S)
            return
        lost = self._take(client.poll(0.0 if self._incoming.answers else STEP_S))
        self._delivery.settle()
        if lost:
            self._delivery.lost(lost.code)
            raise self._loss(lost)
        longest_s = max(UNANSWERED_S, 2.0 * self._settings.keepalive_s)
        if self._delivery.oldest_s() > longest_s:
            raise DeviceError(f"{self._where}: no PUBACK for {longest_s:g} s", hint="Restart the broker.")
        self._send_answers(client)
        self._send_retained(client)
        self._send_image(client)
        self._delivery.fill(client)
        if self._clock() - self._connected_t_s > STABLE_S:
            self._short_sessions = self._thrown_out = 0
            self._faults.clear_fault(TAKEN_FAULT)
        with self._turn:
            self._turn.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until the outbox is empty, the connection is gone or time is up; True when it is empty. Another thread steps."""
        with self._turn:
            self._turn.wait_for(lambda: self._client is None or not self._outbox.stats.rows, timeout_s)
        return not self._outbox.stats.rows

    def close(self, timeout_s: float) -> bool:
        """Ask the stepping thread to publish ``offline`` and disconnect; waits at most ``timeout_s``. Final."""
        self._closing.set()
        with self._turn:
            return self._turn.wait_for(lambda: self._client is None, timeout_s)

    def offer_image(self, jpeg: bytes) -> None:
        """Publish the last item's picture once (``image/last``, QoS 0, not retained); a newer one replaces one that waits."""
        self._image = jpeg

    @property
    def _where(self) -> str:
        return f"broker {self._settings.host or self._kind}:{self._settings.port}"

    def _open_paho(self) -> Client:
        from bin_daemon.events.paho_client import PahoClient

        return PahoClient(self._settings, self.client_id)

    def _connected(self) -> Client:
        now_s = self._clock()
        if now_s < self._retry_t_s and self._trouble:
            wait_s = self._retry_t_s - now_s
            raise DeviceError(f"{self._trouble}; next attempt in {wait_s:.0f} s", hint=self._trouble.hint)
        client = self._open_client()
        will = Message(f"{self.prefix}/availability", OFFLINE.encode(), retain=True)
        try:
            client.connect(will, CONNECT_S)
            client.subscribe(self._incoming.topic_filter)
            self._delivery.send(client, will.topic, ONLINE.encode(), retain=True)
            self._last_info = {}
            self._send_info(client)
        except BaseException as error:
            self._delivery.lost(SESSION_TAKEN_OVER)  # says nothing about any event
            client.close(GOODBYE_S)
            if isinstance(error, DeviceError):
                self._failed(error)
            raise
        self._welcome(client)
        return client

    def _welcome(self, client: Client) -> None:
        self._client, self._kind, self._trouble = client, client.kind, None
        self._sessions += 1
        self._connected_t_s = self._clock()
        self._last_state, self._state_t_s, self._health_t_s = {}, float("-inf"), float("-inf")
        self._incoming.answers.clear()
        self._faults.clear_fault(OFFLINE_FAULT)
        self._log.info("connected to the broker", kind=client.kind, client_id=self.client_id)

    def _failed(self, error: DeviceError) -> None:
        """Plan the next attempt: full jitter under a limit that doubles with each failure or short connection."""
        now_s = self._clock()
        if self._client is not None:
            self._offline_since_t_s = now_s
        longest_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(self._short_sessions, 10))
        self._short_sessions += 1
        self._retry_t_s = now_s + self._jitter(longest_s)
        self._trouble = error
        if now_s - self._offline_since_t_s > OFFLINE_FAULT_S:
            self._faults.raise_fault(Fault(OFFLINE_FAULT, "warning", f"No connection: {error}", error.hint))

    def _leave(self, client: Client) -> None:
        """End the connection, politely where it still stands; bounded."""
        if self._client is not client:
            return
        if self._trouble is None:
            with contextlib.suppress(DeviceError):
                client.publish(Message(f"{self.prefix}/availability", OFFLINE.encode(), retain=True))
                self._wait_for_acks(client)
        self._delivery.settle()
        client.close(GOODBYE_S)
        self._delivery.lost(SESSION_TAKEN_OVER)
        self._overflow_before += client.overflow
        with self._turn:
            self._client = None
            self._turn.notify_all()

    def _wait_for_acks(self, client: Client) -> None:
        end_t_s = time.monotonic() + GOODBYE_S
        while self._delivery.in_flight and time.monotonic() < end_t_s:
            if self._take(client.poll(STEP_S)):
                return

    def _take(self, news: Sequence[News]) -> Lost | None:
        lost = None
        for one in news:
            if isinstance(one, Acked):
                self._delivery.answered(one)
            elif isinstance(one, Received):
                self._incoming.take(one.message)
            else:
                lost = one
        return lost

    def _loss(self, lost: Lost) -> DeviceError:
        short = self._clock() - self._connected_t_s < STABLE_S
        self._thrown_out = self._thrown_out + 1 if short else 0
        if lost.code != SESSION_TAKEN_OVER and self._thrown_out < THROWN_OUT_MAX:
            return DeviceError(f"{self._where}: connection lost: {lost.text}", hint="Check the network and the broker.")
        sure = "" if lost.code == SESSION_TAKEN_OVER else "The broker ends each connection at once. Probably: "
        text = f"{sure}Another client uses the client id {self.client_id!r} at this broker."
        fix = "Give each bin its own bin.id (or mqtt.client_id), and run one daemon a bin."
        self._faults.raise_fault(Fault(TAKEN_FAULT, "error", text, fix))
        return DeviceError(f"{self._where}: {text}", hint=fix)

    def _send_answers(self, client: Client) -> None:
        while self._incoming.answers and self._delivery.room(client) > 0:
            answer = self._incoming.answers.popleft()
            self._delivery.send(client, answer.topic, answer.payload, correlation=answer.correlation)

    def _send_retained(self, client: Client) -> None:
        now_s = self._clock()
        if now_s - self._state_t_s >= STATE_GAP_S and self._delivery.room(client) > 1:
            self._send_info(client)
            body = self._bodies["state"]()
            if body != self._last_state or now_s - self._state_t_s >= self._settings.state_interval_s:
                self._send_body(client, "state", State, body)
                self._last_state, self._state_t_s = body, now_s
        if now_s - self._health_t_s >= self._settings.state_interval_s:
            self._send_body(client, "health", Health)
            self._health_t_s = now_s

    def _send_info(self, client: Client) -> None:
        """Once a connection, and again when it has changed: the controller may come up after the broker."""
        body = self._bodies["info"]()
        if body != self._last_info:
            self._send_body(client, "info", Info, body)
            self._last_info = body

    def _send_image(self, client: Client) -> None:
        jpeg, self._image = self._image, None
        if jpeg and len(jpeg) < min(IMAGE_BYTES_MAX, (client.max_packet_bytes or IMAGE_BYTES_MAX) - 256):
            client.publish(Message(f"{self.prefix}/image/last", jpeg, qos=0))

    def _send_body(self, client: Client, topic: str, model: type[OpenPayload], body: Body | None = None) -> None:
        body = dict(self._bodies[topic]() if body is None else body)
        if model is Info:
            body.setdefault("commands", tuple(COMMANDS))
        if model is Health:
            body["mqtt"] = self._mqtt_health()
        payload = model.model_validate({**body, "ts": utc_text(self._wall()), "boot_id": self._boot_id}).json_bytes()
        if model is Health:
            client.publish(Message(f"{self.prefix}/{topic}", payload, qos=0, retain=True))
        else:
            self._delivery.send(client, f"{self.prefix}/{topic}", payload, retain=True)

    def _mqtt_health(self) -> MqttHealth:
        stats = self.stats
        return MqttHealth(
            outbox=stats.outbox,
            dropped=stats.dropped,
            dead_letters=stats.dead_letters,
            reconnects=stats.reconnects,
            connected=stats.connected,
            commands_dropped=stats.commands_dropped,
        )
