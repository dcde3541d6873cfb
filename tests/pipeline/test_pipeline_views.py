"""Several views of one item, down the real line: detector, classifier, policy and journal; only network and lids are played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bin_daemon.config import LidSettings, PolicySettings
from bin_daemon.config.settings import JournalSettings, PlacementSettings
from bin_daemon.domain import (
    Category,
    Frame,
    LidCommand,
    LidPosition,
    LidReport,
    LidsState,
    LidState,
    Outcome,
    Placement,
    Signal,
)
from bin_daemon.events import Journal
from bin_daemon.events.payloads import EventItem
from bin_daemon.model.ahead import Ahead
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import Bundle, BundleMetadata, LabelInfo, Preprocessing
from bin_daemon.model.classify import Classifier
from bin_daemon.model.familiarity import Familiarity
from bin_daemon.pipeline import Pipeline
from bin_daemon.placement import Detector
from bin_daemon.policy import Policy

SEEN_FPS = 15.0
LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1))
SURE = 30.0
"""A logit beside zeros: certain."""


class Lids:
    """Four lids that open and shut at once."""

    state = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})

    def __init__(self) -> None:
        self.commands: list[LidCommand] = []
        self._ended: list[LidReport] = []

    def open(self, command: LidCommand) -> None:
        """Note it; the report follows."""
        self.commands.append(command)
        self._ended.append(LidReport(command.action_id, Outcome.CLOSED))

    def signal(self, signal: Signal) -> None:
        """No lamp here."""

    def poll(self) -> Sequence[LidReport]:
        """Each report once."""
        ended, self._ended = self._ended, []
        return ended


class SaysInTurn:
    """An engine whose n-th picture is surely the n-th of the listed categories."""

    name = "in turn"

    def __init__(self, *categories: Category, height: float = SURE) -> None:
        self._rows = np.array([[height * (c is said) for c in Category] for said in categories], np.float32)
        self.batches: list[int] = []

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """One row a picture."""
        began = sum(self.batches)
        self.batches.append(len(batch))
        return self._rows[began : began + len(batch)]


def bundle(familiarity: Familiarity | None = None) -> Bundle:
    """One label for each category; there are no weights, for nothing loads them."""
    labels = tuple(LabelInfo(label=c.value, category=c) for c in Category)
    metadata = BundleMetadata(
        id="played",
        architecture=ArchitectureInfo(name="convnext_atto"),
        labels=labels,
        preprocessing=Preprocessing(resize_px=32, crop_px=32),
        familiarity=familiarity,
    )
    return Bundle(Path("played"), metadata)


def film(item_at_s: float, seconds: float) -> list[Frame]:
    """An empty tray under a lamp, on which a bright block lies from ``item_at_s`` on; 320 x 240."""
    rng = np.random.default_rng(4)
    tray = np.broadcast_to(np.linspace(70, 110, 320).astype(np.uint8)[:, None], (240, 320, 3))
    frames = []
    for seq in range(round(seconds * SEEN_FPS)):
        t_s = seq / SEEN_FPS
        bgr = tray.copy()
        if t_s >= item_at_s:
            bgr[80:160, 120:220] = 190
        noisy = bgr[::8, ::8, 0] + rng.integers(0, 3, (30, 40))
        frames.append(Frame(seq, 100 + t_s, 320, 240, noisy.astype(np.uint8), lambda bgr=bgr: bgr))  # type: ignore[misc]
    return frames


def play(tmp_path: Path, engine: SaysInTurn, views: int, known: Familiarity | None = None) -> tuple[EventItem, Lids]:
    """Show the film; the one event that came of it, and the lids."""
    lids = Lids()
    journal = Journal(tmp_path / "journal.sqlite", JournalSettings(), "boot", clock=lambda: 100.0)
    detector = Detector(PlacementSettings(views=views), lambda: "0190a0b0-0000-7000-8000-000000000001")
    classifier = Ahead(Classifier(engine, bundle(known), clock=lambda: 102.0))
    line = Pipeline(detector, classifier, Policy(PolicySettings(), LIDS), journal, lids)
    for frame in film(1.5, 3.5):
        line.step(frame)
    line.collect()
    assert classifier.close(5.0)
    (row,) = journal.outbox.batch(9)
    journal.close()
    return EventItem.model_validate_json(row.payload), lids


def test_the_views_of_one_rest_are_averaged_and_their_agreement_is_told(tmp_path: Path) -> None:
    """Four of five see a peel, one a battery: 0.8 for kitchen would do, but 0.2 of a battery there is too dear: unsure."""
    peel, battery = Category.KITCHEN, Category.HAZARDOUS
    engine = SaysInTurn(peel, peel, battery, peel, peel)
    event, lids = play(tmp_path, engine, views=5)
    assert engine.batches == [1, 4]  # the first while it settled
    assert (event.agreement, event.guess) == (0.8, peel)
    assert event.categories == {peel: 0.8, battery: 0.2, Category.RECYCLABLE: 0.0, Category.OTHER: 0.0}
    assert (event.category, event.reason) == (None, "unsure_probability")
    assert [c.category for c in lids.commands] == [Category.OTHER]


def test_views_that_agree_open_the_lid(tmp_path: Path) -> None:
    """Three of three: agreement 1, the item's own lid."""
    event, lids = play(tmp_path, SaysInTurn(*[Category.KITCHEN] * 3), views=3)
    assert (event.agreement, event.category, event.familiarity) == (1.0, Category.KITCHEN, None)
    assert [c.lid for c in lids.commands] == [2]


