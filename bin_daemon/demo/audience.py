"""The separate subscriber: what the dashboards of this world would receive, over the broker and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from bin_daemon.events.client import Client, Message, Received

CONNECT_S = 5.0
POLL_S = 0.1


class Audience:
    """Counts distinct ids of item events; ``heard`` gets every JSON message once, its topic without ``base``."""

    def __init__(self, client: Client, base: str, heard: Callable[[str, dict[str, Any]], None]) -> None:
        self._client = client
        self._base = base
        self._heard = heard
        self._ids: set[str] = set()
        self._stop = threading.Event()

    @property
    def received(self) -> int:
        """Distinct ids of item events so far."""
        return len(self._ids)

    @contextmanager
    def seated(self) -> Iterator[None]:
        """Connected and subscribed, listening on a thread of its own; DeviceError when there is no broker."""
        self._client.connect(Message("demo-audience/availability", b"offline"), CONNECT_S)
        self._client.subscribe(f"{self._base}/#")
        thread = threading.Thread(target=self._listen, name="audience", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(CONNECT_S)
            self._client.close(CONNECT_S)

    def _listen(self) -> None:
        while not self._stop.is_set():
            for news in self._client.poll(POLL_S):
                if isinstance(news, Received):
                    self._take(news.message)

    def _take(self, message: Message) -> None:
        try:
            value = orjson.loads(message.payload)
        except orjson.JSONDecodeError:
            return  # availability is plain text
        topic = message.topic.removeprefix(self._base + "/")
        if topic == "event/item":
            if value["id"] in self._ids:
                return  # at least once: a repeat is no second item
            self._ids.add(value["id"])
        self._heard(topic, value)
