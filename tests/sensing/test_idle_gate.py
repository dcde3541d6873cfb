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
from bin_daemon.sensing.gate import Gate
from bin_daemon.sensing.hints import LEARN_FRAMES, Glance, Sizes
from bin_daemon.sensing.raw import luma_grey8
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
        self.reads = self.copies = self.spared = 0
        self.age_s = 0.01
        self.lost: Callable[[int], bool] = lambda _: False
        self.old: Callable[[int], bool] = lambda _: False
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
            cv2.CAP_PROP_POS_MSEC: (self.now_s - (3.0 if self.old(self.reads) else self.age_s)) * 1000,
            cv2.CAP_PROP_FRAME_WIDTH: float(WIDTH),
            cv2.CAP_PROP_FRAME_HEIGHT: float(HEIGHT),
        }[propId]

    def grab(self) -> bool:
        """One frame period passes."""
        self.reads += 1
        self.now_s += 1 / FPS
        return True

    def retrieve(self, image: Image | None = None, /) -> tuple[bool, Image]:
        """As OpenCV: into ``image`` where it is of the same shape."""
        self.copies += 1
        if self.lost(self.reads):
            return False, np.zeros(0, np.uint8)
        made = self.make(self.reads)
        if image is None or image.shape != made.shape:
            return True, made.copy()
        self.spared += 1
        image[...] = made
        return True, image

    def release(self) -> None:
        """Nothing to close."""


def _grey8_of(packed: Image) -> Image:
    return luma_grey8(packed[..., 0])


def _jpeg(grey: Image) -> Image:
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(np.dstack([grey] * 3)), 85, "BGR")
    return np.frombuffer(data, np.uint8)


def camera(stream: Stream, line: Line, **settings: object) -> V4l2Camera:
    """The product's camera on that stream."""
    made = CameraSettings.model_validate({"pixel_format": stream.fourcc, "width": WIDTH, "height": HEIGHT, **settings})
    return V4l2Camera(made, "fake", line, capture=lambda _: stream, clock=stream.clock)


def gate(line: Line, **settings: object) -> Gate:
    """A gate of a camera of 15 frames per second, with hints by size."""
    return Gate(CameraSettings.model_validate({"fps": FPS, **settings}), line, Sizes())


def bytes_of(size: float) -> Image:
    """A buffer that has nothing but its size."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (max(1, int(size)),), (0,))


def test_an_idle_camera_streams_on_and_decodes_five_a_second() -> None:
    """Ten idle seconds: the device is drained at its own rate, five frames a second are handed on, each the newest one."""
    stream = Stream("MJPG")
    with camera(stream, Line(), idle_fps=5).open() as read:
        frames = []
        while stream.now_s < 110.0:
            frames.append(read())
            assert stream.now_s - frames[-1].t_s <= stream.age_s + 1e-9
    assert stream.reads == pytest.approx(150, abs=3)
    assert 35 <= len(frames) <= 55
    assert frames[-1].seq == stream.reads - 1  # what was passed over counts as well: the camera's rate can be told


def test_nothing_is_decoded_in_full_while_nothing_is_classified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty seconds, idle and alert: grey blocks only; the one frame whose picture is asked for is decoded once."""
    stream, line = Stream("MJPG"), Line()
    found = camera(stream, line)
    whole, small = found.decoder.bgr, found.decoder.grey8
    calls = {"whole": 0, "small": 0}

    def counted(name: str, decode: Callable[[Image], Image]) -> Callable[[Image], Image]:
        def call(data: Image) -> Image:
            calls[name] += 1
            return decode(data)

        return call

    monkeypatch.setattr(found.decoder, "bgr", counted("whole", whole))
    monkeypatch.setattr(found.decoder, "grey8", counted("small", small))
    with found.open() as read:
        frames = []
        while stream.now_s < 120.0:
            line.pace = Pace.IDLE if stream.now_s < 110 else Pace.ALERT
            frames.append(read())
        assert calls == {"whole": 0, "small": len(frames)}
        assert frames[-1].bgr().shape == (HEIGHT, WIDTH, 3)
    assert calls["whole"] == 1


