"""Watching an empty tray at our own idle rate beside Frigate's path at 30 frames per second: the cost, what is seen, how soon.

Ours is the product's camera, detector and pace rule on a virtual clock; Frigate's path decodes each frame in full, makes I420 of
it and runs its motion detector. Both get the same tray and the same things. Times count from the moment at which the first pixel
of a thing is in the picture to the capture of the frame that raised the alert.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import cv2
import numpy as np

from bin_daemon.app.watchfulness import Watchfulness
from bin_daemon.config.settings import CameraSettings, PlacementSettings
from bin_daemon.domain import Frame, Image, Placement
from bin_daemon.placement import Detector
from bin_daemon.placement.states import State
from bin_daemon.sensing import Pace, Slot
from bin_daemon.sensing.decode import to_grey8
from bin_daemon.sensing.v4l2 import V4l2Camera
from bin_daemon.sim.photos import load_photos
from bin_daemon.sim.playback import Player
from bin_daemon.sim.scene import Scene
from tests.benchmarks.figures import Figure, in_turns, paired
from tests.benchmarks.still_life import HEIGHT, SHUT, WIDTH, Device, to_jpeg, to_yuyv
from tests.scenes.peers.frigate import FrigateMotion, luma_of_jpeg, luma_of_yuyv

PEER_FPS = 30.0
Format = Literal["MJPG", "YUYV"]
AIM = "<= 0.12"
PEER = "Frigate's path, 30 fps"
EMPTIES = 32
"""Different pictures of the empty tray: their sizes must vary as a camera's do."""
CALM_S = 8.0
"""Long enough to learn the tray, to be idle, and to know the usual sizes of its pictures."""
PLAIN_PX = 61
"""A thing's own brightness follows the tray's mean over so many pixels: it has the tray's light and none of its texture."""
LONGEST_S = 1.2
"""A thing that was not noticed by then was not seen."""

CAMERAS: dict[str, dict[str, Any]] = {
    "MJPG 15 fps": {"fps": 15},
    "MJPG 30 fps": {"fps": 30},
    "MJPG 30 fps, all looked at": {"fps": 30, "idle_fps": 120},
    "YUYV 15 fps": {"pixel_format": "YUYV", "fps": 15},
    "YUYV 30 fps": {"pixel_format": "YUYV", "fps": 30},
}
"""Settings. The third shows what the price of the last frame's delay would be."""
SEES = "MJPG 15 fps"
"""Which of them looks for lying items."""
SIDES_PX = (20, 28, 40, 56)
CONTRASTS_GREY = (-40, -20, -10, 10, 20, 40)
PLACES = ((0.3, 0.3), (0.7, 0.35), (0.4, 0.7), (0.62, 0.66))


@dataclass(frozen=True, slots=True)
class Thing:
    """A plain ellipse, comes in from the left edge at ``speed`` px/s and stops at ``stop_x``; it came into view at ``from_s``."""

    width: int
    height: int
    grey: int
    """Grey levels off the tray's own mean around it."""
    stop_x: float
    y: float
    speed: float = 0.0
    """0: it lies there at once."""
    from_s: float = 0.0

    def x(self, t_s: float) -> float:
        """Its middle."""
        return min(self.speed * (t_s - self.from_s) - self.width / 2, self.stop_x) if self.speed else self.stop_x


