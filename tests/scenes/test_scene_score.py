"""Scoring: each truth is hit once, at its time and place; everything else that was said is wrong."""

from __future__ import annotations

from bin_daemon.sim.suite.truth import Clip, Truth
from tests.scenes.score import Said, Score, covered, overlap, score

BOX = (100, 100, 80, 60)
ITEM = Truth("placement", 5.0, 8.0, BOX, "cup")


def _clip(*truths: Truth) -> Clip:
    return Clip("clip", "plain", 0, 15, (640, 480), 20, truths, (), lambda: iter(()))


def test_a_hit_has_latency_and_overlap() -> None:
    """Said within the window and around the item; a little sooner than rest counts as no latency."""
    found = score(_clip(ITEM), [Said("placement", 5.4, (90, 90, 100, 80))])
    assert (found.hits, found.false, found.recall, found.precision) == (1, 0, 1.0, 1.0)
    assert found.latencies_s == [5.4 - 5.0]
    assert found.overlaps == [80 * 60 / (100 * 80)]
    assert score(_clip(ITEM), [Said("placement", 4.6, BOX)]).latencies_s == [0.0]


def test_a_second_hit_is_a_double_and_false() -> None:
    """Exactly once."""
    found = score(_clip(ITEM), [Said("placement", 5.4, BOX), Said("multi_item", 6.0, BOX)])
    assert (found.hits, found.false, found.doubles) == (1, 1, 1)
    assert found.precision == 0.5


def test_wrong_time_or_place_is_false_and_the_item_missed() -> None:
    """Too soon, too late, or elsewhere; each fault has its line."""
    for said in (Said("placement", 4.4, BOX), Said("placement", 8.1, BOX), Said("placement", 5.4, (300, 300, 80, 60))):
        found = score(_clip(ITEM), [said])
        assert (found.hits, found.false, found.doubles, found.recall) == (0, 1, 0, 0.0)
        assert len(found.faults) == 2


def test_what_may_be_said_is_neither_demanded_nor_false() -> None:
    """An item that was put down and taken at once."""
    may = Truth("placement", 5.0, 5.5, BOX, demanded=False)
    assert score(_clip(may), []).items == 0
    assert score(_clip(may), [Said("placement", 5.2, BOX)]).false == 0


def test_an_item_that_was_shifted_is_right_in_both_places_once() -> None:
    """The place before or the one after."""
    shifted = Truth("placement", 5.0, 8.0, BOX, also=(300, 100, 80, 60))
    one, two = Said("placement", 5.2, BOX), Said("placement", 6.2, (300, 100, 80, 60))
    assert score(_clip(shifted), [one]).hits == score(_clip(shifted), [two]).hits == 1
    assert score(_clip(shifted), [one, two]).doubles == 1


def test_kinds_are_told_apart() -> None:
    """Two items taken for one are found, but of the wrong kind."""
    two = Truth("multi_item", 5.0, 8.0, BOX)
    assert score(_clip(two), [Said("placement", 5.4, BOX)]).wrong_kind == 1
    assert score(_clip(two), [Said("multi_item", 5.4, BOX)]).wrong_kind == 0


def test_notices_without_cause_are_false_but_for_hands() -> None:
    """A demanded notice in time is noticed; a hand may be told of at any time."""
    stuck = Truth("not_cleared", 9.0, 15.0)
    right = score(_clip(stuck), [Said("not_cleared", 10.0), Said("hand_present", 1.0)])
    assert (right.notices, right.noticed, right.false_notices) == (1, 1, {})
    wrong = score(_clip(stuck), [Said("not_cleared", 16.0), Said("camera_moved", 1.0)])
    assert (wrong.noticed, wrong.false_notices) == (0, {"not_cleared": 1, "camera_moved": 1})


def test_scores_add_up() -> None:
    """Counts and lists of clips become those of a condition."""
    total = Score()
    for _ in range(2):
        total.add(score(_clip(ITEM), [Said("placement", 5.4, BOX), Said("covered", 1.0)]))
    assert (total.clips, total.items, total.hits, total.false_notices) == (2, 2, 2, {"covered": 2})
    assert len(total.latencies_s) == 2


def test_boxes_share_what_they_share() -> None:
    """Cover and overlap of boxes beside, within and across each other."""
    assert covered(BOX, (0, 0, 640, 480)) == 1.0
    assert covered((0, 0, 0, 0), BOX) == 0.0
    assert overlap(BOX, (500, 100, 80, 60)) == 0.0
    assert overlap(BOX, (140, 100, 80, 60)) == 40 / 120
