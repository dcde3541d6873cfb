"""`bin-daemon replay`: outcomes as lines, the annotated video and the strip beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bin_daemon.cli import app
from bin_daemon.config import PlacementSettings
from bin_daemon.domain import Frame, TrayKind, TrayOutcome
from bin_daemon.errors import BinError, ConfigError
from bin_daemon.placement import Detector
from bin_daemon.technician.replay import Thought, think
from bin_daemon.technician.replay_files import LONGEST_STILL_S, OFFSETS_S, PAGE_ROWS, Strips, Video, open_files
from tests.technician.clip_rig import END_S, FPS, GONE_S, PUT_S, SIZE, THING, story, tray, write

KINDS = {x.value for x in TrayKind}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One thing put down and gone again."""
    return write(tmp_path_factory.mktemp("replay") / "story.avi", story())


def replay(*args: str | Path) -> Result:
    """The command; our own errors come through."""
    return CliRunner().invoke(app, ["replay", *map(str, args)])


def outcomes(result: Result) -> list[dict[str, object]]:
    """The lines of ``--json``, each with exactly the keys that the contract names."""
    assert result.exit_code == 0, result.exception
    found = [json.loads(x) for x in result.stdout.splitlines()]
    for each in found:
        assert set(each) == {"kind", "t_s", "frame", "box"}
        assert each["kind"] in KINDS
    return found


def is_around(box: list[int], thing: tuple[int, int, int, int]) -> bool:
    """The thing's own box, not the padded one of the crop: no side is off by more than two cells."""
    left, top = thing[0] - box[0], thing[1] - box[1]
    right, bottom = box[0] + box[2] - thing[0] - thing[2], box[1] + box[3] - thing[1] - thing[3]
    return all(-8 <= x <= 16 for x in (left, top, right, bottom))


def test_one_object_per_outcome(clip: Path) -> None:
    """One placement, decided while the thing lay there, at the thing's own place; nothing is written beside the clip."""
    before = set(clip.parent.iterdir())
    (found,) = [x for x in outcomes(replay(clip, "--json")) if x["kind"] == "placement"]
    t_s, frame, box = found["t_s"], found["frame"], found["box"]
    assert isinstance(t_s, float)
    assert PUT_S < t_s < GONE_S
    assert frame == round(t_s * FPS)
    assert isinstance(box, list)
    assert is_around(box, THING)
    assert set(clip.parent.iterdir()) == before