class Tray:
    """Pictures of one empty tray, with sensor noise, and the JPEGs of them."""

    def __init__(self, seed: int = 5, count: int = EMPTIES) -> None:
        player = Player(Scene(load_photos("drawn").items, seed, size_hw=(HEIGHT, WIDTH), count=0))
        self.empty: list[Image] = []
        for _ in range(count):
            player.wait(1 / 15)
            self.empty.append(player.picture)
        self.jpegs = [to_jpeg(x) for x in self.empty]
        self.yuyvs = [to_yuyv(x) for x in self.empty]
        self._mean = np.asarray(np.mean(self.empty, axis=0), np.int16)
        self._plain = np.asarray(cv2.blur(self._mean, (PLAIN_PX, PLAIN_PX)), np.int16)

    def buffer(self, pixel_format: Format, number: int, thing: Thing | None = None, t_s: float = 0.0) -> Image:
        """What the camera sends as its frame ``number``."""
        number = number * 7 % len(self.empty)  # another order than they were taken in: light does not drift on
        ready, make = (self.jpegs, to_jpeg) if pixel_format == "MJPG" else (self.yuyvs, to_yuyv)
        if thing is None or t_s < thing.from_s:
            return ready[number]
        return np.asarray(make(self._with(self.empty[number], thing, thing.x(t_s))), np.uint8)

    def _with(self, empty: Image, thing: Thing, x: float) -> Image:
        """The thing hides the tray's texture; the sensor's noise stays."""
        picture: Image = empty.copy()
        left, right = max(0, int(x - thing.width / 2) - 1), max(0, int(x + thing.width / 2) + 2)
        top, bottom = max(0, int(thing.y - thing.height / 2) - 1), int(thing.y + thing.height / 2) + 2
        window = (slice(top, bottom), slice(left, right))
        if not picture[window].size:
            return picture
        mask = np.zeros(picture[window].shape[:2], np.uint8)
        middle, axes = (round((x - left) * 16), round((thing.y - top) * 16)), (thing.width * 8, thing.height * 8)
        cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, cv2.FILLED, cv2.LINE_AA, shift=4)
        share = mask[:, :, None].astype(np.float32) / 255
        noise = empty[window].astype(np.int16) - self._mean[window]
        look = (1 - share) * self._mean[window] + share * (self._plain[window] + thing.grey) + noise
        picture[window] = np.clip(look, 0, 255).astype(np.uint8)
        return picture


class Ours:
    """The product's camera, detector and pace rule."""

    def __init__(self, tray: Tray, settings: CameraSettings) -> None:
        self.now_s = 100.0
        self.frames = 0
        """Frames of the camera."""
        self.looked = 0
        """Frames that the detector saw."""
        self.placed: Placement | None = None
        """The latest."""
        self.thing: Thing | None = None
        self.slot = Slot()
        self._tray = tray
        self._fps = settings.fps
        self._format = cast("Format", settings.pixel_format)
        device = _Stream(self._format, (), self._tick, self._buffer)
        camera = V4l2Camera(
            settings, "bench", lambda: self.slot.pace, capture=lambda _: device, clock=lambda: self.now_s
        )
        self._read: Callable[[], Frame] = camera.open().__enter__()
        self._detector = Detector(PlacementSettings(), lambda: "item")
        self._rule = Watchfulness(settings.idle_after_s)

    def _tick(self) -> None:
        self.frames += 1
        self.now_s += 1 / self._fps

    def _buffer(self) -> Image:
        return self._tray.buffer(self._format, self.frames, self.thing, self.now_s)

    def step(self) -> bool:
        """One turn of the line; True when the tray is not known as empty and still after it."""
        frame = self._read()
        self.placed = self._detector.update(frame, SHUT) or self.placed
        self.slot.pace = self._rule.after(self._detector.state, frame.t_s)
        self.looked += 1
        return self._detector.state is not State.EMPTY

    def calm(self) -> None:
        """Until it has been idle for a while; raises RuntimeError when it does not come to rest."""
        self.thing, end_s = None, self.now_s + 60
        while self.slot.pace is Pace.ALERT:
            self.step()
            if self.now_s > end_s:
                raise RuntimeError(f"the tray is empty, the detector says {self._detector.state.value}")
        rest_s = self.now_s + 1.5  # and until the usual sizes are known
        while self.now_s < rest_s:
            self.step()

    def notices(self, thing: Thing, rng: np.random.Generator) -> float | None:
        """Seconds from the thing's coming to the alert; None: not seen."""
        self.calm()
        from_s = self.now_s + float(rng.uniform(0, 1))
        self.thing = replace(thing, from_s=from_s)
        while self.now_s < from_s + LONGEST_S:
            if self.step() and self.now_s >= from_s:
                return self.now_s - from_s
        return None

    def places(self, thing: Thing, rng: np.random.Generator) -> float | None:
        """Seconds from the thing's coming to rest to the placement; None: not placed."""
        self.calm()
        self.placed = None
        self.thing = replace(thing, from_s=self.now_s + float(rng.uniform(0, 1)))
        rest_s = self.thing.from_s + (thing.stop_x + thing.width / 2) / thing.speed
        while self.placed is None and self.now_s < rest_s + LONGEST_S:
            self.step()
        return self.placed.t_s - rest_s if self.placed else None


