"""What an idle line's camera leaves undone, and what wakes it: every camera, without a clock and without sleeping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import simplejpeg

from bin_daemon.config.settings import CameraSettings
from bin_daemon.domain import Frame
from bin_daemon.errors import DeviceError, EndOfFrames
from bin_daemon.sensing import Pace, open_camera
from bin_daemon.sensing.clip import ClipCamera
from bin_daemon.sensing.folder import FolderCamera
from bin_daemon.sensing.gate import LEARN_FRAMES, Gate, Sizes
from bin_daemon.sensing.v4l2 import MAX_DROPS, V4l2Camera

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bin_daemon.domain import Image

FPS = 15.0
WIDTH, HEIGHT = 96, 64


class Line:
    """Says how closely it wants to look."""

    def __init__(self, pace: Pace = Pace.IDLE) -> None:
        self.pace = pace

    def __call__(self) -> Pace:
        """As the slot's."""
        return self.pace


class Stream:
    """A V4L2 device at 15 frames per second whose buffers `make` gives by number; time is what its reads take."""

    def __init__(self, pixel_format: str, make: Callable[[int], Image] | None = None) -> None:
        self.fourcc = pixel_format
        self.now_s = 100.0
        self.reads = 0
        self.age_s = 0.01
        self.make = make or self.still

    def still(self, number: int) -> Image:
        """A tray that nothing happens on: a slope of grey, and noise."""
        noise = np.random.default_rng(number).integers(0, 10, (HEIGHT, WIDTH), dtype=np.uint8)
        noise += np.arange(60, 60 + WIDTH, dtype=np.uint8)
        if self.fourcc == "YUYV":
            return np.dstack([noise, noise])
        return _jpeg(noise)

    def clock(self) -> float:
        """Monotonic seconds."""
        return self.now_s

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
            cv2.CAP_PROP_POS_MSEC: (self.now_s - self.age_s) * 1000,
            cv2.CAP_PROP_FRAME_WIDTH: float(WIDTH),
            cv2.CAP_PROP_FRAME_HEIGHT: float(HEIGHT),
        }[propId]

    def read(self) -> tuple[bool, Image]:
        """One frame period passes."""
        self.reads += 1
        self.now_s += 1 / FPS
        return True, self.make(self.reads)

    def release(self) -> None:
        """Nothing to close."""


def _jpeg(grey: Image) -> Image:
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(np.dstack([grey] * 3)), 85, "BGR")
    return np.frombuffer(data, np.uint8)


def camera(stream: Stream, line: Line, **settings: object) -> V4l2Camera:
    """The product's camera on that stream."""
    made = CameraSettings.model_validate({"pixel_format": stream.fourcc, "width": WIDTH, "height": HEIGHT, **settings})
    return V4l2Camera(made, "fake", line, capture=lambda _: stream, clock=stream.clock)


def gate(line: Line, **settings: object) -> Gate:
    """A gate of a camera of 15 frames per second."""
    return Gate(CameraSettings.model_validate({"fps": FPS, **settings}), line)


def test_an_idle_camera_streams_on_and_decodes_five_a_second() -> None:
    """Ten idle seconds: the device is drained at its own rate, five frames a second are handed on, and each is the newest."""
    stream = Stream("MJPG")
    with camera(stream, Line(), idle_fps=5).open() as read:
        frames = []
        while stream.now_s < 110.0:
            frames.append(read())
            assert stream.now_s - frames[-1].t_s <= stream.age_s + 1e-9
    assert stream.reads == pytest.approx(150, abs=2)
    assert 49 <= len(frames) <= 62  # some sizes are unusual by chance


def test_yuyv_is_looked_at_whole() -> None:
    """It needs no decoding: an idle line sees all of it."""
    stream = Stream("YUYV")
    with camera(stream, Line(), idle_fps=1).open() as read:
        assert [read().seq for _ in range(5)] == list(range(stream.reads))


