"""Clips as they come: what is no clip is said so at once, and times always run forward."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from bin_daemon.errors import ConfigError
from bin_daemon.technician.replay_clip import FrameTimes, open_recording
from tests.technician.clip_rig import FPS, SIZE, story, tray, write


def times(container_ms: list[float], fps: float = 10.0) -> list[float]:
    """What becomes of a container's times."""
    clock = FrameTimes(fps)
    return [round(clock.at(x), 3) for x in container_ms]


def test_sound_times_are_kept() -> None:
    """From the clip's start, a variable rate and an honest gap included."""
    assert times([5000, 5033, 5100, 5101, 65_000]) == [0, 0.033, 0.1, 0.101, 60]


@pytest.mark.parametrize("raw", [[0.0] * 5, [math.nan] * 5, [7000.0] * 5, [-1.0] * 5])
def test_no_times_means_the_frame_rate(raw: list[float]) -> None:
    """A container that says nothing, or always the same."""
    assert times(raw) == [0, 0.1, 0.2, 0.3, 0.4]


def test_a_clock_that_was_set_goes_on() -> None:
    """A jump back, or of many hours, is one frame's step; what follows is measured from there."""
    assert times([10_000, 10_100, 100, 200, 1e9, 1e9 + 100]) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_one_late_time_does_not_shift_the_rest() -> None:
    """A frame that claims a moment just before the last one takes a small step; the next counts as told."""
    assert times([0, 100, 90, 200, 300]) == [0, 0.1, 0.101, 0.2, 0.3]


@pytest.mark.parametrize("seed", range(20))
def test_time_always_runs_forward(seed: int) -> None:
    """Whatever a container says."""
    rng = np.random.default_rng(seed)
    raw = [float(x) for x in rng.choice([0.0, 1e-9, 40, 80, 1e4, 1e12, -5, math.nan, math.inf], 200)]
    found = times(raw)
    assert found[0] == 0
    assert all(b > a for a, b in pairwise(found))


def test_doubled_frames_are_counted_and_kept(tmp_path: Path) -> None:
    """A recorder that sends each frame twice: numbers and times stay the clip's own."""
    frames = [tray(n // 2) for n in range(20)]
    with open_recording(write(tmp_path / "d.avi", frames)) as recording:
        found = [(x.seq, round(x.t_s, 3)) for x in recording.frames()]
        assert recording.condition.doubled == 10
    assert found == [(n, round(n / FPS, 3)) for n in range(20)]


def test_a_cut_file_gives_what_it_holds(tmp_path: Path) -> None:
    """A copy that broke off: the frames that are there, and how many are not."""
    path = write(tmp_path / "c.avi", (tray(n) for n in range(30)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_recording(path) as recording:
        found = len(list(recording.frames()))
        assert 8 <= found < 20
        assert recording.condition.missing == 30 - found


def test_frames_keep_their_place_after_a_hole(tmp_path: Path) -> None:
    """Frames that no decoder reads are passed over; those behind keep their number and time."""
    path = write(tmp_path / "h.mp4", (tray(n) for n in range(60)), codec="mp4v")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = np.random.default_rng(0).bytes(len(data) // 10)
    path.write_bytes(data)
    with open_recording(path) as recording:
        last = list(recording.frames())[-1]
        assert recording.condition.broken > 0
    assert last.seq == 59
    assert last.t_s == pytest.approx(59 / FPS, abs=0.01)


def test_a_folder_of_pictures_is_a_clip(tmp_path: Path) -> None:
    """In numeric order, at the rate that was asked for; a broken picture is passed over."""
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), np.full((480, 640, 3), number * 10, np.uint8))
    (tmp_path / "f3.jpg").write_bytes(b"\xff\xd8 broken")
    with open_recording(tmp_path, fps=5) as recording:
        found = [(x.seq, round(x.t_s, 3), int(x.grey8[0, 0])) for x in recording.frames()]
        assert recording.condition.broken == 1
    assert found == [(0, 0, 10), (1, 0.2, 20), (2, 0.4, 100)]


def test_what_is_no_clip_is_said_at_once(tmp_path: Path) -> None:
    """One clear error with a remedy for each, never a traceback, never an empty result."""
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("#EXTM3U\nhttp://example.org/a.ts\n")
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "cut.mp4").write_bytes(write(tmp_path / "w.mp4", [tray(0)] * 5, codec="mp4v").read_bytes()[:300])
    cv2.imwrite(str(tmp_path / "one.png"), tray(0))
    (tmp_path / "folder").mkdir()
    write(tmp_path / "tiny.avi", [np.zeros((32, 48, 3), np.uint8)] * 3, size=(48, 32))
    os.mkfifo(tmp_path / "pipe")
    said = {}
    for name in ("empty.mp4", "text.mp4", "noise.avi", "cut.mp4", "one.png", "folder", "tiny.avi", "pipe", "none.mp4"):
        with pytest.raises(ConfigError) as caught, open_recording(tmp_path / name):
            pytest.fail(f"{name} was opened")
        assert caught.value.hint
        assert name in str(caught.value)
        said[name] = str(caught.value)
    assert "empty" in said["empty.mp4"]
    assert "text" in said["text.mp4"]
    assert "one picture" in said["one.png"]
    assert "48 x 32" in said["tiny.avi"]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """OpenCV would end the process with a segmentation fault."""
    path = write(tmp_path / "s.avi", [tray(0)] * 3).rename(tmp_path / os.fsdecode(b"bad\xff.avi"))
    with pytest.raises(ConfigError, match=r"bad\\xff\.avi: the name is not UTF-8"), open_recording(path):
        pass


def test_a_story_is_read_in_order(tmp_path: Path) -> None:
    """Every frame of a sound clip, and nothing to complain of."""
    with open_recording(write(tmp_path / "s.mkv", story())) as recording:
        frames = list(recording.frames())
        assert (recording.size, recording.fps, recording.count) == (SIZE, FPS, len(frames))
        assert recording.condition.broken == recording.condition.odd_times == recording.condition.missing == 0
    assert [x.seq for x in frames] == list(range(75))
    assert frames[-1].t_s == pytest.approx(74 / FPS, abs=0.002)
