"""Uncompressed pixel formats, as OpenCV hands a V4L2 buffer on when it is told not to convert it.

Packed formats are H x W x 2, planar ones have all luma first and then half as many rows of colour, GREY is luma alone. Only luma
is touched for watching.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import DeviceError
from bin_daemon.sensing.decode import BLOCK, to_grey8

if TYPE_CHECKING:
    from bin_daemon.domain import Image


@dataclass(frozen=True, slots=True)
class RawFormat:
    """One format: ``name`` is its FOURCC, ``conversion`` the end of OpenCV's ``COLOR_...`` constant."""

    name: str
    conversion: str
    luma_channel: int | None = None
    """Of a packed format."""
    planar: bool = False

    def luma(self, raw: Image) -> Image:
        """H x W, a view. Raises DeviceError for a buffer of another shape."""
        if self.luma_channel is not None and raw.ndim == 3 and raw.shape[2] == 2:  # noqa: PLR2004 - H x W x 2
            return raw[..., self.luma_channel]
        flat = raw[..., 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw  # noqa: PLR2004 - H x W x 1
        if self.luma_channel is None and flat.ndim == 2 and flat.shape[0] > 1:  # noqa: PLR2004 - rows and columns
            return flat[: flat.shape[0] * 2 // 3] if self.planar else flat
        raise DeviceError(
            f"a {self.name} frame has the shape {raw.shape}",
            hint="set camera.pixel_format to another one, MJPG at best",
        )

    def bgr(self, raw: Image) -> Image:
        """H x W x 3."""
        import cv2

        return np.asarray(cv2.cvtColor(raw, getattr(cv2, f"COLOR_{self.conversion}")), np.uint8)


RAW_FORMATS = {
    x.name: x
    for x in (
        RawFormat("YUYV", "YUV2BGR_YUYV", luma_channel=0),
        RawFormat("UYVY", "YUV2BGR_UYVY", luma_channel=1),
        RawFormat("NV12", "YUV2BGR_NV12", planar=True),
        RawFormat("NV21", "YUV2BGR_NV21", planar=True),
        RawFormat("YU12", "YUV2BGR_I420", planar=True),
        RawFormat("YV12", "YUV2BGR_YV12", planar=True),
        RawFormat("GREY", "GRAY2BGR"),
    )
}
"""By FOURCC. What comes from a GREY camera can be watched; a network that was taught colours judges it badly."""


def luma_grey8(luma: Image) -> Image:
    """Mean luma of four pixels of each 8 x 8 block: H x W to ceil(H/8) x ceil(W/8). Four halve the sensor's noise."""
    height, width = luma.shape
    return to_grey8(np.ascontiguousarray(luma[::4, ::4]), size=(-(-width // BLOCK), -(-height // BLOCK)))
