"""Whether a still picture shows the same tray from another place: the camera, or the tray, was moved.

A knock changes what is at outlines and nothing in between, often in one strip along an edge: by its cells alone that is an arm
which lies there for ever. So the tray's picture is fitted to what is seen by a shift and a turn (Evangelidis and Psarakis' ECC,
2008); a knock is what goes away by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.placement.background import odd_cells

if TYPE_CHECKING:
    from bin_daemon.placement.background import Grey, Mask, Reference
    from bin_daemon.placement.states import Limits

STEPS = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4

REACH_FRAC = 0.2
"""The furthest shift that is looked for, as a share of the sides: with more, little of the old view is left."""

LEAST_CELLS = 0.6
"""A corner of the picture must have moved so far: less is trembling, and no outline worth learning anew."""

BETTER = 0.4
"""What is left of the new outlines once the move is undone: an item that lies there, and the finest texture."""

FORETOLD = 0.6
"""Share of the new outlines that must be where the move puts them: knocks have 0.9 and more, things 0.4 at the most."""

_NEXT = np.ones((3, 3), np.uint8)


def is_moved(tray: Reference, grey: Grey, limits: Limits) -> bool:
    """True when a shift and a turn of the tray's picture explain most of what ``grey`` (of its shape) shows anew."""
    shown = _new(tray, grey, limits)
    fit = _fit(_relief(tray.grey), _relief(grey))
    return fit is not None and _explains(tray, grey, fit, shown, limits)


def _explains(tray: Reference, grey: Grey, fit: Grey, shown: Mask, limits: Limits) -> bool:
    rows, columns = grey.shape
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]], np.float32)
    far = np.linalg.norm(corners @ fit.T - corners[:, :2], axis=1)
    if not LEAST_CELLS <= float(far.max()) < min(rows, columns) / 2:
        return False
    size = (columns, rows)
    back = cv2.warpAffine(
        grey, fit, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    known = cv2.warpAffine(np.ones(grey.shape, np.uint8), fit, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    known = cv2.erode(known, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    there = int(np.count_nonzero(_new(tray, np.asarray(back, np.float32), limits) & (np.asarray(known, np.uint8) > 0)))
    if there >= BETTER * int(np.count_nonzero(shown)) * float(known.mean()):
        return False
    return _foretells(tray, fit, shown, limits)


def _foretells(tray: Reference, fit: Grey, shown: Mask, limits: Limits) -> bool:
    """The tray's own picture, moved so, has its new outlines where they are seen: along its only edge a tray fits everywhere."""
    rows, columns = shown.shape
    moved = cv2.warpAffine(tray.grey, fit, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    foretold = cv2.dilate(_new(tray, np.asarray(moved, np.float32), limits).astype(np.uint8), _NEXT) > 0
    return int(np.count_nonzero(shown & foretold)) >= FORETOLD * int(np.count_nonzero(shown))


def _new(tray: Reference, grey: Grey, limits: Limits) -> Mask:
    """Where there are outlines that the tray has not."""
    return np.asarray(tray.outlines(grey) > limits.outline_grey, np.bool_)


def _fit(before: Grey, now: Grey) -> Grey | None:
    """Matrix (2 x 3) from the tray's places to those of ``now``; None where nothing fits."""
    rows, columns = before.shape
    down, right = round(REACH_FRAC * rows), round(REACH_FRAC * columns)
    found = cv2.matchTemplate(now, before[down : rows - down, right : columns - right], cv2.TM_CCOEFF_NORMED)
    _, _, _, (x, y) = cv2.minMaxLoc(found)
    start = np.array([[1, 0, x - right], [0, 1, y - down]], np.float32)
    try:
        everywhere = np.ones(now.shape, np.uint8)
        _, fit = cv2.findTransformECC(before, now, start, cv2.MOTION_EUCLIDEAN, STEPS, everywhere, 3)
    except cv2.error:  # it does not converge: not the same picture
        return None
    return np.asarray(fit, np.float32)


def _relief(grey: Grey) -> Grey:
    """Without soft light: the difference to the surroundings."""
    side = odd_cells(0.35, grey.shape)
    return np.asarray(grey - cv2.blur(grey, (side, side)), np.float32)
