"""What lies on the tray, told from its difference to the empty tray: an item, a shadow, a hand, or too much of everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.placement.background import sharp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Box, Image
    from bin_daemon.placement.background import Grey, Mask

    Labels = NDArray[np.int32]

EDGE_CELLS = 3
"""A patch with more cells than this on the region's edge comes from outside: an arm, or an item that lies over the edge."""

WIDE_FRAC = 0.08
"""A patch without outline on the edge is a shadow only when it is wider than this share of the edge: wider than a pale sleeve."""

LARGE_FRAC = 0.6
"""A change of more than this share of the region is not an item: the light factor is a median and needs bare tray."""

SHARP_FRAC = 0.4
"""Share of ``item_grey`` that an outline must stand out; at an edge only half of the contrast does."""

NEAR_OUTLINE = np.ones((7, 7), np.uint8)
"""What differs this close to an outline belongs to a thing; what differs elsewhere is soft shadow or a wide thing's middle."""

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
    connection to the edge, and noise alone makes nothing. A patch that comes over the edge with an outline is an arm; one without
    is a person's soft shadow, of which only what has outlines of its own is kept.
    """
    away = np.abs(found)
    strong = away > settings.item_grey
    least_cells = settings.item_area_frac * found.size
    if int(np.count_nonzero(strong)) < STRONG_FRAC * least_cells:
        return Look()
    weak = _above(away, settings.item_grey * WEAK_FRAC)
    outlined = cv2.dilate(_above(sharp(found), settings.item_grey * SHARP_FRAC), NEAR_OUTLINE)
    if cv2.countNonZero(cv2.bitwise_and(weak, outlined)) > LARGE_FRAC * found.size:
        return Look(large=True)
    number, labels = _patches(cv2.morphologyEx(weak, cv2.MORPH_CLOSE, _CLOSING))
    edge, edge_outlined = _edge(labels), _edge(outlined)
    contact = _cells(edge, number)
    arms = (_cells(edge[edge_outlined > 0], number) > EDGE_CELLS) | (
        (contact > EDGE_CELLS) & (contact < WIDE_FRAC * edge.size)
    )
    shadows = ~arms & (contact > EDGE_CELLS)
    arms[0] = shadows[0] = False  # the tray itself
    at_edge = bool((arms & (_cells(labels[strong], number) >= STRONG_FRAC * least_cells)).any())
    if arms.any() or shadows.any():
        number, labels = _patches(((labels > 0) & ~arms[labels] & ((outlined > 0) | ~shadows[labels])).astype(np.uint8))
    large_enough = _cells(labels, number) >= least_cells
    is_item = large_enough & (_cells(labels[strong], number) >= STRONG_FRAC * least_cells)
    is_item &= _cells(labels[outlined > 0], number) > 0
    is_item[0] = False
    if not is_item.any():
        return Look(at_edge=at_edge)
    mask = np.asarray(is_item[labels], np.bool_)
    return Look(_box(mask & (away > settings.item_grey * BOX_FRAC)), mask, at_edge)


def _above(grey: Grey, limit: float) -> Image:
    return np.asarray(cv2.threshold(grey, limit, 1, cv2.THRESH_BINARY)[1], np.uint8)


def _patches(cells: cv2.typing.MatLike) -> tuple[int, Labels]:
    """Number of labels (0 is the ground) and the label of each cell."""
    number, labels = cv2.connectedComponents(cells)
    return int(number), np.asarray(labels, np.int32)


def _edge(cells: cv2.typing.MatLike) -> Labels:
    """The cells on the region's edge, in one row."""
    return np.concatenate((cells[0], cells[-1], cells[1:-1, 0], cells[1:-1, -1]))


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
