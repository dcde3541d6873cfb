"""The USB camera against a fake OpenCV capture that lies as the real one was measured to lie."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import simplejpeg

from bin_daemon.config.settings import CameraSettings
from bin_daemon.errors import DeviceError
from bin_daemon.sensing.decode import to_grey8
from bin_daemon.sensing.raw import RAW_FORMATS
from bin_daemon.sensing.v4l2 import MAX_DROPS, V4l2Camera

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.domain import Image

WIDTH, HEIGHT = 320, 240
DEVICE = "/dev/v4l/by-id/usb-fake"


def picture(seed: int) -> Image:
    """A picture with structure, H x W x 3."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def jpeg(seed: int) -> bytes:
    """The same as a camera's JPEG (4:2:2)."""
    return bytes(simplejpeg.encode_jpeg(picture(seed), 85, "BGR", colorsubsampling="422"))


def _monotonic_ms(t_s: float) -> float:
    return t_s * 1000


@dataclass
class FakeCapture:
    """Plays ``script``: bytes or arrays are buffers, False is a failed read; ages say how old each buffer is."""

    script: list[object]
    fourcc: str = "MJPG"
    opened: bool = True
    ages_s: list[float] = field(default_factory=list)
    hang_s: float = 0.0
    stamps: Callable[[float], float] = _monotonic_ms
    now_s: float = 500.0
    reads: int = 0
    released: bool = False
    asked: dict[int, float] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    last_s: float = 0.0
    step: object = None

    def clock(self) -> float:
        """The fake monotonic clock."""
        return self.now_s

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """As OpenCV: stays True after an unplug."""
        return self.opened

    def set(self, propId: int, value: float) -> bool:  # noqa: N803 - OpenCV's name
        """Note what was asked for."""
        self.asked[propId] = value
        self.order.append(propId)
        return True

    def get(self, propId: int) -> float:  # noqa: N803 - OpenCV's name
        """Answer like a V4L2 device."""
        if propId == cv2.CAP_PROP_FOURCC:
            return float(int.from_bytes(self.fourcc.encode(), "little"))
        if propId == cv2.CAP_PROP_POS_MSEC:
            return float(self.stamps(self.last_s))
        return {cv2.CAP_PROP_FRAME_WIDTH: float(WIDTH), cv2.CAP_PROP_FRAME_HEIGHT: float(HEIGHT)}[propId]

    def grab(self) -> bool:
        """The next buffer, again and again the last one when the script is over."""
        self.step = self.script[min(self.reads, len(self.script) - 1)]
        age_s = self.ages_s[self.reads] if self.reads < len(self.ages_s) else 0.01
        self.reads += 1
        self.now_s += 1 / 15
        if self.step is False:
            self.now_s += self.hang_s
            return False
        self.last_s = self.now_s - age_s
        return True

    def retrieve(self, image: Image | None = None, /) -> tuple[bool, Image]:
        """A copy of it; None in the script is a buffer that OpenCV cannot give."""
        if self.step is None:
            return False, np.zeros(0, np.uint8)
        if isinstance(self.step, np.ndarray):
            return True, self.step.copy()
        return True, np.frombuffer(bytes(self.step), np.uint8).reshape(1, -1)  # type: ignore[call-overload]

    def release(self) -> None:
        """Note it."""
        self.released = True


def camera_of(fake: FakeCapture, **settings: object) -> V4l2Camera:
    """A camera on that capture."""
    made = CameraSettings.model_validate({"source": f"v4l2:{DEVICE}", "width": WIDTH, "height": HEIGHT, **settings})
    return V4l2Camera(made, DEVICE, capture=lambda _: fake, clock=fake.clock)


def test_jpeg_frames_are_read_with_their_capture_time() -> None:
    """Three buffers give three frames: numbers in order, capture time, 1/8 grey, and the full picture on demand."""
    fake = FakeCapture([jpeg(n) for n in range(3)], ages_s=[0.03] * 3)
    with camera_of(fake).open() as read:
        frames = [read() for _ in range(3)]
    assert [f.seq for f in frames] == [0, 1, 2]
    assert frames[2].t_s == pytest.approx(fake.now_s - 0.03)
    assert (frames[0].width, frames[0].height) == (WIDTH, HEIGHT)
    assert frames[0].grey8.shape == (HEIGHT // 8, WIDTH // 8)
    assert np.abs(frames[0].bgr().astype(int) - picture(0)).mean() < 12
    assert fake.released


def test_the_device_is_asked_for_format_first_and_raw_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Format before size, buffer of one, no conversion, and OpenCV's wait limited to the read time-out, rounded up."""
    monkeypatch.setenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "10")
    fake = FakeCapture([jpeg(0)])
    with camera_of(fake, read_timeout_s=1.2, fps=12).open():
        assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "2"
    assert fake.order.index(cv2.CAP_PROP_FOURCC) < fake.order.index(cv2.CAP_PROP_FRAME_WIDTH)
    assert fake.asked[cv2.CAP_PROP_CONVERT_RGB] == 0
    assert fake.asked[cv2.CAP_PROP_BUFFERSIZE] == 1
    assert fake.asked[cv2.CAP_PROP_FPS] == 12


