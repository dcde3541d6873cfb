"""What happens in a clip, told as a person would: bring, adjust, take back, a lid opens. Each verb moves the story's time on.

Verbs make tracks and the truth together, so that the truth needs no looking at pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.hand import PEOPLE
from bin_daemon.sim.suite.actors import HandActor, ItemActor, MarkActor
from bin_daemon.sim.suite.ground import small_ground
from bin_daemon.sim.suite.motion import Pose, Track
from bin_daemon.sim.suite.paths import LOWER_S, ROCK_S, Arm, Stop, around, bounce, carry, fall, hand_track, lies, roll
from bin_daemon.sim.suite.stage import SHRINK
from bin_daemon.sim.suite.things import LOOKS, SHORT_CM, stain
from bin_daemon.sim.suite.truth import TRAVEL_S, LidOpening, Truth

if TYPE_CHECKING:
    from bin_daemon.domain import Box, Image
    from bin_daemon.sim.suite.stage import Stage
    from bin_daemon.sim.suite.things import Photos

KNOCK_FRAC = 0.15
"""A knocked camera sees no part of the tray this much further off than before."""
EDGE_FRAC = 0.09
"""Nothing is put nearer to the picture's edge than this share of its short side, unless it shall be."""


@dataclass
class Thing:
    """One thing in play."""

    name: str
    actor: ItemActor
    long_px: float
    counted: int | None = None
    """Which of the plot's truths says that it was placed."""

    @property
    def track(self) -> Track:
        """Where it is when."""
        return self.actor.track


