"""The head start: what the model may study before an item counts, and that nothing of it is told but as that item's answer."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.domain import Category, Classification, Frame, Placement
from bin_daemon.errors import DeviceError, ModelError
from bin_daemon.model import ahead as ahead_module
from bin_daemon.model.ahead import SPARE_EVERY_S, SPARE_STUDIES, Ahead, Allowance
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import Bundle, BundleMetadata, LabelInfo, Preprocessing
from bin_daemon.model.classify import Classifier
from bin_daemon.service.health import may_feed_watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BOX, OTHER_BOX = (0, 0, 64, 64), (0, 0, 48, 64)
BOUND_S = 20.0
BUNDLE = Bundle(
    Path("played"),
    BundleMetadata(
        id="played",
        architecture=ArchitectureInfo(name="convnext_atto"),
        labels=tuple(LabelInfo(label=c.value, category=c) for c in Category),
        preprocessing=Preprocessing(resize_px=32, crop_px=32),
    ),
)


class Network:
    """An engine that can be held, fails on demand, and remembers who asked what."""

    name = "played"

    def __init__(self) -> None:
        self.grey: list[float] = []
        """Brightness of each picture that it saw."""
        self.threads: set[str] = set()
        self.at_once = 0
        self.failure: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.entered = threading.Semaphore(0)
        self.stopped = threading.Event()
        self._busy = threading.Lock()

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Surely kitchen, when it may."""
        self.at_once += not self._busy.acquire(blocking=False)
        try:
            self.threads.add(threading.current_thread().name)
            self.grey += [float(x.mean()) for x in batch]
            self.entered.release()
            assert self.may_go_on.wait(BOUND_S)
            if self.stopped.is_set():
                self.stopped.clear()
                raise ModelError("stopped")
            if self.failure:
                raise self.failure
            return np.tile(np.array([[30.0 * (c is Category.KITCHEN) for c in Category]], np.float32), (len(batch), 1))
        finally:
            self._busy.release()

    def stop_run(self) -> None:
        """What is held goes on, and fails."""
        self.stopped.set()
        self.may_go_on.set()

    def await_run(self) -> None:
        """Until the next run has begun."""
        assert self.entered.acquire(timeout=BOUND_S)


class Stand:
    """A model ahead of a line, on a clock that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.network = Network()
        self.ahead = Ahead(Classifier(self.network, BUNDLE, clock=lambda: self.now_s), clock=lambda: self.now_s)

    def settle(self) -> None:
        """Until the model's thread has nothing to do."""
        self.ahead._thread.submit(lambda: None).result(BOUND_S)

    @property
    def counts(self) -> tuple[int, ...]:
        """Speculated, used, discarded."""
        return tuple(self.ahead.counts.values())


@pytest.fixture
def stand() -> Iterator[Stand]:
    """Its thread ends with the test."""
    stand = Stand()
    yield stand
    stand.network.may_go_on.set()
    assert stand.ahead.close(BOUND_S)


def frame(grey: int, *, damaged: bool = False) -> Frame:
    """A picture of one grey."""

    def decode() -> NDArray[np.uint8]:
        if damaged:
            raise DeviceError("JPEG cut short")
        return np.full((64, 64, 3), grey, np.uint8)

    return Frame(grey, 1.0, 64, 64, np.zeros((8, 8), np.uint8), decode)


def item(*frames: Frame, box: tuple[int, int, int, int] = BOX) -> Placement:
    """Something that settles, or has settled."""
    return Placement("id", 1.0, frames, box, 400.0)


def test_a_studied_frame_is_not_asked_about_again(stand: Stand) -> None:
    """The verdict is that of the study, told when the item counts, and the network ran once."""
    seen = frame(10)
    stand.ahead.prefer(item(seen))
    stand.settle()
    stand.now_s = 100.4
    verdict = stand.ahead.classify(item(seen))
    assert (verdict.category, verdict.t_s) == (Category.KITCHEN, 100.4)
    assert len(stand.network.grey) == 1
    assert stand.counts == (1, 1, 0)


def test_the_verdict_is_that_of_a_plain_classifier(stand: Stand) -> None:
    """A head start changes no number of it."""
    seen = frame(10)
    stand.ahead.prefer(item(seen))
    plain = Classifier(Network(), BUNDLE, clock=lambda: 100.0).classify(item(seen))
    with_start = stand.ahead.classify(item(seen))
    assert (with_start.category_probs, with_start.top5, with_start.margin) == (
        plain.category_probs,
        plain.top5,
        plain.margin,
    )