def test_yuyv_is_read_without_decoding() -> None:
    """A YUYV buffer gives the mean luma of four pixels of each block as grey8 and BGR on demand."""
    yuyv = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 2), dtype=np.uint8)
    with camera_of(FakeCapture([yuyv], fourcc="YUYV"), pixel_format="YUYV").open() as read:
        frame = read()
    luma = yuyv[..., 0].astype(float)
    four = (luma[::8, ::8] + luma[4::8, ::8] + luma[::8, 4::8] + luma[4::8, 4::8]) / 4
    assert np.abs(frame.grey8 - four).max() <= 1
    assert frame.bgr().shape == (HEIGHT, WIDTH, 3)


def _uncompressed(name: str, bgr: Image) -> Image:
    """What a camera of that format sends of a picture."""
    if name == "GREY":
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    if name in {"YUYV", "UYVY"}:
        return np.asarray(cv2.cvtColor(bgr, getattr(cv2, f"COLOR_BGR2YUV_{name}")), np.uint8)
    planes = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
    luma, first, second = planes[:HEIGHT], *planes[HEIGHT:].reshape(2, -1)
    colours = {
        "YU12": (first, second),
        "YV12": (second, first),
        "NV12": (np.stack((first, second), 1),),
        "NV21": (np.stack((second, first), 1),),
    }[name]
    return np.concatenate([luma.reshape(-1), *(x.reshape(-1) for x in colours)]).reshape(-1, WIDTH)


