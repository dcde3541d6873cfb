"""Right or wrong: what a detector said of a clip against what is true. Knows no detector, so that every peer is judged alike.

A placement is matched by time and by place: said while its truth holds, with a box that holds most of the item. Each truth can be
hit once; whatever is said beyond that is a false placement, a second hit of the same item among them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bin_daemon.sim.suite.truth import PLACED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bin_daemon.domain import Box
    from bin_daemon.sim.suite.truth import Clip, Truth

COVER_FRAC = 0.5
"""A box that holds less of the item's own box than this is of something else."""
NOTICES = frozenset(
    {
        "at_edge",
        "camera_moved",
        "covered",
        "lens_dirty",
        "not_cleared",
        "taken_back",
        "too_bright",
        "too_dark",
        "tray_stained",
    }
)
"""Outcomes that tell somebody something: said without cause they are false. ``hand_present`` may be said of every hand."""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a detector said."""

    kind: str
    t_s: float
    box: Box | None = None


@dataclass
class Score:
    """Counts; scores add up."""

    clips: int = 0
    items: int = 0
    """Placements that are demanded."""
    hits: int = 0
    false: int = 0
    """Placements of nothing, of the wrong place or at the wrong time; `doubles` among them."""
    doubles: int = 0
    """Items that had been placed already."""
    wrong_kind: int = 0
    """Hits that took two items for one, or one for two."""
    notices: int = 0
    """Demanded outcomes other than placements."""
    noticed: int = 0
    false_notices: dict[str, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    """Intersection over union of each hit's box with the item's own."""
    faults: list[str] = field(default_factory=list)
    """One line for each miss and each false placement or notice."""

    def add(self, other: Score) -> None:
        """Count ``other`` in."""
        for name in ("clips", "items", "hits", "false", "doubles", "wrong_kind", "notices", "noticed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, number in other.false_notices.items():
            self.false_notices[kind] = self.false_notices.get(kind, 0) + number
        self.latencies_s += other.latencies_s
        self.overlaps += other.overlaps
        self.faults += other.faults

    @property
    def recall(self) -> float:
        """Share of the items that were placed; 1 where there was none."""
        return self.hits / self.items if self.items else 1.0

    @property
    def precision(self) -> float:
        """Share of the placements that were right; 1 where nothing was said."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else 1.0


def score(clip: Clip, said: Iterable[Said]) -> Score:
    """Judge what was said of one clip."""
    result = Score(clips=1)
    said = sorted(said, key=lambda s: s.t_s)
    _score_placements(clip, [s for s in said if s.kind in PLACED], result)
    _score_notices(clip, [s for s in said if s.kind not in PLACED], result)
    return result


def _score_placements(clip: Clip, said: list[Said], result: Score) -> None:
    truths = [t for t in clip.truth if t.kind in PLACED]
    result.items = sum(t.demanded for t in truths)
    hit: set[int] = set()
    for one in said:
        fits = [i for i, truth in enumerate(truths) if _holds(truth, one)]
        fresh = next((i for i in fits if i not in hit), None)
        if fresh is None:
            result.false += 1
            result.doubles += bool(fits)
            result.faults.append(f"{clip.name} {'double' if fits else 'false'} {one.kind} at {one.t_s:.2f} s {one.box}")
            continue
        hit.add(fresh)
        truth = truths[fresh]
        if truth.demanded:
            result.hits += 1
            result.wrong_kind += one.kind != truth.kind
            result.latencies_s.append(max(0.0, one.t_s - truth.t_s))
            if one.box and truth.box:
                result.overlaps.append(max(overlap(one.box, box) for box in (truth.box, truth.also) if box))
    for i, truth in enumerate(truths):
        if truth.demanded and i not in hit:
            result.faults.append(f"{clip.name} missed {truth.item} {truth.kind} at {truth.t_s:.2f} s {truth.box}")


def _score_notices(clip: Clip, said: list[Said], result: Score) -> None:
    truths = [t for t in clip.truth if t.kind not in PLACED]
    for truth in truths:
        if truth.demanded:
            result.notices += 1
            noticed = any(one.kind == truth.kind and _in_time(truth, one) for one in said)
            result.noticed += noticed
            if not noticed:
                result.faults.append(
                    f"{clip.name} unnoticed {truth.kind} from {truth.t_s:.2f} s to {truth.until_s:.2f} s"
                )
    for one in said:
        right = any(one.kind == truth.kind and _in_time(truth, one) for truth in truths)
        if one.kind in NOTICES and not right:
            result.false_notices[one.kind] = result.false_notices.get(one.kind, 0) + 1
            result.faults.append(f"{clip.name} false notice {one.kind} at {one.t_s:.2f} s")


def _in_time(truth: Truth, one: Said) -> bool:
    return truth.t_s - truth.sooner_s <= one.t_s <= truth.until_s


def _holds(truth: Truth, one: Said) -> bool:
    """At the right time, and around most of the item."""
    if not _in_time(truth, one):
        return False
    if one.box is None or truth.box is None:
        return True
    return any(covered(box, one.box) >= COVER_FRAC for box in (truth.box, truth.also) if box)


def covered(inner: Box, outer: Box) -> float:
    """Share of ``inner`` that lies in ``outer``; 0 for an empty box."""
    area = inner[2] * inner[3]
    return _shared(inner, outer) / area if area else 0.0


def overlap(one: Box, two: Box) -> float:
    """Intersection over union."""
    shared = _shared(one, two)
    union = one[2] * one[3] + two[2] * two[3] - shared
    return shared / union if union else 0.0


def _shared(one: Box, two: Box) -> int:
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    return max(0, width) * max(0, height)
