"""The region of interest: from fractions of the frame to cells of grey8, and back to full-frame pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Box, Image

CELL = 8
"""Side of a grey8 pixel in full-frame pixels."""


class Region:
    """The region in frames of ``size`` (width, height)."""

    def __init__(self, settings: PlacementSettings, size: tuple[int, int]) -> None:
        self.size = size
        self._padding_frac = settings.padding_frac
        columns, rows = (-(-side // CELL) for side in size)
        x, y, width, height = settings.roi
        left, top = min(int(x * columns), columns - 1), min(int(y * rows), rows - 1)
        right, bottom = min(round((x + width) * columns), columns), min(round((y + height) * rows), rows)
        self._left, self._top = left, top
        self.columns, self.rows = max(1, right - left), max(1, bottom - top)

    def cut(self, grey8: Image) -> Image:
        """The region's part of a watched picture."""
        return grey8[self._top : self._top + self.rows, self._left : self._left + self.columns]

    def item_box(self, box: Box) -> Box:
        """Cells of the region to full-frame pixels, within the frame."""
        full_width, full_height = self.size
        x, y, width, height = (self._left + box[0]) * CELL, (self._top + box[1]) * CELL, box[2] * CELL, box[3] * CELL
        return x, y, min(full_width, x + width) - x, min(full_height, y + height) - y

    def full_box(self, box: Box) -> Box:
        """`item_box` padded by a share of its sides and half a cell, within the frame: what a crop shall show."""
        full_width, full_height = self.size
        x, y, width, height = (self._left + box[0]) * CELL, (self._top + box[1]) * CELL, box[2] * CELL, box[3] * CELL
        pad_x, pad_y = round(width * self._padding_frac) + CELL // 2, round(height * self._padding_frac) + CELL // 2
        x0, y0 = max(0, x - pad_x), max(0, y - pad_y)
        return x0, y0, min(full_width, x + width + pad_x) - x0, min(full_height, y + height + pad_y) - y0
