"""Where a thing is at each moment: poses at given times, and what lies between them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Pose:
    """Middle of the thing in full-frame pixels, and how it is held."""

    x: float
    y: float
    angle_deg: float = 0.0
    lift: float = 0.0
    """0 on the tray, 1 at carrying height."""
    shrink: float = 1.0
    gain: float = 1.0
    """Light that falls on it."""

    def toward(self, other: Pose, share: float) -> Pose:
        """The pose ``share`` (0..1) of the way to ``other``."""
        return Pose(*(a + (b - a) * share for a, b in zip(_values(self), _values(other), strict=True)))


def _values(pose: Pose) -> tuple[float, ...]:
    return pose.x, pose.y, pose.angle_deg, pose.lift, pose.shrink, pose.gain


assert len(fields(Pose)) == len(_values(Pose(0, 0)))  # noqa: S101 - a field added here and forgotten there


class Track:
    """Poses at rising times. Before the first and from the last on the thing is not there."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._poses: list[Pose] = []
        self._eased: list[bool] = []

    @property
    def from_s(self) -> float:
        """When the thing appears."""
        return self._times[0]

    @property
    def to_s(self) -> float:
        """When it is gone."""
        return self._times[-1]

    @property
    def last(self) -> Pose:
        """The latest pose that was added."""
        return self._poses[-1]

    def add(self, t_s: float, pose: Pose, *, eased: bool = True) -> None:
        """Be at ``pose`` at ``t_s``; ``eased``: the way there starts and ends slowly. Raises ValueError for an earlier time."""
        if self._times and t_s < self._times[-1]:
            raise ValueError(f"scene: a track runs backward, from {self._times[-1]:.3f} s to {t_s:.3f} s")
        self._times.append(t_s)
        self._poses.append(pose)
        self._eased.append(eased)

    def stay(self, t_s: float) -> None:
        """Be where the last pose was until ``t_s``."""
        self.add(max(t_s, self.to_s), self.last, eased=False)

    def at(self, t_s: float) -> Pose | None:
        """The pose at ``t_s``; None while the thing is not there."""
        after = bisect_right(self._times, t_s)
        if after == 0 or after == len(self._times):
            return None
        start, end = self._poses[after - 1], self._poses[after]
        if start == end:
            return start
        share = (t_s - self._times[after - 1]) / (self._times[after] - self._times[after - 1])
        return start.toward(end, share * share * (3 - 2 * share) if self._eased[after] else share)