def test_a_running_study_is_waited_for(stand: Stand) -> None:
    """An item that counts in the middle of its study gets that answer, not a second run."""
    seen = frame(10)
    stand.network.may_go_on.clear()
    stand.ahead.prefer(item(seen))
    stand.network.await_run()
    verdicts: list[Classification] = []
    line = threading.Thread(target=lambda: verdicts.append(stand.ahead.classify(item(seen))))
    line.start()
    stand.network.may_go_on.set()
    line.join(BOUND_S)
    assert verdicts[0].category is Category.KITCHEN
    assert len(stand.network.grey) == 1
    assert stand.counts == (1, 1, 0)


@pytest.mark.parametrize("placed", [item(frame(20)), item(frame(20), box=OTHER_BOX)])
def test_another_frame_is_judged_anew(stand: Stand, placed: Placement) -> None:
    """Not what was studied but what was placed is judged."""
    stand.ahead.prefer(item(frame(10)))
    stand.settle()
    stand.ahead.classify(placed)
    assert len(stand.network.grey) == 2
    assert stand.network.grey[1] > stand.network.grey[0]
    assert stand.counts == (1, 0, 1)


def test_the_same_frame_in_another_box_is_judged_anew(stand: Stand) -> None:
    """The item grew after its study: another crop is another question."""
    seen = frame(10)
    stand.ahead.prefer(item(seen))
    stand.settle()
    stand.ahead.classify(item(seen, box=OTHER_BOX))
    assert len(stand.network.grey) == 2
    assert stand.counts == (1, 0, 1)


def test_of_several_views_only_the_studied_one_is_known(stand: Stand) -> None:
    """Three views, one studied: two more runs, all three count."""
    views = [frame(10), frame(20), frame(30)]
    stand.ahead.prefer(item(views[0]))
    stand.settle()
    verdict = stand.ahead.classify(item(*views))
    assert len(stand.network.grey) == 3
    assert len(set(stand.network.grey)) == 3
    assert verdict.agreement == 1
    assert stand.counts == (1, 1, 0)


def test_motion_stops_the_study_and_the_next_item_is_not_delayed(stand: Stand) -> None:
    """A held network is released by the stop; what moved is never told."""
    stand.network.may_go_on.clear()
    stand.ahead.prefer(item(frame(10)))
    stand.network.await_run()
    stand.ahead.prefer(None)
    verdict = stand.ahead.classify(item(frame(20)))
    assert verdict.category is Category.KITCHEN
    assert stand.counts == (1, 0, 1)


def test_one_candidate_is_studied_once_however_long_it_lies(stand: Stand) -> None:
    """The same object frame after frame is one study; so is one that waits for a lid to shut."""
    candidate = item(frame(10))
    for _ in range(50):
        stand.ahead.prefer(candidate)
    stand.settle()
    stand.ahead.prefer(candidate)
    assert len(stand.network.grey) == 1
    assert stand.counts == (1, 0, 0)


def test_nothing_begins_while_a_dropped_study_still_ends(stand: Stand) -> None:
    """One study at a time: the newer candidate waits for the thread and is then studied, with the next frame."""
    ends = threading.Event()
    stand.ahead._thread.submit(lambda: ends.wait(BOUND_S))
    newer = item(frame(20))
    stand.ahead.prefer(newer)
    assert stand.counts == (0, 0, 0)
    ends.set()
    stand.settle()
    stand.network.stopped.clear()
    stand.ahead.prefer(newer)
    stand.settle()
    assert stand.counts == (1, 0, 0)
    assert len(stand.network.grey) == 1


@pytest.mark.parametrize("failure", [ModelError("CUDA lost"), ZeroDivisionError("a bug")])
def test_what_fails_in_a_study_is_judged_anew(stand: Stand, failure: Exception) -> None:
    """A failure that has gone by the time the item counts costs nothing but the head start."""
    seen = frame(10)
    stand.network.failure = failure
    stand.ahead.prefer(item(seen))
    stand.settle()
    stand.network.failure = None
    assert stand.ahead.classify(item(seen)).category is Category.KITCHEN
    assert stand.counts == (1, 0, 1)


