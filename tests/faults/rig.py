"""A whole bin of real processes: the daemon, a controller behind a pty, mosquitto, and a subscriber of its own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from bin_daemon.service.control import ask
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.serve import PtyController
from bin_daemon.sim.world import LidMotion, world

ROOT = Path(__file__).parents[2]
TRAVEL_MS = 120.0
EMPTY = "tests.faults.cameras:empty_tray"
"""Camera of a bin where nobody comes."""
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
class Motions:
    """What the lids did, and where their port is."""

    link: Path
    motions: list[dict[str, Any]] = field(default_factory=list)

    def openings(self) -> dict[int, int]:
        """How often a lid opened for each action."""
        return dict(Counter(motion["action_id"] for motion in list(self.motions) if motion["motion"] == "opening"))

    def lids(self) -> set[int]:
        """Which lids moved."""
        return {motion["lid"] for motion in list(self.motions)}

    def all_shut(self) -> bool:
        """Whether the last motion of every lid ended shut."""
        last = {motion["lid"]: motion["motion"] for motion in list(self.motions)}
        return set(last.values()) <= {"closed"}

    def any_open(self) -> bool:
        """Whether a lid stands open now."""
        return bool(self.motions) and self.motions[-1]["motion"] == "open"


class Controller(Motions):
    """`bin-daemon simulate-controller --json` in a process of its own: the lids live on when the daemon dies."""

    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait for the port."""
        command = ["-m", "bin_daemon", "simulate-controller", "--json", "--link", str(self.link)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--travel-ms", str(TRAVEL_MS)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout
        assert "port" in json.loads(self.process.stdout.readline())
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, lines: Any) -> None:
        with lines:
            self.motions.extend(x for x in map(json.loads, lines) if "motion" in x)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Cable out and power off."""
        if self.process:
            self.process.send_signal(sig)
            self.process.wait(BOUND_S)
            self.process = None


class LocalController(Motions):
    """The simulated controller behind a pty of this process, for what needs a hand on it: reset, cable out."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        where = world(str(link))
        where.listen(self._moved)
        self.pty = PtyController(where, SimOptions(travel_ms=TRAVEL_MS), link)

    def _moved(self, motion: LidMotion) -> None:
        self.motions.append({"lid": motion.lid, "motion": motion.motion.value, "action_id": motion.action_id})


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

    def __init__(self, port: int, bin_id: str) -> None:
        self.subscribed = threading.Event()
        self._prefix = f"smartbin/{bin_id}/"
        self.messages: list[tuple[str, bytes]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"subscriber-{bin_id}", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(0.05, 0.2)  # type: ignore[no-untyped-call, arg-type, unused-ignore]
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _c, _d, message: self.messages.append((message.topic, bytes(message.payload)))
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _subscribe(self, *_: Any) -> None:
        self.client.subscribe(f"{self._prefix}#", qos=1)

    def send(self, command: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish to ``cmd/<command>``; what the broker does not keep waits for a daemon that has subscribed."""
        if not retain:
            wait_for(self._is_online, "the daemon says online")
        self.client.publish(f"{self._prefix}cmd/{command}", payload, qos=1, retain=retain)

    def _is_online(self) -> bool:
        told = [payload for topic, payload in self.messages if topic.endswith("/availability")]
        return told[-1:] == [b"online"]  # READY does not wait for the broker; online follows the subscription

    def await_ready(self) -> None:
        """Wait until the broker has taken the subscription."""
        wait_for(self.subscribed.is_set, "the subscriber subscribed")

    def stop(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()

    def events(self, kind: str = "event/item") -> list[dict[str, Any]]:
        """JSON of one topic, in the order received, repeats included."""
        return [json.loads(payload) for topic, payload in list(self.messages) if topic.endswith(kind)]

    def ids(self) -> set[str]:
        """Of all items told."""
        return {str(x["id"]) for x in self.events()}

    def because(self, reason: str) -> list[dict[str, Any]]:
        """Items told with this reason."""
        return [x for x in self.events() if x["reason"] == reason]

    def faults(self, code: str) -> list[str]:
        """What was told of one fault: raised, cleared, raised ..."""
        return [x["event"] for x in self.events("event/fault") if x["code"] == code]

    def last(self, kind: str) -> bytes | None:
        """The newest payload of one topic."""
        return next((payload for topic, payload in reversed(list(self.messages)) if topic.endswith(kind)), None)


@dataclass
class Bin:
    """The daemon as a process, and all it touches."""

    folder: Path
    broker: Broker
    controller: Controller | LocalController
    subscriber: Subscriber
    settings: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    daemon: subprocess.Popen[str] | None = None
    log: Path = Path()
    told: list[tuple[float, str]] = field(default_factory=list)
    """What systemd was told by the present daemon: monotonic seconds and one assignment."""
    ended: threading.Event = field(default_factory=threading.Event)

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
        self.log = self.folder / "daemon.log"
        self.told = []
        arguments = [sys.executable, *command, "--config", str(config), *sets]
        inherited = {**os.environ, "NOTIFY_SOCKET": str(self._listen()), "PYTHONPATH": str(ROOT)}
        environment = {**inherited, "FAULTS_DIR": str(self.folder), **self.environment}
        with self.log.open("a") as log:
            self.daemon = subprocess.Popen(arguments, stdout=log, stderr=log, text=True, env=environment)
        if wait_ready:
            wait_for(self._is_ready, "READY=1 from the daemon")
        return self.daemon

    def _listen(self) -> Path:
        """Hear what the next daemon tells systemd, for as long as it lives."""
        address = self.folder / f"notify-{len(list(self.folder.glob('notify-*')))}"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(str(address))
        sock.settimeout(0.1)
        told = self.told

        def hear() -> None:
            with sock:
                while not self.ended.is_set():
                    with contextlib.suppress(TimeoutError):
                        words = sock.recv(4096).decode().split("\n")
                        told.extend((time.monotonic(), word) for word in words)

        threading.Thread(target=hear, daemon=True).start()
        return address

    def _is_ready(self) -> bool:
        assert self.daemon
        if self.daemon.poll() is not None:
            pytest.fail(f"the daemon ended with {self.daemon.returncode}:\n{self.log.read_text()[-3000:]}")
        return self.has_told("READY=1")

    def has_told(self, word: str) -> bool:
        """Whether systemd was told this."""
        return any(x == word for _, x in list(self.told))

    def feedings(self) -> list[float]:
        """When the watchdog was fed."""
        return [t_s for t_s, word in list(self.told) if word == "WATCHDOG=1"]

    def fed_ago_s(self) -> float:
        """How long ago the watchdog was fed last."""
        fed = self.feedings()
        return time.monotonic() - fed[-1] if fed else math.inf

    def kill(self) -> None:
        """As kill -9 does."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait(BOUND_S)
            self.daemon = None

    def end(self) -> None:
        """After a test, whatever happened. The log's end is shown with a test that failed."""
        self.kill()
        if self.log.is_file():
            sys.stdout.write(self.log.read_text()[-6000:])
        self.ended.set()
        self.subscriber.stop()

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

    def decided(self, count: int) -> bool:
        """Whether so many decisions have ended."""
        return sum(x is not None for x in self.outcomes().values()) >= count

    def status(self) -> dict[str, Any]:
        """The daemon's own word."""
        answer = ask(self.folder / "run" / "control.sock", {"name": "status"})
        return dict(answer["data"])

    def check_books(self) -> None:
        """After an orderly end: each decision has one outcome and was told so; no lid opened twice or without a decision."""
        outcomes = self.outcomes()
        assert None not in outcomes.values()
        wait_for(lambda: self.subscriber.ids() == set(outcomes), "every decision told, and nothing else")
        assert {x["id"]: x["outcome"] for x in self.subscriber.events()} == outcomes
        openings = self.controller.openings()
        assert set(openings.values()) <= {1}
        assert openings.keys() <= {x for (x,) in self.journal("SELECT action_id FROM actions")}