def test_waking_takes_one_frame_and_gives_a_fresh_one() -> None:
    """Alert in the middle of an idle pause: the very next frame of the device is handed on, and every one after it."""
    stream, line = Stream("MJPG"), Line()
    with camera(stream, line, idle_fps=1).open() as read:
        read()
        before = stream.reads
        line.pace = Pace.ALERT
        frames = [read() for _ in range(5)]
    assert stream.reads - before == 5
    assert frames[0].t_s == pytest.approx(stream.now_s - 4 / FPS - stream.age_s)


def test_a_hand_is_handed_on_before_its_turn() -> None:
    """Something with outlines comes in half a second before the next idle frame: its JPEG's size gives it away at once."""

    def make(number: int) -> Image:
        grey = Stream("MJPG").still  # noise of its own per frame
        picture = simplejpeg.decode_jpeg(grey(number), "GRAY")[:, :, 0]
        if number >= 40:
            picture[:24, :16] = np.random.default_rng(1).integers(0, 255, (24, 16))
        return _jpeg(picture)

    stream = Stream("MJPG", make)
    with camera(stream, Line(), idle_fps=1).open() as read:
        while stream.reads < 40:
            last = read()
    assert stream.reads == 40
    assert last.t_s == pytest.approx(stream.now_s - stream.age_s)


def test_a_damaged_idle_frame_is_replaced_by_the_next_one() -> None:
    """Nothing but damage while idle fails after as many frames as while alert, not after as many idle periods."""
    stream = Stream("MJPG", lambda _: np.zeros(500, np.uint8))
    with camera(stream, Line(), idle_fps=1).open() as read, pytest.raises(DeviceError, match="unusable frames"):
        read()
    assert stream.reads == MAX_DROPS


def test_stale_idle_frames_fail_as_soon_as_alert_ones() -> None:
    """A driver that hands out old buffers is found out while nobody looks as well."""
    stream = Stream("YUYV")
    stream.age_s = 3.0
    found = camera(stream, Line(), idle_fps=1)
    with found.open() as read, pytest.raises(DeviceError, match="3000 ms old"):
        read()
    assert (stream.reads, found.stale) == (MAX_DROPS, MAX_DROPS)


@pytest.mark.parametrize("pixel_format", ["MJPG", "YUYV"])
def test_a_frozen_camera_is_found_out_two_idle_frames_later_at_most(pixel_format: str) -> None:
    """Two alike make the camera look at every frame: 30 identical ones take the same two seconds as while alert."""
    stuck = Stream(pixel_format).still(7)
    stream = Stream(pixel_format)
    stream.make = lambda n: stuck if n > 30 else stream.still(n)
    with camera(stream, Line(), idle_fps=1).open() as read, pytest.raises(DeviceError, match="frozen"):
        [read() for _ in range(100)]
    seconds = (stream.reads - 30) / FPS
    assert seconds <= 30 / FPS + 2  # one idle frame to see it, one more to see it again


def test_no_clock_keeps_a_gate_shut() -> None:
    """Capture times that stand still or run back: every frame is wanted."""
    idle = gate(Line())
    assert [idle.opens(t_s) for t_s in (5.0, 5.0, 5.0, 4.0, 1.0)] == [True] * 5


def test_a_camera_slower_than_the_idle_rate_is_not_slowed_further() -> None:
    """Four frames per second with an idle rate of five: all of them."""
    idle = Gate(CameraSettings(fps=4, idle_fps=5), Line())
    assert all(idle.opens(n / 4) for n in range(20))


def test_jitter_does_not_cost_a_period() -> None:
    """Frames that come 20 ms early or late still give five a second."""
    idle, rng = gate(Line(), idle_fps=5), np.random.default_rng(0)
    opened = sum(idle.opens(n / FPS + float(rng.uniform(-0.02, 0.02))) for n in range(1500))
    assert opened == pytest.approx(500, abs=25)


def test_sizes_learn_an_empty_tray_and_give_few_false_hints() -> None:
    """Noise of a thousandth of the size: about one hint in twenty; a step of half a per cent is one at once."""
    sizes, rng = Sizes(), np.random.default_rng(3)
    false = sum(sizes.is_unusual(int(160_000 + rng.normal(0, 160))) for _ in range(3000))
    assert 60 <= false <= 210
    assert sizes.is_unusual(160_800)


