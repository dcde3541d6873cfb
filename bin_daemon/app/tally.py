"""Counts and logs what the line does, on its way to the journal: for the health topic and for whoever reads the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from bin_daemon.domain import (
    PLACED,
    Classification,
    Decision,
    LidReport,
    ManualRequest,
    Outcome,
    Placement,
    TrayOutcome,
)
from bin_daemon.pipeline import JournalPort
from bin_daemon.service.health import Latencies

GOOD = frozenset({Outcome.CLOSED, Outcome.UNCONFIRMED})


class Tally:
    """A journal port that hands on everything it is told."""

    def __init__(self, journal: JournalPort, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._latencies = Latencies()
        self._log = structlog.get_logger()
        self._items = 0
        self._unsure = 0
        self._tray: Counter[str] = Counter()

    def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
        """An item: from settled to durable is what the person at the bin waits for, but for the lid itself."""
        self._journal.begin(placement, verdict, decision)
        self._latencies.add((self._clock() - placement.t_s) * 1000)
        self._items += 1
        self._unsure += decision.unsure
        self._log.info(
            "item",
            id=placement.id,
            lid=decision.command.lid if decision.command else None,
            label=verdict.label,
            reason=decision.reason,
            why=decision.text,
        )

    def begin_manual(self, request: ManualRequest, decision: Decision) -> None:
        """No item."""
        self._journal.begin_manual(request, decision)

    def finish(self, report: LidReport) -> None:
        """The end of a command."""
        self._journal.finish(report)
        log = self._log.info if report.outcome in GOOD else self._log.warning
        log("lid motion ended", outcome=report.outcome.value, code=report.code, open_ms=report.open_ms)

    def saw(self, outcomes: Iterable[TrayOutcome]) -> None:
        """What the tray showed. Placements are counted and not logged: `begin` tells of them, with what became of them."""
        for outcome in outcomes:
            self._tray[outcome.kind.value] += 1
            if outcome.kind not in PLACED:
                self._log.info("tray", kind=outcome.kind.value, box=outcome.box)

    def health(self) -> dict[str, Any]:
        """Since the start: items, share that the model was unsure of, what the tray showed, settled-to-decided latency."""
        return {
            "items": self._items,
            "unsure_frac": round(self._unsure / self._items, 3) if self._items else None,
            "tray": dict(self._tray),
            "latency_ms": self._latencies.summary(),
        }