def test_a_model_error_that_stays_is_the_items_own_verdict(stand: Stand) -> None:
    """Unsure with the reason, once the item counts; before that nobody hears of it."""
    seen = frame(10)
    stand.network.failure = ModelError("CUDA lost")
    stand.ahead.prefer(item(seen))
    stand.settle()
    verdict = stand.ahead.classify(item(seen))
    assert (verdict.category, verdict.reason, verdict.seen) == (None, "CUDA lost", True)


def test_a_bug_in_the_network_surfaces_in_the_line(stand: Stand) -> None:
    """As it did without a thread: the caller gets the exception itself."""
    stand.network.failure = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        stand.ahead.classify(item(frame(10)))


def test_a_damaged_frame_leaves_no_head_start(stand: Stand) -> None:
    """Nothing could be studied, and the placement's verdict says why."""
    seen = frame(10, damaged=True)
    stand.ahead.prefer(item(seen))
    stand.settle()
    verdict = stand.ahead.classify(item(seen))
    assert (verdict.seen, verdict.reason) == (False, "frame 10: JPEG cut short")
    assert stand.counts == (1, 0, 1)


def test_all_runs_are_the_model_threads_and_never_two_at_once(stand: Stand) -> None:
    """Warm-up, studies and verdicts: a GPU's session is used by one thread."""
    stand.ahead.warm_up()
    for grey in range(10, 20):
        seen = frame(grey)
        stand.ahead.prefer(item(seen))
        stand.ahead.classify(item(seen if grey % 2 else frame(grey + 100)))
    assert stand.network.threads == {"model"}
    assert stand.network.at_once == 0
    speculated, used, discarded = stand.counts
    assert speculated == used + discarded


def test_a_network_that_hangs_over_a_study_starves_the_watchdog(stand: Stand) -> None:
    """Though the line turns, the bin is not well: nobody may wait for the next item to find out."""
    stand.network.may_go_on.clear()
    stand.ahead.prefer(item(frame(10)))
    stand.network.await_run()
    stand.now_s += 10.1
    why = may_feed_watchdog(stand.now_s, [stand.ahead.status], stand.now_s, stale_s=10.0)
    assert why == "model silent for 10.1 s"
    stand.network.may_go_on.set()
    stand.settle()
    assert may_feed_watchdog(stand.now_s, [stand.ahead.status], stand.now_s, stale_s=10.0) == ""


def test_a_model_that_never_answers_ends_the_line(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no watchdog is: the wait is bounded and says what hangs."""
    monkeypatch.setattr(ahead_module, "HUNG_S", 0.01)
    stand.network.may_go_on.clear()
    with pytest.raises(TimeoutError, match=r"the model has not answered for 0\.01 s"):
        stand.ahead.classify(item(frame(10)))


def test_the_end_stops_a_study_and_joins_the_thread() -> None:
    """Nothing is left running."""
    stand = Stand()
    stand.network.may_go_on.clear()
    stand.ahead.prefer(item(frame(10)))
    stand.network.await_run()
    assert stand.ahead.close(BOUND_S)
    assert stand.counts == (1, 0, 1)
    assert not [x for x in threading.enumerate() if x.name == "model"]


def test_the_end_does_not_wait_for_a_network_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so instead; the thread is a daemon and dies with the process."""
    stand = Stand()
    monkeypatch.setattr(stand.network, "stop_run", lambda: None)
    stand.network.may_go_on.clear()
    stand.ahead.prefer(item(frame(10)))
    stand.network.await_run()
    assert not stand.ahead.close(0.01)
    (left,) = [x for x in threading.enumerate() if x.name == "model"]
    assert left.daemon
    stand.network.may_go_on.set()
    left.join(BOUND_S)


def test_hands_that_play_all_day_cost_a_study_now_and_then(stand: Stand) -> None:
    """An hour of candidates, two a second, none of them placed: the first few, then one each `SPARE_EVERY_S`."""
    for _ in range(7200):
        stand.now_s += 0.5
        stand.ahead.prefer(item(frame(10)))
        stand.settle()
        stand.ahead.prefer(None)
    assert stand.ahead.counts["speculated"] == pytest.approx(SPARE_STUDIES + 3600 / SPARE_EVERY_S, abs=2)


def test_studies_that_are_used_cost_no_allowance() -> None:
    """A busy bin keeps its head start."""
    allowance = Allowance(2, 60.0)
    for _ in range(100):
        assert allowance.take(5.0)
        allowance.give_back()
    assert [allowance.take(5.0) for _ in range(3)] == [True, True, False]
    assert [allowance.take(65.1) for _ in range(2)] == [True, False]