@pytest.mark.parametrize("name", list(RAW_FORMATS))
def test_uncompressed_formats_are_read_as_they_come(name: str) -> None:
    """Asked for MJPG, the camera insists: luma for watching, the right colours on demand, and the memory is not shared."""
    pictures = [cv2.GaussianBlur(picture(n), (0, 0), 4).astype(np.uint8) for n in range(2)]
    with camera_of(FakeCapture([_uncompressed(name, x) for x in pictures], fourcc=name)).open() as read:
        frames = [read(), read()]
    for frame, shown in zip(frames, pictures, strict=True):
        luma = to_grey8(frame.bgr()) if name == "GREY" else to_grey8(shown)
        assert np.abs(frame.grey8.astype(int) - luma).mean() < 8
        wanted = cv2.cvtColor(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if name == "GREY" else shown
        assert np.abs(frame.bgr().astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("name", list(RAW_FORMATS))
def test_a_raw_buffer_of_a_wrong_shape_is_dropped(name: str) -> None:
    """A driver that sends something else under that name: no frame, no crash, and a failure that names the format."""
    fake = FakeCapture([np.zeros((1, 5000), np.uint8)], fourcc=name)
    with camera_of(fake, pixel_format=name).open() as read, pytest.raises(DeviceError, match=f"{name} frame"):
        read()
    assert fake.reads == MAX_DROPS


def damaged() -> dict[str, bytes]:
    """What arrives after a lost packet, a cut transfer, and in a zeroed buffer."""
    whole = jpeg(1)
    middle = len(whole) // 2
    return {
        "lost 1 kB": whole[: middle - 1024] + whole[middle:],
        "truncated": whole[:middle],
        "zeroed": bytes(len(whole)),
        "empty": b"",
        "noise": np.random.default_rng(0).bytes(5000),
    }


@pytest.mark.parametrize("kind", list(damaged()))
def test_a_damaged_frame_is_dropped_and_counted(kind: str) -> None:
    """OpenCV says ok to all of these; none becomes a frame, the next sound one does."""
    camera = camera_of(FakeCapture([jpeg(0), damaged()[kind], jpeg(2)]))
    with camera.open() as read:
        assert [read().seq for _ in range(2)] == [0, 1]
    assert camera.decoder.damaged == 1


def test_a_camera_of_only_damaged_frames_fails() -> None:
    """A second of nothing but damage is a DeviceError that names the cable, not an endless loop."""
    fake = FakeCapture([damaged()["truncated"]])
    with camera_of(fake).open() as read, pytest.raises(DeviceError, match="30 unusable frames") as caught:
        read()
    assert fake.reads == MAX_DROPS
    assert "cable" in caught.value.hint


MARKERS = {"start": b"\xff\xe0", "header": b"\xff\xc0", "end": b"\xff\xd9"}


@pytest.mark.parametrize("where", list(MARKERS))
@pytest.mark.parametrize("stray", [8, 40])
def test_harmless_stray_bytes_are_used_and_counted(stray: int, where: str) -> None:
    """Some Logitech cameras pad the header or the end of the picture: such frames are good, and counted."""
    whole = jpeg(3)
    at = whole.index(MARKERS[where])
    camera = camera_of(FakeCapture([whole[:at] + b"\x11" * stray + whole[at:]]))
    with camera.open() as read:
        frame = read()
    assert np.abs(frame.grey8.astype(int) - to_grey8(picture(3))).mean() < 3
    assert np.abs(frame.bgr().astype(int) - picture(3)).mean() < 12
    assert (camera.decoder.stray, camera.decoder.damaged) == (2, 0)


def test_stale_buffers_are_dropped() -> None:
    """After a pause the driver hands out frames seconds old: they are counted, never returned."""
    fake = FakeCapture([jpeg(n) for n in range(4)], ages_s=[2.9, 2.8, 0.02, 0.02])
    camera = camera_of(fake)
    with camera.open() as read:
        assert fake.now_s - read().t_s < 0.15
    assert camera.stale == 2
    assert fake.reads == 3


@pytest.mark.parametrize("stamp", [lambda _: 0.0, lambda t_s: (t_s + 1.7e9) * 1000])
def test_a_driver_with_another_clock_is_believed_by_arrival(stamp: Callable[[float], float]) -> None:
    """No time stamp, or one of the wall clock: arrival counts, and the camera is not blind."""
    fake = FakeCapture([jpeg(0)], stamps=stamp)
    with camera_of(fake).open() as read:
        assert read().t_s == fake.now_s


def test_an_unplugged_camera_fails_at_once() -> None:
    """The first failed read is a DeviceError: no busy loop, and the device is given back so that it can be opened again."""
    fake = FakeCapture([jpeg(0), False])
    with camera_of(fake).open() as read:
        read()
        with pytest.raises(DeviceError, match="is gone") as caught:
            read()
    assert fake.reads == 2
    assert fake.released
    assert "plug" in caught.value.hint


def test_a_hung_camera_is_told_from_a_missing_one() -> None:
    """A read that fails after the select time-out says that the camera hangs."""
    fake = FakeCapture([False], hang_s=2.0)
    with camera_of(fake).open() as read, pytest.raises(DeviceError, match="hangs"):
        read()


def test_bit_identical_frames_are_a_dead_camera() -> None:
    """The configured number of identical frames fails; fresh time stamps do not help."""
    fake = FakeCapture([jpeg(0)])
    with camera_of(fake, frozen_frames=5).open() as read:
        for _ in range(4):
            read()
        with pytest.raises(DeviceError, match="frozen"):
            read()


def test_a_frozen_camera_stays_frozen_when_opened_again() -> None:
    """The same picture after reopening is no recovery; a new one is."""
    fake = FakeCapture([*[jpeg(0)] * 4, jpeg(1)])
    camera = camera_of(fake, frozen_frames=3)
    with camera.open() as read:
        for _ in range(2):
            read()
        with pytest.raises(DeviceError, match="frozen"):
            read()
    with camera.open() as read:
        with pytest.raises(DeviceError, match="frozen"):
            read()
        assert read().seq == 4


def test_a_covered_camera_is_not_called_frozen() -> None:
    """A black picture may repeat truly; whether one can see is told by Sight, not by the device's failure."""
    black = bytes(simplejpeg.encode_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 85, "BGR"))
    with camera_of(FakeCapture([black]), frozen_frames=3).open() as read:
        assert [read().seq for _ in range(10)] == list(range(10))


def test_an_absent_device_says_what_mends_it() -> None:
    """A device that cannot be opened: DeviceError with the place to look at; the real OpenCV agrees."""
    with (
        pytest.raises(DeviceError, match="cannot be opened") as caught,
        camera_of(FakeCapture([], opened=False)).open(),
    ):
        pass
    assert "/dev/v4l/by-id" in caught.value.hint
    real = V4l2Camera(CameraSettings(), "/dev/v4l/by-id/usb-no-such-camera")
    with pytest.raises(DeviceError, match="usb-no-such-camera"), real.open():
        pass


def test_an_unknown_pixel_format_is_refused() -> None:
    """A driver that insists on H.264 is no camera for us; the hint names the command that lists formats."""
    with pytest.raises(DeviceError, match="'H264'") as caught, camera_of(FakeCapture([], fourcc="H264")).open():
        pass
    assert "v4l2-ctl" in caught.value.hint


def test_numbers_go_on_over_a_reopening() -> None:
    """A frame's number is used once, whatever the device did in between."""
    fake = FakeCapture([jpeg(n) for n in range(6)])
    camera = camera_of(fake)
    seqs = []
    for _ in range(2):
        with camera.open() as read:
            seqs += [read().seq, read().seq]
    assert seqs == [0, 1, 2, 3]


def test_an_unstable_device_name_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """/dev/video0 works today and is another camera tomorrow."""
    with caplog.at_level(logging.WARNING):
        V4l2Camera(CameraSettings(), "/dev/video0")
    assert "by-id" in caplog.text
