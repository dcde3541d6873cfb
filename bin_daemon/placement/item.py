"""What lies on the tray, told from its difference to the empty tray: an item or several, a hand, or too much of everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.placement.background import FIELDS, odd_cells
from bin_daemon.placement.light import is_light

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Box, Image
    from bin_daemon.placement.background import Grey, Mask, Reference
    from bin_daemon.placement.states import Limits

    Labels = NDArray[np.int32]

RIM_CELLS = 2
RIM_FREE = 0.04
"""So many rows and columns along the edge, with outlines in less than this share of them, show that the view is the same."""

LARGEST_FRAC = 0.7
"""Share of the region that the largest item covers; an open tray covers more."""

CLEAR_OUTLINE = 2.0
"""So many times the least outline is as good as a strong difference: no light makes it."""

BLUR_FRAC = 0.55
"""Smoothing leaves a third of an outline's contrast one cell outside, two thirds on it."""

LEAST_SIDE = 5
"""Cells; a smaller box keeps its sides."""

ADDED = 0.5
"""Of an outline: a spot of light adds less to the tray's texture."""

FAINT = 2.5
"""An item that differs by less than so many times item_grey nearly everywhere may have parts that differ hardly at all."""

FAINT_PART = 0.4
"""Share of weak_grey by which those differ, as a mean of 3 x 3 cells."""

NEARBY_FRAC = 0.4
"""And within a window of this share of the short side around it: a clear bottle that shows its neck alone."""

