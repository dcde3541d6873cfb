"""What the scene says is true can be seen in its pictures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.domain import Category
from bin_daemon.sim.scene import Scene, deal
from bin_daemon.sim.script import Habits, How
from firmware_protocol.hal import Motion

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bin_daemon.sim.photos import PhotoSet
    from bin_daemon.sim.playback import Player

SEEN_GREY = 15.0
"""Well above the noise of one pixel (2.2)."""


def _difference(player: Player) -> NDArray[np.float32]:
    """How far each pixel is from the empty tray of the start, light drift taken out, grey levels."""
    now, then = player.picture.astype(np.float32).mean(axis=2), player.empty.astype(np.float32).mean(axis=2)
    return np.asarray(np.abs(now - then * float(np.median(now / np.maximum(then, 1)))), np.float32)


def _seen_frac(player: Player) -> float:
    return float((_difference(player) > SEEN_GREY).mean())


def test_the_same_seed_gives_the_same_pictures(play: Callable[..., Player]) -> None:
    """Two scenes of one seed agree to the last bit while items come and fall; another seed does not."""
    one, two, other = play(5), play(5), play(6)
    for player in (one, two):
        player.until_placed()
        player.cycle()
    assert one.now_s == two.now_s
    assert np.array_equal(one.picture, two.picture)
    assert one.scene.history == two.scene.history
    assert not np.array_equal(one.empty, other.empty)


def test_size_and_number_do_not_change_who_comes_when(drawn: PhotoSet) -> None:
    """A smaller picture or a longer queue of the same seed brings the same first items at the same times."""
    small = Scene(drawn.items, 9, count=2, size_hw=(120, 214))
    large = Scene(drawn.items, 9, count=7, size_hw=(240, 426))
    for step in range(60):
        small.render(step / 10)
        large.render(step / 10)
    assert [(x.name, x.placed_t_s) for x in small.history] == [(x.name, x.placed_t_s) for x in large.history]
    assert small.photos == large.photos[:2]


@pytest.mark.parametrize("seed", range(6))
def test_an_item_at_rest_differs_from_the_empty_tray_inside_its_box_only(
    play: Callable[..., Player], seed: int
) -> None:
    """The ground truth's box holds the item: its inside differs from the empty tray, the rest (but for the shadow) does not."""
    player = play(seed)
    player.until_placed()
    truth = player.scene.truth(player.now_s)
    assert truth is not None
    x, y, w, h = truth.box
    differs = _difference(player) > SEEN_GREY
    assert differs[y : y + h, x : x + w].mean() > 0.15
    margin = 14
    differs[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin] = False
    assert differs.mean() < 0.002


def test_the_hand_is_seen_before_the_item_lies_there(play: Callable[..., Player]) -> None:
    """Something large reaches in from the near edge before an item is placed, and nothing of it is left afterwards."""
    player = play(4)
    near_edge: list[float] = []
    player.until(lambda: near_edge.append(_near_edge_frac(player)) or player.scene.truth(player.now_s) is not None)  # type: ignore[func-returns-value]
    assert max(near_edge) > 0.05
    assert near_edge[0] < 0.01
    assert _near_edge_frac(player) < 0.01


def _near_edge_frac(player: Player) -> float:
    return float((_difference(player)[-24:] > SEEN_GREY).mean())


@pytest.mark.parametrize("lid", [1, 2, 3, 4, 5])
def test_an_open_lid_lets_the_item_fall_and_the_tray_is_empty_again(play: Callable[..., Player], lid: int) -> None:
    """After one opening of any lid the item is gone, the history says how, and the picture is the empty tray's."""
    player = play()
    player.until_placed()
    assert _seen_frac(player) > 0.01
    player.cycle(lid)
    assert player.scene.truth(player.now_s) is None
    assert [(x.index, x.how) for x in player.scene.history] == [(0, How.FELL)]
    assert _seen_frac(player) < 0.002


def test_an_opening_that_never_opens_moves_nothing(play: Callable[..., Player]) -> None:
    """A lid that jams on its way (opening, reversed, closed) lets nothing fall."""
    player = play()
    player.until_placed()
    for motion in (Motion.OPENING, Motion.CLOSING, Motion.CLOSED):
        player.tell(motion)
        player.wait(0.3)
    assert player.scene.truth(player.now_s) is not None


