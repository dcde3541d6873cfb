"""The state table, and that no run of frames and lids leads out of it or counts an item twice."""

from __future__ import annotations

from itertools import count

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Frame, Image, LidPosition, LidsState, LidState
from bin_daemon.placement import Detector, State
from bin_daemon.placement.states import TABLE, Seen, process

OWED = {State.WAIT_CLEAR, State.NOT_CLEARED, State.DISTURBED, State.BLIND_OWED}


@pytest.mark.parametrize("state", list(State))
def test_every_state_knows_motion_and_blindness(state: State) -> None:
    """Whatever is believed, a frame with motion or an unusable one may come next."""
    assert {Seen.MOTION, Seen.UNUSABLE} <= set(TABLE[state])


def test_what_is_owed_ends_only_by_a_clear_tray_or_a_new_view() -> None:
    """From the counted half only CLEARED, a mark that stays and a moved camera lead back; blindness to the same half."""
    for state in OWED:
        left = {seen for seen, after in TABLE[state].items() if after not in OWED}
        assert left <= {Seen.CLEARED, Seen.VIEW_CHANGED, Seen.STAINED}


def test_an_illegal_event_is_a_bug() -> None:
    """The table has no row for learning while blind: it raises and names both."""
    with pytest.raises(ValueError, match=r"learnt.*blind"):
        process(State.BLIND, Seen.LEARNT)


def _pictures() -> dict[str, Image]:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:45, 0:80].astype(np.float32)
    bare = (
        110
        + 30 * np.exp(-(((y - 20) / 30) ** 2) - ((x - 40) / 40) ** 2)
        + rng.normal(0, 3, (45, 80)).astype(np.float32)
    )
    shown = {"bare": bare, "dim": bare * 0.6, "dark": bare * 0.05, "white": bare * 0 + 253, "covered": bare * 0 + 90}
    for name, box in {"item": (20, 12, 14, 10), "other item": (40, 22, 12, 12), "at the edge": (0, 20, 30, 8)}.items():
        shown[name] = bare.copy()
        cv2.rectangle(shown[name], box, 210, -1)
    shown["moved"] = np.ascontiguousarray(bare[::-1, ::-1]) + 60 * (x % 16 > 8)
    return {name: np.clip(picture, 0, 255).astype(np.uint8) for name, picture in shown.items()}


PICTURES = _pictures()
LIDS = {
    "shut": LidsState(connected=True, lids={1: LidState(1, LidPosition.CLOSED)}),
    "open": LidsState(connected=True, lids={1: LidState(1, LidPosition.OPEN)}),
    "fault": LidsState(connected=True, lids={1: LidState(1, LidPosition.FAULT)}),
    "absent": LidsState(connected=False),
}
SCENES = st.lists(
    st.tuples(
        st.sampled_from(sorted(PICTURES)),
        st.sampled_from(sorted(LIDS)),
        st.integers(1, 14),
        st.sampled_from((0.07, 0.3, 2.5)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(SCENES)
def test_no_run_of_frames_leads_out_of_the_table(scenes: list[tuple[str, str, int, float]]) -> None:
    """Any pictures, lids, paces and pauses: nothing raises, and a placement needs an item, lids at rest and no debt before."""
    ids, seqs, t_s = count(), count(), 10.0
    detector = Detector(PlacementSettings(background_s=3), lambda: str(next(ids)))
    for name, lids, frames, period_s in scenes:
        for _ in range(frames):
            t_s += period_s
            before = detector.state
            frame = Frame(next(seqs), t_s, 640, 360, PICTURES[name], lambda: np.zeros((1, 1, 3), np.uint8))
            placement = detector.update(frame, LIDS[lids])
            if placement:
                assert before in {State.SETTLING, State.DISTURBED, State.WAIT_CLEAR}
                assert lids != "open"
                assert detector.state is State.WAIT_CLEAR
                assert all(x.grey8 is frame.grey8 for x in placement.frames)
                assert all(x.t_s >= frame.t_s - placement.settled_ms / 1000 - 1e-6 for x in placement.frames)
                assert placement.box[2] * placement.box[3] > 0
