"""From a picture of any size to the network's square of pixels: resized, then cut out of the middle.

Three backends, see `bin_daemon.model.bundle.Preprocessing`. All work channel by channel, so the order of the channels stays as
it came and does not matter here. No torch, and OpenCV only for models that ask for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image as PilImage

    from bin_daemon.domain import Image
    from bin_daemon.model.bundle import Preprocessing

MAX_RESIZED_PIXELS = 1 << 24
"""Above this (sides worse than 1 : 256) only the part under the crop is resized: a 1-pixel-wide strip would need gigabytes."""


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


def crop_of_picture(picture: PilImage.Image, how: Preprocessing) -> Image:
    """An RGB picture as uint8 crop x crop x 3."""
    if how.backend == "pil":
        return np.asarray(_pil(picture, how))
    return crop_of_array(np.asarray(picture), how)


def crop_of_array(pixels: Image, how: Preprocessing) -> Image:
    """uint8 H x W x 3 as uint8 crop x crop x 3."""
    from PIL import Image

    if how.backend == "cv2":
        return _cv2(pixels, how)
    return np.asarray(_pil(Image.fromarray(np.ascontiguousarray(pixels)), how))


def _pil(picture: PilImage.Image, how: Preprocessing) -> PilImage.Image:
    wanted = plan(*picture.size, how)
    if how.backend == "fast" or wanted.width * wanted.height > MAX_RESIZED_PIXELS:
        return _pil_under_crop(picture, wanted, how)
    if (wanted.width, wanted.height) != picture.size:
        picture = picture.resize((wanted.width, wanted.height), _pil_filter(how))
    return picture.crop((wanted.left, wanted.top, wanted.left + how.crop_px, wanted.top + how.crop_px))


def _pil_under_crop(picture: PilImage.Image, wanted: Plan, how: Preprocessing) -> PilImage.Image:
    """As resize then crop, up to one grey level, without making the pixels that the crop throws away."""
    scale_x, scale_y = picture.width / wanted.width, picture.height / wanted.height
    left, top = wanted.left * scale_x, wanted.top * scale_y
    right = min(left + how.crop_px * scale_x, picture.width)
    bottom = min(top + how.crop_px * scale_y, picture.height)
    return picture.resize((how.crop_px, how.crop_px), _pil_filter(how), box=(left, top, right, bottom))


def _pil_filter(how: Preprocessing) -> PilImage.Resampling:
    from PIL import Image

    return Image.Resampling[how.interpolation.upper()]


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
        pixels = cv2.resize(pixels, (wanted.width, wanted.height), interpolation=codes[how.interpolation])
    return pixels[wanted.top : wanted.top + how.crop_px, wanted.left : wanted.left + how.crop_px]


def _middle(pixels: Image) -> Image:
    """The middle of a strip, two short sides long: all that the crop can show, up to half a pixel."""
    height, width = pixels.shape[:2]
    side = 2 * min(width, height)
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return pixels[top : top + side, left : left + side]