def test_idle_yuyv_frames_are_glanced_at_and_passed_over() -> None:
    """A third of the budget is looked at; the rest is not even given memory of its own, and what was handed on keeps its."""
    stream = Stream("YUYV")
    with camera(stream, Line(), idle_fps=9).open() as read:
        frames = []
        while stream.now_s < 120.0:
            frames.append(read())
    assert 40 <= len(frames) <= 75
    assert stream.spared >= stream.copies - 2 * len(frames)
    for frame in frames[-5:]:
        assert np.array_equal(frame.bgr()[..., 1].shape, (HEIGHT, WIDTH))
        assert np.array_equal(frame.grey8, _grey8_of(stream.make(frame.seq + 1)))


def test_a_thing_is_seen_in_the_next_yuyv_frame() -> None:
    """Three centimetres of a tray's 45 in the middle of an idle pause: no frame passes over it."""

    def make(number: int) -> Image:
        packed = Stream("YUYV").still(number)
        if number >= 70:
            packed[20:26, 40:46, 0] += 30
        return packed

    stream = Stream("YUYV", make)
    with camera(stream, Line(), idle_fps=1).open() as read:
        while stream.reads < 70:
            last = read()
    assert stream.reads == 70
    assert last.t_s == pytest.approx(stream.now_s - stream.age_s)


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