_SMALL = np.ones((3, 3), np.uint8)
_NEAR = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What differs from the empty tray, in cells (grey8 pixels of the region)."""

    box: Box | None = None
    """Around all that may be an item, None when there is nothing."""
    mask: Mask | None = None
    """True where an item is."""
    at_edge: bool = False
    """Something reaches in over the edge."""
    large: bool = False
    """Nearly everything differs, or differs a little everywhere."""
    items: int = 0
    """How many things lie apart from each other."""
    edge_box: Box | None = None
    """Around what reaches in."""
    edge_cells: int = 0
    """How large that is."""
    reach: Mask | None = None
    """Where that is."""
    is_across: bool = False
    """All that reaches in lies over two opposite edges, as the edge of a cloud's shadow does and nobody's arm."""


NOTHING = Look()


def look_at(tray: Reference, grey: Grey, limits: Limits) -> Look:
    """Sort what differs from the tray by what it can be.

    A patch is what differs weakly, together, around something that differs strongly, and has an outline somewhere: so an item
    keeps its faint parts, an arm its connection to the edge, and neither noise nor soft light makes anything. A patch that comes
    over the edge with an outline is an arm; one without is a shadow, of which only what has outlines of its own is kept.
    """
    if cv2.countNonZero(_above(tray.changes(grey), limits.outline_grey)) < limits.strong_cells:
        return NOTHING
    left = tray.outlines(grey)
    outlines = _above(left, limits.outline_grey)
    if cv2.countNonZero(outlines) < limits.strong_cells:
        return NOTHING
    things = _filled(cv2.dilate(outlines, _SMALL))
    covered = cv2.countNonZero(things)
    if covered > limits.settings.large_frac * limits.cells or _is_everywhere(outlines, limits):  # noqa: SIM102 - why, apart
        if covered > LARGEST_FRAC * limits.cells or not _is_rim_free(outlines):
            return Look(large=True)
    away = np.abs(tray.in_same_light(grey, cv2.dilate(things, _NEAR)))
    weak = cv2.morphologyEx(_above(away, limits.weak_grey), cv2.MORPH_CLOSE, _SMALL)
    number, labels = _patches(weak)
    strong = (away > limits.strong_grey) | (left > CLEAR_OUTLINE * limits.outline_grey)
    outlined = cv2.dilate(outlines, _NEAR)
    arms, shadows = _from_outside(labels, number, outlined, limits)
    is_strong = _cells(labels[strong], number) >= limits.strong_cells
    reaching = arms & is_strong
    reaching &= ~_lit(reaching, labels, tray, grey, limits)
    reach = _Reach.of(labels, reaching, limits)
    if arms.any() or shadows.any():
        number, labels = _patches(((labels > 0) & ~arms[labels] & ((outlined > 0) | ~shadows[labels])).astype(np.uint8))
    cells = _cells(labels, number)
    is_item = cells >= limits.item_cells
    is_item &= _cells(labels[strong], number) >= limits.strong_cells
    is_item &= _cells(labels[outlines > 0], number) >= np.maximum(
        limits.strong_cells, limits.settings.outline_frac * 2 * np.sqrt(np.pi * cells)
    )
    is_item[0] = False
    is_item &= ~_lit(is_item, labels, tray, grey, limits)
    outside = Look(
        at_edge=reach.cells > 0,
        edge_box=reach.box,
        edge_cells=reach.cells,
        reach=reach.mask,
        is_across=reach.is_across,
    )
    if not is_item.any():
        return outside
    mask = _with_parts(is_item[labels], labels, number, outlines, limits)
    most = float(np.percentile(away[mask], 90))
    if most < FAINT * limits.strong_grey:
        core = _with_faint_parts(mask, away, limits)
    else:
        contrast = min(limits.settings.box_frac * most, limits.settings.box_factor * limits.strong_grey)
        core = mask & ((away > max(limits.weak_grey, contrast)) | (outlines > 0))
    return replace(outside, box=_tight(_box(core), away, mask), mask=mask, items=_count(core, limits))


@dataclass(frozen=True, slots=True)
class _Reach:
    """What comes in over the edge."""

    box: Box | None
    cells: int
    mask: Mask | None = None
    is_across: bool = False

    @classmethod
    def of(cls, labels: Labels, reaching: Mask, limits: Limits) -> _Reach:
        if not reaching.any():
            return cls(None, 0)
        mask = np.asarray(reaching[labels], np.bool_)
        top, bottom, left, right = (
            _cells(edge, len(reaching)) > limits.edge_cells
            for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1])
        )
        across = (top & bottom) | (left & right)
        return cls(_box(mask), int(mask.sum()), mask, bool(across[reaching].all()))


def _lit(patches: Mask, labels: Labels, tray: Reference, grey: Grey, limits: Limits) -> Mask:
    """Which of the labels in ``patches`` are but spots of light."""
    found = np.zeros_like(patches)
    for label in np.flatnonzero(patches):
        found[label] = is_light(
            _filled((labels == label).astype(np.uint8)), tray.grey, grey, ADDED * limits.outline_grey
        )
    return found


def _with_parts(mask: Mask, labels: Labels, number: int, outlines: Image, limits: Limits) -> Mask:
    """Add what is too small for an item but has an outline and lies close to one: a needle's tip, a bottle's neck."""
    side = 3 * limits.gap_cells + 1
    near = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    parts = (_cells(labels[near > 0], number) > 0) & (_cells(labels[outlines > 0], number) > 0)
    parts[0] = False
    return np.asarray(mask | parts[labels], np.bool_)


def _with_faint_parts(mask: Mask, away: Grey, limits: Limits) -> Mask:
    """Add what differs hardly but over an area, and hangs together with the item; nothing that comes in over the edge."""
    side = odd_cells(NEARBY_FRAC, mask.shape)
    near = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
    faint = near & (cv2.blur(away, (3, 3)) > FAINT_PART * limits.weak_grey)
    number, labels = _patches((faint | mask).astype(np.uint8))
    own = (_cells(labels[mask], number) > 0) & (_cells(_edge(labels), number) == 0)
    own[0] = False
    return np.asarray(mask | own[labels], np.bool_)


def _from_outside(labels: Labels, number: int, outlined: cv2.typing.MatLike, limits: Limits) -> tuple[Mask, Mask]:
    """For each label: whether it is an arm, and whether it is a shadow from outside."""
    edge, edge_outlined = _edge(labels), _edge(outlined)
    contact = _cells(edge, number)
    touches = contact > limits.edge_cells
    arms = (_cells(edge[edge_outlined > 0], number) > limits.edge_cells) | (
        touches & (contact < limits.settings.wide_frac * edge.size)
    )
    shadows = touches & ~arms
    arms[0] = shadows[0] = False  # the tray itself
    return arms, shadows


def _is_everywhere(outlines: Image, limits: Limits) -> bool:
    rows, columns = FIELDS
    share = cv2.resize(outlines.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return bool(np.mean(share > limits.settings.field_frac) > limits.settings.spread_frac)


def _is_rim_free(outlines: Image) -> bool:
    """Nothing is new along the edge: what is large lies within."""
    inner = outlines[RIM_CELLS:-RIM_CELLS, RIM_CELLS:-RIM_CELLS]
    return cv2.countNonZero(outlines) - cv2.countNonZero(inner) < RIM_FREE * (outlines.size - inner.size)


def _count(core: Mask, limits: Limits) -> int:
    """Things that lie apart; small parts beside a large one belong to it."""
    gap = limits.gap_cells
    joined = cv2.dilate(core.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap + 1, gap + 1)))
    number, labels = _patches(joined)
    cells = _cells(labels[core], number)[1:]
    if not cells.size:
        return 1
    least = max(limits.item_cells, limits.settings.multi_area_frac * float(cells.max()))
    return max(1, int(np.count_nonzero(cells >= least)))


def _tight(box: Box, away: Grey, mask: Mask) -> Box:
    """``box`` without sides that are but the blur of what lies within: the picture was smoothed over three cells."""
    x, y, width, height = box
    inner = np.where(mask, away, 0)[y : y + height, x : x + width]
    left, right = _blurred_sides(inner.max(axis=0))
    top, bottom = _blurred_sides(inner.max(axis=1))
    return x + left, y + top, width - left - right, height - top - bottom


def _blurred_sides(steps: NDArray[np.float32]) -> tuple[int, int]:
    """How many cells to leave out at the beginning and at the end."""
    if len(steps) < LEAST_SIDE:
        return 0, 0
    return int(steps[0] < BLUR_FRAC * steps[1]), int(steps[-1] < BLUR_FRAC * steps[-2])


def _filled(cells: cv2.typing.MatLike) -> Image:
    """An outline with what it encloses."""
    contours, _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros(cells.shape, np.uint8), contours, -1, 1, cv2.FILLED), np.uint8)


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
