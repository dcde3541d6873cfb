"""The simulated camera: paced frames, a source text with clear errors, and the world's lids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.config.settings import CameraSettings
from bin_daemon.errors import ConfigError
from bin_daemon.sim.camera import SimCamera
from bin_daemon.sim.script import How
from bin_daemon.sim.source import parse_source, write_source
from bin_daemon.sim.world import LidMotion, world
from firmware_protocol.hal import Motion

if TYPE_CHECKING:
    from bin_daemon.sim.playback import VirtualClock


def _camera(virtual: VirtualClock, source: str, fps: float = 20.0) -> SimCamera:
    settings = CameraSettings(source=source, width=320, height=180, fps=fps)
    return SimCamera(settings, clock=virtual.clock, sleep=virtual.sleep)


def test_frames_have_the_size_and_pace_that_were_asked_for(virtual: VirtualClock) -> None:
    """Frames come 1/fps apart, numbered, with full picture and eighth-size grey picture (rounded up)."""
    with _camera(virtual, "sim:pace?photos=drawn&items=1", fps=20.0).open() as read:
        frames = [read() for _ in range(5)]
    assert [f.seq for f in frames] == [1, 2, 3, 4, 5]
    assert np.allclose(np.diff([f.t_s for f in frames]), 0.05)
    assert (frames[0].width, frames[0].height) == (320, 180)
    assert frames[0].bgr().shape == (180, 320, 3)
    assert frames[0].grey8.shape == (23, 40)
    assert frames[0].grey8.dtype == frames[0].bgr().dtype == np.uint8
    assert abs(float(frames[0].grey8.mean()) - float(frames[0].bgr().mean())) < 3


def test_a_slow_reader_skips_time_in_place_of_hurrying_after(virtual: VirtualClock) -> None:
    """After a second without a read the next frame is of now, and the pace goes on from there."""
    with _camera(virtual, "sim:slow?photos=drawn&items=1").open() as read:
        read()
        virtual.now_s += 1.0
        late, after = read(), read()
    assert late.t_s == pytest.approx(101.0)
    assert after.t_s == pytest.approx(101.05)


def test_the_source_can_set_another_size(virtual: VirtualClock) -> None:
    """The width and height of the source text win over the settings."""
    with _camera(virtual, "sim:size?photos=drawn&width=128&height=100").open() as read:
        assert read().bgr().shape == (100, 128, 3)


def test_lids_of_the_same_world_let_the_item_fall(virtual: VirtualClock) -> None:
    """A motion told in the world of the same name reaches the scene; one of another world does not."""
    camera = _camera(virtual, "sim:lids-meet?photos=drawn&items=1&seed=2&tray=steel")
    with camera.open() as read:
        while camera.scene.truth(virtual.now_s) is None:
            read()
        for name, still_there in (("lids-elsewhere", True), ("lids-meet", False)):
            world(name).tell(LidMotion(virtual.now_s, 1, Motion.OPEN, 1))
            read()
            read()
            assert (camera.scene.truth(virtual.now_s) is not None) is still_there
    assert camera.scene.history[0].how is How.FELL


def test_reopening_goes_on_with_the_same_scene(virtual: VirtualClock) -> None:
    """Closing and opening the camera neither starts the items anew nor repeats a frame number; closed, it does not listen."""
    camera = _camera(virtual, "sim:reopen?photos=drawn&items=1")
    with camera.open() as read:
        while camera.scene.truth(virtual.now_s) is None:
            last = read()
    world("reopen").tell(LidMotion(virtual.now_s, 1, Motion.OPEN, 1))
    with camera.open() as read:
        assert read().seq == last.seq + 1
    assert camera.scene.truth(virtual.now_s) is not None
    assert not camera.world._listeners


@pytest.mark.parametrize(
    ("source", "says", "mends"),
    [
        ("sim:bin?seeds=7", "'seeds'", "Did you mean seed?"),
        ("sim:bin?colour=7", "'colour'", "Known are seed"),
        ("sim:bin?seed=seven", "seed=seven", "integer"),
        ("sim:bin?items=-1", "items=-1", "greater than or equal to 0"),
        ("sim:bin?width=1", "width=1", "64"),
        ("sim:bin?tray=gold", "tray=gold", "steel"),
        ("sim:bin?patience_s=nan", "patience_s=nan", "3600"),
        ("sim:bin?seed", "sim:bin?seed", "name=value"),
        ("sim:bin?world=x", "'world'", "before the ?"),
        ("file:bin", "file:bin", "sim:"),
    ],
)
def test_a_wrong_source_says_what_and_how_to_mend_it(source: str, says: str, mends: str) -> None:
    """Unknown parameters name the nearest valid one; bad values name parameter, value and bounds."""
    with pytest.raises(ConfigError) as caught:
        parse_source(source)
    assert says in str(caught.value)
    assert mends in caught.value.hint


def test_a_plain_source_has_sensible_values() -> None:
    """sim: alone means the world bin, seed 0, twelve items."""
    plain = parse_source("sim:")
    assert (plain.world, plain.seed, plain.items, plain.photos) == ("bin", 0, 12, "auto")


def test_a_folder_with_odd_letters_survives_the_source_text() -> None:
    """write_source quotes what parse_source would take apart."""
    source = parse_source(write_source("bin", photos="/a b/c&d=e+f/100%", seed=4))
    assert (source.photos, source.seed, source.world) == ("/a b/c&d=e+f/100%", 4, "bin")
    assert write_source("bin") == "sim:bin"


def test_a_missing_photo_folder_is_told_at_once(virtual: VirtualClock) -> None:
    """photos= with a folder that is not there fails when the camera is made, not when it is read."""
    with pytest.raises(ConfigError, match="no such folder"):
        _camera(virtual, "sim:bin?photos=/nowhere/at/all")


def test_an_idle_line_is_drawn_five_pictures_a_second_and_wakes_with_the_next(virtual: VirtualClock) -> None:
    """Idle: every fourth of 20 frames a second; alert: the very next one."""
    idle = True
    settings = CameraSettings(source="sim:idle?photos=drawn&items=0", width=320, height=180, fps=20.0, idle_fps=5)
    camera = SimCamera(settings, clock=virtual.clock, sleep=virtual.sleep, is_idle=lambda: idle)
    with camera.open() as read:
        times = [read().t_s for _ in range(4)]
        idle = False
        times.append(read().t_s)
    assert np.diff(times) == pytest.approx([0.2, 0.2, 0.2, 0.05])
