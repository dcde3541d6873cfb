"""Fixtures: decisions and reports to journal, a virtual clock, a real broker on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import uuid_utils

from bin_daemon.config.settings import JournalSettings, MqttSettings
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    Frame,
    LabelScore,
    LidCommand,
    Placement,
)
from bin_daemon.errors import DeviceError
from bin_daemon.events import Bus, CommandQueue, Journal, Publisher
from bin_daemon.events.client import Client, Message, Received
from bin_daemon.events.paho_client import PahoClient

_actions = itertools.count(1)


@dataclass
class VirtualClock:
    """Monotonic and wall time that only a test moves."""

    t_s: float = 1000.0
    at: float = 1_800_000_000.0
    synced: bool = True

    def forward(self, seconds: float) -> None:
        """Both clocks go on."""
        self.t_s += seconds
        self.at += seconds


@dataclass
class Item:
    """What the line hands to the journal for one item."""

    placement: Placement
    verdict: Classification
    decision: Decision

    @property
    def action_id(self) -> int:
        """The command's action id."""
        assert self.decision.command
        return self.decision.command.action_id

    @property
    def parts(self) -> tuple[Placement, Classification, Decision]:
        """As arguments of `Journal.begin`."""
        return self.placement, self.verdict, self.decision


def make_item(*, opens: bool = True, unsure: bool = False, t_s: float = 999.99) -> Item:
    """A sure can into lid 1, or a decision without command."""
    grey = np.zeros((8, 8), np.uint8)
    frame = Frame(1, t_s, 64, 64, grey, lambda: np.zeros((64, 64, 3), np.uint8))
    placement = Placement(str(uuid_utils.uuid7()), t_s, (frame,), (0, 0, 64, 64), 400.0)
    probs = {Category.RECYCLABLE: 0.91, Category.KITCHEN: 0.05, Category.HAZARDOUS: 0.02, Category.OTHER: 0.02}
    top5 = tuple(LabelScore(f"label {i}", i, 0.5 / (i + 1)) for i in range(5))
    verdict = Classification(Category.RECYCLABLE, probs, top5, 0.86, 1.0, "stand-in-1", 42.0, t_s)
    command = LidCommand(1, Category.RECYCLABLE, 2500, 1500, next(_actions)) if opens else None
    decision = Decision("sure", "recyclable 0.91", command, Category.RECYCLABLE if opens else None, unsure)
    return Item(placement, verdict, decision)


@pytest.fixture
def item() -> Callable[..., Item]:
    """Factory of items."""
    return make_item


@pytest.fixture
def clock() -> VirtualClock:
    """Time that only the test moves."""
    return VirtualClock()


@dataclass
class Desk:
    """Opens journals of one file and looks into it from outside."""

    path: Path
    clock: VirtualClock
    opened: list[Journal] = field(default_factory=list)

    def journal(self, boot_id: str = "boot-1", **settings: Any) -> Journal:
        """Open the journal as a new run."""
        journal = Journal(
            self.path,
            JournalSettings(**settings),
            boot_id,
            clock=lambda: self.clock.t_s,
            wall=lambda: self.clock.at,
            synced=lambda: self.clock.synced,
        )
        self.opened.append(journal)
        return journal

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the file through a connection of its own."""
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def events(self, journal: Journal, topic: str = "event/item") -> list[dict[str, Any]]:
        """Unsent events of one topic."""
        return [orjson.loads(x.payload) for x in journal.outbox.batch(10_000) if x.topic == topic]


@pytest.fixture
def fast_path() -> Iterator[Path]:
    """A folder in memory where there is one: SIGKILL does not care, and fsync costs nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:  # noqa: S108
        yield Path(folder)


@pytest.fixture
def desk(fast_path: Path, clock: VirtualClock) -> Iterator[Desk]:
    """A journal file in a folder of its own; all journals are closed at the end."""
    desk = Desk(fast_path / "state" / "journal.sqlite3", clock)
    yield desk
    for journal in desk.opened:
        journal.close()