class Plot:
    """The story of one clip; ``t_s`` is how far it has been told."""

    def __init__(self, stage: Stage, photos: Photos, rng: np.random.Generator) -> None:
        self.stage, self.rng, self.t_s = stage, rng, 1.2
        self.truths: list[Truth] = []
        self._photos = photos
        self._side_deg = float(rng.choice((0, 0, 0, 90, -90)))
        self._people = tuple(int(i) for i in rng.permutation(PEOPLE)[:3])
        self._short = min(stage.size)
        tray = small_ground(*stage.ground, stage.size, SHRINK)
        self._tray_rgb = np.full(3, float(tray.mean()), np.float32)

    def wait(self, low_s: float, high_s: float | None = None) -> None:
        """Let time pass."""
        self.t_s += low_s if high_s is None else float(self.rng.uniform(low_s, high_s))

    def truth(self, kind: str, until_s: float, box: Box | None = None, *, demanded: bool = True) -> None:
        """From now until ``until_s`` this outcome is right."""
        self.truths.append(Truth(kind, self.t_s, until_s, box, demanded=demanded))

    def thing(self, look: str = "plain") -> Thing:
        """Something to throw in; nowhere yet."""
        way = LOOKS[look]
        pool = self._photos.fit_for(look)
        photo = pool[int(self.rng.integers(len(pool)))]
        rgba: Image = photo.rgba if way.dress is None else way.dress(photo.rgba, self._tray_rgb, self.rng)
        long_px = float(self.rng.uniform(*way.long_cm)) / SHORT_CM * self._short
        actor = ItemActor(
            rgba,
            long_px / max(rgba.shape[:2]),
            Track(),
            short_px=self._short,
            shadow=way.shadow,
            shutter_s=self.stage.sensor.shutter_s,
        )
        self.stage.actors.append(actor)
        return Thing(f"{look} {photo.name}", actor, long_px)

    def place(self, thing: Thing) -> Pose:
        """A free choice of where and how ``thing`` will lie, wholly on the tray."""
        edge = EDGE_FRAC * self._short + 0.52 * thing.long_px
        if self.stage.lens.knock is not None:
            edge += KNOCK_FRAC * self._short  # still wholly in the picture when the camera looks elsewhere
        gain = float(self.rng.uniform(0.86, 1.0))
        x, y = (float(self.rng.uniform(min(edge, v / 2), max(v - edge, v / 2))) for v in self.stage.size)
        return Pose(x, y, float(self.rng.uniform(0, 360)), gain=gain)

    def bring(
        self,
        thing: Thing,
        at: Pose | None = None,
        *,
        hover_s: float = 0.0,
        hold_s: float = 0.05,
        and_: Thing | None = None,
    ) -> None:
        """A hand brings ``thing`` (and another beside it), hovers, lets go, holds on for ``hold_s`` and leaves."""
        at = at or self.place(thing)
        arm = self._arm(thing)
        over_s = self.t_s + float(self.rng.uniform(0.5, 0.9))
        let_go_s = over_s + hover_s + LOWER_S
        gone_s = let_go_s + hold_s + float(self.rng.uniform(0.35, 0.65))
        self._hand(arm, Stop(at, over_s, let_go_s + hold_s, gone_s))
        for carried, goal in ((thing, at), *(((and_, self._beside(at, thing, and_)),) if and_ else ())):
            tilt_deg = float(self.rng.choice((-9, 9)))
            carry(carried.track, arm, goal, tilt_deg, (self.t_s, over_s, over_s + hover_s, let_go_s))
        self.t_s = max(gone_s, let_go_s + ROCK_S)

    def drop(self, thing: Thing, *, rolls: bool) -> None:
        """A hand lets ``thing`` go while still above the tray or moving: it rolls, or bounces, to where it comes to rest."""
        rest = self.place(thing)
        arm = self._arm(thing)
        far = float(self.rng.uniform(0.25, 0.6)) * self._short if rolls else 0.05 * self._short
        angle = float(self.rng.uniform(0, 2 * math.pi))
        start = self._inside(replace(rest, x=rest.x + far * math.cos(angle), y=rest.y + far * math.sin(angle)), thing)
        over_s = self.t_s + float(self.rng.uniform(0.5, 0.8))
        let_go_s = over_s + 0.1
        gone_s = let_go_s + float(self.rng.uniform(0.35, 0.6))
        self._hand(arm, Stop(start, over_s, let_go_s, gone_s))
        thing.track.add(self.t_s, arm.outside(replace(start, lift=1.0)))
        thing.track.add(over_s, replace(start, lift=0.3 if rolls else 1.0))
        thing.track.add(let_go_s, replace(start, lift=0.0 if rolls else 0.9))
        if rolls:
            roll(thing.track, rest, math.degrees(2 * far / thing.long_px), float(self.rng.uniform(0.9, 1.8)))
        else:
            bounce(thing.track, rest, float(self.rng.uniform(-40, 40)))
        self.t_s = max(gone_s, thing.track.to_s)

    def count(
        self,
        *things: Thing,
        kind: str = "placement",
        sooner_s: float = 0.5,
        with_: Thing | None = None,
        also: Box | None = None,
    ) -> None:
        """From now on it is right, once, to say that ``things`` were placed; until they leave. ``with_`` lies there already."""
        seen = (*things, with_) if with_ else things
        box = around([self.box(t) for t in seen])
        name = " + ".join(t.name for t in things)
        self.truths.append(Truth(kind, self.t_s, math.inf, box, name, sooner_s=sooner_s, also=also))
        for thing in things:
            thing.counted = len(self.truths) - 1

    def may_count(self, thing: Thing) -> None:
        """From now on, until it leaves, saying that ``thing`` was placed is right but not demanded."""
        self.count(thing)
        self.truths[-1] = replace(self.truths[-1], demanded=False)

    def box(self, thing: Thing) -> Box:
        """Where ``thing`` lies now, as the camera sees it."""
        return self.stage.lens.box(thing.actor.box(thing.track.last, self.stage.size), self.t_s)

    def end_of(self, thing: Thing) -> None:
        """From now on it is late to say that ``thing`` was placed."""
        self._close(thing, self.t_s)

    def move(self, thing: Thing, to: Pose | None = None) -> Box:
        """A hand comes back and shifts ``thing`` a little, or to a given place. Returns the box where it lay before."""
        arm, here = self._arm(thing), thing.track.last
        if to is None:
            angle, far = float(self.rng.uniform(0, 6.28)), float(self.rng.uniform(0.04, 0.14)) * self._short
            turn = float(self.rng.uniform(-50, 50))
            to = replace(
                here,
                x=here.x + far * math.cos(angle),
                y=here.y + far * math.sin(angle),
                angle_deg=here.angle_deg + turn,
            )
            to = self._inside(to, thing)
        over_s = self.t_s + float(self.rng.uniform(0.4, 0.7))
        moved_s = over_s + 0.6
        gone_s = moved_s + float(self.rng.uniform(0.35, 0.6))
        self._hand(arm, Stop(here, over_s, over_s), Stop(to, moved_s, moved_s + 0.05, gone_s))
        thing.track.stay(over_s + 0.1)
        before = self.box(thing)
        thing.track.add(moved_s, to)
        self.t_s = gone_s
        if thing.counted is not None:
            truth = self.truths[thing.counted]
            self.truths[thing.counted] = replace(truth, also=self.box(thing))
        return before

    def take(self, thing: Thing, *, demanded: bool = True) -> None:
        """A hand takes ``thing`` away again."""
        arm, here = self._arm(thing), thing.track.last
        over_s = self.t_s + float(self.rng.uniform(0.45, 0.8))
        grasp_s = over_s + LOWER_S
        gone_s = grasp_s + float(self.rng.uniform(0.4, 0.7))
        self._close(thing, over_s)
        self._hand(arm, Stop(here, over_s, grasp_s, gone_s))
        thing.track.stay(grasp_s)
        thing.track.add(gone_s, replace(arm.outside(here), lift=1.0))
        self.t_s = gone_s
        self.truths.append(
            Truth("taken_back", self.t_s, self.t_s + 4.0, demanded=demanded and thing.counted is not None, sooner_s=1.5)
        )

    def reach_in(self, stay_s: float, *, wanders: bool = True) -> None:
        """A hand without anything comes in, stays and leaves."""
        thing = self.thing()
        arm = self._arm(thing)
        self.stage.actors.pop()
        at = self.place(thing)
        over_s = self.t_s + float(self.rng.uniform(0.4, 0.8))
        away_s = over_s + stay_s
        to = self._inside(replace(at, x=at.x + 0.1 * self._short), thing) if wanders else at
        gone_s = away_s + float(self.rng.uniform(0.4, 0.7))
        if stay_s >= 2.5:  # noqa: PLR2004 - seconds; shorter is a visit, longer is in the way
            self.truths.append(Truth("hand_present", over_s, gone_s, sooner_s=1.0))
        self._hand(arm, Stop(at, over_s, over_s), Stop(to, away_s, away_s, gone_s))
        self.t_s = gone_s

    def open_lid(self, *things: Thing, falls: bool = True, after: tuple[float, float] = (1.3, 2.2)) -> None:
        """A lid opens; ``things`` fall, or stay where they are. Told until the lid is shut again."""
        self.wait(*after)
        lid = int(self.rng.integers(1, 5))
        opening = LidOpening(self.t_s, self.t_s + TRAVEL_S + float(self.rng.uniform(0.9, 1.5)), lid)
        self.stage.lids.append(opening)
        fall_s = opening.t_s + TRAVEL_S + 0.05
        mouth = self.stage.mouth_xy(lid)
        for thing in things if falls else ():
            self._close(thing, fall_s)
            fall(thing.track, mouth, fall_s)
        self.t_s = opening.shut_s + TRAVEL_S

    def mark(self, at: Pose, length_px: float, depth: float, when_s: tuple[float, float], soft_px: float = 0.0) -> None:
        """A stain or wet patch on the tray, ``depth`` (0..1) darker, with edges ``soft_px`` soft."""
        keep = stain(self.rng, 8 * max(1, round(length_px / 8)), depth)
        if soft_px > 0:
            keep = np.asarray(cv2.GaussianBlur(keep, (0, 0), soft_px), np.uint8)
        self.stage.actors.insert(0, MarkActor(keep, (at.x, at.y), *when_s))

    def end(self) -> tuple[Truth, ...]:
        """The truths by time, with what still lies there right until the end, which is now."""
        for actor in self.stage.actors:
            if isinstance(actor, ItemActor) and lies(actor.track):
                actor.track.stay(self.t_s + 10)
        closed = (replace(t, until_s=min(t.until_s, self.t_s)) for t in self.truths)
        return tuple(sorted(closed, key=lambda t: t.t_s))

    def _close(self, thing: Thing, until_s: float) -> None:
        """What was counted leaves: its placement is right until then."""
        if thing.counted is None:
            return
        truth = self.truths[thing.counted]
        self.truths[thing.counted] = replace(truth, until_s=min(truth.until_s, until_s))

    def _inside(self, pose: Pose, thing: Thing) -> Pose:
        edge = EDGE_FRAC * self._short + 0.52 * thing.long_px
        x, y = (
            min(max(p, min(edge, v / 2)), max(v - edge, v / 2))
            for p, v in zip((pose.x, pose.y), self.stage.size, strict=True)
        )
        return replace(pose, x=x, y=y)

    def _beside(self, at: Pose, thing: Thing, other: Thing) -> Pose:
        """A place for ``other`` at least two centimetres from ``thing``; the side with more room."""
        far = 0.5 * (thing.long_px + other.long_px) + 0.075 * self._short
        dx = far if at.x < self.stage.size[0] / 2 else -far
        return replace(at, x=at.x + dx, angle_deg=float(self.rng.uniform(0, 360)))

    def _arm(self, thing: Thing) -> Arm:
        return Arm(self._side_deg + float(self.rng.uniform(-28, 28)), self.stage.size, thing.long_px)

    def _hand(self, arm: Arm, *stops: Stop) -> None:
        person = self._people[int(self.rng.integers(len(self._people)))]
        track = hand_track(arm, self.t_s, stops)
        self.stage.actors.append(HandActor(person, arm.reach_deg, track, short_px=self._short))
