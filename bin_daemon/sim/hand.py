"""A hand with a sleeved arm that reaches into the picture, drawn from above: shaded round, with the grain of skin and cloth."""

from __future__ import annotations

import functools
import math
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.sprite import Sprite, smear, sprite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

ARM_PX = (960, 420)
"""Height and width of the drawing; the fingertips point up and grip at `GRIP_XY`, the arm leaves at the bottom."""
GRIP_XY = (196, 92)

_SKIN_RGB = ((238, 196, 170), (214, 164, 132), (176, 122, 88), (118, 76, 54))
_CLOTH_RGB = ((44, 58, 92), (120, 42, 46), (66, 84, 70), (196, 190, 178), (38, 38, 42), (150, 132, 96))

# Palm, fingers (from, to, thickness) and forearm in pixels of the drawing.
_FINGERS = (
    ((150, 270), (128, 168), 42),
    ((128, 168), (158, 104), 36),
    ((192, 250), (182, 140), 46),
    ((182, 140), (190, 72), 38),
    ((236, 256), (234, 150), 44),
    ((234, 150), (218, 84), 36),
    ((272, 282), (280, 190), 38),
    ((280, 190), (254, 124), 32),
)
_THUMB = (((138, 360), (92, 270), 54), ((92, 270), (128, 186), 42))
_CUFF_Y = 560


PEOPLE = 6


@functools.lru_cache(maxsize=PEOPLE)
def arm_of(person: int) -> Image:
    """The arm of one of `PEOPLE` persons, uint8 H x W x 4 RGBA; drawn once, never change it."""
    rng = np.random.default_rng(person)
    skin = np.asarray(_SKIN_RGB[int(rng.integers(len(_SKIN_RGB)))], np.float32)
    cloth = np.asarray(_CLOTH_RGB[int(rng.integers(len(_CLOTH_RGB)))], np.float32)
    picture = np.zeros((*ARM_PX, 4), np.float32)
    _paint(picture, _forearm_mask(), skin, rng, grain=3.0)
    for segments in (_THUMB, *(_FINGERS[k : k + 2] for k in range(0, len(_FINGERS), 2))):
        _paint(picture, _limb_mask(segments), skin, rng, grain=3.0)
    _paint(picture, _palm_mask(), skin, rng, grain=3.0)
    _round_off(picture)
    _nails(picture, skin)
    _paint(picture, _sleeve_mask(), cloth, rng, grain=9.0)
    arm = np.clip(picture, 0, 255).astype(np.uint8)
    arm = np.asarray(cv2.GaussianBlur(arm, (0, 0), 1.2), np.uint8)
    return arm if rng.uniform() < 0.5 else arm[:, ::-1].copy()  # noqa: PLR2004 - left- or right-handed


class Arm:
    """One arm ready to be laid: sharp, and blurred along its reach for when it moves fast."""

    def __init__(self, rgba: Image, scale: float, reach_deg: float) -> None:
        """``rgba`` is `arm_of` somebody, the sleeve as long as wanted.

        ``reach_deg`` is the direction in which the fingers point: 0 up, positive to the left (counter-clockwise).
        """
        self.reach_xy = (-math.sin(math.radians(reach_deg)), -math.cos(math.radians(reach_deg)))
        mirrored = rgba[GRIP_XY[1], GRIP_XY[0], 3] < rgba[GRIP_XY[1], ARM_PX[1] - 1 - GRIP_XY[0], 3]
        grip_x = ARM_PX[1] - 1 - GRIP_XY[0] if mirrored else GRIP_XY[0]
        offset = np.array((ARM_PX[1] / 2 - grip_x, rgba.shape[0] / 2 - GRIP_XY[1])) * scale
        cos, sin = math.cos(math.radians(reach_deg)), math.sin(math.radians(reach_deg))
        self._from_grip_xy = (offset[0] * cos + offset[1] * sin, -offset[0] * sin + offset[1] * cos)
        self._still = sprite(
            rgba, scale=scale, angle_deg=reach_deg, shadow_px=34 * scale, shadow_strength=0.4, lift=0.9
        )
        self._blur_px = max(3, round(52 * scale))

    @cached_property
    def moving(self) -> Sprite:
        """The blurred arm, made when first wanted."""
        return smear(self._still, self.reach_xy, self._blur_px)

    @cached_property
    def _grey(self) -> dict[bool, Sprite]:
        return {True: self.moving.grey(), False: self._still.grey()}

    def lay(self, ground: Image, grip_xy: tuple[float, float], *, fast: bool) -> None:
        """Lay the arm so that its fingers grip at ``grip_xy`` of ``ground`` (changed in place; BGR, or grey)."""
        centre = (grip_xy[0] + self._from_grip_xy[0], grip_xy[1] + self._from_grip_xy[1])
        if ground.ndim == 2:  # noqa: PLR2004 - a picture without channels
            self._grey[fast].lay_exactly(ground, centre)
        else:
            (self.moving if fast else self._still).lay(ground, centre)


