"""How hands and things move: tracks for coming, carrying, rolling, bouncing and falling. Pure geometry and times."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bin_daemon.sim.suite.motion import Pose, Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.domain import Box

FALL_S = 0.45
LOWER_S = 0.2
ROCK_S = 0.35
"""A thing rocks so long after it was let go."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a hand is from when until when; after its last stop it is out of the picture at ``gone_s``."""

    at: Pose
    from_s: float
    to_s: float
    gone_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Arm:
    """The direction in which an arm reaches (0 up, counter-clockwise), over a frame of ``size``, holding something long."""

    reach_deg: float
    size: tuple[int, int]
    long_px: float

    def outside(self, at: Pose) -> Pose:
        """From ``at`` back along the arm, until the thing and the hand are out of the picture."""
        dx, dy = self.back
        to_x, to_y = (_to_border(a, v, d) for a, v, d in zip((at.x, at.y), self.size, (dx, dy), strict=True))
        way = min(to_x, to_y) + (0.55 * self.long_px + 0.3 * min(self.size)) / max(abs(dx), abs(dy))
        return replace(at, x=at.x + dx * way, y=at.y + dy * way)

    @property
    def back(self) -> tuple[float, float]:
        """Unit vector from the fingers to the elbow."""
        return math.sin(math.radians(self.reach_deg)), math.cos(math.radians(self.reach_deg))


def hand_track(arm: Arm, from_s: float, stops: Sequence[Stop]) -> Track:
    """In from outside, to each of the stops, and out again. The fingers hold the thing off its middle."""
    track, (dx, dy), grip = Track(), arm.back, 0.3 * arm.long_px
    for stop in stops:
        here = Pose(stop.at.x + dx * grip, stop.at.y + dy * grip)
        if stop is stops[0]:
            track.add(from_s, arm.outside(here))
        track.add(stop.from_s, here)
        track.stay(stop.to_s)
        if stop is stops[-1]:
            track.add(stop.gone_s, arm.outside(here))
    return track


def carry(track: Track, arm: Arm, goal: Pose, tilt_deg: float, times: tuple[float, float, float, float]) -> None:
    """In with the hand, down, and a little rocking until it rests. Times: start, over the goal, lowering, let go."""
    start_s, over_s, lower_s, let_go_s = times
    held = replace(goal, lift=1.0, angle_deg=goal.angle_deg + tilt_deg)
    track.add(start_s, arm.outside(held))
    track.add(over_s, held)
    if lower_s > over_s:
        track.stay(lower_s)
    track.add(let_go_s, replace(goal, lift=0.1, angle_deg=goal.angle_deg + 0.6 * tilt_deg))
    track.add(let_go_s + 0.15, replace(goal, angle_deg=goal.angle_deg - 0.3 * tilt_deg))
    track.add(let_go_s + ROCK_S, goal)


def roll(track: Track, rest: Pose, turn_deg: float, takes_s: float) -> None:
    """From where it is to ``rest``, turning, ever slower."""
    from_s, start = track.to_s, track.last
    for step in range(1, 9):
        share = 1 - (1 - step / 8) ** 2
        pose = replace(start.toward(rest, share), angle_deg=rest.angle_deg + turn_deg * (share - 1), lift=0.0)
        track.add(from_s + takes_s * step / 8, pose, eased=False)


def bounce(track: Track, rest: Pose, turn_deg: float) -> None:
    """Down, and up again three times, each lower."""
    t_s, height = track.to_s, 0.9
    for _ in range(3):
        down_s = 0.22 * math.sqrt(height)
        track.add(t_s + down_s, replace(rest, angle_deg=rest.angle_deg + turn_deg * height, lift=0.0), eased=False)
        height *= 0.35
        up_s = 0.22 * math.sqrt(height)
        track.add(t_s + down_s + up_s, replace(rest, angle_deg=rest.angle_deg + turn_deg * height, lift=height))
        t_s += down_s + up_s
    track.add(t_s + 0.08, rest)


def fall(track: Track, mouth_xy: tuple[float, float], from_s: float) -> None:
    """Sliding ever faster to the opening, then down into the dark."""
    track.stay(from_s)
    here = track.last
    mouth = replace(here, x=mouth_xy[0], y=mouth_xy[1], angle_deg=here.angle_deg + 20)
    for step in range(1, 5):
        fallen = step / 4
        slid, sunk = min(1.0, (fallen / 0.8) ** 2), max(0.0, (fallen - 0.55) / 0.45)
        pose = replace(here.toward(mouth, slid), shrink=1 - 0.6 * sunk, gain=here.gain * (1 - 0.9 * sunk))
        track.add(from_s + FALL_S * fallen, pose, eased=False)


def lies(track: Track) -> bool:
    """Whether a thing's last pose is one of rest on the tray."""
    return track.last.lift == 0 and track.last.shrink == 1.0


def around(boxes: Sequence[Box]) -> Box:
    """The box around all of them."""
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    return left, top, right - left, bottom - top


def _to_border(at: float, limit: float, step: float) -> float:
    """Steps from ``at`` to 0 or ``limit``, whichever lies ahead."""
    if abs(step) < 0.01:  # noqa: PLR2004 - along the border
        return math.inf
    return (limit - at) / step if step > 0 else -at / step
