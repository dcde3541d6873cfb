"""What was counted, and what has become of it: the same, moved, gone, another in its place, or another with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.placement.background import Reference

if TYPE_CHECKING:
    from bin_daemon.domain import Image
    from bin_daemon.placement.background import Grey, Mask
    from bin_daemon.placement.item import Look
    from bin_daemon.placement.states import Limits

STILL_COVERED = 0.9
"""Share of the old item's cells under the new patch from which the old one may still lie there."""
GONE_COVERED = 0.35
"""Below this share the old item does not lie where it lay."""
UNTOUCHED = 0.25
"""Share of the old item's cells that must look as before when another lies on top of it."""
GROWN = 1.4
"""What covers the old item and is so many times larger lies on top of it, or in its place: no thing grows."""
SHRUNK = 0.5
"""Less than this share of the item is left in its place, and no hand was there: no thing shrinks so."""
SMALLER = 0.75
"""What a hand shifted keeps more than this of its area."""
COMPACT = 0.6
"""Share of what is new that hangs together: a thing does, the shifted outline of the old one does not."""
ALIKE_AREA = (0.65, 1.5)
ALIKE_GREY = 0.45
"""A moved item keeps about its size and its brightness, relative to its contrast."""

GHOST_FACTOR = 1.5
"""The model must stand out by so many times more than what is seen there now."""

GHOST_OUTLINE = 1.2
"""And have by so many times the steeper outline."""

_NEXT = np.ones((3, 3), np.uint8)
_AROUND = np.ones((5, 5), np.uint8)


class Change(str, Enum):
    """How what lies there compares with what was counted."""

    SAME = "same"
    MOVED = "moved"
    ADDED = "added"
    REPLACED = "replaced"
    RESIDUE = "residue"
    """Less than the item, within its outline: a mark."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """An item as it looked when it was counted."""

    picture: Reference
    mask: Mask
    away_grey: float
    """Its mean signed difference to the tray."""

    @classmethod
    def of(cls, tray: Reference, grey: Grey, mask: Mask) -> Counted:
        """What lies in ``mask`` now."""
        return cls(Reference(grey), mask, _away(tray, grey, mask))


def change(counted: Counted, tray: Reference, grey: Grey, look: Look, limits: Limits, *, by_hand: bool) -> Change:
    """Compare what ``look`` found in ``grey`` with what was counted. ``look.mask`` must not be None.

    ``by_hand`` says that a hand was at it since.
    """
    old, new = counted.mask, look.mask
    if new is None:
        raise ValueError("placement: nothing lies there to compare")
    either = (old | new).astype(np.uint8)
    fresh = np.abs(counted.picture.in_same_light(grey, cv2.dilate(either, _AROUND))) > limits.strong_grey
    # What light can explain is nothing new, only what lies near an outline that was not there.
    outlines = (counted.picture.outlines(grey) > limits.motion_grey).astype(np.uint8)
    fresh &= (either > 0) & (_filled_near(outlines) > 0)
    old_cells, new_cells = int(old.sum()), int(new.sum())
    covered = int((old & new).sum()) / max(1, old_cells)
    if int(fresh.sum()) < max(limits.item_cells, 0.03 * old_cells):
        return Change.SAME
    touched = int((fresh & old).sum()) / max(1, old_cells)
    if covered >= STILL_COVERED:
        shows = touched <= 1 - UNTOUCHED or new_cells >= GROWN * old_cells
        added = shows and _hangs_together(fresh, limits, old_cells)
        return Change.ADDED if added else Change.MOVED
    wide_old = cv2.dilate(old.astype(np.uint8), _AROUND).astype(np.bool_)
    smaller = SMALLER if by_hand else 1.0
    if new_cells < smaller * old_cells and int((new & wide_old).sum()) >= STILL_COVERED * new_cells:
        return Change.RESIDUE if (covered < SHRUNK and not by_hand) or touched > 1 - covered else Change.MOVED
    if covered > GONE_COVERED:
        return Change.MOVED
    return Change.MOVED if _alike(counted, tray, grey, new) else Change.REPLACED


def is_ghost(mask: Mask, grey: Grey, tray: Grey, least_grey: float) -> bool:
    """Whether ``mask`` shows bare tray where the model holds an item that was learnt as tray and has been taken away.

    Bare tray looks like its surroundings; then it is the model that stands out there. ``least_grey`` keeps noise from deciding.
    """
    cells = mask.astype(np.uint8)
    near = cv2.dilate(cells, np.ones((3, 3), np.uint8)).astype(np.bool_)
    around = cv2.dilate(cells, np.ones((7, 7), np.uint8)).astype(np.bool_) & ~near
    if not around.any():
        return False
    now = float(np.abs(grey[mask] - np.median(grey[around])).mean())
    model = float(np.abs(tray[mask] - np.median(tray[around])).mean())
    if model <= least_grey or model <= GHOST_FACTOR * now:
        return False
    # A plain or clear thing may well look more like the surroundings than a speckled tray does; but it has the outline.
    outline = (cv2.dilate(cells, _NEXT) > 0) & (cv2.erode(cells, _NEXT) == 0)
    return _steepness(tray, outline) > GHOST_OUTLINE * _steepness(grey, outline)


def _steepness(grey: Grey, where: Mask) -> float:
    return float(np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _NEXT))[where].mean())


def _filled_near(outlines: Image) -> Image:
    return np.asarray(cv2.morphologyEx(outlines, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), np.uint8)


def _hangs_together(fresh: Mask, limits: Limits, old_cells: int) -> bool:
    cells = cv2.morphologyEx(fresh.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    number, _, stats, _ = cv2.connectedComponentsWithStats(cells)
    if number <= 1:
        return False
    largest = int(stats[1:, cv2.CC_STAT_AREA].max())
    return largest >= max(limits.item_cells, COMPACT * int(fresh.sum()), limits.settings.multi_area_frac * old_cells)


def _alike(counted: Counted, tray: Reference, grey: Grey, new: Mask) -> bool:
    low, high = ALIKE_AREA
    area = int(new.sum()) / max(1, int(counted.mask.sum()))
    away = _away(tray, grey, new)
    return low < area < high and abs(away - counted.away_grey) < ALIKE_GREY * max(20.0, abs(counted.away_grey))


def _away(tray: Reference, grey: Grey, mask: Mask) -> float:
    return float(tray.in_same_light(grey, cv2.dilate(mask.astype(np.uint8), _AROUND))[mask].mean())
