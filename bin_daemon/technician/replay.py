"""A clip through the very detector that the bin runs, without a bin: what it thinks of each frame, and what it tells.

No lid reports are needed: all lids count as shut, and an item that vanishes has fallen, whoever opened.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bin_daemon.domain import LidsState
from bin_daemon.placement import Detector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bin_daemon.config import PlacementSettings
    from bin_daemon.domain import Frame, TrayOutcome

ALL_SHUT = LidsState(connected=True)
"""No lid is known to stand open."""


@dataclass(frozen=True, slots=True)
class Thought:
    """One frame, the detector after it, and what it told on it."""

    frame: Frame
    detector: Detector
    outcomes: tuple[TrayOutcome, ...]
    still_ms: float | None
    """So long the item that settles has lain still; None when none settles."""


def think(frames: Iterable[Frame], settings: PlacementSettings) -> Iterator[Thought]:
    """Run the detector over ``frames``, one at a time; memory does not grow with the clip."""
    numbers = itertools.count(1)
    detector = Detector(settings, lambda: f"item-{next(numbers)}")
    for frame in frames:
        detector.update(frame, ALL_SHUT)
        candidate = detector.candidate
        still_ms = None if candidate is None else candidate.settled_ms + (frame.t_s - candidate.t_s) * 1000
        yield Thought(frame, detector, detector.take(), still_ms)


def as_json(outcome: TrayOutcome) -> dict[str, Any]:
    """``kind``, ``t_s`` from the clip's start, 0-based ``frame`` and ``box`` [x, y, w, h] in full-frame pixels or None."""
    return {
        "kind": outcome.kind.value,
        "t_s": round(outcome.t_s, 3),
        "frame": outcome.frame_seq,
        "box": None if outcome.box is None else [int(x) for x in outcome.box],
    }
