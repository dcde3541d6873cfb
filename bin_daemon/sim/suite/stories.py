"""What people do at the bin, one function a story. Each tells ``visits`` visits to a `Plot`, with their truth."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from bin_daemon.sim.suite.lens import Fog
from bin_daemon.sim.suite.light import Lamp, Passer, Steady, Switched
from bin_daemon.sim.suite.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.sim.suite.plot import Plot, Thing

    Story = Callable[[Plot, int], None]

PAUSE_S = (0.9, 2.2)
RELEARN_S = 30.0
"""A detector may take so long to know a tray anew after its camera was knocked; nobody comes meanwhile."""
MESSAGE_S = 12.0
"""A notice that comes later than this after its cause is of no use."""


def throw_in(plot: Plot, look: str = "plain") -> Thing:
    """The ordinary visit: brought, counted, a lid opens, it falls."""
    thing = plot.thing(look)
    plot.bring(thing)
    plot.count(thing)
    plot.open_lid(thing)
    plot.wait(*PAUSE_S)
    return thing


def ordinary(look: str = "plain", gap_s: float = 0.0) -> Story:
    """Visit after visit with items of one look, ``gap_s`` more between them."""

    def tell(plot: Plot, visits: int) -> None:
        for _ in range(visits):
            throw_in(plot, look)
            plot.wait(gap_s)

    return tell


def behind_dirt(plot: Plot, visits: int) -> None:
    """Ordinary visits; that the lens is dirty may be said at any time."""
    plot.truths.append(Truth("lens_dirty", 0.0, math.inf, demanded=False))
    ordinary()(plot, visits)


def rolling(plot: Plot, visits: int) -> None:
    """Items that roll to their place."""
    for _ in range(visits):
        thing = plot.thing("round")
        plot.drop(thing, rolls=True)
        _end(plot, thing)


def bouncing(plot: Plot, visits: int) -> None:
    """Items that are dropped from above."""
    for _ in range(visits):
        thing = plot.thing()
        plot.drop(thing, rolls=False)
        _end(plot, thing)


def hands_only(plot: Plot, visits: int) -> None:
    """Hands that come and go without an item, or stay; one item in between to see that the watch goes on."""
    for visit in range(visits + 2):
        plot.reach_in(
            float(plot.rng.uniform(0.2, 1.2)) if visit % 3 else float(plot.rng.uniform(2.6, 4.0)), wanders=visit % 2 > 0
        )
        plot.wait(*PAUSE_S)
        if visit % 2:
            throw_in(plot)


def adjusting(plot: Plot, visits: int) -> None:
    """The hand comes back and shifts the item: at once, or after it was counted."""
    for visit in range(visits):
        thing = plot.thing()
        plot.bring(thing)
        if visit % 2:
            plot.count(thing)
            plot.wait(1.2, 1.8)
            plot.move(thing)
        else:
            first_s = plot.t_s
            plot.wait(0.05, 0.2)
            before = plot.move(thing)
            plot.count(thing, sooner_s=plot.t_s - first_s + 0.5, also=before)
        _end(plot, thing)


def hesitating(plot: Plot, visits: int) -> None:
    """The hand hovers with the item, or has put it down and does not let go."""
    for visit in range(visits):
        thing = plot.thing()
        if visit % 2:
            plot.bring(thing, hover_s=float(plot.rng.uniform(0.8, 3.0)))
        else:
            plot.bring(thing, hold_s=float(plot.rng.uniform(0.8, 3.0)))
        plot.count(thing)
        _end(plot, thing)


def taking_back(plot: Plot, visits: int) -> None:
    """The item is taken away again: by the hand that never let go, soon after, or after it was counted."""
    for visit in range(visits):
        thing = plot.thing()
        if visit % 3 == 0:
            plot.bring(thing)
            plot.count(thing)
            plot.wait(1.5, 3.0)
            plot.take(thing)
        elif visit % 3 == 1:
            plot.bring(thing, hold_s=0.6)
            plot.may_count(thing)
            plot.wait(0.02, 0.1)
            plot.take(thing, demanded=False)
        else:
            plot.bring(thing)
            _end(plot, thing)
            continue
        plot.wait(*PAUSE_S)
    throw_in(plot)


def wet(plot: Plot, visits: int) -> None:
    """Each item leaves a wet patch that shines darkly for a while after it has gone."""
    for _ in range(visits):
        thing = plot.thing()
        plot.bring(thing)
        plot.count(thing)
        depth, rest_s, at = float(plot.rng.uniform(0.08, 0.2)), plot.t_s, thing.track.last
        plot.open_lid(thing)
        for step in range(4):
            from_s = plot.t_s + 5 * step if step else rest_s - 0.8
            plot.mark(at, 1.3 * thing.long_px, depth * (1 - step / 4), (from_s, plot.t_s + 5 * step + 5), soft_px=4)
        _may_be_stained(plot, rest_s)
        plot.wait(*PAUSE_S)


def staining(plot: Plot, visits: int) -> None:
    """Some items leave a splash with sharp edges that stays for good."""
    for visit in range(visits):
        thing = plot.thing()
        plot.bring(thing)
        plot.count(thing)
        rest_s, at = plot.t_s, thing.track.last
        plot.open_lid(thing)
        if visit % 2 == 0:
            length_px = float(plot.rng.uniform(0.3, 0.6)) * thing.long_px
            plot.mark(at, length_px, float(plot.rng.uniform(0.15, 0.45)), (rest_s - 0.8, math.inf))
            _may_be_stained(plot, rest_s)
            plot.wait(2.0, 4.0)
        plot.wait(*PAUSE_S)


def two_at_once(plot: Plot, visits: int) -> None:
    """One hand puts two items down beside each other."""
    for _ in range(visits):
        one, other = plot.thing("round"), plot.thing("round")
        plot.bring(one, and_=other)
        plot.count(one, other, kind="multi_item")
        plot.open_lid(one, other)
        plot.wait(*PAUSE_S)


def on_top(plot: Plot, visits: int) -> None:
    """An item that no lid opened for, and later another one put on it."""
    for _ in range(visits):
        under, upper = plot.thing(), plot.thing()
        plot.bring(under)
        plot.count(under)
        plot.wait(1.5, 3.0)
        here = under.track.last
        plot.end_of(under)
        plot.bring(upper, replace(here, x=here.x + 0.15 * upper.long_px, angle_deg=here.angle_deg + 70))
        plot.count(upper, kind="multi_item", with_=under)
        plot.open_lid(under, upper)
        plot.wait(*PAUSE_S)


def half_on(plot: Plot, visits: int) -> None:
    """An item left half over the picture's edge, then pushed in by a second hand."""
    for _ in range(visits):
        thing = plot.thing()
        goal = plot.place(thing)
        left = bool(plot.rng.integers(2))
        plot.bring(thing, replace(goal, x=0.0 if left else float(plot.stage.size[0])))
        rest_s = plot.t_s
        plot.wait(3.0, 5.0)
        plot.truths.append(Truth("at_edge", rest_s, plot.t_s))
        plot.move(thing, goal)
        plot.count(thing)
        _end(plot, thing)


