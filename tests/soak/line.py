"""The whole line for hours of a clock that only the frames move.

Real: simulated camera, slot, detector, model on its thread, policy, durable journal, lids, serial session, the reference
controller behind ``sim://``, outbox, publisher, in-process bus. The controller's time passes with each frame, and the link's
thread has its turn before the next one, however slow the machine is.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bin_daemon.app.parts import new_id
from bin_daemon.app.tally import Tally
from bin_daemon.config.settings import (
    CameraSettings,
    ControllerSettings,
    JournalSettings,
    MqttSettings,
    PlacementSettings,
    PolicySettings,
    Settings,
)
from bin_daemon.domain import Frame
from bin_daemon.events import CommandQueue, Journal, Publisher
from bin_daemon.events.bus import Bus
from bin_daemon.lids import SerialLids
from bin_daemon.model.ahead import Ahead
from bin_daemon.pipeline import Pipeline
from bin_daemon.placement import Detector
from bin_daemon.policy import Policy
from bin_daemon.sensing import Slot
from bin_daemon.service import Worker
from bin_daemon.service.health import process_health
from bin_daemon.sim import controller as sim_controller
from bin_daemon.sim import register_serial
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.controller import SimulatedController
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.playback import VirtualClock
from bin_daemon.sim.world import world
from tests.soak.played_model import make_classifier
from tests.soak.reel import FPS, SIZE
from tests.soak.samples import Sample, take

NAME = "soak"
KEEP_DAYS = 0.002
"""Three minutes: journal rows come and go many times in one run, as they do over months."""
WARM_UP_FRAMES = 1000
"""Pages of the database, malloc's arenas of eight threads, the first of everything: after so many frames they are there."""
TURN_S = 20.0
"""The link's thread and the publisher get so long for what takes them milliseconds."""
READ_S = 0.001
"""Of real time, in which the frames' clock must not run far ahead of the link."""


class SteppedController(SimulatedController):
    """Time passes by `pass_time` alone, not on a thread of its own."""

    def _run(self) -> None:
        self._stop.wait()

    def pass_time(self) -> None:
        """Up to the clock's present."""
        with self._lock:
            self._tick()


class SoakedLine:
    """All parts, and one turn of them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.clock = VirtualClock()
        self._turn = threading.Condition()
        self._turns = 0
        register_serial()
        settings, options = Settings(), SimOptions()
        self.device = SteppedController(world(NAME), options, clock=self.clock.clock)
        sim_controller._controllers._ends[NAME] = (options, self.device)
        stack.callback(self.device.shut_down)
        self.lids = SerialLids(ControllerSettings(port=f"sim://{NAME}"), settings.lids, clock=self.clock.clock)
        self.journal = Journal(
            folder / "journal.sqlite",
            JournalSettings(max_age_days=KEEP_DAYS),
            NAME,
            clock=self.clock.clock,
            wall=lambda: 1.8e9 + self.clock.now_s,
            synced=lambda: True,
        )
        stack.callback(self.journal.close)
        self.ahead = Ahead(make_classifier(folder), clock=self.clock.clock)
        stack.callback(lambda: self.ahead.close(TURN_S))
        self.ahead.warm_up()
        self.slot = Slot()
        self.commands = CommandQueue()
        self.publisher = self._publisher(folder)
        self.tally = Tally(self.journal, clock=self.clock.clock)
        policy = Policy(PolicySettings(), settings.lids)
        self.detector = Detector(PlacementSettings(), new_id)
        self.pipeline = Pipeline(self.detector, self.ahead, policy, self.tally, self.lids)
        for worker in (Worker("lids", self._session), Worker("publish", self.publisher.session)):
            worker.start()
            stack.callback(worker.join, TURN_S)
            stack.callback(worker.stop)
        self._await_turn()

    def _publisher(self, folder: Path) -> Publisher:
        bus = Bus()
        return Publisher(
            MqttSettings(),
            NAME,
            NAME,
            self.journal.outbox,
            self.journal,
            commands=self.commands,
            state=lambda: {"mode": self.pipeline.mode.value},
            info=dict,
            health=lambda: process_health(folder),
            open_client=lambda: bus.client(NAME),
        )

    @contextmanager
    def _session(self) -> Iterator[Callable[[], None]]:
        with self.lids.session() as step:
            if self.lids._port is not None:
                self.lids._port.timeout = READ_S

            def turn() -> None:
                step()
                with self._turn:
                    self._turns += 1
                    self._turn.notify_all()

            yield turn

    def _await_turn(self) -> None:
        """One whole step of the link that began after now."""
        with self._turn:
            after = self._turns + 2
            if not self._turn.wait_for(lambda: self._turns >= after, TURN_S):
                raise TimeoutError(f"the link had no turn within {TURN_S:g} s")

    def sleep(self, seconds: float) -> None:
        """The frames' clock, the controller and the link go on."""
        self.clock.sleep(seconds)
        self.device.pass_time()
        self._await_turn()

    def play(self, frames: int, seed: int, beside: Callable[[Frame], object]) -> None:
        """So many frames, with a scene of its own: a scene remembers every item that it showed, and that is not the line's."""
        source = f"sim:{NAME}?photos=drawn&items=100000&seed={seed}"
        settings = CameraSettings(source=source, width=SIZE[0], height=SIZE[1], fps=FPS)
        with SimCamera(settings, clock=self.clock.clock, sleep=self.sleep).open() as read:
            for _ in range(frames):
                self.slot.put(read())
                frame = self.slot.get(TURN_S)
                if frame is not None:
                    self.pipeline.step(frame)
                    self.pipeline.tell_person(self.detector.sight)
                    beside(frame)

    def waiting(self) -> int:
        """What nobody has taken though there was time: events, commands, frames."""
        end_s = time.monotonic() + TURN_S
        while self.journal.outbox.stats.rows and time.monotonic() < end_s:
            self.publisher.flush(0.1)
        return self.journal.outbox.stats.rows + self.slot.overwritten + len(self.commands)


def run(
    frames: int, stretches: int, *, beside: Callable[[Frame], object] = lambda _: None
) -> Iterator[tuple[Sample, int]]:
    """As `tests.soak.sight.run`, of the whole line."""
    stretch = frames // stretches
    warm_up = max(stretch, WARM_UP_FRAMES)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, ExitStack() as stack:
        line = SoakedLine(Path(folder), stack)
        for number in range(stretches + 1):
            line.play(stretch if number else warm_up, 1 + number % 4, beside)
            yield take(number * stretch, line.waiting()), line.tally.health()["items"]
