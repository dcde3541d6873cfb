"""From cells to pixels: the box that is told is the item's own, the one that is cut out has a margin."""

from __future__ import annotations

from bin_daemon.config import PlacementSettings
from bin_daemon.placement.region import Region


def test_told_box_is_not_padded() -> None:
    """Whole cells of the region, in full-frame pixels; only the crop grows."""
    region = Region(PlacementSettings(roi=(0.1, 0.1, 0.8, 0.8), padding_frac=0.05), (640, 480))
    assert region.item_box((2, 3, 10, 20)) == (80, 72, 80, 160)
    assert region.full_box((2, 3, 10, 20)) == (72, 60, 96, 184)


def test_boxes_end_with_the_frame() -> None:
    """The last cell of a frame whose sides are no multiple of eight is cut."""
    region = Region(PlacementSettings(roi=(0.0, 0.0, 1.0, 1.0)), (650, 478))
    assert region.item_box((80, 58, 2, 2)) == (640, 464, 10, 14)
    x, y, width, height = region.full_box((80, 58, 2, 2))
    assert (x + width, y + height) == (650, 478)
