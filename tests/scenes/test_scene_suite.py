"""The scene suite itself: the same clip each time, truth that fits the pixels, stories that say what they show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from bin_daemon.domain import LidPosition, TrayKind
from bin_daemon.sensing.decode import to_grey8
from bin_daemon.sim.suite.clips import clip, clips
from bin_daemon.sim.suite.conditions import CONDITIONS
from bin_daemon.sim.suite.idle import idle_hour
from bin_daemon.sim.suite.truth import PLACED, TRAVEL_S
from bin_daemon.sim.suite.write import write_clip

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.domain import Frame, Image
    from bin_daemon.sim.suite.truth import Clip, Truth

KINDS = {kind.value for kind in TrayKind}


def _at(one: Clip, *times_s: float) -> list[Frame]:
    """The first frames at or after each of the times."""
    wanted = sorted(times_s)
    found: list[Frame] = []
    for frame in one.frames:
        while len(found) < len(wanted) and frame.t_s >= wanted[len(found)]:
            found.append(frame)
        if len(found) == len(wanted):
            break
    return found


def _first(one: Clip) -> Truth:
    return one.placed[0]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_story_tells_truth_that_can_be_scored(condition: str) -> None:
    """Known kinds, windows within the clip, boxes within the frame, and at least one item in every condition."""
    one = clip(condition, everyday=True)
    assert one.placed
    for truth in one.truth:
        assert truth.kind in KINDS
        assert 0 <= truth.t_s <= truth.until_s <= one.duration_s
        if truth.kind in PLACED:
            assert truth.box is not None
            x, y, w, h = truth.box
            assert min(x, y) >= 0 < min(w, h)
            assert x + w <= one.size[0]
            assert y + h <= one.size[1]
            assert truth.until_s - truth.t_s > 0.8, "no time to say it"


def test_the_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    """Bit for bit, also when the frames are asked for a second time; lost frames stay the same ones."""
    one, again, other = (
        clip("lossy", 4, everyday=True),
        clip("lossy", 4, everyday=True),
        clip("lossy", 5, everyday=True),
    )
    first = [(f.seq, f.grey8.tobytes()) for f in one.frames]
    assert first == [(f.seq, f.grey8.tobytes()) for f in again.frames]
    assert first == [(f.seq, f.grey8.tobytes()) for f in one.frames]
    assert first[20:30] != [(f.seq, f.grey8.tobytes()) for f in other.frames][20:30]
    assert one.truth == again.truth
    assert len(first) < int(one.duration_s * one.fps), "nothing was lost"


@pytest.mark.parametrize(
    "condition", ["plain", "small", "transparent", "tray_coloured", "rolling", "two_at_once", "knocked"]
)
def test_the_box_holds_what_has_changed(condition: str) -> None:
    """Full picture with the item against the one before: nearly all strong differences lie in the true box or its shadow."""
    one = clip(condition, 2, everyday=True)
    truth = _first(one)
    empty, item = (f.bgr() for f in _at(one, 0.2, truth.t_s + 0.2))
    away = _outlines(empty, item)
    assert truth.box is not None
    x, y, w, h = truth.box
    margin = 24  # full-frame pixels of contact shadow
    inside = away[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin].sum()
    assert away.sum() > 0
    assert inside / away.sum() > 0.95
    columns, rows = np.flatnonzero(away.any(axis=0)), np.flatnonzero(away.any(axis=1))
    assert columns[-1] - columns[0] > 0.5 * w, "the box is larger than what is there"
    assert rows[-1] - rows[0] > 0.5 * h


def _outlines(empty: Image, item: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where two pictures differ by more than noise and light, of any size but single pixels."""
    soft = [cv2.GaussianBlur(p, (0, 0), 2).astype(np.float32).max(axis=2) for p in (empty, item)]
    gain = float(np.median(soft[1] / np.maximum(soft[0], 1)))
    return np.asarray(np.abs(soft[1] - gain * soft[0]) > 12, np.bool_)


@pytest.mark.parametrize("condition", ["plain", "clouds", "flicker", "tray_coloured", "dirty_lens", "coarse_jpeg"])
def test_the_watched_picture_is_the_full_one_made_small(condition: str) -> None:
    """Composing small equals composing in full and then averaging: no bias, and no more spread than noise and soft edges give."""
    one = clip(condition, 3, everyday=True)
    truth = _first(one)
    for frame in _at(one, 0.3, truth.t_s + 0.3):
        away = frame.grey8.astype(np.float32) - to_grey8(frame.bgr()).astype(np.float32)
        assert abs(float(away.mean())) < 0.8
        assert float(away.std()) < 2.0
        assert float(np.percentile(np.abs(away), 99)) <= 10


def test_lids_are_reported_as_they_are_shown() -> None:
    """Opening, open, closing and shut again, and the item is gone when the lid is shut."""
    one = clip("plain", 1, everyday=True)
    opening = one.lids[0]
    times = (opening.t_s - 0.1, opening.t_s + 0.1, opening.t_s + TRAVEL_S + 0.1, opening.shut_s + 0.1)
    shown = [one.lids_at(t).lids[opening.lid].position for t in times]
    assert shown == [LidPosition.CLOSED, LidPosition.OPENING, LidPosition.OPEN, LidPosition.CLOSING]
    assert one.lids_at(opening.shut_s + TRAVEL_S).all_closed
    before, lying, after = (f.grey8.astype(float) for f in _at(one, 0.2, _first(one).t_s + 0.2, opening.shut_s + 0.6))
    assert np.abs(lying - before).max() > 30
    assert np.abs(after / np.median(after / before) - before).max() < 12, "what is left is the exposure's"


def test_a_written_clip_can_be_read_with_its_truth(tmp_path: Path) -> None:
    """As many pictures as the clip's time says, lost ones repeated; the truth's frame numbers lie on the item."""
    one = clip("lossy", 0, everyday=True)
    path = write_clip(one, tmp_path)
    video = cv2.VideoCapture(str(path))
    last_seq = max(f.seq for f in one.frames)
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == last_seq + 1
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert len(lines) == len(one.truth)
    placed = next(line for line in lines if line["kind"] == "placement")
    video.set(cv2.CAP_PROP_POS_FRAMES, placed["frame"] + 2)
    ok, picture = video.read()
    video.release()
    assert ok
    x, y, w, h = placed["box"]
    shown = next(f for f in one.frames if f.seq >= placed["frame"] + 2)
    away = np.abs(picture.astype(float) - shown.bgr().astype(float))[y : y + h, x : x + w]
    assert away.mean() < 6


def test_idle_hours_differ_and_demand_nothing() -> None:
    """An hour in which nobody comes: changing light, no truth of a placement, another bin each hour."""
    night, morning = idle_hour(2, length_s=30), idle_hour(6, length_s=30)
    assert not night.placed
    assert not morning.placed
    means = [float(f.grey8.mean()) for f in morning.frames]
    assert len(means) > 140
    assert max(means) - min(means) > 2
    assert _at(night, 1)[0].grey8.tobytes() != _at(morning, 1)[0].grey8.tobytes()


def test_the_whole_suite_is_as_large_as_promised() -> None:
    """Several hundred clips and at least a thousand placements; the everyday slice has each condition once."""
    assert sum(c.clips for c in CONDITIONS.values()) >= 300
    assert sum(c.clips * c.visits for c in CONDITIONS.values()) >= 1000
    assert [c.condition for c in clips("everyday", only=("plain", "small"))] == ["plain", "small"]