def test_a_strange_item_goes_where_doubt_goes(tmp_path: Path) -> None:
    """Certain by softmax, but with an energy below all that the model knows: the lid for doubt, the reason in the event."""
    known = Familiarity(score="energy", threshold=40.0, coverage=0.98, quantiles=(38.0, 60.0, 80.0))
    event, lids = play(tmp_path, SaysInTurn(Category.HAZARDOUS), 1, known)
    assert (event.reason, event.category, event.guess) == ("unsure_unfamiliar", None, Category.HAZARDOUS)
    assert event.familiarity == 0
    assert "familiarity 0.000" in event.text
    assert [c.category for c in lids.commands] == [Category.OTHER]


def test_what_is_placed_is_what_the_model_was_shown_while_it_settled() -> None:
    """The first still frame and its box, then the latest views: else the head start would answer another question."""
    for views in (1, 3):
        detector = Detector(PlacementSettings(views=views), lambda: "id")
        offered: list[Placement] = []
        placements: list[Placement] = []
        for frame in film(1.5, 3.5):
            placed = detector.update(frame, Lids.state)
            placements += [placed] if placed else []
            if detector.candidate and not any(x is detector.candidate for x in offered):
                offered.append(detector.candidate)
        (candidate,), (placement,) = offered, placements
        assert placement.box == candidate.box
        assert placement.frames[0] is candidate.frames[0]
        assert [x.seq for x in placement.frames] == sorted({x.seq for x in placement.frames})
        assert len(placement.frames) == views
        assert placement.t_s - candidate.t_s > 0.3


def test_an_item_that_grows_while_it_settles_is_judged_as_it_is_at_the_end() -> None:
    """The candidate was a cell narrower: another box is another question, so the last view in its own box is placed."""
    detector = Detector(PlacementSettings(), lambda: "id")
    placements: list[tuple[Frame, Placement]] = []
    narrower = (0, 0, 0, 0)
    for frame in film(1.5, 3.5):
        if placed := detector.update(frame, Lids.state):
            placements.append((frame, placed))
        if (candidate := detector.candidate) and candidate.box != narrower:
            x, y, width, height = candidate.box
            narrower = (x, y, width - 8, height)
            detector._candidate = replace(candidate, box=narrower)
    ((last, placement),) = placements
    assert placement.frames == (last,)
    assert placement.box == (*narrower[:2], narrower[2] + 8, narrower[3])
