"""What it costs to watch an empty tray: processor time (all threads) for each 720p frame, ours and peers' in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import numpy as np

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Image
from bin_daemon.placement import Detector
from bin_daemon.placement.states import State
from bin_daemon.sensing.camera import ReadFrame
from bin_daemon.sim.playback import VirtualClock
from tests.benchmarks.figures import Figure, alone, in_turns, paired
from tests.benchmarks.still_life import FPS, SHUT, Device, Pictures, camera, to_jpeg, to_yuyv

AIM = "< 1"
LEARNING_FRAMES = 60
"""Four seconds: the tray is known, and everything is warm."""
MOTION_GREY = 12
Watch = Callable[[Image], object]


def measure(pictures: Pictures, rounds: int, frames: int) -> list[Figure]:
    """``rounds`` rounds of ``frames`` frames of each watcher."""
    jpegs, yuyvs = [to_jpeg(x) for x in pictures.empty], [to_yuyv(x) for x in pictures.empty]
    runs = {
        "ours MJPG": _ours("MJPG", jpegs, frames),
        "poller MJPG": _peer(_poller(_decode_jpeg), jpegs, frames),
        "MOG2 MJPG": _peer(_mog2(), jpegs, frames),
        "ours YUYV": _ours("YUYV", yuyvs, frames),
        "poller YUYV": _peer(_poller(_decode_yuyv), yuyvs, frames),
        "detector": _detector(pictures.empty, frames),
    }
    found = in_turns(rounds, runs)

    def beside(name: str, ours: str, peer: str, against: str) -> Figure:
        return paired(name, "ms CPU/frame", found[ours], found[peer], against=against, aim=AIM)

    poller = "OpenCV full decode + absdiff"
    return [
        beside("watching an empty tray, MJPG", "ours MJPG", "poller MJPG", poller),
        beside("watching an empty tray, MJPG", "ours MJPG", "MOG2 MJPG", "OpenCV full decode + MOG2"),
        beside("watching an empty tray, YUYV", "ours YUYV", "poller YUYV", poller),
        alone("  of that: the detector", "ms CPU/frame", found["detector"]),
    ]


def _ours(pixel_format: Literal["MJPG", "YUYV"], buffers: Sequence[Image], frames: int) -> Callable[[], float]:
    """Camera and detector of the product."""
    clock = VirtualClock()
    device = Device(pixel_format, buffers, lambda: clock.sleep(1 / FPS))
    read: ReadFrame = camera(device, clock.clock).open().__enter__()
    return _watching(read, frames)


def _detector(pictures: Sequence[Image], frames: int) -> Callable[[], float]:
    """The detector alone: the frames' small pictures are there already."""
    clock = VirtualClock()
    device = Device("YUYV", [to_yuyv(x) for x in pictures], lambda: clock.sleep(1 / FPS))
    with camera(device, clock.clock).open() as read:
        ready = [read() for _ in range(frames + LEARNING_FRAMES)]
    detector = Detector(PlacementSettings(), lambda: "item")
    for frame in ready[:LEARNING_FRAMES]:
        detector.update(frame, SHUT)

    def run() -> float:
        began = time.process_time()
        for frame in ready[LEARNING_FRAMES:]:
            detector.update(frame, SHUT)
        return _ms_each(began, frames)

    return run


def _watching(read: ReadFrame, frames: int) -> Callable[[], float]:
    detector = Detector(PlacementSettings(), lambda: "item")
    for _ in range(LEARNING_FRAMES):
        detector.update(read(), SHUT)

    def run() -> float:
        began = time.process_time()
        for _ in range(frames):
            detector.update(read(), SHUT)
        if detector.state is not State.EMPTY:
            raise RuntimeError(f"the tray is empty, the detector says {detector.state.value}")
        return _ms_each(began, frames)

    return run


def _peer(watch: Watch, buffers: Sequence[Image], frames: int) -> Callable[[], float]:
    for number in range(len(buffers)):
        watch(buffers[number % len(buffers)])

    def run() -> float:
        began = time.process_time()
        for number in range(frames):
            watch(buffers[number % len(buffers)])
        return _ms_each(began, frames)

    return run


def _poller(decode: Callable[[Image], Image]) -> Watch:
    """The usual script: decode as `cv2.VideoCapture` does, grey, difference to the last picture, count."""
    last: list[Image] = []

    def watch(buffer: Image) -> int:
        grey = np.asarray(cv2.cvtColor(decode(buffer), cv2.COLOR_BGR2GRAY), np.uint8)
        before = last.pop() if last else grey
        last.append(grey)
        return cv2.countNonZero(cv2.threshold(cv2.absdiff(before, grey), MOTION_GREY, 1, cv2.THRESH_BINARY)[1])

    return watch


def _mog2() -> Watch:
    model = cv2.createBackgroundSubtractorMOG2()
    return lambda buffer: cv2.countNonZero(model.apply(_decode_jpeg(buffer)))


def _decode_jpeg(buffer: Image) -> Image:
    return np.asarray(cv2.imdecode(buffer, cv2.IMREAD_COLOR), np.uint8)


def _decode_yuyv(packed: Image) -> Image:
    return np.asarray(cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_YUYV), np.uint8)


def _ms_each(began: float, frames: int) -> float:
    return (time.process_time() - began) * 1000 / frames
