"""What lies on the tray, told from its difference to the empty tray: an item, a shadow, a hand, or too much of everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Box
    from bin_daemon.placement.background import Grey, Mask

    Labels = NDArray[np.int32]

EDGE_CELLS = 3
"""A patch with more cells than this on the region's edge comes from outside: an arm, or an item that lies over the edge."""

LARGE_FRAC = 0.6
"""A change of more than this share of the region is not an item: the light factor is a median and needs bare tray."""

SHARP_CELLS = 9
"""Side of the window, in grey8 cells, within which an item's outline shows and a soft shadow's does not."""

WEAK_FRAC = 0.5
"""Share of ``item_grey`` that still belongs to a patch, when it hangs together with a stronger difference."""

BOX_FRAC = 0.7
"""Share of ``item_grey`` that counts for the box: what differs less is mostly the item's soft shadow."""

STRONG_FRAC = 0.33
"""Share of the smallest item that must differ by all of ``item_grey``: averaging at the outline weakens the rest."""

_CLOSING = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Look:
    """What differs from the empty tray, in cells (grey8 pixels of the region)."""

    box: Box | None = None
    """Around all that may be an item, None when there is nothing."""
    mask: Mask | None = None
    """True where an item is."""
    at_edge: bool = False
    """Something reaches in over the edge."""
    large: bool = False
    """Nearly everything differs."""


def look_at(found: Grey, settings: PlacementSettings) -> Look:
    """Sort the patches of a signed difference picture (H x W float32, grey levels) by what they can be.

    A patch is what differs weakly, together, around something that differs strongly: so an item keeps its faint parts, an arm its
    connection to the edge, and noise alone makes nothing.
    """
    away = np.abs(found)
    strong = away > settings.item_grey
    least_cells = settings.item_area_frac * found.size
    if int(np.count_nonzero(strong)) < STRONG_FRAC * least_cells:
        return Look()
    weak = np.asarray(cv2.threshold(away, settings.item_grey * WEAK_FRAC, 1, cv2.THRESH_BINARY)[1], np.uint8)
    if cv2.countNonZero(weak) > LARGE_FRAC * found.size:
        return Look(large=True)
    number, found_labels, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(weak, cv2.MORPH_CLOSE, _CLOSING))
    labels: Labels = np.asarray(found_labels, np.int32)
    sharp = np.abs(found - cv2.blur(found, (SHARP_CELLS, SHARP_CELLS))) > settings.item_grey / 2
    large_enough = stats[:, cv2.CC_STAT_AREA] >= least_cells
    solid = (
        large_enough
        & (_cells(labels[strong], number) >= STRONG_FRAC * least_cells)
        & (_cells(labels[sharp], number) > 0)
    )
    solid[0] = False  # the tray itself
    edge = _cells(np.concatenate((labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1])), number) > EDGE_CELLS
    at_edge = bool((solid & edge).any())
    is_item = solid & ~edge
    if not is_item.any():
        return Look(at_edge=at_edge)
    mask = np.asarray(is_item[labels], np.bool_)
    return Look(_box(mask & (away > settings.item_grey * BOX_FRAC)), mask, at_edge)


def _cells(labels: Labels, number: int) -> NDArray[np.intp]:
    """How often each of ``number`` labels occurs."""
    return np.bincount(labels.reshape(-1), minlength=number)


def _box(mask: Mask) -> Box:
    """Bounding box (x, y, width, height) of the true cells."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return int(x), int(y), int(width), int(height)


def is_ghost(mask: Mask, grey: Grey, tray: Grey, least_grey: float) -> bool:
    """Whether ``mask`` shows bare tray where the model holds an item that was learnt as tray and has been taken away.

    Bare tray looks like its surroundings; then it is the model that stands out there. ``least_grey`` keeps noise from deciding.
    """
    cells = mask.astype(np.uint8)
    around = cv2.dilate(cells, np.ones((7, 7), np.uint8)).astype(np.bool_) & ~cv2.dilate(cells, _CLOSING).astype(
        np.bool_
    )
    if not around.any():
        return False
    now = abs(float(grey[mask].mean() - grey[around].mean()))
    model = abs(float(tray[mask].mean() - tray[around].mean()))
    return model > least_grey and model > 2 * now
