"""What is true about a clip: which outcomes are right, and from when until when. Words only, no pixels are made here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon import domain
from bin_daemon.domain import LidPosition, LidsState, LidState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bin_daemon.domain import Box, Frame

PLACED = frozenset(kind.value for kind in domain.PLACED)
"""The kinds that count as a placement: something that nobody had counted has come to rest."""

TRAVEL_S = 0.35
"""A lid's way between shut and open, as the clip shows it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One outcome that is right once between ``t_s`` and ``until_s``, seconds from the clip's start.

    Not demanded: right when said, no fault when not. An outcome of `PLACED` without a truth is a false placement; one of the
    others that calls a person without a truth is a false notice.
    """

    kind: str
    """A value of `bin_daemon.domain.TrayKind`: placement, multi_item, hand_present, taken_back, not_cleared, ..."""
    t_s: float
    """For placements: the item lies at rest and the hand is gone."""
    until_s: float
    box: Box | None = None
    """Around the item alone, or around all items of a multi_item, without shadows; full-frame pixels."""
    item: str = ""
    """What it is, for people."""
    demanded: bool = True
    sooner_s: float = 0.5
    """Saying it up to this long before ``t_s`` is right as well: the hand is still leaving, or comes back to adjust."""
    also: Box | None = None
    """Another place where it lay meanwhile: as right as ``box``."""


@dataclass(frozen=True, slots=True)
class LidOpening:
    """A lid that opens in the clip, whether or not anybody asked; it stands open from ``t_s`` + `TRAVEL_S` to ``shut_s``."""

    t_s: float
    shut_s: float
    lid: int = 1

    def position(self, t_s: float) -> LidPosition:
        """Where the lid is at ``t_s``."""
        if not self.t_s <= t_s < self.shut_s + TRAVEL_S:
            return LidPosition.CLOSED
        if t_s < self.t_s + TRAVEL_S:
            return LidPosition.OPENING
        return LidPosition.OPEN if t_s < self.shut_s else LidPosition.CLOSING


@dataclass(frozen=True, slots=True)
class Clip:
    """One scene: ``frames`` begins anew each time it is asked for and gives the same pictures each time."""

    name: str
    condition: str
    seed: int
    fps: float
    size: tuple[int, int]
    """Width and height of the full frame, pixels."""
    duration_s: float
    truth: tuple[Truth, ...]
    """By time."""
    lids: tuple[LidOpening, ...]
    play: Callable[[], Iterator[Frame]]
    """The frames' ``t_s`` counts from the clip's start; ``seq`` is its number in a written clip: gaps are lost frames."""

    @property
    def frames(self) -> Iterator[Frame]:
        """The pictures from the first; `Frame.bgr` draws the full one only when asked."""
        return self.play()

    @property
    def placed(self) -> tuple[Truth, ...]:
        """The truths that demand a placement."""
        return tuple(truth for truth in self.truth if truth.kind in PLACED and truth.demanded)

    def lids_at(self, t_s: float) -> LidsState:
        """What the controller reports at ``t_s``: four lids, of which at most one is not shut."""
        lids = dict.fromkeys(range(1, 5), LidPosition.CLOSED)
        for opening in self.lids:
            if opening.position(t_s) is not LidPosition.CLOSED:
                lids[opening.lid] = opening.position(t_s)
        return LidsState(connected=True, lids={lid: LidState(lid, at) for lid, at in lids.items()})

    def truth_lines(self) -> str:
        """One JSON object per truth, each on its line; ``frame`` is the 0-based number in the written clip."""
        return "".join(
            json.dumps(
                {
                    "clip": self.name,
                    "condition": self.condition,
                    "kind": truth.kind,
                    "t_s": round(truth.t_s, 3),
                    "until_s": round(truth.until_s, 3),
                    "frame": round(truth.t_s * self.fps),
                    "box": truth.box,
                    "item": truth.item,
                    "demanded": truth.demanded,
                    "sooner_s": round(truth.sooner_s, 3),
                    "also": truth.also,
                }
            )
            + "\n"
            for truth in self.truth
        )
