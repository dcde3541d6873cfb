"""The line itself, fed with frames and fake ports: no thread, no clock, no device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bin_daemon.config import LidSettings, PolicySettings
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    Frame,
    LabelScore,
    LidCommand,
    LidPosition,
    LidReport,
    LidsState,
    LidState,
    ManualRequest,
    Mode,
    Outcome,
    Placement,
    Sight,
    Signal,
)
from bin_daemon.pipeline import Pipeline
from bin_daemon.policy import Policy

LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1))
SHUT = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})


class World:
    """All four ports at once; writes down what happened in which order."""

    def __init__(self, category: Category | None = Category.KITCHEN, state: LidsState = SHUT) -> None:
        self.category = category
        self.state = state
        self.sight = Sight.OK
        self.said: list[str] = []
        self.decisions: list[Decision] = []
        self.commands: list[LidCommand] = []
        self.reports: list[LidReport] = []
        self.placements: list[Placement] = []
        self.candidate: Placement | None = None
        self.preferred: list[Placement | None] = []

    def update(self, frame: Frame, lids: LidsState) -> Placement | None:
        """Detector: the next placement of the script, if any."""
        self.said.append("look")
        return self.placements.pop(0) if self.placements else None

    def classify(self, placement: Placement) -> Classification:
        """Model: sure of the category, or failed."""
        self.said.append("classify")
        probs = {c: 0.96 if c is self.category else 0.04 / 3 for c in Category}
        return Classification(
            category=self.category,
            category_probs=probs if self.category else {},
            top5=(LabelScore("peel", 3, 0.9),),
            margin=0.9,
            agreement=1.0,
            model_id="m",
            took_ms=1.0,
            t_s=0.0,
            reason="" if self.category else "engine failed",
        )

    def prefer(self, candidate: Placement | None) -> None:
        """Model: a hint, which changes nothing."""
        self.preferred.append(candidate)

    def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
        """Journal."""
        self.said.append("begin")
        self.decisions.append(decision)

    def begin_manual(self, request: ManualRequest, decision: Decision) -> None:
        """Journal, for a person."""
        self.said.append("begin_manual")
        self.decisions.append(decision)

    def finish(self, report: LidReport) -> None:
        """Journal, the end."""
        self.said.append(f"finish {report.outcome.value}")

    def open(self, command: LidCommand) -> None:
        """Lids."""
        self.said.append("open")
        self.commands.append(command)

    def signal(self, signal: Signal) -> None:
        """Lamp."""
        self.said.append("signal")

    def poll(self) -> Sequence[LidReport]:
        """Lids' reports, each once."""
        reports, self.reports = self.reports, []
        return reports


def frame(t_s: float = 1.0) -> Frame:
    """Any frame."""
    return Frame(1, t_s, 64, 64, np.zeros((8, 8), np.uint8), lambda: np.zeros((64, 64, 3), np.uint8))


def placement(n: int = 1) -> Placement:
    """Any placement, with its own id."""
    return Placement(f"0190a0b0-0000-7000-8000-{n:012x}", 1.0, (frame(),), (0, 0, 64, 64), 400.0)


def pipeline(world: World) -> Pipeline:
    """The line over the fake world and the real policy."""
    return Pipeline(world, world, Policy(PolicySettings(), LIDS), world, world)


def test_an_item_goes_down_the_line_in_order() -> None:
    """The decision is in the journal before the lid is told to open, and the category's own lid is told."""
    world = World()
    world.placements = [placement()]
    pipeline(world).step(frame())
    assert world.said == ["look", "classify", "begin", "open"]
    assert world.commands[0].lid == 2
    assert world.commands[0].category is Category.KITCHEN


def test_nothing_placed_nothing_done() -> None:
    """A frame without placement costs a look and nothing else."""
    world = World()
    pipeline(world).step(frame())
    assert world.said == ["look"]


def test_what_settles_is_named_to_the_model_and_goes_no_further() -> None:
    """A candidate reaches the model as a hint; without a placement nothing is judged, decided, recorded or opened."""
    world = World()
    line = pipeline(world)
    candidate = world.candidate = placement()
    line.step(frame())
    line.step(frame())
    world.candidate = None
    line.step(frame())
    assert [x and id(x) for x in world.preferred] == [id(candidate), id(candidate), None]
    assert world.said == ["look"] * 3


def test_reports_are_finished_before_the_next_look() -> None:
    """What physically happened is recorded first, each report once."""
    world = World()
    world.reports = [LidReport(7, Outcome.CLOSED), LidReport(8, Outcome.OBSTRUCTED)]
    line = pipeline(world)
    line.step(frame())
    line.step(frame())
    assert world.said == ["finish closed", "finish obstructed", "look", "look"]


@pytest.mark.parametrize("mode", [Mode.PAUSED, Mode.MANUAL, Mode.MAINTENANCE])
def test_other_modes_record_but_do_not_open(mode: Mode) -> None:
    """Outside auto an item is classified and journalled; all lids stay shut."""
    world = World()
    world.placements = [placement()]
    line = pipeline(world)
    line.mode = mode
    line.step(frame())
    assert world.said == ["look", "classify", "begin"]
    assert world.decisions[0].command is None


def test_untrusted_sight_keeps_all_shut() -> None:
    """A placement seen in the dark opens nothing, whatever the model says."""
    world = World()
    world.sight = Sight.TOO_DARK
    world.placements = [placement()]
    pipeline(world).step(frame())
    assert world.commands == []
    assert world.decisions[0].reason == "sight"


def test_a_failed_model_is_unsure_not_a_crash() -> None:
    """Without a category the item goes where the policy sends doubt."""
    world = World(category=None)
    world.placements = [placement()]
    pipeline(world).step(frame())
    assert world.decisions[0].unsure
    assert world.commands[0].lid == 4


def test_a_person_passes_the_same_gate() -> None:
    """A manual open is journalled before it moves, and refused where an item would be."""
    world = World()
    line = pipeline(world)
    request = ManualRequest(placement().id, lid=3)
    assert line.open_by_hand(request, 1.0).command is not None
    assert world.said == ["begin_manual", "open"]
    world.state = LidsState(connected=False)
    assert line.open_by_hand(request, 1.0).command is None
    assert world.said == ["begin_manual", "open", "begin_manual"]


def test_a_disk_that_fails_to_record_lets_nothing_move() -> None:
    """If begin() raises all the same, the lid has not been told to open."""
    world = World()
    world.placements = [placement()]

    class Broken(World):
        def begin(self, placement: Placement, verdict: Classification, decision: Decision) -> None:
            raise OSError("disk")

    broken = Broken()
    broken.placements = [placement()]
    with pytest.raises(OSError, match="disk"):
        pipeline(broken).step(frame())
    assert broken.commands == []