def test_video_and_strip(clip: Path, tmp_path: Path) -> None:
    """As long as the clip, with the box drawn where the thing lies; the strip has a row for each outcome."""
    copy = tmp_path / clip.name
    shutil.copy(clip, copy)
    result = replay(copy)
    assert result.exit_code == 0
    assert "placement" in result.stdout
    video = cv2.VideoCapture(str(tmp_path / "story.replay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == round(END_S * FPS)
    video.set(cv2.CAP_PROP_POS_FRAMES, round((PUT_S + 1) * FPS))
    picture = video.read()[1].astype(int)
    x, y, width, height = THING
    around = picture[y - 20 : y + height + 20, x - 20 : x + width + 20]
    assert ((around[..., 1] > 200) & (around[..., 0] < 130) & (around[..., 2] < 130)).sum() > 200  # the green box
    strip = cv2.imread(str(tmp_path / "story.replay.png"))
    assert strip is not None
    assert strip.shape[1] == len(OFFSETS_S) * 324


def test_json_with_a_video(clip: Path, tmp_path: Path) -> None:
    """Both at once: stdout still holds nothing but outcomes."""
    result = replay(clip, "--json", "--out", tmp_path / "v.avi")
    assert [x["kind"] for x in outcomes(result)] == ["placement"]
    assert (tmp_path / "v.avi").stat().st_size > 10_000
    assert (tmp_path / "v.png").is_file()


def test_region_and_thresholds_count(clip: Path, tmp_path: Path) -> None:
    """A region beside the thing sees nothing, in fractions, in pixels, and from a config file."""
    assert outcomes(replay(clip, "--json", "--roi", "0,0,0.3,1")) == []
    assert outcomes(replay(clip, "--json", "--roi", "0,0,200,480")) == []
    config = tmp_path / "bin.toml"
    config.write_text("[placement]\nroi = [0.0, 0.0, 0.3, 1.0]\n")
    assert outcomes(replay(clip, "--json", "-c", config)) == []
    assert len(outcomes(replay(clip, "--json", "-c", config, "--roi", "0,0,1,1"))) == 1


def test_no_config_is_read_unasked(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody's clip gets the same result on every computer, whatever is configured there."""
    config = tmp_path / "bin.toml"
    config.write_text("[placement]\nroi = [0.0, 0.0, 0.3, 1.0]\n")
    monkeypatch.setenv("BIN_CONFIG", str(config))
    monkeypatch.setenv("BIN_PLACEMENT__SETTLE_MS", "5000")
    assert len(outcomes(replay(clip, "--json"))) == 1


@pytest.mark.parametrize(
    "args",
    [
        ["--roi", "1,2"],
        ["--roi", "0.5,0,0.6,1"],
        ["--roi", "a,b,c,d"],
        ["--roi", "0,0,0.01,1"],
        ["--roi", "nan,0,1,1"],
        ["--out", "clip.xyz"],
        ["--out", "no/folder/v.mp4"],
        ["-c", "nowhere.toml"],
    ],
)
def test_wrong_options_are_one_error(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """A ConfigError with a remedy."""
    monkeypatch.chdir(tmp_path)
    result = replay(clip, *args)
    assert isinstance(result.exception, BinError)
    assert result.exception.hint
    assert list(tmp_path.iterdir()) == []


def test_the_clip_itself_is_never_overwritten(clip: Path, tmp_path: Path) -> None:
    """Also not under another name."""
    link = tmp_path / "link.avi"
    link.symlink_to(clip)
    size = clip.stat().st_size
    assert isinstance(replay(clip, "--out", link).exception, ConfigError)
    assert clip.stat().st_size == size


def test_ctrl_c_leaves_whole_files(tmp_path: Path) -> None:
    """What was looked at is in a video that plays; exit code 130."""
    clip = write(tmp_path / "long.avi", (picture for _ in range(4) for picture in story()))
    code = "from bin_daemon.__main__ import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "replay", str(clip)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert "placement" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    video = cv2.VideoCapture(str(tmp_path / "long.replay.mp4"))
    assert video.read()[0]
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= round(PUT_S * FPS)
    assert cv2.imread(str(tmp_path / "long.replay.png")) is not None


def thought(t_s: float, seq: int, *, told: bool = False) -> Thought:
    """A frame of a tray, with an outcome or none."""
    frame = Frame(seq, t_s, *SIZE, np.zeros((60, 80), np.uint8), lambda: np.zeros((480, 640, 3), np.uint8))
    outcome = TrayOutcome(TrayKind.PLACEMENT, t_s, seq, (0, 0, 9, 9))
    return Thought(frame, Detector(PlacementSettings(), str), (outcome,) if told else (), None)


def test_strips_go_on_on_another_page(tmp_path: Path) -> None:
    """Many outcomes make several pictures of bounded height; outcomes at the very end have a row, too."""
    strips = Strips(tmp_path / "s.png")
    small = np.zeros((36, 64, 3), np.uint8)
    for number in range(PAGE_ROWS + 1):
        strips.add(small, thought(number * 2.0, number, told=True))
    strips.close()
    assert [x.name for x in strips.written] == ["s.png", "s-2.png"]
    first, second = (cv2.imread(str(x)) for x in strips.written)
    assert first is not None
    assert second is not None
    assert first.shape[0] == PAGE_ROWS * second.shape[0]


def test_video_keeps_the_clips_time(tmp_path: Path) -> None:
    """Frames that came late are shown late; a long gap is cut to a short still."""
    video = Video(tmp_path / "v.avi", 10.0, (64, 48))
    picture = np.zeros((48, 64, 3), np.uint8)
    for t_s in (0.0, 0.1, 0.4, 0.41, 0.5, 60.5):
        video.add(picture, t_s)
    video.close()
    written = cv2.VideoCapture(str(tmp_path / "v.avi")).get(cv2.CAP_PROP_FRAME_COUNT)
    assert written == 6 + LONGEST_STILL_S * 10


def test_frames_of_another_size_fit_in(tmp_path: Path) -> None:
    """A camera that changes its size in mid-clip neither breaks the drawing nor the video."""
    from bin_daemon.sensing.clip import picture_frame
    from bin_daemon.technician.replay_draw import Drawing

    frames = [picture_frame(n, n / 15, tray(n)) for n in range(10)]
    frames += [picture_frame(10 + n, (10 + n) / 15, cv2.resize(tray(n), (401, 299))) for n in range(10)]  # type: ignore[arg-type]
    drawing = Drawing(PlacementSettings(), SIZE)
    with open_files(tmp_path / "v.avi", 15.0, SIZE) as files:
        for each in think(frames, PlacementSettings()):
            picture = drawing.draw(each)
            assert picture.shape == (480, 640, 3)
            files.add(picture, each)
    assert cv2.VideoCapture(str(tmp_path / "v.avi")).get(cv2.CAP_PROP_FRAME_COUNT) == 20


def test_memory_does_not_grow_with_the_clip() -> None:
    """A clip four times as long peaks at the same memory."""

    def peak(count: int) -> int:
        grey8 = np.random.default_rng(0).integers(90, 110, (60, 80)).astype(np.uint8)
        frames = (Frame(n, n / 15, *SIZE, grey8 + np.uint8(n % 2), lambda: tray(0)) for n in range(count))
        tracemalloc.start()
        for _ in think(frames, PlacementSettings()):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(20)
    assert peak(1200) < 1.3 * peak(300)
