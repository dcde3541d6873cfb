"""A thing that can be laid on a picture in one multiply and one add: its colour, and what it leaves of the ground."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Box, Image


@dataclass(frozen=True, slots=True)
class Sprite:
    """``colour`` is premultiplied BGR, ``keep`` is the share of the ground that stays (255: all of it), both uint8 H x W x 3.

    A shadow is just ``keep`` below 255 where ``colour`` is 0, so that a thing and its shadow are one sprite.
    """

    colour: Image
    keep: Image
    solid_xywh: Box
    """The thing itself, without its shadow, within the sprite."""

    def lay(self, ground: Image, centre_xy: tuple[float, float]) -> None:
        """Lay the sprite on ``ground`` (changed in place), its middle at ``centre_xy``; what lies outside is cut off."""
        height, width = self.colour.shape[:2]
        x, y = round(centre_xy[0] - width / 2), round(centre_xy[1] - height / 2)
        left, top = max(0, -x), max(0, -y)
        right, bottom = min(width, ground.shape[1] - x), min(height, ground.shape[0] - y)
        if left >= right or top >= bottom:
            return
        part = ground[y + top : y + bottom, x + left : x + right]
        kept = cv2.multiply(part, self.keep[top:bottom, left:right], scale=1 / 255)
        part[:] = cv2.add(kept, self.colour[top:bottom, left:right])

    def grey(self) -> Sprite:
        """The same for a grey ground, both pictures H x W: luma is linear, so this is the coloured one's luma."""
        flat = np.asarray(cv2.cvtColor(self.colour, cv2.COLOR_BGR2GRAY), np.uint8)
        return Sprite(flat, np.ascontiguousarray(self.keep[..., 0]), self.solid_xywh)

    def lay_exactly(self, ground: Image, centre_xy: tuple[float, float]) -> None:
        """As `lay`, to a fraction of a pixel: on a small ground half a pixel is much."""
        height, width = self.colour.shape[:2]
        x, y = centre_xy[0] - width / 2, centre_xy[1] - height / 2
        dx, dy = x - round(x), y - round(y)
        if abs(dx) + abs(dy) < 0.1:  # noqa: PLR2004 - cannot be seen
            self.lay(ground, centre_xy)
            return
        move = np.array(((1, 0, dx), (0, 1, dy)), np.float32)
        shift = functools.partial(cv2.warpAffine, M=move, dsize=(width, height), flags=cv2.INTER_LINEAR)
        colour = np.asarray(shift(self.colour), np.uint8)
        keep = np.asarray(shift(self.keep, borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255)), np.uint8)
        Sprite(colour, keep, self.solid_xywh).lay(ground, (round(x) + width / 2, round(y) + height / 2))

    def box_at(self, centre_xy: tuple[float, float]) -> Box:
        """Where the thing itself lies (without shadow) when laid at ``centre_xy``, in pixels of the ground."""
        height, width = self.colour.shape[:2]
        x, y, w, h = self.solid_xywh
        return round(centre_xy[0] - width / 2) + x, round(centre_xy[1] - height / 2) + y, w, h


def sprite(
    rgba: Image,
    *,
    scale: float = 1.0,
    angle_deg: float = 0.0,
    gain: float = 1.0,
    shadow_px: float = 6.0,
    shadow_strength: float = 0.5,
    lift: float = 0.0,
    shadow_grain_px: int = 4,
) -> Sprite:
    """Turn a cut-out (uint8 H x W x 4, RGBA) into a sprite with a contact shadow.

    ``lift`` 0..1 is how far it hovers: the shadow moves away and grows soft. ``gain`` is the light that falls on it.
    ``shadow_grain_px`` is how coarsely the shadow may be worked out: 1 for a sprite that is small itself.
    """
    turned = _turn(rgba, scale, angle_deg, margin_px=int(3 * shadow_px * (1 + lift)) + 2)
    alpha = turned[..., 3]
    shadow = _shadow(alpha, shadow_px, lift, shadow_strength, shadow_grain_px)
    keep = cv2.multiply(cv2.bitwise_not(shadow), cv2.bitwise_not(alpha), scale=1 / 255)
    colour = np.clip(turned[..., 2::-1].astype(np.float32) * gain, 0, alpha[..., None]).astype(np.uint8)
    solid = cv2.boundingRect((alpha > 96).astype(np.uint8))  # noqa: PLR2004 - the soft edge is no item
    return Sprite(colour, np.asarray(cv2.merge((keep, keep, keep)), np.uint8), (solid[0], solid[1], solid[2], solid[3]))


def smear(still: Sprite, along_xy: tuple[float, float], length_px: int) -> Sprite:
    """The same sprite with motion blur of ``length_px`` along one direction (a unit vector)."""
    size = max(3, length_px // 2 | 1)
    middle = size // 2
    kernel = np.zeros((size, size), np.float32)
    reach_x, reach_y = (round(middle * v) for v in along_xy)
    cv2.line(kernel, (middle - reach_x, middle - reach_y), (middle + reach_x, middle + reach_y), 1.0, 1)
    kernel /= kernel.sum()
    keep = _streaked(np.ascontiguousarray(still.keep[..., 0]), kernel)
    return Sprite(
        _streaked(still.colour, kernel), np.asarray(cv2.merge((keep, keep, keep)), np.uint8), still.solid_xywh
    )


def _streaked(picture: Image, kernel: NDArray[np.float32]) -> Image:
    """Filtered at half size: a blurred picture has no finer detail, and it takes a sixteenth of the time."""
    height, width = picture.shape[:2]
    half = cv2.resize(picture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    half = cv2.filter2D(half, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _turn(rgba: Image, scale: float, angle_deg: float, margin_px: int) -> Image:
    """Premultiplied RGBA, scaled and turned about its middle, with room for the shadow."""
    height, width = rgba.shape[:2]
    pre = rgba.copy()
    pre[..., :3] = cv2.multiply(rgba[..., :3], cv2.merge((rgba[..., 3],) * 3), scale=1 / 255)
    if scale < 0.6:  # noqa: PLR2004 - warpAffine does not filter when it shrinks
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pre = np.asarray(cv2.resize(pre, size, interpolation=cv2.INTER_AREA), np.uint8)
        height, width, scale = size[1], size[0], 1.0
    # Pixel centres: half a pixel off, a small sprite would jump as it turns.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, scale)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    out_w = int(width * cos + height * sin) + 2 * margin_px
    out_h = int(width * sin + height * cos) + 2 * margin_px
    matrix[:, 2] += ((out_w - width) / 2, (out_h - height) / 2)
    finer = cv2.INTER_CUBIC if scale > 1.3 else cv2.INTER_LINEAR  # noqa: PLR2004 - enlarged: no visible pixels
    return np.asarray(cv2.warpAffine(pre, matrix, (out_w, out_h), flags=finer), np.uint8)


def _shadow(alpha: Image, shadow_px: float, lift: float, strength: float, small_by: int) -> Image:
    """A dark core where the thing touches the plate and a wide soft part on the side away from the lamp."""
    height, width = alpha.shape
    shift = shadow_px * (0.35 + 1.6 * lift)
    small = cv2.resize(alpha, (max(1, width // small_by), max(1, height // small_by)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.6, shadow_px * (0.6 + lift) / small_by))
    move = np.array(((1, 0, shift / small_by), (0, 1, shift / small_by)), np.float32)
    soft = cv2.warpAffine(soft, move, (soft.shape[1], soft.shape[0]))
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.convertScaleAbs(soft, alpha=strength / (1 + lift)), np.uint8)
