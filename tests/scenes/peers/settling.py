"""From foreground to placements: the rule that all peers share, for none of them has one of its own.

Motion detectors say where a picture differs; a bin needs to know that something new lies there. What differs is an item when it
keeps its place for our own settle time and does not reach over the edge as an arm does; it is said once, and the next one after
the tray was clear, or when another box settles elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.config.settings import PlacementSettings
from tests.scenes.score import Said, overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.domain import Box

EDGE_FRAC = 0.01
"""A box this near to the edge, as a share of the width, reaches over it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What was tuned for each peer on seed 1 of the everyday slice; these hold where nothing did better."""

    same_frac: float = 0.6
    """Boxes that overlap by at least this (intersection over union) are the same thing in the same place."""
    clear_s: float = 0.4
    """The tray counts as clear after so long without foreground."""
    again_frac: float = 0.3
    """A box that overlaps the one placed last by less than this is another item; 0 waits for a clear tray always."""
    large_frac: float = 0.6
    """A box of more than this share of the picture is light, and no item."""
    edge: bool = True
    """Whether what reaches over the edge is an arm."""


class Settling:
    """``size`` is the width and height of the pictures in which the boxes are, pixels."""

    def __init__(self, size: tuple[int, int], rule: Rule) -> None:
        settings = PlacementSettings()
        self._settle_s, self._frames_min = settings.settle_ms / 1000, settings.settle_frames
        self._size, self._rule = size, rule
        self._box: Box | None = None
        self._since_s = 0.0
        self._frames = 0
        self._placed: Box | None = None
        self._clear_s: float | None = None

    @property
    def is_clear(self) -> bool:
        """Nothing differs, and nothing that was placed lies there."""
        return self._box is None and self._placed is None

    def forget(self) -> None:
        """The tray is known to be empty, and the peer looks anew."""
        self._box = self._placed = None

    def pause(self) -> None:
        """This picture does not count: a lid moves."""
        self._box = self._clear_s = None

    def update(self, t_s: float, boxes: Sequence[Box], *, moves: bool = False) -> Said | None:
        """A placement when what differs has lain still for long enough. ``moves``: the peer saw motion from frame to frame."""
        box = around(boxes)
        if box is None:
            self._see_nothing(t_s)
            return None
        self._clear_s = None
        if moves or self._is_no_item(box):
            self._box = None
            return None
        if self._box is None or overlap(self._box, box) < self._rule.same_frac:
            self._box, self._since_s, self._frames = box, t_s, 0
        self._frames += 1
        if self._frames < self._frames_min or t_s - self._since_s < self._settle_s - 1e-6:
            return None
        if self._placed is not None and overlap(self._placed, box) >= self._rule.again_frac:
            return None
        self._placed = box
        return Said("placement" if len(boxes) == 1 else "multi_item", t_s, box)

    def _see_nothing(self, t_s: float) -> None:
        self._box = None
        self._clear_s = t_s if self._clear_s is None else self._clear_s
        if t_s - self._clear_s >= self._rule.clear_s:
            self._placed = None

    def _is_no_item(self, box: Box) -> bool:
        x, y, w, h = box
        width, height = self._size
        if w * h > self._rule.large_frac * width * height:
            return True
        near = min(x, y, width - x - w, height - y - h)
        return self._rule.edge and near <= EDGE_FRAC * width


def around(boxes: Sequence[Box]) -> Box | None:
    """One box around all; None around nothing."""
    if not boxes:
        return None
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    return left, top, max(b[0] + b[2] for b in boxes) - left, max(b[1] + b[3] for b in boxes) - top