def test_damage_in_frames_that_nobody_looks_at_goes_no_further() -> None:
    """Every second frame has lost a part, at its full size: none is handed on, and those that are can be classified."""

    def make(number: int) -> Image:
        whole: Image = Stream("MJPG").still(number).copy()
        if number % 2:
            whole[whole.size // 2 : whole.size // 2 + 200] = 0
        return whole

    stream = Stream("MJPG", make)
    found = camera(stream, Line(), idle_fps=5)
    with found.open() as read:
        frames = [read() for _ in range(40)]
    assert all((frame.bgr() > 0).any() for frame in frames)
    assert found.decoder.damaged > 0


def test_old_buffers_now_and_then_are_no_failure_while_idle() -> None:
    """At one look a second many frames pass between two looks: old ones among them are no row of unusable frames."""
    stream = Stream("MJPG")
    stream.old = lambda number: number % 5 < 3
    found = camera(stream, Line(), idle_fps=1)
    with found.open() as read:
        [read() for _ in range(20)]
    assert found.stale > MAX_DROPS


def test_a_buffer_that_the_driver_cannot_give_is_dropped() -> None:
    """OpenCV may wait in vain for a picture it has just announced: the next one will do, a second of nothing else will not."""
    stream = Stream("MJPG")
    stream.lost = lambda number: number in {3, 4}
    with camera(stream, Line(Pace.ALERT)).open() as read:
        assert [read().seq for _ in range(4)] == [0, 1, 2, 3]
        stream.lost = lambda _: True
        with pytest.raises(DeviceError, match="no picture"):
            read()


def test_no_clock_keeps_a_gate_shut() -> None:
    """Capture times that stand still or run back: every frame is wanted."""
    idle = gate(Line())
    assert [idle.opens(t_s) for t_s in (5.0, 5.0, 5.0, 4.0, 1.0)] == [True] * 5


def test_a_camera_slower_than_the_idle_rate_is_not_slowed_further() -> None:
    """Four frames per second with an idle rate of five: all of them."""
    idle = Gate(CameraSettings(fps=4, idle_fps=5), Line())
    assert all(idle.opens(n / 4) for n in range(20))


def test_an_idle_rate_beyond_the_camera_s_looks_at_every_frame() -> None:
    """This is how idling is switched off: nothing is passed over, with hints or without."""
    for hint in (None, Sizes(), Glance()):
        idle = Gate(CameraSettings(fps=30, idle_fps=120), Line(), hint)
        raw = np.zeros((HEIGHT, WIDTH), np.uint8)
        assert all(idle.opens(n / 30, raw) for n in range(60))


def test_jitter_does_not_cost_a_period() -> None:
    """Frames that come 20 ms early or late still give five a second."""
    idle, rng = Gate(CameraSettings(fps=FPS, idle_fps=5), Line()), np.random.default_rng(0)
    opened = sum(idle.opens(n / FPS + float(rng.uniform(-0.02, 0.02))) for n in range(1500))
    assert opened == pytest.approx(500, abs=25)


def test_the_rate_that_counts_is_the_camera_s_own() -> None:
    """Asked for 15 frames a second it sends 30, or in dim light 8: five a second are looked at all the same."""
    for fps in (8, 30):
        idle = Gate(CameraSettings(fps=15, idle_fps=5), Line())
        opened = [idle.opens(n / fps) for n in range(60 * fps)]
        assert 3.9 <= sum(opened[5 * fps :]) / 55 <= 5.1


@pytest.mark.parametrize("fps", [10, 15, 25, 30, 60])
@pytest.mark.parametrize("restless", [False, True])
def test_the_budget_is_kept_in_any_weather(fps: int, *, restless: bool) -> None:
    """Sizes that are white noise, or that swing with a lamp's flicker: not more looks than allowed, and not half as many."""
    idle, rng = Gate(CameraSettings(fps=fps, idle_fps=9), Line(), Sizes()), np.random.default_rng(fps)
    opened = 0
    for n in range(60 * fps):
        size = 100_000 + rng.normal(0, 120) + (6000 * np.sin(2 * np.pi * 3.3 * n / fps) if restless else 0)
        opened += idle.opens(n / fps, bytes_of(size))
    assert 0.55 * 9 <= opened / 60 <= 1.12 * 9


def test_sizes_score_a_change_in_spreads_of_their_noise() -> None:
    """Noise of a thousandth of the size scores about one; a step of one per cent scores far more than any of it."""
    sizes, rng = Sizes(), np.random.default_rng(3)
    scores = [sizes.score_size(int(160_000 + rng.normal(0, 160))) for _ in range(3000)]
    assert scores[:LEARN_FRAMES] == [0.0] * LEARN_FRAMES
    assert 0.6 <= float(np.mean(scores[100:])) <= 1.0
    assert sizes.score_size(161_600) > max(scores)


def test_a_new_size_becomes_the_usual_one() -> None:
    """Another light changes the size for good: after a few seconds it is no hint any more. One lost frame changes nothing."""
    sizes, rng = Sizes(), np.random.default_rng(4)
    [sizes.score_size(int(100_000 + rng.normal(0, 50))) for _ in range(100)]
    sizes.score_size(500)
    assert max(sizes.score_size(int(100_000 + rng.normal(0, 50))) for _ in range(20)) < 6
    scores = [sizes.score_size(int(120_000 + rng.normal(0, 50))) for _ in range(200)]
    assert scores[0] > 30
    assert max(scores[150:]) < 6


def test_light_is_no_thing_for_a_glance_and_a_thing_is() -> None:
    """An exposure that steps scores as noise does; a patch of 6 x 6 pixels on a picture of 96 x 64 scores far above it."""
    glance, stream = Glance(), Stream("YUYV")

    def still(number: int) -> Image:
        return stream.still(number)[..., 0]

    noise = [glance.score(still(n)) for n in range(200)]
    step = [glance.score(still(n) + np.uint8(9)) for n in range(200, 240)]
    assert max(step) < 2 * max(noise[50:])
    luma = still(240)
    luma[20:26, 40:46] += 40
    assert glance.score(luma) > 1.5 * max(*noise[50:], *step)


def test_a_glance_at_another_size_learns_anew() -> None:
    """The picture's size has changed: no score, and no failure."""
    glance, stream = Glance(), Stream("YUYV")
    [glance.score(stream.still(n)[..., 0]) for n in range(20)]
    assert glance.score(np.zeros((30, 40), np.uint8)) == 0.0


def test_what_moved_before_is_no_measure_for_an_empty_tray() -> None:
    """Sizes are learnt anew when the line grows idle: the spread of a busy tray would hide the next hand."""
    line = Line(Pace.IDLE)
    found = gate(line, idle_fps=1)
    for n in range(60):
        found.opens(n / FPS, bytes_of(100_000 + 20_000 * (n % 2)))
    line.pace = Pace.ALERT
    assert found.opens(4.0, bytes_of(100_000))
    line.pace = Pace.IDLE
    opened = [found.opens(4.0 + n / FPS, bytes_of(100_000 + n % 3)) for n in range(1, LEARN_FRAMES + 2)]
    assert not any(opened)
    assert found.opens(4.0 + (LEARN_FRAMES + 2) / FPS, bytes_of(101_000))


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
    assert [f.seq for f in shown] == list(range(0, 30, 3))  # its own numbers
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
