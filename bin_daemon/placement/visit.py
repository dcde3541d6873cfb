"""Who came since the item was counted: a hand, or a lid that opened in the picture.

Both reach in over the edge and both end with a tray that is clear again. A hand is there while the item still lies in its place;
an opening is a rectangle along the sides of the picture, or dark nearly all over, for no light falls into the bin below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from bin_daemon.placement.background import Grey, Mask
    from bin_daemon.placement.item import Look

RECTANGLE_FRAC = 0.86
"""Share of its upright box that an opening fills; an arm with its hand fills two thirds."""
DARK = 0.4
DARK_FRAC = 0.8
"""Below this share of the tray's brightness in so many of its cells it is the shaft: a sleeve may be dark, its hand is not."""
CORE_FRAC = 0.35
"""Share of a patch that its dark part must have: the rest is the shade on the tray around an opening."""
OPENING_FRAC = 0.015
"""Share of the region from which something dark or upright may be an opening and no battery."""
STILL_THERE = 0.5
"""Share of the item's cells that must still be something else than tray, or the item itself is what reaches over the edge."""
LEAST_FRAMES = 2

_AROUND = np.ones((5, 5), np.uint8)


class Visit:
    """Counts frames that show a hand or an opening."""

    def __init__(self) -> None:
        self._hand = self._opening = 0
        self.came_t_s = self._seen_t_s = 0.0
        self.shows_opening = False
        """Of the last frame."""

    @property
    def is_hand(self) -> bool:
        """A hand was at the item."""
        return self._hand >= LEAST_FRAMES and self._hand > self._opening

    @property
    def is_opening(self) -> bool:
        """A lid opened in the picture."""
        return self._opening >= LEAST_FRAMES and not self.is_hand

    @property
    def hand_s(self) -> float:
        """From the first to the last frame that showed a hand."""
        return self._seen_t_s - self.came_t_s if self.is_hand else 0.0

    def forget(self) -> None:
        """Nobody has come."""
        self._hand = self._opening = 0

    def see(self, look: Look, grey: Grey, tray: Grey, item: Mask | None, t_s: float) -> None:
        """One frame, taken at ``t_s``; ``item`` is where the counted item lies, None while nothing is counted."""
        self.shows_opening = False
        if look.reach is not None:
            self.shows_opening = is_opening(look.reach, grey, tray)
            if not self.shows_opening and (item is None or _is_there(item, look)):
                self.came_t_s = self.came_t_s if self._hand else t_s
                self._hand, self._seen_t_s = self._hand + 1, t_s
        elif look.mask is not None and item is not None:
            apart = look.mask & (cv2.dilate(item.astype(np.uint8), _AROUND) == 0)
            self.shows_opening = is_opening(apart, grey, tray)
        self._opening += self.shows_opening


def is_opening(patch: Mask, grey: Grey, tray: Grey) -> bool:
    """Whether ``patch`` may be a lid's opening: large, and upright or dark; with the shade around it, if its dark part is."""
    cells = int(np.count_nonzero(patch))
    if cells < OPENING_FRAC * patch.size:
        return False
    dark = patch & (grey < DARK * tray)
    dark_frac = int(np.count_nonzero(dark)) / cells
    return _is_upright(patch) or dark_frac > DARK_FRAC or (dark_frac > CORE_FRAC and _is_upright(dark))


def _is_upright(patch: Mask) -> bool:
    _, _, width, height = cv2.boundingRect(patch.astype(np.uint8))
    return int(np.count_nonzero(patch)) >= RECTANGLE_FRAC * width * height


def _is_there(item: Mask, look: Look) -> bool:
    seen = look.reach if look.mask is None else look.mask if look.reach is None else look.mask | look.reach
    return seen is not None and int(np.count_nonzero(seen & item)) >= STILL_THERE * int(np.count_nonzero(item))
