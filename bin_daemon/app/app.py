"""The daemon's life: workers around the line, readiness, watchdog, faults, and an orderly end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog

from bin_daemon.app.commands import Commands
from bin_daemon.app.drift import DriftWatch
from bin_daemon.app.faults import ShutWatch, calibration_faults, device_faults, lid_faults, sight_faults, switch_faults
from bin_daemon.app.lid_queries import lid_queries
from bin_daemon.app.parts import Parts
from bin_daemon.app.tally import Tally
from bin_daemon.app.telling import Telling
from bin_daemon.app.watchfulness import Watchfulness
from bin_daemon.config import Loaded
from bin_daemon.errors import EndOfFrames
from bin_daemon.events import LocalCommands, Publisher
from bin_daemon.events.client import Client
from bin_daemon.lamp import Lamp
from bin_daemon.lids.serial_lids import INDICATOR
from bin_daemon.pipeline import Pipeline
from bin_daemon.service import Worker, systemd
from bin_daemon.service.control import ControlSocket
from bin_daemon.service.health import may_feed_watchdog

FRAME_WAIT_S = 0.25
"""The main loop turns at least four times a second, with or without a camera: reports and commands must not wait for frames."""
SILENT_SLACK_S = 1.0
"""On top of camera.read_timeout_s, by which a sound camera driver gives up by itself."""
LIDS_SHUT_S = 2.5
"""A lid that has just opened rests 1 s before the controller lets it turn back (REST_MS), then it travels."""
FLUSH_S = 2.0
JOIN_S = 1.0
EXIT_OK, EXIT_BUG = 0, 70


class App:
    """One bin. `run` returns the exit code; `stop` may be called from any thread or signal handler."""

    def __init__(
        self,
        loaded: Loaded,
        parts: Parts,
        *,
        open_client: Callable[[], Client] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``open_client`` makes the connection to the broker; left out, paho does where mqtt.host is set."""
        self.settings = loaded.settings
        self.parts = parts
        self.tally = Tally(parts.journal, clock=clock)
        lamp = Lamp(self.settings.signals, self.settings.policy.full_frac, clock=clock)
        self.pipeline = Pipeline(parts.detector, parts.classifier, parts.policy, self.tally, parts.lids, lamp=lamp)
        self.slot = parts.slot
        self._drift = DriftWatch(self.settings.service.state_dir, self.settings.placement)
        self._watchfulness = Watchfulness(self.settings.camera.idle_after_s)
        self.telling = Telling(loaded, parts, self.pipeline, self.tally)
        self.publisher = self._make_publisher(open_client) if self.settings.mqtt.host or open_client else None
        self.commands = Commands(
            self.settings,
            parts,
            self.pipeline,
            newest=lambda: self.telling.newest,
            send_image=self._send_image,
            restart=self.stop,
        )
        self._clock = clock
        self._shut_watch = ShutWatch(self.settings)
        self._stop = threading.Event()
        self._log = structlog.get_logger()
        self._workers = [Worker("camera", self._watch), Worker("lids", parts.lids.session)]
        local = LocalCommands(parts.commands, {"status": self._status, **lid_queries(self.settings, parts.lids)})
        self._workers.append(Worker("control", ControlSocket(self._socket_path, local).session))
        if self.publisher:
            self._workers.append(Worker("publish", self.publisher.session))
        self._camera_silent_s = self.settings.camera.read_timeout_s + SILENT_SLACK_S
        self._ready = self._starving = False
        self._status_text = ""
        self._recovered = False
        self._seen_frame = False
        self._started_t_s = self._beat_t_s = self._fed_t_s = clock()

    def stop(self) -> None:
        """End `run` after the present turn."""
        self._stop.set()

    def run(self) -> int:
        """Serve until stopped. Every step of the end is bounded; if we die instead, the controller shuts its lids by itself."""
        with ExitStack() as stack:
            stack.callback(self.parts.journal.close)
            stack.callback(self._end_model)
            self.parts.classifier.warm_up()
            stack.callback(self._end_workers)
            for worker in self._workers:
                worker.start()
            stack.callback(self._wind_down)
            return self._serve()

    def _serve(self) -> int:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - a bug on the line: shut the lids in good order, let systemd start afresh
                self._log.exception("bug on the line, ending")
                return EXIT_BUG
            if dead := [x.name for x in self._workers if x.status.dead]:
                self._log.error("giving up: a worker crashed too often", workers=dead)
                return EXIT_BUG
        return EXIT_OK

    def _turn(self) -> None:
        frame = self.slot.get(FRAME_WAIT_S)
        if frame:
            self._seen_frame = True
            self.telling.frame(frame)
            self.pipeline.step(frame)
            self.tally.saw(self.parts.detector.take())
            self._drift.see(frame, self.parts.detector.state)
            self.slot.pace = self._watchfulness.after(self.parts.detector.state, frame.t_s)
        else:
            self.pipeline.collect()
        self.commands.run_waiting()
        self.pipeline.tell_person(self.telling.sight)
        self._recover()
        self._update_faults()
        self.telling.update_changes()
        self._tell_systemd()
        if self.slot.closed and not frame:
            self._stop.set()  # the clip is over

    @contextmanager
    def _watch(self) -> Iterator[Callable[[], None]]:
        """One life of the camera, for its worker."""
        with self.parts.camera.open() as read:

            def step() -> None:
                try:
                    self.slot.put(read())
                except EndOfFrames:
                    self.slot.close()
                    self._stop.wait(FRAME_WAIT_S)

            yield step

    def _recover(self) -> None:
        """Close what an earlier run left open, once the controller has said what it did last."""
        if not self._recovered and (hello := self.parts.lids.hello):
            self._recovered = True
            self.parts.journal.recover(hello.last_action_id)

    def _update_faults(self) -> None:
        detector, lids, now_s = self.parts.detector, self.parts.lids, self._clock()
        details = lids.details
        found = [
            *device_faults((x.status for x in self._workers), now_s, self._camera_silent_s),
            *sight_faults(detector.sight, detector.conditions),
            *self._drift.faults(),
            *lid_faults(lids.state, self.settings.policy.full_frac),
            *self._shut_watch.update(lids.state, details, now_s),
            *calibration_faults(details),
            *switch_faults(lids.state, details),
        ]
        self.telling.update_faults(found)

    def _tell_systemd(self) -> None:
        now_s = self._beat_t_s = self._clock()
        statuses = [*(x.status for x in self._workers), self.parts.classifier.status]
        if not self._ready:
            whole = self._seen_frame and self.parts.lids.state.connected
            self._ready = whole or now_s - self._started_t_s >= self.settings.service.ready_timeout_s
            if self._ready:
                self._log.info("ready", degraded=not whole)
                systemd.notify("READY=1")
        if self._ready and (text := self._one_line()) != self._status_text:
            self._status_text = text
            systemd.notify(f"STATUS={text}")
        watchdog_s = systemd.watchdog_s()
        if watchdog_s and now_s - self._fed_t_s >= watchdog_s / 4:
            why_not = may_feed_watchdog(self._beat_t_s, statuses, now_s, self.settings.service.stale_s)
            if not why_not:
                systemd.notify("WATCHDOG=1")
                self._fed_t_s = now_s
            elif not self._starving:
                self._log.error("not feeding the watchdog", why=why_not)
            self._starving = bool(why_not)

    def _one_line(self) -> str:
        """For `systemctl status`."""
        errors = [x.code for x in self.parts.journal.active_faults if x.severity == "error"]
        return f"degraded: {', '.join(errors)}" if errors else "sorting"

    def _wind_down(self) -> None:
        systemd.notify("STOPPING=1")
        self._log.info("stopping")
        for step in (self._shut_lids, self.pipeline.collect, self._say_goodbye):
            try:
                step()
            except Exception:  # noqa: BLE001, PERF203 - three steps; a bug in one must not cost the others
                self._log.exception("bug while stopping")

    def _shut_lids(self) -> None:
        if not self.parts.lids.close_all(LIDS_SHUT_S):
            self._log.warning("lids not known to be shut; the controller shuts them by itself")

    def _say_goodbye(self) -> None:
        if self.publisher:
            self.publisher.flush(FLUSH_S)
            self.publisher.close(FLUSH_S)

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            if not worker.join(JOIN_S):
                self._log.warning("worker does not end; leaving it behind", worker=worker.name)

    def _end_model(self) -> None:
        if not self.parts.classifier.close(JOIN_S):
            self._log.warning("the model does not end; leaving it behind")

    def _make_publisher(self, open_client: Callable[[], Client] | None) -> Publisher:
        parts = self.parts
        return Publisher(
            self.settings.mqtt,
            self.settings.bin.id,
            parts.boot_id,
            parts.journal.outbox,
            parts.journal,
            commands=parts.commands,
            state=self.telling.state,
            info=self.telling.info,
            health=self.telling.health,
            open_client=open_client,
        )

    def _send_image(self, jpeg: bytes) -> bool:
        if self.publisher is None or not self.publisher.stats.connected:
            return False
        self.publisher.offer_image(jpeg)
        return True

    def _status(self) -> dict[str, Any]:
        """What `bin-daemon status` shows: the same bodies as the retained topics."""
        mqtt = self.publisher.stats._asdict() if self.publisher else {"connected": False, **self._outbox_counts()}
        return {
            "info": self.telling.info(),
            "state": self.telling.state(),
            "health": {**self.telling.health(), "mqtt": mqtt},
            "lamp": self.pipeline.lamp.pattern.value if INDICATOR in self.parts.lids.state.capabilities else None,
        }

    def _outbox_counts(self) -> dict[str, Any]:
        stats = self.parts.journal.outbox.stats
        return {"outbox": stats.rows, "dropped": stats.dropped}

    @property
    def _socket_path(self) -> Path:
        return self.settings.service.runtime_dir / "control.sock"
