"""Whether a patch is but light: a hard-edged spot of sun has an outline as an item has, but hides nothing.

Within the spot the tray's own texture is there, brighter or darker by one factor. On a tray without texture nobody can tell a
spot of light from a sheet of paper, and it counts as a thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from bin_daemon.domain import Image
    from bin_daemon.placement.background import Grey

RIM = np.ones((9, 9), np.uint8)
"""The half-shade along a spot's edge, which smoothing has widened, says nothing."""

LEAST_CELLS = 60
"""Fewer look alike by chance."""

ALIKE = 0.75
"""Correlation from which the patch shows the tray's texture: noise takes some of a fine one, a thing shows none of it. A clear
bottle on a coarse one reaches 0.94, and is told by what it adds."""


def is_light(patch: Image, tray: Grey, grey: Grey, added_grey: float) -> bool:
    """True when ``grey`` shows the tray's texture where ``patch`` is 1 (it has no holes), in another light and no more than that.

    What lies there adds a pattern; ``added_grey`` is the spread of the faintest.
    """
    x, y, width, height = cv2.boundingRect(patch)
    if min(width, height) <= len(RIM) or (width - len(RIM) + 1) * (height - len(RIM) + 1) < LEAST_CELLS:
        return False
    within = slice(y, y + height), slice(x, x + width)
    tray, grey = tray[within], grey[within]
    part = np.ascontiguousarray(patch[within])
    mask = cv2.erode(part, RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if cv2.countNonZero(mask) < LEAST_CELLS:
        return False
    factor = cv2.mean(grey, mask)[0] / max(1.0, cv2.mean(tray, mask)[0])
    # An item adds its own pattern: most are told by this alone.
    if cv2.meanStdDev(cv2.addWeighted(grey, 1.0, tray, -factor, 0.0), mask=mask)[1][0, 0] >= 2 * added_grey:
        return False
    inner = mask > 0
    below, seen = tray[inner], grey[inner]
    rows, columns = np.nonzero(inner)
    slope = np.stack((rows, columns, np.ones(len(rows))), axis=1).astype(np.float32)
    pair = np.stack((factor * below, seen), axis=1)
    under, over = (pair - slope @ np.linalg.lstsq(slope, pair, rcond=None)[0]).T
    if float(np.std(over - under)) >= added_grey:
        return False
    return float(np.vdot(under, over)) > ALIKE * float(np.linalg.norm(under)) * float(np.linalg.norm(over))