class Theirs:
    """Frigate's path."""

    def __init__(self, tray: Tray, pixel_format: Format = "MJPG") -> None:
        self._tray = tray
        self._format: Format = pixel_format
        self._luma = luma_of_jpeg if pixel_format == "MJPG" else luma_of_yuyv
        self._calm = FrigateMotion((WIDTH, HEIGHT))
        for number in range(round(CALM_S * PEER_FPS)):
            self._calm.update(self._luma(tray.buffer(pixel_format, number)))

    def watch(self, frames: int) -> None:
        """Of an empty tray; raises RuntimeError for motion."""
        for number in range(frames):
            if self._calm.update(self._luma(self._tray.buffer(self._format, number))):
                raise RuntimeError("the tray is empty, the peer says motion")

    def notices(self, thing: Thing, rng: np.random.Generator) -> float | None:
        """Seconds from the thing's coming to the alert; None: not seen."""
        motion = copy.deepcopy(self._calm)
        t_s = float(rng.uniform(0, 1 / PEER_FPS))
        number = 0
        while t_s < LONGEST_S:
            if motion.update(self._luma(self._tray.buffer(self._format, number, thing, t_s))):
                return t_s
            t_s += 1 / PEER_FPS
            number += 1
        return None


class _Stream(Device):
    """Shows what is on the tray when the frame is due."""

    def __init__(
        self, pixel_format: Format, buffers: tuple[Image, ...], wait: Callable[[], None], buffer: Callable[[], Image]
    ) -> None:
        super().__init__(pixel_format, buffers, wait)
        self._shown = buffer

    def buffer(self) -> Image:
        """See `Device.buffer`."""
        return self._shown()


def measure(rounds: int, seconds: float, arrivals: int, places: int) -> tuple[list[Figure], dict[str, Any]]:
    """``rounds`` rounds of so many seconds of watching; ``arrivals`` things that come in; things that lie at ``places``."""
    tray = Tray()
    ours = {name: Ours(tray, CameraSettings.model_validate(settings)) for name, settings in CAMERAS.items()}
    theirs: dict[Format, Theirs] = {"MJPG": Theirs(tray), "YUYV": Theirs(tray, "YUYV")}
    figures, extra = _cost(ours, theirs, rounds, seconds)
    for name, makes in ARRIVALS.items():
        figures += _arrivals(name, makes, ours, theirs["MJPG"], arrivals)
    seen, extra["seen"] = _seen(ours[SEES], theirs["MJPG"], PLACES[:places])
    return [*figures, _placed(tray, arrivals), *seen, _fading(tray)], extra


def _cost(
    ours: dict[str, Ours], theirs: dict[Format, Theirs], rounds: int, seconds: float
) -> tuple[list[Figure], dict[str, Any]]:
    runs: dict[str, Callable[[], float]] = {name: partial(_watch_ours, x, seconds) for name, x in ours.items()}
    runs |= {name: partial(_watch_theirs, x, seconds) for name, x in theirs.items()}
    for x in ours.values():
        x.calm()
    before = {name: (x.looked, x.now_s) for name, x in ours.items()}
    found = in_turns(rounds, runs)
    rates = {name: (x.looked - before[name][0]) / (x.now_s - before[name][1]) for name, x in ours.items()}
    figures = [
        paired(f"idle watching, {name}", "ms CPU/s", found[name], found[name[:4]], against=PEER, aim=AIM)
        for name in ours
    ]
    return figures, {"frames_looked_at_a_second": rates}


def _placed(tray: Tray, count: int) -> Figure:
    """Whether an idle camera delays anything: small things thrown in, from rest to placement, beside a camera never idle."""
    found = []
    for idle_fps in (CameraSettings().idle_fps, CameraSettings().fps):
        line = Ours(tray, CameraSettings(idle_fps=idle_fps))
        things = [replace(_thrown(np.random.default_rng((1, n))), grey=30 if n % 2 else -30) for n in range(count)]
        found.append([_late(line.places(x, np.random.default_rng((3, n)))) for n, x in enumerate(things)])
    return paired("a small item is thrown in: rest to placement", "ms", *found, against="ours, never idle", aim="1")


