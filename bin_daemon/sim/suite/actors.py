"""What lies on the tray or reaches over it: each can be laid on the full picture and on a small grey one alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from bin_daemon.sim.hand import Arm, arm_of
from bin_daemon.sim.sprite import Sprite, smear, sprite

if TYPE_CHECKING:
    from collections.abc import Hashable

    from bin_daemon.domain import Box, Image
    from bin_daemon.sim.suite.motion import Pose, Track

SOLID_ALPHA = 40
"""From this alpha of 255 on a pixel is the item's: a transparent item's too."""
SHADOW_FRAC = 0.016
"""Width of a contact shadow, as a share of the picture's short side."""
BLUR_PX = 6.0
"""Motion within the shutter's time below this, in full-frame pixels, leaves no streak."""


class Actor(Protocol):
    """A thing of the scene."""

    def state(self, t_s: float) -> Hashable | None:
        """How it looks at ``t_s``: equal states look alike; None while it is not there."""

    def lay(self, ground: Image, t_s: float, shrink: int) -> None:
        """Lay it on ``ground`` (changed in place): BGR in full, or grey and ``shrink`` times smaller."""


class ItemActor:
    """One thing with a track. ``rgba`` is uint8 H x W x 4, shown ``scale`` times as large in the full picture."""

    def __init__(
        self, rgba: Image, scale: float, track: Track, *, short_px: int, shadow: float = 0.5, shutter_s: float = 0.0
    ) -> None:
        self.rgba, self.scale, self.track = rgba, scale, track
        self._short_px, self._shadow, self._shutter_s = short_px, shadow, shutter_s
        self._small: dict[int, tuple[Image, float]] = {}
        self._posed: tuple[object, Sprite] | None = None
        self._outline: Image | None = None

    def state(self, t_s: float) -> Hashable | None:
        """The pose, and the streak that motion leaves."""
        pose = self.track.at(t_s)
        return None if pose is None else (pose, self._streak(pose, t_s))

    def lay(self, ground: Image, t_s: float, shrink: int) -> None:
        """See `Actor.lay`."""
        pose = self.track.at(t_s)
        if pose is not None:
            self._sprite(pose, self._streak(pose, t_s), shrink).lay_exactly(ground, (pose.x / shrink, pose.y / shrink))

    def box(self, pose: Pose, size: tuple[int, int]) -> Box:
        """Around its own pixels at ``pose``, without shadow, within a full frame of ``size`` (width, height)."""
        scale, angle = self.scale * pose.shrink, math.radians(pose.angle_deg)
        points = (self._points() - np.array(self.rgba.shape[1::-1]) / 2) * scale
        x = points[:, 0] * math.cos(angle) + points[:, 1] * math.sin(angle) + pose.x
        y = points[:, 1] * math.cos(angle) - points[:, 0] * math.sin(angle) + pose.y
        left, top = max(0, math.floor(x.min()) - 1), max(0, math.floor(y.min()) - 1)
        right, bottom = min(size[0], math.ceil(x.max()) + 1), min(size[1], math.ceil(y.max()) + 1)
        return left, top, max(0, right - left), max(0, bottom - top)

    def _points(self) -> Image:
        if self._outline is None:
            solid = (self.rgba[..., 3] >= SOLID_ALPHA).astype(np.uint8)
            contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            self._outline = np.concatenate([np.asarray(c).reshape(-1, 2) for c in contours])
        return self._outline

    def _streak(self, pose: Pose, t_s: float) -> tuple[float, float]:
        """How far it moves while the shutter is open, full-frame pixels, rounded; zeros when that cannot be seen."""
        before = self.track.at(t_s - self._shutter_s)
        if before is None or self._shutter_s <= 0:
            return 0.0, 0.0
        dx, dy = pose.x - before.x, pose.y - before.y
        return (0.0, 0.0) if math.hypot(dx, dy) < BLUR_PX else (round(dx / 4) * 4.0, round(dy / 4) * 4.0)

    def _sprite(self, pose: Pose, streak: tuple[float, float], shrink: int) -> Sprite:
        look = (pose.angle_deg, pose.lift, pose.shrink, pose.gain, streak, shrink)
        if self._posed is None or self._posed[0] != look:
            self._posed = (look, self._drawn(pose, streak, shrink))
        return self._posed[1]

    def _drawn(self, pose: Pose, streak: tuple[float, float], shrink: int) -> Sprite:
        rgba, scale = self._source(shrink)
        still = sprite(
            rgba,
            scale=scale * pose.shrink * (1 + 0.06 * pose.lift),
            angle_deg=pose.angle_deg,
            gain=pose.gain,
            shadow_px=SHADOW_FRAC * self._short_px / shrink,
            shadow_strength=self._shadow,
            lift=pose.lift,
            shadow_grain_px=1 if shrink > 1 else 4,
        )
        length = math.hypot(*streak) / shrink
        if length >= 2:  # noqa: PLR2004 - pixels; less is no streak
            along = streak[0] / (length * shrink), streak[1] / (length * shrink)
            still = smear(still, along, max(3, round(length)))
        return still if shrink == 1 else still.grey()

    def _source(self, shrink: int) -> tuple[Image, float]:
        """The picture made small once, so that turning it costs little; and the scale that is left."""
        scale = self.scale / shrink
        if scale >= 0.6:  # noqa: PLR2004 - as `sprite` itself decides
            return self.rgba, scale
        if shrink not in self._small:
            height, width = self.rgba.shape[:2]
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            alpha = self.rgba[..., 3:].astype(np.float32) / 255
            colour = cv2.resize(self.rgba[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
            cover = cv2.resize(self.rgba[..., 3], size, interpolation=cv2.INTER_AREA)
            straight = np.asarray(colour, np.float32).reshape(*size[::-1], 3) * (
                255 / np.maximum(cover, 1).astype(np.float32)[..., None]
            )
            self._small[shrink] = (
                np.dstack((np.clip(straight, 0, 255).astype(np.uint8), cover)),
                scale * max(width, height) / max(size),
            )
        return self._small[shrink]


SLEEVE_PX = 700
"""Rows that are added to the drawing of an arm, so that it is twice as long as the picture is high."""


class HandActor:
    """An arm whose fingers follow a track; the pose's angle is the direction of its reach and stays the same."""

    def __init__(self, person: int, reach_deg: float, track: Track, *, short_px: int) -> None:
        self.track, self._person, self._reach_deg, self._short_px = track, person, reach_deg, short_px
        self._arms: dict[int, Arm] = {}

    def state(self, t_s: float) -> Hashable | None:
        """Where the fingers are, and whether they move fast."""
        pose = self.track.at(t_s)
        return None if pose is None else (pose.x, pose.y, self._is_fast(t_s))

    def lay(self, ground: Image, t_s: float, shrink: int) -> None:
        """See `Actor.lay`."""
        pose = self.track.at(t_s)
        if pose is None:
            return
        if shrink not in self._arms:
            scale = 0.95 * self._short_px / 720 / shrink
            # Over a wide picture an arm reaches far: its sleeve goes on to beyond the edge.
            arm = np.pad(arm_of(self._person), ((0, SLEEVE_PX), (0, 0), (0, 0)), mode="edge")
            self._arms[shrink] = Arm(arm, scale, self._reach_deg)
        self._arms[shrink].lay(ground, (pose.x / shrink, pose.y / shrink), fast=self._is_fast(t_s))

    def _is_fast(self, t_s: float) -> bool:
        """More than the picture's short side within a second leaves a streak."""
        now, before = self.track.at(t_s), self.track.at(t_s - 0.02)
        if now is None or before is None:
            return False
        return math.hypot(now.x - before.x, now.y - before.y) > 0.02 * self._short_px


class MarkActor:
    """A stain or a wet patch: multiplies the tray by a soft-edged pattern, and may dry."""

    def __init__(self, keep: Image, middle_xy: tuple[float, float], from_s: float, to_s: float) -> None:
        """``keep`` is uint8 h x w, full-frame pixels, 255 where the tray stays as it is."""
        self._keep, self._middle_xy, self._from_s, self._to_s = keep, middle_xy, from_s, to_s
        self._sprites: dict[int, Sprite] = {}

    def state(self, t_s: float) -> Hashable | None:
        """There, or not."""
        return True if self._from_s <= t_s < self._to_s else None

    def lay(self, ground: Image, t_s: float, shrink: int) -> None:
        """See `Actor.lay`."""
        if self.state(t_s) is None:
            return
        if shrink not in self._sprites:
            keep = self._keep
            if shrink > 1:
                size = (max(1, keep.shape[1] // shrink), max(1, keep.shape[0] // shrink))
                keep = np.asarray(cv2.resize(keep, size, interpolation=cv2.INTER_AREA), np.uint8)
            else:
                keep = np.asarray(cv2.merge((keep, keep, keep)), np.uint8)
            self._sprites[shrink] = Sprite(np.zeros_like(keep), keep, (0, 0, keep.shape[1], keep.shape[0]))
        self._sprites[shrink].lay_exactly(ground, (self._middle_xy[0] / shrink, self._middle_xy[1] / shrink))