def test_a_new_size_becomes_the_usual_one() -> None:
    """Another light changes the size for good: after a few seconds it is no hint any more."""
    sizes, rng = Sizes(), np.random.default_rng(4)
    for _ in range(100):
        sizes.is_unusual(int(100_000 + rng.normal(0, 50)))
    hints = [sizes.is_unusual(int(120_000 + rng.normal(0, 50))) for _ in range(200)]
    assert hints[0]
    assert sum(hints[100:]) <= 5


def test_what_moved_before_is_no_measure_for_an_empty_tray() -> None:
    """Sizes are learnt anew when the line grows idle: the spread of a busy tray would hide the next hand."""
    line = Line(Pace.IDLE)
    found = gate(line, idle_fps=1)
    for n in range(60):
        found.opens(n / FPS, 100_000 + 20_000 * (n % 2))
    line.pace = Pace.ALERT
    assert found.opens(4.0, 100_000)
    line.pace = Pace.IDLE
    opened = [found.opens(4.0 + n / FPS, 100_000 + n % 3) for n in range(1, LEARN_FRAMES + 2)]
    assert not any(opened)
    assert found.opens(4.0 + (LEARN_FRAMES + 2) / FPS, 101_000)


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def clock(self) -> float:
        """Seconds."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Let them pass."""
        self.now_s += seconds


def test_an_idle_clip_keeps_its_time_and_shows_a_third_of_it(tmp_path: Path) -> None:
    """Paced, 15 of its frames a second pass and five are shown, at their own times; unpaced, all are shown whatever the pace."""
    path = tmp_path / "idle.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for n in range(30):
        writer.write(np.full((HEIGHT, WIDTH, 3), 8 * n, np.uint8))
    writer.release()
    time = Time()
    shown = _all(ClipCamera(CameraSettings(idle_fps=5), str(path), Line(), clock=time.clock, wait=time.wait))
    assert [round(float(f.grey8.mean()) / 24) for f in shown] == list(range(10))
    assert np.diff([f.t_s for f in shown]) == pytest.approx(3 / FPS)
    assert [f.seq for f in shown] == list(range(10))
    assert len(_all(ClipCamera(CameraSettings(paced=False), str(path), Line()))) == 30


def test_an_idle_folder_shows_every_third_picture(tmp_path: Path) -> None:
    """One picture a frame, as a clip."""
    for n in range(9):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((HEIGHT, WIDTH), 20 * n, np.uint8))
    time = Time()
    settings = CameraSettings(fps=FPS, idle_fps=5)
    shown = _all(FolderCamera(settings, str(tmp_path), Line(), clock=time.clock, wait=time.wait))
    assert [int(f.bgr()[0, 0, 0]) for f in shown] == [0, 60, 120]


OWN_CAMERA = """
from contextlib import nullcontext
from itertools import count

import numpy as np

from bin_daemon.domain import Frame

class Camera:
    def __init__(self, settings):
        self.number = count()

    def open(self):
        return nullcontext(self.read)

    def read(self):
        n = next(self.number)
        grey8 = np.random.default_rng(n).integers(0, 255, (8, 8), dtype=np.uint8)
        return Frame(n, n / 15, 64, 64, grey8, lambda: grey8)
"""


def test_a_site_s_own_camera_is_thinned_by_its_own_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted path knows nothing of the pace; its frames between are read, checked and dropped."""
    (tmp_path / "idle_cams").mkdir()
    (tmp_path / "idle_cams" / "__init__.py").write_text("")
    (tmp_path / "idle_cams" / "own.py").write_text(OWN_CAMERA)
    monkeypatch.syspath_prepend(str(tmp_path))
    line = Line()
    with open_camera(CameraSettings(source="idle_cams.own:Camera", idle_fps=5), line).open() as read:
        assert [read().seq for _ in range(4)] == [0, 3, 6, 9]
        line.pace = Pace.ALERT
        assert [read().seq for _ in range(3)] == [10, 11, 12]


def _all(camera: ClipCamera | FolderCamera) -> list[Frame]:
    frames = []
    with camera.open() as read:
        try:
            while True:
                frames.append(read())
        except EndOfFrames:
            return frames
