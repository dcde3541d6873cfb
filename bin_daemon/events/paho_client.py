"""paho-mqtt 2 behind the client port: MQTT 5 only, as 3.1.1 acknowledges a forbidden publish as if it had worked."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client as Paho
from paho.mqtt.client import MQTTMessage as PahoMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bin_daemon.errors import DeviceError
from bin_daemon.events.client import SUCCESS, UNSPECIFIED, Acked, Inbox, Lost, Message, News, Received

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bin_daemon.config.settings import MqttSettings

INCOMING_PACKET_MAX = 16_384
"""Told to the broker: it must not send us larger ones."""
_RETAIN_NEVER = 2


class PahoClient:
    """One connection of paho. Its callbacks only put on a queue: paho holds a lock in them that ``publish`` also takes."""

    kind = "mqtt"

    def __init__(self, settings: MqttSettings, client_id: str, *, messages_max: int = 200) -> None:
        self.max_packet_bytes: int | None = None
        self.receive_max = 65_535
        self._settings = settings
        self._inbox = Inbox(messages_max)
        self._answered = threading.Event()
        self._lost = threading.Event()
        self._refusal: Lost | None = None
        self._paho = Paho(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_publish = self._on_publish
        self._paho.on_message = self._on_message

    @property
    def overflow(self) -> int:
        """Incoming messages thrown away because they came too fast."""
        return self._inbox.overflow

    def connect(self, will: Message, timeout_s: float) -> None:
        """See `bin_daemon.events.client.Client`. Name look-up and TCP run on their own thread: a resolver may block for long."""
        where = f"{self._settings.host}:{self._settings.port}"
        self._prepare(will, timeout_s)
        failure: list[BaseException] = []
        caller = threading.Thread(target=self._call, args=(failure,), name="mqtt-connect", daemon=True)
        end_t_s = time.monotonic() + timeout_s
        caller.start()
        caller.join(timeout_s)
        if caller.is_alive():
            raise DeviceError(f"broker {where}: no connection within {timeout_s:g} s", hint=_HINT_NET)
        if failure:
            raise DeviceError(f"broker {where}: {_reason(failure[0])}", hint=_hint(failure[0])) from failure[0]
        self._paho.loop_start()
        answered, refusal = self._answered.wait(max(0.5, end_t_s - time.monotonic())), self._refusal
        if answered and refusal is None:
            return
        self.close(0.5)
        if refusal:
            raise DeviceError(f"broker {where}: refused: {refusal.text}", hint=_HINT_AUTH)
        raise DeviceError(f"broker {where}: takes connections but does not answer", hint="Restart the broker.")

    def subscribe(self, topic_filter: str) -> None:
        """See `bin_daemon.events.client.Client`."""
        self._paho.subscribe(
            topic_filter, options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=_RETAIN_NEVER)
        )

    def publish(self, message: Message) -> int:
        """See `bin_daemon.events.client.Client`."""
        properties = _properties(PacketTypes.PUBLISH)
        if message.answer_to:
            properties.ResponseTopic = message.answer_to
        if message.correlation:
            properties.CorrelationData = message.correlation
        info = self._paho.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise DeviceError(f"broker {self._settings.host}: {info.rc.name}", hint=_HINT_NET)
        return info.mid

    def poll(self, timeout_s: float) -> Sequence[News]:
        """See `bin_daemon.events.client.Client`."""
        return self._inbox.take(timeout_s)

    def close(self, timeout_s: float) -> None:
        """See `bin_daemon.events.client.Client`."""
        sock: Any = self._paho.socket()
        if sock is None:
            return
        self._paho.disconnect()
        self._lost.wait(timeout_s / 2)
        if sock and not self._lost.is_set():
            with contextlib.suppress(OSError):  # a hung broker: do not let paho wait for its acknowledgements
                sock.shutdown(socket.SHUT_RDWR)
        stopper = threading.Thread(target=self._paho.loop_stop, name="mqtt-stop", daemon=True)
        stopper.start()
        stopper.join(timeout_s / 2)

    def _prepare(self, will: Message, timeout_s: float) -> None:
        settings = self._settings
        self._paho.connect_timeout = timeout_s
        self._paho.will_set(will.topic, will.payload, will.qos, will.retain)
        if settings.username:
            self._paho.username_pw_set(settings.username, settings.password.get_secret_value() or None)
        if not settings.tls:
            return
        files = (settings.ca_file, settings.cert_file, settings.key_file)
        try:
            self._paho.tls_set_context(_tls(*files))
        except (OSError, ValueError) as error:
            names = ", ".join(str(x) for x in files if x)
            raise DeviceError(
                f"TLS files {names}: {error}", hint="Check mqtt.ca_file, cert_file and key_file."
            ) from error

    def _call(self, failure: list[BaseException]) -> None:
        properties = _properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = INCOMING_PACKET_MAX
        settings = self._settings
        try:
            self._paho.connect(
                settings.host, settings.port, settings.keepalive_s, clean_start=True, properties=properties
            )
        except (OSError, ValueError) as error:
            failure.append(error)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = Lost(reason.value, str(reason))
        else:
            self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
            self.receive_max = getattr(properties, "ReceiveMaximum", 65_535)
        self._answered.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._lost.is_set():
            return
        self._lost.set()
        self._inbox.put(Lost(getattr(reason, "value", UNSPECIFIED), str(reason)))
        if not self._answered.is_set():
            self._refusal = Lost(UNSPECIFIED, str(reason))
            self._answered.set()

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._inbox.put(Acked(mid, getattr(reason, "value", SUCCESS)))

    def _on_message(self, _client: Any, _data: Any, message: PahoMessage) -> None:
        properties: Any = message.properties
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._inbox.put(
            Received(
                Message(
                    topic,
                    bytes(message.payload),
                    message.qos,
                    message.retain,
                    getattr(properties, "ResponseTopic", ""),
                    getattr(properties, "CorrelationData", b""),
                )
            )
        )


_HINT_NET = "Check mqtt.host and mqtt.port, the network, and that the broker runs."
_HINT_AUTH = "Check mqtt.username, the password, and the client certificate."


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Only the pinned CA is trusted; without one, those of the system."""
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = _TidySocket
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context


def _properties(kind: int) -> Any:
    return Properties(kind)  # type: ignore[no-untyped-call]  # paho has no types here


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    return str(error) or type(error).__name__


def _hint(error: BaseException) -> str:
    return "Check mqtt.ca_file and the broker's name." if isinstance(error, ssl.SSLError) else _HINT_NET