class Broker:
    """A real mosquitto on loopback with its own configuration; started and stopped by the test."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        default = () if any(x.startswith("listener") for x in lines) else (f"listener {self.port} 127.0.0.1",)
        anonymous = () if any(x.startswith("allow_anonymous") for x in lines) else ("allow_anonymous true",)
        self._config.write_text("\n".join((*default, *anonymous, "user root", *lines)) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert program
        self._process = subprocess.Popen(
            [program, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end_t_s = time.monotonic() + 10
        while time.monotonic() < end_t_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                pytest.fail("mosquitto ended at once")
        pytest.fail("mosquitto does not listen")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing when it is not running."""
        if self._process:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Kill -9."""
        if self._process:
            self.signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Factory of brokers, not yet started, by configuration lines."""
    if not shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        pytest.skip("mosquitto is not installed")
    made: list[Broker] = []

    def make(*lines: str) -> Broker:
        made.append(Broker(tmp_path, *lines))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


class Listener:
    """A subscriber of its own: collects what passes."""

    def __init__(self, client: Client, topic_filter: str = "smartbin/#") -> None:
        self.client = client
        self.messages: list[Message] = []
        client.connect(Message("test/listener", b"gone"), 5.0)
        client.subscribe(topic_filter)

    def look(self, timeout_s: float = 0.0) -> list[Message]:
        """All messages so far."""
        self.messages += [x.message for x in self.client.poll(timeout_s) if isinstance(x, Received)]
        return self.messages

    def of(self, topic_end: str) -> list[Any]:
        """Decoded JSON of the topics that end so."""
        return [orjson.loads(x.payload) for x in self.look() if x.topic.endswith(topic_end)]


@dataclass
class Wire:
    """A broker of either kind: the same tests run over both."""

    kind: str
    client: Callable[[str], Client]
    start: Callable[[], None]
    stop: Callable[[], None]
    port: int = 1883


@pytest.fixture(params=["mqtt", "in-process"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """mosquitto, then the bus; both already running."""
    if request.param == "in-process":
        bus = Bus()
        return Wire("in-process", bus.client, bus.start, bus.stop)
    broker: Broker = request.getfixturevalue("make_broker")()
    broker.start()
    settings = MqttSettings(host="127.0.0.1", port=broker.port, keepalive_s=5)
    return Wire("mqtt", lambda name: PahoClient(settings, name), broker.start, broker.stop, broker.port)


@dataclass
class Post:
    """A publisher with all it needs, driven step by step by the test."""

    publisher: Publisher
    journal: Journal
    commands: CommandQueue
    state: dict[str, Any]

    def drive(self, until: Callable[[], object], timeout_s: float = 15.0) -> bool:
        """As the worker does: connect, step, connect again; until the condition holds or time is up."""
        end_t_s = time.monotonic() + timeout_s
        while time.monotonic() < end_t_s:
            with contextlib.suppress(DeviceError), self.publisher.session() as step:
                while time.monotonic() < end_t_s:
                    step()
                    if until():
                        return True
            if until():
                return True
        return False


@pytest.fixture
def make_post(desk: Desk) -> Callable[..., Post]:
    """Factory: a publisher over any client, retrying without rest unless told otherwise."""

    def make(open_client: Callable[[], Client] | None = None, **settings: Any) -> Post:
        journal = desk.journal()
        commands = CommandQueue()
        state: dict[str, Any] = {"mode": "auto", "controller": True}
        publisher = Publisher(
            MqttSettings(**{"host": "127.0.0.1", "keepalive_s": 5, **settings}),
            "bin-1",
            "boot-1",
            journal.outbox,
            journal,
            commands=commands,
            state=lambda: dict(state),
            info=lambda: {"version": "0.1.0", "model": {"name": "stand-in"}},
            health=lambda: {"fps": 15.0},
            open_client=open_client,
            jitter=lambda _: 0.02,
        )
        return Post(publisher, journal, commands, state)

    return make


@pytest.fixture
def listener_class() -> type[Listener]:
    """Test files are imported one by one and cannot import from here."""
    return Listener
