"""The model on a thread of its own, which may study an item while it is still settling.

The line names what it will probably ask (`Ahead.prefer`) and asks when an item counts (`Ahead.classify`). What was studied leaves
here only as the answer to that question, and only when frame and box are the very ones; so nothing that was guessed can open a
lid. All of the network's work is done by the one thread, one thing at a time: sessions of a GPU are used by one thread, and no
core is asked for twice.

A study that turns out useless is stopped where the engine can be (ONNX Runtime), so that the item itself need not wait for it.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bin_daemon.model.own_thread import OwnThread
from bin_daemon.service.worker import WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from bin_daemon.domain import Classification, Placement
    from bin_daemon.model.classify import Classifier

HUNG_S = 120.0
"""No board and no number of views that fit a bin take so long; then the process must end, as nothing else mends a hung driver."""
SPARE_STUDIES = 4
"""A person who brings one item puts it down, holds on and turns it a few times."""
SPARE_EVERY_S = 15.0
"""Hands that play over the tray all day cost one stopped study in so many seconds."""


class Allowance:
    """How many studies may still come to nothing: some at once, then one every so often. An edge board has its heat to mind."""

    def __init__(self, most: int = SPARE_STUDIES, every_s: float = SPARE_EVERY_S) -> None:
        self._most = most
        self._every_s = every_s
        self._left = float(most)
        self._t_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Use one, if there is one."""
        if self._t_s is not None:
            self._left = min(float(self._most), self._left + max(0.0, now_s - self._t_s) / self._every_s)
        self._t_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """It was of use."""
        self._left = min(float(self._most), self._left + 1)


@dataclass(slots=True, eq=False)
class _Study:
    candidate: Placement
    dropped: threading.Event = field(default_factory=threading.Event)
    done: Future[bool] | None = None

    def is_wanted(self) -> bool:
        return not self.dropped.is_set()

    def is_part_of(self, placement: Placement) -> bool:
        first = self.candidate.frames[0]
        return self.candidate.box == placement.box and any(x is first for x in placement.frames)

    def succeeded(self) -> bool:
        return self.done is not None and self.done.done() and not self.done.exception() and self.done.result()


class Ahead:
    """`bin_daemon.pipeline.ClassifierPort`. Called by the line's thread only, but for `status`, `counts` and `info`."""

    def __init__(self, classifier: Classifier, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.classifier = classifier
        self._clock = clock
        self._thread = OwnThread("model", clock)
        self._allowance = Allowance()
        self._study: _Study | None = None
        self._speculated = self._used = self._discarded = 0

    @property
    def info(self) -> dict[str, str | int]:
        """See `Classifier.info`."""
        return self.classifier.info

    @property
    def counts(self) -> dict[str, int]:
        """Studies begun; used for a verdict; discarded, because the item moved, changed or went, or the study failed."""
        return {"speculated": self._speculated, "used": self._used, "discarded": self._discarded}

    @property
    def status(self) -> WorkerStatus:
        """For the watchdog: a network that hangs over a study must not look well until the next item comes."""
        began_t_s = self._thread.began_t_s
        beat_t_s = self._clock() if began_t_s is None else began_t_s
        return WorkerStatus("model", beat_t_s, failing="", hint="", failures=0, recoveries=0, dead=False)

    def warm_up(self) -> float:
        """See `Classifier.warm_up`; on the thread that will judge, for what libraries set up belongs to a thread."""
        return self._thread.submit(self.classifier.warm_up).result()

    def prefer(self, candidate: Placement | None) -> None:
        """Study this candidate, drop any other; None drops all. Returns at once, and is asked again for each frame.

        One study at a time: while a dropped one still ends, nothing new begins.
        """
        study = self._study
        if study is not None and study.candidate is candidate:
            return
        self._drop()
        if not self._thread.is_idle:
            self.classifier.stop_run()  # again: it may have been told just before its run began
        elif candidate is not None and self._allowance.take(self._clock()):
            self._begin(candidate)

    def _begin(self, candidate: Placement) -> None:
        study = self._study = _Study(candidate)
        study.done = self._thread.submit(lambda: self.classifier.study(candidate, study.is_wanted))
        self._speculated += 1

    def classify(self, placement: Placement) -> Classification:
        """The verdict for these frames in this box; ``took_ms`` is what the line had to wait for it.

        What a study raised is not told: the placement is judged anew, and raises by itself. TimeoutError when the model hangs.
        """
        began = time.perf_counter()
        if self._study is not None and not self._study.is_part_of(placement):
            self._drop()
        study, self._study = self._study, None
        answer = self._thread.submit(lambda: self.classifier.classify(placement))
        try:
            verdict = answer.result(HUNG_S)
        except LateError:
            raise TimeoutError(f"the model has not answered for {HUNG_S:g} s") from None
        if study is not None:
            self._count(study)
        return replace(verdict, took_ms=(time.perf_counter() - began) * 1000)

    def close(self, timeout_s: float) -> bool:
        """Stop what nobody will ask for any more and end the thread; False when it hangs."""
        self._drop()
        return self._thread.close(timeout_s)

    def _drop(self) -> None:
        study, self._study = self._study, None
        if study is None:
            return
        self._discarded += 1
        study.dropped.set()
        if study.done is not None and not study.done.done():
            self.classifier.stop_run()

    def _count(self, study: _Study) -> None:
        if study.succeeded():
            self._used += 1
            self._allowance.give_back()
        else:
            self._discarded += 1
