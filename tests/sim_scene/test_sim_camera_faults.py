"""Each named camera fault does what its name says, to the frames it is told to hit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.config.settings import CameraSettings
from bin_daemon.errors import DeviceError
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.camera_faults import Black, Covered, Frozen, Gone, Hung, TornFrame

if TYPE_CHECKING:
    from bin_daemon.sim.playback import VirtualClock


@pytest.fixture
def camera(virtual: VirtualClock) -> SimCamera:
    """A small camera at full speed."""
    settings = CameraSettings(source="sim:faulty?photos=drawn&tray=steel", width=160, height=96, fps=30)
    return SimCamera(settings, clock=virtual.clock, sleep=virtual.sleep)


def test_black_is_dark_and_ends(camera: SimCamera) -> None:
    """Frames 2 and 3 are black in both pictures, frames 1 and 4 are not, and black frames still differ by noise."""
    with Black(camera, first=2, count=2).open() as read:
        frames = [read() for _ in range(4)]
    assert [float(f.grey8.mean()) < 8 for f in frames] == [False, True, True, False]
    assert [float(f.bgr().mean()) < 8 for f in frames] == [False, True, True, False]
    assert not np.array_equal(frames[1].bgr(), frames[2].bgr())


def test_covered_is_flat_but_not_black(camera: SimCamera) -> None:
    """A covered lens shows no detail."""
    with Covered(camera).open() as read:
        frame = read()
    assert float(frame.grey8.std()) < 2.0
    assert float(frame.grey8.mean()) > 30


def test_frozen_repeats_one_picture_with_fresh_times(camera: SimCamera) -> None:
    """From the given frame on the picture is the last good one bit for bit, while number and time go on."""
    with Frozen(camera, first=3).open() as read:
        frames = [read() for _ in range(5)]
    assert not np.array_equal(frames[0].bgr(), frames[1].bgr())
    assert all(
        np.array_equal(f.bgr(), frames[1].bgr()) and np.array_equal(f.grey8, frames[1].grey8) for f in frames[2:]
    )
    assert len({f.t_s for f in frames}) == len({f.seq for f in frames}) == 5


def test_hung_blocks_until_released(camera: SimCamera) -> None:
    """A hung read does not come back by itself, and comes back when released."""
    hung = Hung(camera)
    done = threading.Event()

    def read_one() -> None:
        with hung.open() as read:
            read()
        done.set()

    reader = threading.Thread(target=read_one, daemon=True)
    reader.start()
    assert hung.hanging.wait(5)
    assert not done.is_set()
    hung.release()
    assert done.wait(5)
    reader.join(5)


def test_gone_fails_to_read_and_to_open_until_it_is_back(camera: SimCamera) -> None:
    """One failed read and two failed openings, then the camera is there again."""
    gone = Gone(camera, first=2, count=3)
    with gone.open() as read:
        read()
        with pytest.raises(DeviceError, match="unplugged"):
            read()
    for _ in range(2):
        with pytest.raises(DeviceError, match="not there"), gone.open():
            pass
    with gone.open() as read:
        assert read().seq == 2


def test_a_torn_frame_refuses_to_decode(camera: SimCamera) -> None:
    """The small picture's lower half is the frame's before, the full one raises DeviceError, the next frame is whole."""
    with TornFrame(camera, first=2, count=1).open() as read:
        before, torn, after = read(), read(), read()
    half = torn.grey8.shape[0] // 2
    assert np.array_equal(torn.grey8[half:], before.grey8[half:])
    assert not np.array_equal(torn.grey8[:half], before.grey8[:half])
    with pytest.raises(DeviceError, match="damaged"):
        torn.bgr()
    assert after.bgr().shape == (96, 160, 3)