def not_falling(plot: Plot, visits: int) -> None:
    """The lid opens and shuts and the item still lies there; a second opening, or a hand, clears it."""
    for visit in range(visits):
        thing = plot.thing()
        plot.bring(thing)
        plot.count(thing)
        plot.open_lid(thing, falls=False)
        plot.truth("not_cleared", plot.t_s + MESSAGE_S)
        plot.wait(4.0, 6.0)
        if visit % 2:
            plot.take(thing, demanded=False)
        else:
            plot.open_lid(thing)
        plot.wait(*PAUSE_S)


def lamp_switched(plot: Plot, visits: int) -> None:
    """A second lamp goes on or off: on the empty tray, as the item comes to rest, and while it lies counted."""
    switched: list[float] = []
    for visit in range(visits):
        if visit % 3 == 0:
            switched.append(plot.t_s + 0.3)
            plot.wait(1.5)
        thing = plot.thing()
        plot.bring(thing)
        if visit % 3 == 1:
            switched.append(plot.t_s + float(plot.rng.uniform(-0.3, 0.3)))
            plot.wait(0.3)
        plot.count(thing, sooner_s=0.8)
        if visit % 3 == 2:  # noqa: PLR2004 - the third kind
            plot.wait(1.2)
            switched.append(plot.t_s)
        _end(plot, thing)
    rng = plot.rng
    lamp = Lamp(tuple(switched), float(rng.uniform(0.2, 0.8)), float(rng.uniform(0, 1)), float(rng.uniform(0, 1)))
    plot.stage.lights.lights.append(lamp)


