"""From picture to network input as the model was trained: resized, cut (`bin_daemon.model.resize`), and normalised as mmcv does.

The tensor is ModelScope's own, bit for bit (modelscope 1.40 with mmcls 0.25 and mmcv 1.7.2 was asked): see
`bin_daemon.model.picture` for which kinds of file, and tests/model/golden for the numbers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import ModelError
from bin_daemon.model.resize import crop_from

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as PilImage

    from bin_daemon.domain import Box, Image
    from bin_daemon.model.bundle import Preprocessing

ITEM_MARGIN = 1.15
"""The item's box fills 1/1.15 of the crop: its outline and some tray stay visible, as in the training pictures."""


def prepare_picture(picture: PilImage.Image, how: Preprocessing) -> NDArray[np.float32]:
    """An RGB picture of any size as float32 1 x 3 x crop x crop."""
    return _normalise(crop_from(np.asarray(picture), how), how, is_rgb=True)


def prepare_array(bgr: Image, how: Preprocessing, box: Box | None = None) -> NDArray[np.float32]:
    """A frame (uint8 H x W x 3, BGR, or H x W, grey), or the square around ``box`` in it, as float32 1 x 3 x crop x crop.

    Raises ModelError for another shape or type, as a frame with alpha must not pass for colour.
    """
    if bgr.dtype == np.uint8 and bgr.ndim == 2:  # noqa: PLR2004 - H, W: grey, which ModelScope takes too
        bgr = np.repeat(bgr[:, :, np.newaxis], 3, axis=2)
    if bgr.dtype != np.uint8 or bgr.ndim != 3 or bgr.shape[2] != 3 or 0 in bgr.shape:  # noqa: PLR2004 - H, W, 3
        raise ModelError(
            f"frame is {bgr.dtype} {'x'.join(map(str, bgr.shape))}, wanted uint8 H x W x 3 in BGR order, or H x W",
            hint="check the camera's pixel format",
        )
    if box is not None:
        x, y, width, height = crop_window(box, (bgr.shape[1], bgr.shape[0]), how)
        bgr = bgr[y : y + height, x : x + width]
    return _normalise(crop_from(bgr, how), how, is_rgb=False)


def crop_window(box: Box, frame_size: tuple[int, int], how: Preprocessing) -> Box:
    """The part of the frame that is resized so that the item in ``box`` fills the network's centre crop.

    A square around the box's middle: its side is the box's long side, times ITEM_MARGIN, times resize/crop (the rim that the
    centre crop cuts off), at least half the network's input (less would only enlarge blur). A square that sticks out is
    moved into the frame, and cut where the frame is smaller: pixels are never invented.
    """
    x, y, width, height = box
    side = max(width, height) * ITEM_MARGIN * how.resize_px / how.crop_px
    side_px = max(round(side), how.crop_px // 2)
    left, out_width = _fit(x + width / 2, side_px, frame_size[0])
    top, out_height = _fit(y + height / 2, side_px, frame_size[1])
    return left, top, out_width, out_height


def _fit(middle: float, side_px: int, limit_px: int) -> tuple[int, int]:
    """Start and length of a stretch of ``side_px`` around ``middle`` that lies in 0..limit."""
    length = min(side_px, limit_px)
    start = round(middle - length / 2)
    return min(max(start, 0), limit_px - length), length


def _normalise(pixels: Image, how: Preprocessing, *, is_rgb: bool) -> NDArray[np.float32]:
    order = (0, 1, 2) if is_rgb == (how.colour == "rgb") else (2, 1, 0)
    table = _normalise_table(how.mean, how.std)
    planes = [table[plane].take(pixels[:, :, channel]) for plane, channel in enumerate(order)]
    return np.stack(planes)[np.newaxis]


@lru_cache(maxsize=8)
def _normalise_table(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """float32 3 x 256: what each grey level becomes.

    The mean is taken off in float32, then multiplied by 1/std in float64 and rounded: so does cv2 for mmcv's imnormalize, hence
    the same bits.
    """
    level = np.arange(256, dtype=np.float32)
    mean_255 = (np.asarray(mean, np.float64) * 255).astype(np.float32)[:, np.newaxis]
    std_255 = (np.asarray(std, np.float64) * 255).astype(np.float32).astype(np.float64)[:, np.newaxis]
    return ((level - mean_255).astype(np.float64) * (1 / std_255)).astype(np.float32)
