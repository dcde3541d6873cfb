"""What the line did with each item, noted as it passes: a journal port that hands on everything it is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bin_daemon.domain import Category, Classification, Decision, LidReport, ManualRequest, Outcome, Placement
from bin_daemon.pipeline import JournalPort


@dataclass(frozen=True, slots=True)
class ItemStory:
    """One item from rest to its end."""

    placement: Placement
    verdict: Classification
    decision: Decision
    decide_ms: float
    report: LidReport

    @property
    def category(self) -> Category | None:
        """What it was sorted as, None when unsure."""
        return self.decision.category

    @property
    def lid(self) -> int | None:
        """The lid that opened, None when none did."""
        never = {Outcome.REFUSED, Outcome.UNSURE_KEPT_SHUT, Outcome.NO_REPLY}
        command = self.decision.command
        return command.lid if command and self.report.outcome not in never else None

    @property
    def latency_ms(self) -> dict[str, float | None]:
        """settle, classify, decide (verdict there to decision durable), wire (OPEN sent to OPEN accepted)."""
        wire_ms = self.report.wire_ms
        return {
            "settle": round(self.placement.settled_ms, 1),
            "classify": round(self.verdict.took_ms, 1),
            "decide": round(self.decide_ms, 2),
            "wire": None if wire_ms is None else round(wire_ms, 2),
        }


class Recorder:
    """Stands before the real journal; ``told`` gets every finished item on the line's thread."""

    def __init__(
        self, journal: JournalPort, told: Callable[[ItemStory], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal = journal
        self._told = told
        self._clock = clock
        self._open: dict[int, tuple[Placement, Classification, Decision, float]] = {}

    def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
        """An item was decided."""
        self._journal.begin(placement, verdict, decision)
        decide_ms = (self._clock() - verdict.t_s) * 1000
        if decision.command:
            self._open[decision.command.action_id] = (placement, verdict, decision, decide_ms)
        else:
            outcome = Outcome.UNSURE_KEPT_SHUT if decision.unsure else Outcome.REFUSED
            self._told(ItemStory(placement, verdict, decision, decide_ms, LidReport(0, outcome)))

    def begin_manual(self, request: ManualRequest, decision: Decision) -> None:
        """A person asked for a lid; no item."""
        self._journal.begin_manual(request, decision)

    def finish(self, report: LidReport) -> None:
        """A command ended."""
        self._journal.finish(report)
        if story := self._open.pop(report.action_id, None):
            self._told(ItemStory(*story, report))
