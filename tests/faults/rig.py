"""A whole bin of real processes: the daemon, a controller behind a pty, mosquitto, and a subscriber of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

BOUND_S = 40.0
"""Nothing in these tests waits longer; a whole item takes about 4 s."""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = BOUND_S) -> None:
    """Poll a condition of another process, bounded."""
    end_t_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_t_s:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)


@dataclass
class Controller:
    """`bin-daemon simulate-controller --json` in a process of its own: the lids live on when the daemon dies."""

    link: Path
    motions: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> None:
        """Start and wait for the port."""
        command = [
            sys.executable,
            "-m",
            "bin_daemon",
            "simulate-controller",
            "--json",
            "--link",
            str(self.link),
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert "port" in json.loads(self.process.stdout.readline())
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, lines: Any) -> None:
        with lines:
            self.motions.extend(json.loads(line) for line in lines)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Cable out and power off."""
        if self.process:
            self.process.send_signal(sig)
            self.process.wait(BOUND_S)
            self.process = None

    def openings(self) -> dict[int, int]:
        """How often a lid opened for each action."""
        counts: dict[int, int] = {}
        for motion in list(self.motions):
            if motion["motion"] == "opening":
                counts[motion["action_id"]] = counts.get(motion["action_id"], 0) + 1
        return counts

    def all_shut(self) -> bool:
        """Whether the last motion of every lid ended shut."""
        last = {motion["lid"]: motion["motion"] for motion in list(self.motions)}
        return set(last.values()) <= {"closed"}


@dataclass
class Broker:
    """A real mosquitto; what it keeps survives a restart no better than the shipped default."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert program, "apt-get install mosquitto"
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._listens, "mosquitto listens")

    def _listens(self) -> bool:
        with socket.socket() as sock:
            sock.settimeout(1)
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Kill -9: no farewell."""
        if self.process:
            self.process.kill()
            self.process.wait(BOUND_S)
            self.process = None


class Subscriber:
    """Raw paho, persistent session: what a dashboard gets, also while the daemon dies and comes back."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="test-subscriber", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(0.05, 0.2)  # type: ignore[no-untyped-call, arg-type, unused-ignore]
        self.client.on_connect = self._subscribe
        self.client.on_message = lambda _c, _d, message: self.messages.append((message.topic, bytes(message.payload)))
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _subscribe(self, *_: Any) -> None:
        self.client.subscribe("smartbin/#", qos=1)

    def stop(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()

    def events(self, kind: str = "event/item") -> list[dict[str, Any]]:
        """JSON of one topic, in the order received, repeats included."""
        return [json.loads(payload) for topic, payload in list(self.messages) if topic.endswith(kind)]

    def last(self, kind: str) -> bytes | None:
        """The newest payload of one topic."""
        return next((payload for topic, payload in reversed(list(self.messages)) if topic.endswith(kind)), None)


@dataclass
class Bin:
    """The daemon as a process, and all it touches."""

    folder: Path
    broker: Broker
    controller: Controller
    subscriber: Subscriber
    settings: dict[str, Any]
    daemon: subprocess.Popen[str] | None = None
    log: Path = Path()

    def start(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        command: Sequence[str] = ("-m", "bin_daemon", "run"),
        wait_ready: bool = True,
    ) -> subprocess.Popen[str]:
        """Start ``bin-daemon run`` (or another program that takes --config and --set) and wait for READY=1."""
        sets = [
            x
            for key, value in {**self.settings, **(settings or {})}.items()
            for x in ("--set", f"{key}={json.dumps(value)}")
        ]
        config = self.folder / "bin.toml"
        config.touch()
        notify = self.folder / "notify"
        notify.unlink(missing_ok=True)
        self.log = self.folder / "daemon.log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, self.log.open("a") as log:
            sock.bind(str(notify))
            sock.settimeout(0.1)
            environment = {**os.environ, "NOTIFY_SOCKET": str(notify)}
            arguments = [sys.executable, *command, "--config", str(config), *sets]
            self.daemon = subprocess.Popen(arguments, stdout=log, stderr=log, text=True, env=environment)
            if wait_ready:
                wait_for(lambda: self._says(sock, b"READY=1"), "READY=1 from the daemon")
        return self.daemon

    def _says(self, sock: socket.socket, word: bytes) -> bool:
        assert self.daemon
        if self.daemon.poll() is not None:
            pytest.fail(f"the daemon ended with {self.daemon.returncode}:\n{self.log.read_text()[-3000:]}")
        try:
            return word in sock.recv(4096).split(b"\n")
        except TimeoutError:
            return False

    def kill(self) -> None:
        """As kill -9 does."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait(BOUND_S)
            self.daemon = None

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """End in good order; returns the exit code."""
        assert self.daemon
        self.daemon.send_signal(sig)
        code = self.daemon.wait(BOUND_S)
        self.daemon = None
        return code

    def journal(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the journal's file through a connection of its own."""
        db = sqlite3.connect(f"file:{self.folder / 'state' / 'journal.sqlite'}?mode=ro", uri=True)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def outcomes(self) -> dict[str, str | None]:
        """Every journalled decision by event id, with its outcome (None: still open)."""
        return {str(event_id): outcome for event_id, outcome in self.journal("SELECT event_id, outcome FROM actions")}
