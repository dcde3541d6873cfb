"""Camera, detector and pace together: an idle line notices what comes within its turn, places it once, and idles again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import simplejpeg

from bin_daemon.app.watchfulness import Watchfulness
from bin_daemon.config.settings import CameraSettings, PlacementSettings
from bin_daemon.domain import LidsState
from bin_daemon.placement import Detector
from bin_daemon.placement.states import State
from bin_daemon.sensing import Pace, Slot
from bin_daemon.sensing.v4l2 import V4l2Camera

if TYPE_CHECKING:
    from bin_daemon.domain import Image

FPS = 30.0
WIDTH, HEIGHT = 320, 240
TURN_FRAMES = 3
"""Of 30 frames a second, at 12 looks a second, every third one is looked at whatever it shows."""
SPARE = 61
NOISE = np.random.default_rng(1).normal(8, 2, (HEIGHT + SPARE, WIDTH + SPARE)).clip(0, 16).astype(np.uint8)
NO_LIDS = LidsState(connected=False, lids={}, capabilities=frozenset())


def _tray() -> Image:
    coarse = np.random.default_rng(5).integers(70, 130, (30, 40), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


@dataclass
class Device:
    """A V4L2 device over a textured tray; ``item`` lies on it from the moment it is set."""

    fourcc: str
    item: bool = False
    now_s: float = 50.0
    frames: int = 0
    tray: Image = field(default_factory=_tray)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """It is there."""
        return True

    def set(self, propId: int, value: float) -> bool:  # noqa: N803 - OpenCV's name
        """It is as it is."""
        return False

    def get(self, propId: int) -> float:  # noqa: N803 - OpenCV's name
        """What is asked of a V4L2 device."""
        return {
            cv2.CAP_PROP_FOURCC: float(int.from_bytes(self.fourcc.encode(), "little")),
            cv2.CAP_PROP_POS_MSEC: self.now_s * 1000,
            cv2.CAP_PROP_FRAME_WIDTH: float(WIDTH),
            cv2.CAP_PROP_FRAME_HEIGHT: float(HEIGHT),
        }[propId]

    def grab(self) -> bool:
        """One frame period passes."""
        self.now_s += 1 / FPS
        self.frames += 1
        return True

    def retrieve(self, image: Image | None = None, /) -> tuple[bool, Image]:
        """The tray with noise of this frame's own."""
        x, y = self.frames * 7 % SPARE, self.frames * 11 % SPARE
        noise = NOISE[y : y + HEIGHT, x : x + WIDTH]
        grey = self.tray + noise
        if self.item:
            grey[90:150, 130:190] = 200 + noise[90:150, 130:190]
        if self.fourcc == "GREY":
            return True, grey
        return True, np.frombuffer(simplejpeg.encode_jpeg(grey[..., None], 85, "GRAY"), np.uint8)

    def release(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("fourcc", "turn_frames"), [("MJPG", TURN_FRAMES), ("GREY", 1)])
def test_an_idle_line_notices_places_once_and_idles_again(fourcc: str, turn_frames: int) -> None:
    """An item appears between two looks: noticed by the next turn, by the very next frame of an uncompressed camera."""
    device, slot, placed = Device(fourcc), Slot(), []
    settings = CameraSettings.model_validate(
        {"pixel_format": fourcc, "fps": FPS, "idle_fps": 12, "width": WIDTH, "height": HEIGHT}
    )
    camera = V4l2Camera(settings, "fake", lambda: slot.pace, capture=lambda _: device, clock=lambda: device.now_s)
    detector, watch = Detector(PlacementSettings(), lambda: "item"), Watchfulness(settings.idle_after_s)
    with camera.open() as read:

        def turn() -> State:
            frame = read()
            if placement := detector.update(frame, NO_LIDS):
                placed.append(placement)
            slot.pace = watch.after(detector.state, frame.t_s)
            return detector.state

        def until(pace: Pace, for_s: float) -> None:
            end_s = device.now_s + 30
            while slot.pace is not pace and device.now_s < end_s:
                turn()
            end_s = device.now_s + for_s
            while device.now_s < end_s:
                turn()
            assert slot.pace is pace

        for visit in range(2):
            until(Pace.IDLE, 1.5 + visit / FPS)
            before, device.item = device.frames, True
            while turn() is State.EMPTY:
                assert device.frames - before < turn_frames
            assert device.frames - before <= turn_frames
            end_s = device.now_s + 2
            while device.now_s < end_s:
                turn()
            device.item = False
            assert len(placed) == visit + 1
        until(Pace.IDLE, 0.0)