def passing_by(plot: Plot, visits: int) -> None:
    """People walk by between the window and the bin, at any time."""
    ordinary(gap_s=0.8)(plot, visits)
    t_s = 0.5
    while t_s < plot.t_s:
        takes_s = float(plot.rng.uniform(0.7, 3.5))
        plot.stage.lights.lights.append(
            Passer(
                t_s,
                takes_s,
                float(plot.rng.uniform(0.12, 0.5)),
                float(plot.rng.uniform(0.15, 0.5)),
                float(plot.rng.uniform(0.05, 0.15)),
                to_right=bool(plot.rng.integers(2)),
            )
        )
        t_s += takes_s + float(plot.rng.uniform(0.3, 3.0))


def knocked(plot: Plot, visits: int) -> None:
    """Half of the visits, then a knock against the camera, a pause, and the others."""
    for visit in range(visits):
        if visit == visits // 2 and plot.stage.lens.knock is not None:
            plot.stage.lens.knock = replace(plot.stage.lens.knock, t_s=plot.t_s)
            plot.truth("camera_moved", plot.t_s + RELEARN_S)
            plot.wait(RELEARN_S)
        throw_in(plot)


def fogging(plot: Plot, visits: int) -> None:
    """A visit, then fog that grows, stays thick and clears, then the others."""
    throw_in(plot)
    rng = plot.rng
    fog = Fog(plot.t_s, float(rng.uniform(2, 6)), float(rng.uniform(12, 18)), float(rng.uniform(0.8, 0.92)))
    plot.stage.lens.fog = fog
    plot.wait(fog.rise_s)
    plot.truth("lens_dirty", plot.t_s + fog.hold_s)
    plot.truths.append(Truth("covered", plot.t_s, plot.t_s + fog.hold_s, demanded=False, sooner_s=fog.rise_s))
    plot.wait(fog.hold_s + fog.rise_s + 1.0)
    for _ in range(visits - 1):
        throw_in(plot)


def blinded(plot: Plot, visits: int) -> None:
    """All lamps off, or a glare that nothing can be seen in: with an empty tray, or over an item that was counted."""
    for visit in range(visits):
        thing = plot.thing()
        plot.bring(thing)
        plot.count(thing)
        if visit % 2:
            plot.wait(1.5)
            _blind(plot, dark=visit % 4 < 2)  # noqa: PLR2004 - each way once
            plot.open_lid(thing)
        else:
            plot.open_lid(thing)
            plot.wait(*PAUSE_S)
            _blind(plot, dark=visit % 4 < 2)  # noqa: PLR2004
        plot.wait(*PAUSE_S)


def _blind(plot: Plot, *, dark: bool) -> None:
    start_s = plot.t_s
    plot.wait(4.0, 6.0)
    plot.stage.lights.lights.append(Switched(start_s, plot.t_s, Steady(0.01 if dark else 30.0)))
    plot.truths.append(Truth("too_dark" if dark else "too_bright", start_s, plot.t_s))
    plot.wait(2.0)


def _may_be_stained(plot: Plot, from_s: float) -> None:
    for kind in ("tray_stained", "not_cleared"):
        plot.truths.append(Truth(kind, from_s, plot.t_s + MESSAGE_S, demanded=False))


def _end(plot: Plot, thing: Thing) -> None:
    """Counted unless it was, then a lid opens and it falls."""
    if thing.counted is None:
        plot.count(thing)
    plot.open_lid(thing)
    plot.wait(*PAUSE_S)
