"""The peers of the report are no straw men: each places an easy item once; and the table that shows them all."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from bin_daemon.sim.suite.clips import clip
from tests.scenes.peers.report import NAMES, Found, markdown, table
from tests.scenes.peers.settling import Rule, Settling
from tests.scenes.peers.tee import OURS, peers, watch_all
from tests.scenes.score import Score, covered, score

if TYPE_CHECKING:
    from tests.scenes.peers.tee import Watcher

ITEM = (120, 80, 60, 45)
FROM_S, TO_S, END_S = 2.0, 5.0, 7.0


def _watch(watcher: Watcher) -> None:
    """A noisy tray; a dark box lies on it from `FROM_S` to `TO_S`, then a lid opens for a second."""
    noise = np.random.default_rng(0)
    slope = np.linspace(100, 200, 320, dtype=np.uint8)  # Frigate stretches the contrast: of an even tray, the noise
    tray = np.repeat(np.repeat(slope[None, :, None], 240, axis=0), 3, axis=2)
    x, y, w, h = ITEM
    for number in range(int(END_S * 10)):
        t_s = number / 10
        picture = tray.copy()
        if FROM_S <= t_s < TO_S:
            picture[y : y + h, x : x + w] = 60
        picture = cv2.add(picture, noise.integers(0, 6, picture.shape, dtype=np.uint8))
        watcher.see(np.asarray(picture, np.uint8), t_s, rest=not TO_S - 0.5 <= t_s < TO_S + 0.5)


@pytest.mark.parametrize("name", NAMES[1:])
def test_each_peer_places_an_easy_item_once(name: str) -> None:
    """One placement, a settle time after the item lay down, with a box around it; nothing when it has gone."""
    watcher = peers()[name]
    _watch(watcher)
    (one,) = watcher.said
    assert one.kind == "placement"
    assert FROM_S + 0.4 <= one.t_s <= FROM_S + 1.0
    assert one.box is not None
    assert covered(ITEM, one.box) > 0.9
    assert covered(one.box, ITEM) > 0.7


def test_what_moves_reaches_in_or_is_too_large_is_no_item() -> None:
    """The rule: still for the settle time, away from the edge; the same item again only after a clear tray."""
    rule = Settling((640, 480), Rule())
    held, edge, large = (100, 100, 50, 50), (0, 100, 300, 50), (10, 10, 620, 460)
    moving = [(100 + 40 * n, 100, 50, 50) for n in range(10)]
    for boxes in (moving, [edge] * 10, [large] * 10):
        assert [rule.update(n / 10, [box]) for n, box in enumerate(boxes)] == [None] * 10
    said = [rule.update(10 + n / 10, [held]) for n in range(20)]
    assert [n for n, one in enumerate(said) if one] == [4]
    for n in range(10):
        assert rule.update(12 + n / 10, []) is None
    again = [rule.update(13 + n / 10, [held, (300, 300, 40, 40)]) for n in range(10)]
    assert [one.kind for one in again if one] == ["multi_item"]


def test_a_clip_is_rendered_once_for_all() -> None:
    """Ours gets each frame, the peers ten a second of the same; what is said fits the clip's frame."""
    whole = clip("coarse_jpeg", everyday=True)
    one = replace(whole, play=lambda: itertools.takewhile(lambda frame: frame.t_s < 6.0, whole.frames))
    said = watch_all(one)
    assert set(said) == {OURS, "poller", "MOG2", "Frigate"}
    assert score(one, said[OURS]).hits >= 1
    for found in said.values():
        for x, y, w, h in (s.box for s in found if s.box):
            assert x + w <= one.size[0] + 8
            assert y + h <= one.size[1] + 8


def test_the_table_has_all_and_names_what_is_not_better() -> None:
    """A row for each condition, one for all, one for the empty tray; a peer that is no worse is named."""
    found = Found()
    good = Score(clips=1, items=2, hits=2, latencies_s=[0.4, 0.5])
    bad = Score(clips=1, items=2, hits=1, false=1, latencies_s=[0.6])
    found.add("plain", {OURS: good, "poller": good, "MOG2": bad, "Frigate": Score(clips=1, items=2)})
    found.add_idle(1800, {name: Score(clips=1, false=int(name == "MOG2")) for name in NAMES})
    lines = markdown(found).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("| plain | 1 | 2 | 1.000 | 1.000 | 0.45 / 0.50 | 1.000 |")
    assert "0.500 | 0.500 | 0.60 / 0.60" in lines[2]
    assert lines[4].startswith("| false in 0.5 h idle | 1 | 0 | 0 |")
    assert found.not_better() == ["plain: poller is equal"]
    assert table(found).row_count == 3
    assert found.as_json()["idle"]["false_placements"]["MOG2"] == 1