def _fading(tray: Tray) -> Figure:
    """The light fades by a quarter within two seconds, nothing else happens: how many frames stay without an alert."""
    detector, peer = Detector(PlacementSettings(), lambda: "item"), FrigateMotion((WIDTH, HEIGHT))
    alerts = [0, 0]
    for number in range(round((CALM_S + 2) * PEER_FPS)):
        t_s = number / PEER_FPS
        fade = 1 - 0.125 * max(0.0, t_s - CALM_S)
        picture = np.asarray(tray.empty[number % len(tray.empty)] * fade, np.uint8)
        boxes = peer.update(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8))
        detector.update(Frame(number, t_s, WIDTH, HEIGHT, to_grey8(picture), lambda: tray.empty[0]), SHUT)
        if t_s >= CALM_S:
            alerts[0] += detector.state is not State.EMPTY
            alerts[1] += bool(boxes) or peer.calibrating
    ours, theirs = (60 - x for x in alerts)
    name = "frames without an alert while the light fades by 25 % in 2 s"
    return Figure(name, "of 60", ours, 60, PEER, theirs, ours / theirs if theirs else None, ">= 1")


def _watch_ours(ours: Ours, seconds: float) -> float:
    began, end_s = time.process_time(), ours.now_s + seconds
    while ours.now_s < end_s:
        if ours.step():
            raise RuntimeError("the tray is empty, the detector says otherwise")
    return (time.process_time() - began) * 1000 / seconds


def _watch_theirs(theirs: Theirs, seconds: float) -> float:
    began = time.process_time()
    theirs.watch(round(seconds * PEER_FPS))
    return (time.process_time() - began) * 1000 / seconds


def _hand(rng: np.random.Generator) -> Thing:
    """A forearm: 90 to 150 px wide, 8 to 60 grey levels off the tray, at 0.8 to 1.6 frame widths per second."""
    grey = int(rng.integers(8, 60)) * int(rng.choice((-1, 1)))
    speed = float(rng.uniform(0.8, 1.6)) * WIDTH
    return Thing(700, int(rng.integers(90, 150)), grey, 300, float(rng.uniform(0.3, 0.7)) * HEIGHT, speed)


def _thrown(rng: np.random.Generator) -> Thing:
    """A small item without a hand: 40 to 70 px, 8 to 60 grey levels, at 1 to 2 frame widths per second, stays in the middle."""
    side, grey = int(rng.integers(40, 70)), int(rng.integers(8, 60)) * int(rng.choice((-1, 1)))
    speed = float(rng.uniform(1.0, 2.0)) * WIDTH
    return Thing(side, side, grey, float(rng.uniform(0.3, 0.6)) * WIDTH, float(rng.uniform(0.3, 0.7)) * HEIGHT, speed)


ARRIVALS = {"a hand comes in": _hand, "a small item is thrown in": _thrown}


def _arrivals(
    name: str, make: Callable[[np.random.Generator], Thing], ours: dict[str, Ours], theirs: Theirs, count: int
) -> list[Figure]:
    things = [make(np.random.default_rng((1, n))) for n in range(count)]
    peer = [_late(theirs.notices(thing, np.random.default_rng((2, n)))) for n, thing in enumerate(things)]
    figures = []
    for camera, x in ours.items():
        own = [_late(x.notices(thing, np.random.default_rng((3, n)))) for n, thing in enumerate(things)]
        for word, share in (("half of all", 50), ("95 %", 95)):
            mine, other = float(np.percentile(own, share)), float(np.percentile(peer, share))
            about = f"{name}, {camera}: {word} noticed within"
            figures.append(Figure(about, "ms", mine, count, PEER, other, mine / other, "<= 1"))
    return figures


def _late(seconds: float | None) -> float:
    """Milliseconds; what was not seen counts as seen at the very end."""
    return 1000 * (LONGEST_S if seconds is None else seconds)


def _seen(
    ours: Ours, theirs: Theirs, places: tuple[tuple[float, float], ...]
) -> tuple[list[Figure], dict[str, dict[str, list[int]]]]:
    """How many things of each size and contrast are noticed where they lie."""
    table: dict[str, dict[str, list[int]]] = {"ours": {}, "peer": {}}
    rng = np.random.default_rng(7)
    for grey in CONTRASTS_GREY:
        for who, notices in (("ours", ours.notices), ("peer", theirs.notices)):
            table[who][f"{grey:+d}"] = [
                sum(notices(Thing(side, side, grey, x * WIDTH, y * HEIGHT), rng) is not None for x, y in places)
                for side in SIDES_PX
            ]
    mine, other = (sum(map(sum, table[who].values())) for who in ("ours", "peer"))
    of = len(places) * len(SIDES_PX) * len(CONTRASTS_GREY)
    name = f"lying items of {SIDES_PX[0]} to {SIDES_PX[-1]} px seen, 10 to 40 grey levels off the tray"
    return [Figure(name, f"of {of}", mine, of, PEER, other, mine / other if other else None, ">= 1")], table
