"""Plays the demo: builds a bin like `run` does, lets simulated people use it, and tells what happens."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bin_daemon.app import App, make_parts, run_until_signalled
from bin_daemon.config import MqttSettings, load
from bin_daemon.demo.audience import Audience
from bin_daemon.demo.broker import mosquitto
from bin_daemon.demo.recorder import ItemStory, Recorder
from bin_daemon.demo.show import ItemTold, JsonShow, PersonShow, Show
from bin_daemon.errors import BinError
from bin_daemon.events import Bus
from bin_daemon.events.client import Client
from bin_daemon.events.paho_client import PahoClient
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.controller import controller
from bin_daemon.sim.photos import default_cache_dir
from bin_daemon.sim.script import Habits
from bin_daemon.sim.source import write_source
from bin_daemon.sim.stamps import fetch_stamps

WORLD = "demo"
SECONDS_PER_ITEM = 20.0
"""An item takes about 6 s; one that nothing opens for 10 s more. Past this the demo gives up and says so."""
LAST_EVENTS_S = 5.0
FIRST_S = 4.0
"""The tray stays empty until the detector has learnt it, also on a busy machine."""
NO_BROKER = "in-process bus (mosquitto is not installed: no real broker)"
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `bin-daemon demo` was asked for."""

    items: int = 12
    as_json: bool = False
    seed: int = 7
    photos: str = "auto"
    fetch: bool = False
    model: Path | None = None


def play(options: DemoOptions) -> int:
    """Run the demo to its end; 0 when the line worked: every item decided, every event received, nothing opened twice."""
    from bin_daemon.model.standin import ensure_standin
    from bin_daemon.service.logs import setup_logs

    setup_logs("warning")
    show: Show = JsonShow() if options.as_json else PersonShow(options.items)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bin-demo-")))
        if options.fetch:
            _fetch(show)
        show.note(
            "Model: making the stand-in ready (its first time takes a while)"
            if options.model is None
            else f"Model: {options.model}"
        )
        bundle = options.model or ensure_standin(default_cache_dir())
        port = stack.enter_context(mosquitto(folder))
        loaded = load(None, overrides=_settings(options, folder, bundle, port))
        parts = make_parts(loaded.settings)
        parts.camera = SimCamera(loaded.settings.camera, habits=Habits(first_s=FIRST_S))
        connect = _network(loaded.settings.mqtt, port)
        audience = Audience(connect("demo-audience"), f"smartbin/{WORLD}", show.message)
        stack.enter_context(audience.seated())
        app = App(loaded, parts, open_client=lambda: connect(f"smartbin-{WORLD}"))
        stage = _Stage(options, show, app, audience, "mosquitto" if port else NO_BROKER)
        show.note(f"Broker: {stage.broker}")
        exit_code = run_until_signalled(app, beside=stage.watch)
        summary = stage.summary()
        show.summary(summary)
    worked = summary["items"] == summary["events_received"] == options.items and not summary["double_opens"]
    return exit_code or (0 if worked else 1)


def _fetch(show: Show) -> None:
    show.note("Photographs: fetching Debian's tuxpaint-stamps-default where it is missing (160 MB, once)")
    try:
        fetch_stamps(default_cache_dir())
    except BinError as error:
        show.note(f"Photographs: {error} {error.hint} Using drawn items.")


def _settings(options: DemoOptions, folder: Path, bundle: Path, port: int | None) -> dict[str, Any]:
    """The demo's embedded configuration, as `--set` would give it."""
    return {
        "bin.id": WORLD,
        "camera.source": write_source(WORLD, seed=options.seed, items=options.items, photos=options.photos),
        "controller.port": f"sim://{WORLD}",
        "policy.hold_ms": 1200,
        "model.bundle": bundle,
        "mqtt.host": "127.0.0.1",
        "mqtt.port": port or 1883,
        "service.state_dir": folder / "state",
        "service.runtime_dir": folder / "run",
    }


def _network(settings: MqttSettings, port: int | None) -> Callable[[str], Client]:
    """Clients of the real broker, or of a bus inside this process."""
    if port:
        return lambda client_id: PahoClient(settings, client_id)
    bus = Bus()
    return bus.client


class _Stage:
    """Knows the truth, counts, and ends the play."""

    def __init__(self, options: DemoOptions, show: Show, app: App, audience: Audience, broker: str) -> None:
        camera = app.parts.camera
        if not isinstance(camera, SimCamera):
            raise TypeError("the demo plays before a simulated camera")
        self._camera = camera
        self._wanted = options.items
        self._show = show
        self._app = app
        self._audience = audience
        self._told: list[ItemTold] = []
        self._over = threading.Event()
        self.broker = broker
        app.pipeline.journal = Recorder(app.pipeline.journal, self._finished)
        controller(WORLD).board.lamp.on_change = lambda shown: show.lamp(shown.pattern.name.lower(), shown.duration_ms)
        show.note(
            f"Photographs: {len(camera.photos.items)} real cut-outs"
            if camera.photos.kind == "photographs"
            else "Photographs: none here, so the items are DRAWN; the model was trained on photographs and will do badly on them"
        )

    def _finished(self, story: ItemStory) -> None:
        truth = self._camera.scene.brought(story.placement.t_s)
        self._told.append(
            ItemTold(
                number=len(self._told) + 1,
                item=truth.name if truth else "",
                truth=truth.category.value if truth else "",
                category=story.category.value if story.category else None,
                label=story.verdict.label,
                probability=story.verdict.category_probs.get(story.category, 0.0)
                if story.category
                else story.verdict.probability,
                lid=story.lid,
                open_ms=story.report.open_ms,
                outcome=story.report.outcome.value,
                text=story.decision.text,
                event_id=story.placement.id,
                latency_ms=story.latency_ms,
            )
        )
        right, unsure = sum(x.right for x in self._told), sum(x.category is None for x in self._told)
        self._show.item(self._told[-1], right, len(self._told) - right - unsure, unsure)

    def watch(self) -> None:
        """End the app when all items are told and received, when people have stopped coming, or when it takes far too long."""
        end_t_s = time.monotonic() + 60.0 + SECONDS_PER_ITEM * self._wanted
        over_t_s: float | None = None
        while not self._over.wait(POLL_S):
            now_s = time.monotonic()
            all_told = len(self._told) >= self._wanted
            if over_t_s is None and (all_told or self._camera.scene.is_over()):
                over_t_s = now_s
            if all_told and self._audience.received >= self._wanted:
                break
            if now_s > end_t_s or (over_t_s is not None and now_s - over_t_s > LAST_EVENTS_S):
                break
        self._app.stop()

    def summary(self) -> dict[str, Any]:
        """The last line of the demo."""
        self._over.set()
        return {
            "items": len(self._told),
            "correct": sum(x.right for x in self._told),
            "events_received": self._audience.received,
            "double_opens": controller(WORLD).double_opens,
            "broker": self.broker,
        }
