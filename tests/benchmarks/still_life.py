"""Pictures of a tray as a USB camera sends them, and a V4L2 device that plays them: all above the driver is the product's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from bin_daemon.config.settings import CameraSettings
from bin_daemon.domain import Image, LidPosition, LidsState, LidState
from bin_daemon.sensing.v4l2 import V4l2Camera
from bin_daemon.sim.photos import load_photos
from bin_daemon.sim.playback import Player
from bin_daemon.sim.scene import Scene

HEIGHT, WIDTH, FPS = 720, 1280, 15.0
JPEG_QUALITY = 85
"""About 160 kB a frame, as webcams send at 720p."""
PICTURES = 8
"""Different ones of each kind: a camera that sends the same twice counts as frozen."""
SHUT = LidsState(
    connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)}, capabilities=frozenset()
)
"""What the controller reports all the while."""
FOLDER_VARIABLE = "BENCH_STILL_LIFE"
"""Tells `StillCamera` in another process where the pictures are."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """uint8 H x W x 3, BGR."""

    empty: tuple[Image, ...]
    item: tuple[Image, ...]


def take_pictures(seed: int = 5) -> Pictures:
    """An empty tray, and the same with an item at rest; sensor noise and light differ from picture to picture."""
    player = Player(Scene(load_photos("drawn").items, seed, size_hw=(HEIGHT, WIDTH), count=1))

    def take() -> Image:
        player.wait(1 / FPS)
        return player.picture

    empty = tuple(take() for _ in range(PICTURES))
    player.until_placed()
    return Pictures(empty, tuple(take() for _ in range(PICTURES)))


def to_jpeg(picture: Image) -> Image:
    """4:2:2, as nearly all USB cameras send."""
    import simplejpeg

    data = simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorspace="BGR", colorsubsampling="422")
    return np.frombuffer(data, np.uint8)


def to_yuyv(picture: Image) -> Image:
    """H x W x 2."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_YUYV), np.uint8)


class Device:
    """Stands for `cv2.VideoCapture`: plays ``buffers`` over and over. ``wait`` is called before each frame."""

    def __init__(
        self, pixel_format: Literal["MJPG", "YUYV"], buffers: Sequence[Image], wait: Callable[[], object]
    ) -> None:
        self.pixel_format: Literal["MJPG", "YUYV"] = pixel_format
        self.buffers = buffers
        self._wait = wait
        self._number = count()
        self._grabbed = np.zeros(0, np.uint8)
        self._properties: dict[int, float] = {
            cv2.CAP_PROP_FOURCC: int.from_bytes(pixel_format.encode(), "little"),
            cv2.CAP_PROP_FRAME_WIDTH: WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT: HEIGHT,
        }

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """It is there."""
        return True

    def set(self, propId: int, value: float) -> bool:  # noqa: N803 - OpenCV's name
        """It is as it is."""
        return False

    def get(self, propId: int) -> float:  # noqa: N803 - OpenCV's name
        """0 for what it does not know, such as the capture time: arrival counts then."""
        return self._properties.get(propId, 0.0)

    def grab(self) -> bool:
        """Wait for the next buffer."""
        self._wait()
        self._grabbed = self.buffer()
        return True

    def buffer(self) -> Image:
        """What the camera sends now."""
        return self.buffers[next(self._number) % len(self.buffers)]

    def retrieve(self, image: Image | None = None, /) -> tuple[bool, Image]:
        """Copied as OpenCV does."""
        if image is None or image.shape != self._grabbed.shape:
            return True, self._grabbed.copy()
        np.copyto(image, self._grabbed)
        return True, image

    def release(self) -> None:
        """Nothing to close."""


class Metronome:
    """Waits for the next tick of a frame rate."""

    def __init__(self, fps: float = FPS) -> None:
        self._period_s = 1 / fps
        self._due_s = time.monotonic()

    def __call__(self) -> None:
        """Sleep until it is time; ticks that were missed are left out, as a camera does."""
        now_s = time.monotonic()
        time.sleep(max(0.0, self._due_s - now_s))
        self._due_s = max(self._due_s, now_s) + self._period_s


def camera(device: Device, clock: Callable[[], float] = time.monotonic) -> V4l2Camera:
    """The product's camera on this device."""
    return V4l2Camera(CameraSettings(pixel_format=device.pixel_format), "bench", capture=lambda _: device, clock=clock)


def save_jpegs(folder: Path, buffers: Sequence[Image]) -> None:
    """For `StillCamera`."""
    for number, buffer in enumerate(buffers):
        (folder / f"{number}.jpg").write_bytes(buffer.tobytes())


class StillCamera:
    """``camera.source = tests.benchmarks.still_life:StillCamera``: an empty tray in MJPG at the set rate."""

    def __init__(self, settings: CameraSettings) -> None:
        files = sorted(Path(os.environ[FOLDER_VARIABLE]).glob("*.jpg"))
        buffers = [np.frombuffer(file.read_bytes(), np.uint8) for file in files]
        self._camera = camera(Device("MJPG", buffers, Metronome(settings.fps)))

    def open(self) -> Any:
        """As `bin_daemon.sensing.V4l2Camera.open`."""
        return self._camera.open()
