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
    """Sort the patches of a signed difference picture (H x W float32, grey levels) by what they can be."""
    strong = np.asarray(np.abs(found) > settings.item_grey, np.uint8)
    least_cells = settings.item_area_frac * found.size
    if int(strong.sum()) < least_cells:
        return Look()
    if int(strong.sum()) > LARGE_FRAC * found.size:
        return Look(large=True)
    patches = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, _CLOSING)
    number, found_labels, stats, _ = cv2.connectedComponentsWithStats(patches, connectivity=8)
    labels: Labels = np.asarray(found_labels, np.int32)
    sharp = np.abs(found - cv2.blur(found, (SHARP_CELLS, SHARP_CELLS))) > settings.item_grey / 2
    is_item = np.zeros(number, np.bool_)
    at_edge = False
    for patch in range(1, number):
        if stats[patch, cv2.CC_STAT_AREA] < least_cells or not sharp[labels == patch].any():
            continue
        if _edge_cells(labels, patch) > EDGE_CELLS:
            at_edge = True
        else:
            is_item[patch] = True
    if not is_item.any():
        return Look(at_edge=at_edge)
    mask = is_item[labels]
    return Look(_box(mask), mask, at_edge)


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


def _edge_cells(labels: Labels, patch: int) -> int:
    edges = (labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1])
    return sum(int(np.count_nonzero(edge == patch)) for edge in edges)
