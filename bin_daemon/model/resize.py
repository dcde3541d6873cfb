"""From a picture of any size to the network's square of pixels: resized, then cut out of the middle.

Two backends, see `bin_daemon.model.bundle.Preprocessing`; each gives what Pillow or OpenCV gives, bit for bit. All works channel
by channel, so the order of the channels stays as it came and does not matter here. No torch.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bin_daemon.domain import Image
    from bin_daemon.model.bundle import Preprocessing

MAX_RESIZED_PIXELS = 1 << 24
"""Above this (sides worse than 1 : 256) OpenCV gets only the middle of a strip: the whole of it would need gigabytes."""

DOWN_FIRST_SINCE = 13
"""Pillow 13 resizes the height first where it falls by more than twice as many pixels as the width; older ones never do."""


class Plan(NamedTuple):
    """Size of the whole picture after resizing, and the corner of the crop in it, pixels."""

    width: int
    height: int
    left: int
    top: int


def plan(width: int, height: int, how: Preprocessing) -> Plan:
    """What resizing makes of a picture of this size, and where the crop lies: as mmcls, torchvision and timm compute it."""
    if how.resize == "square":
        width = height = how.resize_px
    elif width <= height:
        width, height = how.resize_px, int(how.resize_px * height / width)  # the long side is cut to a whole pixel
    else:
        width, height = int(how.resize_px * width / height), how.resize_px
    return Plan(width, height, round((width - how.crop_px) / 2), round((height - how.crop_px) / 2))


def crop_from(pixels: Image, how: Preprocessing) -> Image:
    """uint8 H x W x 3 as uint8 crop x crop x 3."""
    wanted = plan(pixels.shape[1], pixels.shape[0], how)
    if (wanted.width, wanted.height) == pixels.shape[1::-1]:
        return pixels[wanted.top : wanted.top + how.crop_px, wanted.left : wanted.left + how.crop_px]
    return _cv2(pixels, how) if how.backend == "cv2" else _pil(pixels, wanted, how)


def _pil(pixels: Image, wanted: Plan, how: Preprocessing) -> Image:
    from bin_daemon.model.kernels import weights
    from bin_daemon.model.resample import resample

    height, width = pixels.shape[:2]
    across = weights(how.interpolation, width, wanted.width, wanted.left, how.crop_px)
    down = weights(how.interpolation, height, wanted.height, wanted.top, how.crop_px)
    lost_px = height - wanted.height
    down_first = _knows_down_first() and lost_px > max(0, 2 * (width - wanted.width))
    return resample(pixels, across, down, down_first=down_first)


@cache
def _knows_down_first() -> bool:
    import PIL

    return int(PIL.__version__.partition(".")[0]) >= DOWN_FIRST_SINCE


def _cv2(pixels: Image, how: Preprocessing) -> Image:
    import cv2

    codes = {
        "nearest": cv2.INTER_NEAREST,
        "bilinear": cv2.INTER_LINEAR,
        "bicubic": cv2.INTER_CUBIC,
        "area": cv2.INTER_AREA,
        "lanczos": cv2.INTER_LANCZOS4,
    }
    wanted = plan(pixels.shape[1], pixels.shape[0], how)
    if wanted.width * wanted.height > MAX_RESIZED_PIXELS:
        pixels = _middle(pixels)
        wanted = plan(pixels.shape[1], pixels.shape[0], how)
    if (wanted.width, wanted.height) != pixels.shape[1::-1]:
        resized = cv2.resize(pixels, (wanted.width, wanted.height), interpolation=codes[how.interpolation])
        pixels = np.asarray(resized, np.uint8)
    return pixels[wanted.top : wanted.top + how.crop_px, wanted.left : wanted.left + how.crop_px]


def _middle(pixels: Image) -> Image:
    """The middle of a strip, two short sides long: all that the crop can show, up to half a pixel."""
    height, width = pixels.shape[:2]
    side = 2 * min(width, height)
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return pixels[top : top + side, left : left + side]