def _paint(
    picture: NDArray[np.float32], mask: Image, rgb: NDArray[np.float32], rng: np.random.Generator, grain: float
) -> None:
    """Cover ``mask`` with one material: light in the middle, dark towards the edge, as a round limb under a lamp."""
    x, y, w, h = cv2.boundingRect(mask)
    part, inside = picture[y : y + h, x : x + w], mask[y : y + h, x : x + w] > 0
    depth = np.asarray(cv2.distanceTransform(np.pad(mask[y : y + h, x : x + w], 1), cv2.DIST_L2, 3), np.float32)[
        1:-1, 1:-1
    ]
    round_ = np.clip(depth / 34, 0, 1)
    light = 0.72 + 0.30 * np.sqrt(round_ * (2 - round_))
    spots = np.asarray(cv2.GaussianBlur(rng.standard_normal((h, w), np.float32), (0, 0), 2.0), np.float32) * 3 * grain
    part[inside, :3] = (rgb * light[..., None] + spots[..., None])[inside]
    part[inside, 3] = 255


def _round_off(picture: NDArray[np.float32]) -> None:
    """Darken the outline of all that is there so far, and soften the seams between its parts."""
    hand = picture[: _CUFF_Y + 40]
    depth = np.asarray(cv2.distanceTransform((hand[..., 3] > 0).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    soft = np.asarray(cv2.bilateralFilter(np.ascontiguousarray(hand[..., :3]), 7, 60, 4), np.float32)
    hand[..., :3] = (0.5 * hand[..., :3] + 0.5 * soft) * (0.62 + 0.40 * np.sqrt(np.clip(depth / 22, 0, 1)))[..., None]


def _limb_mask(segments: tuple[tuple[tuple[int, int], tuple[int, int], int], ...]) -> Image:
    mask = np.zeros(ARM_PX, np.uint8)
    for start, end, thickness in segments:
        cv2.line(mask, start, end, 255, thickness, cv2.LINE_8)
    return mask


def _palm_mask() -> Image:
    mask = np.zeros(ARM_PX, np.uint8)
    palm = np.array(
        ((128, 262), (168, 232), (240, 234), (292, 276), (290, 380), (268, 440), (170, 440), (132, 380)), np.int32
    )
    cv2.fillPoly(mask, [palm], 255)
    mask[:_CUFF_Y] = np.asarray(cv2.GaussianBlur(mask[:_CUFF_Y], (0, 0), 14), np.uint8)
    return np.asarray(cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _forearm_mask() -> Image:
    mask = np.zeros(ARM_PX, np.uint8)
    cv2.fillPoly(mask, [np.array(((170, 380), (268, 380), (280, 640), (158, 640)), np.int32)], 255)
    return mask


def _sleeve_mask() -> Image:
    mask = np.zeros(ARM_PX, np.uint8)
    sleeve = np.array(((134, _CUFF_Y), (302, _CUFF_Y - 8), (326, ARM_PX[0]), (104, ARM_PX[0])), np.int32)
    cv2.fillPoly(mask, [sleeve], 255)
    return mask


def _nails(picture: NDArray[np.float32], skin: NDArray[np.float32]) -> None:
    pale = tuple(float(v) for v in np.minimum(skin * 1.02 + 14, 255))
    for (x, y), angle in (((160, 98), 20), ((190, 66), 5), ((216, 78), -12), ((252, 118), -22), ((126, 182), 28)):
        cv2.ellipse(picture, (x, y), (9, 13), angle, 0, 360, (*pale, 255.0), -1)
