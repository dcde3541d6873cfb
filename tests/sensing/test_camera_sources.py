"""Cameras by their source: clips, folders, dotted paths, and what is wrong with a source."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from bin_daemon.config.settings import CameraSettings
from bin_daemon.domain import Frame
from bin_daemon.errors import ConfigError, DeviceError, EndOfFrames
from bin_daemon.sensing import ReadFrame, open_camera
from bin_daemon.sensing.clip import ClipCamera
from bin_daemon.sensing.decode import to_grey8
from bin_daemon.sensing.folder import FolderCamera

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (96, 64)
FPS = 20.0


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.waits: list[float] = []

    def clock(self) -> float:
        """Seconds."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Let them pass."""
        self.waits.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five frames, each brighter than the one before."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)
    for n in range(5):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 40 * n + 20, np.uint8))
    writer.release()
    return path


def settings(**values: object) -> CameraSettings:
    """Camera settings by name."""
    return CameraSettings.model_validate(values)


def read_all(read: ReadFrame) -> list[Frame]:
    """Every frame up to the end."""
    frames = []
    try:
        while True:
            frames.append(read())
    except EndOfFrames:
        return frames


def test_a_clip_plays_at_its_own_rate(clip: Path) -> None:
    """Paced: one frame per period of the clip, capture times a period apart, then the end."""
    time = Time()
    with ClipCamera(settings(), str(clip), clock=time.clock, wait=time.wait).open() as read:
        frames = read_all(read)
    assert [f.seq for f in frames] == [0, 1, 2, 3, 4]
    assert np.allclose(np.diff([f.t_s for f in frames]), 1 / FPS)
    assert sum(time.waits) == pytest.approx(4 / FPS, abs=1 / FPS + 1e-6)
    assert [round(float(f.grey8.mean()) - 20) // 10 for f in frames] == pytest.approx([0, 4, 8, 12, 16], abs=1)
    assert frames[0].bgr().shape == (SIZE[1], SIZE[0], 3)


def test_a_late_reader_gets_every_frame_at_the_time_it_is_read(clip: Path) -> None:
    """A pause of the reader shifts the capture times; frames of a clip are not skipped."""
    time = Time()
    with ClipCamera(settings(), str(clip), clock=time.clock, wait=time.wait).open() as read:
        read()
        time.now_s += 3
        late = read()
    assert late.seq == 1
    assert late.t_s == pytest.approx(time.now_s)


def test_an_unpaced_clip_never_waits_and_keeps_its_time(clip: Path) -> None:
    """With paced = false: as fast as it is read, yet capture times still count by the clip's rate."""
    time = Time()
    with ClipCamera(settings(paced=False), str(clip), clock=time.clock, wait=time.wait).open() as read:
        frames = read_all(read)
    assert time.waits == []
    assert np.allclose(np.diff([f.t_s for f in frames]), 1 / FPS)


def test_a_looped_clip_starts_again(clip: Path) -> None:
    """With loop = true: after the fifth frame comes the first, with the next number and a later time."""
    time = Time()
    with ClipCamera(settings(loop=True, paced=False), str(clip), clock=time.clock, wait=time.wait).open() as read:
        frames = [read() for _ in range(12)]
    assert [f.seq for f in frames] == list(range(12))
    assert np.array_equal(frames[0].grey8, frames[5].grey8)
    assert frames[5].t_s > frames[4].t_s


def test_a_file_that_is_no_clip_is_a_device_error(tmp_path: Path) -> None:
    """Text named .mp4: one clear error that says what to convert it to."""
    path = tmp_path / "clip.mp4"
    path.write_text("no video")
    with pytest.raises(DeviceError, match=r"clip\.mp4") as caught, ClipCamera(settings(), str(path)).open():
        pass
    assert "MP4" in caught.value.hint


def test_a_folder_plays_in_numeric_order_and_skips_bad_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """frame9 before frame10; a truncated JPEG and an empty PNG are skipped, counted and warned of; other files do not matter."""
    for n in (10, 9, 2):
        cv2.imwrite(str(tmp_path / f"frame{n}.png"), np.full((64, 96, 3), n * 20, np.uint8))
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))[1].tobytes()
    (tmp_path / "frame3.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "frame4.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("x")
    camera = FolderCamera(settings(paced=False), str(tmp_path))
    with caplog.at_level(logging.WARNING), camera.open() as read:
        frames = read_all(read)
        with pytest.raises(EndOfFrames):  # and again
            read()
    assert [int(f.bgr()[0, 0, 0]) for f in frames] == [40, 180, 200]
    assert camera.skipped == 2
    assert "frame3.jpg" in caplog.text
    assert "frame4.png" in caplog.text


def test_a_folder_can_loop_and_one_without_pictures_fails(tmp_path: Path) -> None:
    """With loop = true it repeats; an empty folder, or one of only bad pictures, is a DeviceError and no endless loop."""
    with pytest.raises(DeviceError, match="no picture"), FolderCamera(settings(), str(tmp_path)).open():
        pass
    (tmp_path / "bad.png").write_bytes(b"bad")
    with (
        FolderCamera(settings(loop=True, paced=False), str(tmp_path)).open() as read,
        pytest.raises(DeviceError, match="can be read"),
    ):
        read()
    cv2.imwrite(str(tmp_path / "good.png"), np.full((64, 96, 3), 7, np.uint8))
    with FolderCamera(settings(loop=True, paced=False), str(tmp_path)).open() as read:
        assert [read().seq for _ in range(5)] == list(range(5))


OWN_PACKAGE = """
from contextlib import nullcontext

import numpy as np

from bin_daemon.domain import Frame

class Camera:
    def __init__(self, settings):
        self.settings = settings

    def open(self):
        grey8 = np.arange(64, dtype=np.uint8).reshape(8, 8)
        return nullcontext(lambda: Frame(1, 0.0, self.settings.width, 64, grey8, lambda: grey8))

class Lamp:
    def __init__(self, settings):
        pass

class Broken:
    def __init__(self, settings):
        raise RuntimeError("no licence")
"""


def test_a_dotted_path_is_imported_and_given_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site's own package.module:Class is constructed with the camera's settings; a wrong name or class is a ConfigError."""
    (tmp_path / "site_cams").mkdir()
    (tmp_path / "site_cams" / "__init__.py").write_text("")
    (tmp_path / "site_cams" / "own.py").write_text(OWN_PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with open_camera(settings(source="site_cams.own:Camera", width=444)).open() as read:
        assert read().width == 444
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_camera(settings(source="site_cams.own:Nobody"))
    with pytest.raises(ConfigError, match="has no open"):
        open_camera(settings(source="site_cams.own:Lamp"))
    with pytest.raises(ConfigError, match="cannot be made: RuntimeError: no licence"):
        open_camera(settings(source="site_cams.own:Broken"))
    (tmp_path / "site_cams" / "bad.py").write_text("raise RuntimeError('no licence')")
    with pytest.raises(ConfigError, match="cannot be imported: no licence"):
        open_camera(settings(source="site_cams.bad:Camera"))
    stuck = open_camera(settings(source="site_cams.own:Camera", frozen_frames=3))
    for _ in range(2):  # opened again, it is still the same picture
        with stuck.open() as read, pytest.raises(DeviceError, match="own:Camera is frozen"):
            read_all(read)


@pytest.mark.parametrize("source", ["", "webcam", "v4l2:", "rtsp://host/x", "sim:bin", "/dev/video0"])
def test_an_unknown_source_says_what_is_known(source: str) -> None:
    """Each wrong source is one ConfigError that lists the schemes."""
    with pytest.raises(ConfigError, match="names no known camera") as caught:
        open_camera(settings(source=source))
    assert "v4l2:" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("file:/nowhere/clip.mp4", "/nowhere/clip"),
        ("dir:/nowhere/frames", "/nowhere/frames"),
        ("no.such.package:Camera", "no.such"),
        ("..:Camera", "cannot be imported"),
    ],
)
def test_a_source_that_is_not_there_is_a_config_error(source: str, named: str) -> None:
    """A missing clip, folder or package is known before the daemon starts."""
    with pytest.raises(ConfigError, match=named):
        open_camera(settings(source=source))


@pytest.mark.parametrize("shape", [(720, 1280), (360, 640), (101, 203)])
def test_grey8_is_the_average_of_eight_by_eight(shape: tuple[int, int]) -> None:
    """Rounded-up size, and the value of a block is its mean grey."""
    grey = np.random.default_rng(2).integers(0, 255, shape, dtype=np.uint8)
    small = to_grey8(np.dstack([grey] * 3))
    assert small.shape == (-(-shape[0] // 8), -(-shape[1] // 8))
    if shape[0] % 8 == shape[1] % 8 == 0:
        assert abs(int(small[3, 5]) - grey[24:32, 40:48].mean()) <= 1
