"""The line: one straight run of calls from frame to lid. Everything else feeds it or carries its result away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bin_daemon.config import PolicySettings, SignalsSettings
from bin_daemon.domain import (
    Classification,
    Decision,
    Frame,
    ItemRequest,
    LidCommand,
    LidReport,
    LidsState,
    ManualRequest,
    Mode,
    Placement,
    Sight,
    Signal,
)
from bin_daemon.lamp import Lamp
from bin_daemon.policy import Policy


class LidPort(Protocol):
    """The lids: reports come back by polling, so that the line never waits for a motion."""

    @property
    def state(self) -> LidsState:
        """All lids as last reported; returns at once."""

    def open(self, command: LidCommand) -> None:
        """Send one command; returns when the controller answered or gave up. Never raises; the outcome comes by `poll`."""

    def poll(self) -> Sequence[LidReport]:
        """Reports that arrived since the last call, oldest first; returns at once."""

    def signal(self, signal: Signal) -> None:
        """Lamp and buzzer, where the controller has them. Returns at once, never raises, and gives way to every command."""


class ClassifierPort(Protocol):
    """The model."""

    def classify(self, placement: Placement) -> Classification:
        """Judge one placement; a failure becomes a Classification without category, with its reason. Never raises ModelError."""

    def prefer(self, candidate: Placement | None) -> None:
        """What `classify` will probably be asked next, if anything: a head start, no verdict. Returns at once, tells nothing."""


class DetectorPort(Protocol):
    """Sight: frames in, placements out; pure."""

    @property
    def sight(self) -> Sight:
        """Whether the last frame could be trusted."""

    @property
    def candidate(self) -> Placement | None:
        """What will be placed if it goes on lying still: one object for as long as it does, None when nothing does."""

    def update(self, frame: Frame, lids: LidsState) -> Placement | None:
        """Look at one frame; a placement when an item has just settled, else None."""


class JournalPort(Protocol):
    """Durable memory: a decision is on disk before anything moves."""

    def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
        """Record an item's decision, durably. A decision without command is finished at once."""

    def begin_manual(self, request: ManualRequest, decision: Decision) -> None:
        """Record a manual open, durably."""

    def finish(self, report: LidReport) -> None:
        """Outcome row and event row of one command, in one transaction."""


class Pipeline:
    """Owns detector, policy and mode; runs on the main thread only."""

    def __init__(
        self,
        detector: DetectorPort,
        classifier: ClassifierPort,
        policy: Policy,
        journal: JournalPort,
        lids: LidPort,
        *,
        lamp: Lamp | None = None,
    ) -> None:
        self.detector = detector
        self.classifier = classifier
        self.policy = policy
        self.journal = journal
        self.lids = lids
        self.lamp = lamp or Lamp(SignalsSettings(), PolicySettings().full_frac)
        self.mode = Mode.AUTO

    def step(self, frame: Frame) -> None:
        """Take one frame down the line."""
        self.collect()
        placement = self.detector.update(frame, self.lids.state)
        if placement is None:
            self.classifier.prefer(self.detector.candidate)
            return
        verdict = self.classifier.classify(placement)
        age_ms = (verdict.t_s - placement.t_s) * 1000
        request = ItemRequest(placement.id, verdict, self.mode, self.detector.sight, age_ms, placement.items)
        decision = self.policy.decide(request, self.lids.state, frame.t_s)
        self.journal.begin(placement, verdict, decision)  # durable BEFORE anything moves
        if decision.command:
            self.lids.open(decision.command)
        self.lamp.decided(decision)

    def collect(self) -> None:
        """Record what physically happened since the last call."""
        for report in self.lids.poll():
            self.journal.finish(report)
            self.lamp.ended(report)

    def tell_person(self, sight: Sight) -> None:
        """Lamp and buzzer, last in each turn: by then the OPEN has been answered, and a refused one must not show as accepted."""
        self.collect()
        if signal := self.lamp.due(self.mode, sight, self.lids.state):
            self.lids.signal(signal)

    def open_by_hand(self, request: ManualRequest, now_s: float) -> Decision:
        """A technician's open: the same gate, the same journal, the same line."""
        decision = self.policy.decide(request, self.lids.state, now_s)
        self.journal.begin_manual(request, decision)
        if decision.command:
            self.lids.open(decision.command)
            self.lamp.decided(decision)
        return decision