def test_an_item_for_which_nothing_opens_is_taken_back(play: Callable[..., Player]) -> None:
    """Without any lid motion the person waits for the whole patience, takes the item, and the next one comes."""
    player = play(habits=Habits(patience_s=2.0))
    player.until_placed()
    first = player.scene.truth(player.now_s)
    assert first is not None
    player.until(lambda: player.scene.history[0].gone_t_s is not None)
    gone = player.scene.history[0]
    assert gone.how is How.TAKEN
    assert gone.left_t_s is not None
    assert gone.left_t_s >= first.placed_t_s + 2.0
    assert _seen_frac(player) < 0.01
    player.until_placed()
    assert player.scene.history[-1].index == 1


def test_a_lid_that_opens_while_the_hand_comes_back_wins_until_the_hand_has_grasped(
    play: Callable[..., Player],
) -> None:
    """The item falls under the returning hand, and the hand goes away again."""
    player = play(habits=Habits(patience_s=1.0, reach_s=(0.9, 0.95)))
    player.until_placed()
    player.wait(1.65)
    assert _near_edge_frac(player) > 0.02
    player.cycle()
    assert player.scene.history[0].how is How.FELL
    assert _seen_frac(player) < 0.002


def test_an_item_let_go_over_an_open_lid_falls_at_once(play: Callable[..., Player]) -> None:
    """A lid opened by hand before the item comes swallows it without its ever being at rest."""
    player = play()
    player.wait(1.5)
    player.tell(Motion.OPENING)
    player.tell(Motion.OPEN)
    player.until(lambda: bool(player.scene.history))
    player.wait(1.0)
    item = player.scene.history[0]
    assert item.how is How.FELL
    assert item.left_t_s == item.placed_t_s
    assert all(player.scene.truth(t / 10) is None for t in range(round(player.now_s * 10)))


def test_nobody_comes_while_a_lid_is_open_unless_it_hangs(play: Callable[..., Player]) -> None:
    """The next person waits for the lids to shut, but not for ever."""
    player = play(habits=Habits(pause_s=(0.3, 0.4)))
    player.until_placed()
    player.tell(Motion.OPENING)
    player.tell(Motion.OPEN)
    player.wait(6.0)
    assert len(player.scene.history) == 1
    player.until(lambda: len(player.scene.history) == 2)
    assert player.now_s - player.scene.history[0].placed_t_s > 10.0


def test_after_the_last_item_the_tray_stays_empty(play: Callable[..., Player]) -> None:
    """Once all items were sorted, the scene says that it is over and nothing comes any more."""
    player = play(count=1)
    assert not player.scene.is_over()
    player.until_placed()
    assert not player.scene.is_over()
    player.cycle()
    assert player.scene.is_over()
    player.wait(6.0)
    assert len(player.scene.history) == 1
    assert _seen_frac(player) < 0.002


def test_what_a_hand_brought_is_known_before_it_is_at_rest(play: Callable[..., Player]) -> None:
    """From the moment a hand lets go until the next hand does, `brought` names the item, fallen or not."""
    player = play()
    assert player.scene.brought(player.now_s) is None
    player.until(lambda: player.scene.brought(player.now_s) is not None)
    assert player.scene.truth(player.now_s) is None
    first = player.scene.photos[0]
    player.until_placed()
    player.cycle()
    assert player.scene.brought(player.now_s) is first


def test_no_items_is_an_empty_tray(play: Callable[..., Player]) -> None:
    """Zero items is a picture of an empty tray, not an error."""
    player = play(count=0)
    player.wait(4.0)
    assert player.scene.is_over()
    assert player.scene.history == ()


def test_every_category_is_dealt_in_turn_and_nothing_twice_too_soon(drawn: PhotoSet) -> None:
    """Four items show all four categories, sixteen show all sixteen drawings once, and the deal then begins anew."""
    dealt = deal(drawn.items, 18, np.random.default_rng(2))
    assert {p.category for p in dealt[:4]} == set(Category)
    assert set(Counter(p.name for p in dealt[:16]).values()) == {1}
    assert len(dealt) == 18


def test_light_drifts_slowly_and_every_frame_has_its_own_noise(play: Callable[..., Player]) -> None:
    """Two frames are never alike; over a minute the mean grey wanders by some levels, between frames by far less than one."""
    player = play(count=0)
    before = player.picture
    player.wait(1 / 15)
    assert not np.array_equal(before, player.picture)
    assert abs(float(before.mean()) - float(player.picture.mean())) < 0.5
    means = [float(player.scene.render(t).mean()) for t in range(2, 62, 5)]
    assert 1.0 < max(means) - min(means) < 25.0
