"""The table of conditions: what is hard about each, and how many clips of it the suite has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bin_daemon.sim.suite import stories
from bin_daemon.sim.suite.lens import Knock, smudges
from bin_daemon.sim.suite.light import Clouds, Field, Light, Steady, Sunrise

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from bin_daemon.sim.suite.stories import Story


@dataclass
class Draft:
    """What a condition may change of an ordinary camera in ordinary light, before the story begins."""

    rng: np.random.Generator
    size: tuple[int, int]
    lights: list[Light] = field(default_factory=list)
    sensor: dict[str, Any] = field(default_factory=dict)
    """In place of `SensorSettings`' own values."""
    dirt: Field | None = None
    knock: Knock | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of the table."""

    why: str
    story: Story
    setting: Callable[[Draft], None] | None = None
    visits: int = 4
    fps: tuple[float, ...] = (5, 8, 10, 15, 15, 15, 20, 25, 30)
    clips: int = 9


def _sunrise(draft: Draft) -> None:
    draft.lights.append(Sunrise(5.0, 200.0, float(draft.rng.uniform(0.15, 0.4)), float(draft.rng.uniform(0.1, 0.4))))


def _clouds(draft: Draft) -> None:
    rng = draft.rng
    waves = tuple(
        (
            float(rng.uniform(-0.6, 0.6)),
            float(rng.uniform(-0.5, 0.5)),
            float(rng.uniform(0.02, 0.15)),
            float(rng.uniform(0, 1)),
        )
        for _ in range(3)
    )
    draft.lights.append(Clouds(waves, float(rng.uniform(0.15, 0.45))))


def _flicker(draft: Draft) -> None:
    draft.sensor |= {"flicker": float(draft.rng.uniform(0.03, 0.12)), "mains_hz": float(draft.rng.choice((50, 60)))}
    draft.sensor["mains_hz"] += float(
        draft.rng.uniform(-0.05, 0.05)
    )  # so that bands roll at 5, 10 and 20 frames a second, too


def _hunting(draft: Draft) -> None:
    draft.sensor |= {
        "hunt": float(draft.rng.uniform(0.05, 0.15)),
        "hunt_hz": float(draft.rng.uniform(0.3, 1.5)),
        "exposure_tau_s": 0.3,
        "exposure_delay_s": 0.15,
    }


def _white_drift(draft: Draft) -> None:
    draft.sensor |= {"white_drift": float(draft.rng.uniform(0.04, 0.12))}


def _dim(draft: Draft) -> None:
    draft.lights.append(Steady(float(draft.rng.uniform(0.15, 0.3))))
    draft.sensor |= {"noise_grey": float(draft.rng.uniform(4, 8)), "tone": float(draft.rng.uniform(0.8, 1.25))}


def _coarse_jpeg(draft: Draft) -> None:
    draft.sensor |= {"jpeg_quality": int(draft.rng.integers(15, 40)), "noise_grey": 4.0}


def _lossy(draft: Draft) -> None:
    draft.sensor |= {
        "lost_share": float(draft.rng.uniform(0.05, 0.3)),
        "doubled_share": float(draft.rng.uniform(0.05, 0.3)),
    }


def _blurred(draft: Draft) -> None:
    draft.sensor |= {"shutter_s": 0.06, "noise_grey": 3.0}


def _dirty(draft: Draft) -> None:
    share, depth = float(draft.rng.uniform(0.1, 0.35)), float(draft.rng.uniform(0.3, 0.6))
    draft.dirt = smudges(draft.rng, draft.size, share=share, depth=depth)


def _knock(draft: Draft) -> None:
    far, angle = float(draft.rng.uniform(0.04, 0.12)) * min(draft.size), float(draft.rng.uniform(0, 2 * math.pi))
    turn = float(draft.rng.uniform(-4, 4))
    draft.knock = Knock(math.inf, far * math.cos(angle), far * math.sin(angle), turn)


CONDITIONS: dict[str, Condition] = {
    "plain": Condition("Nothing is hard; what fails here fails everywhere.", stories.ordinary(), visits=5),
    "fast_camera": Condition("60 frames a second.", stories.ordinary(), visits=3, fps=(60,), clips=4),
    "slow_camera": Condition("5 frames a second.", stories.ordinary(), visits=6, fps=(5,)),
    "sunrise": Condition(
        "Three hours of morning in 200 s, and a sunbeam that wanders over the tray.",
        stories.ordinary(gap_s=26.0),
        _sunrise,
        visits=6,
        fps=(5, 8, 10),
    ),
    "lamp": Condition("A second lamp is switched within a frame.", stories.lamp_switched, visits=6),
    "clouds": Condition("Cloud shadows drift over the tray.", stories.ordinary(gap_s=2.0), _clouds, visits=5),
    "passers": Condition("Shadows of people who walk by.", stories.passing_by, visits=5),
    "flicker": Condition("Mains flicker as rolling bands.", stories.ordinary(), _flicker),
    "hunting": Condition("An automatic exposure that never rests.", stories.ordinary(), _hunting),
    "white_balance": Condition("White balance that drifts.", stories.ordinary(), _white_drift),
    "dim": Condition("Little light, much noise, another tone curve.", stories.ordinary(), _dim),
    "coarse_jpeg": Condition("Blocks of a bad JPEG encoder.", stories.ordinary(), _coarse_jpeg),
    "lossy": Condition("Frames that are lost or doubled.", stories.ordinary(), _lossy),
    "motion_blur": Condition("A slow shutter.", stories.ordinary("round"), _blurred),
    "hands_only": Condition("Hands without an item.", stories.hands_only, visits=3),
    "adjusting": Condition("A hand that comes back and shifts the item.", stories.adjusting),
    "hesitating": Condition("A hand that hovers, or does not let go.", stories.hesitating),
    "taking_back": Condition("A hand that takes the item back.", stories.taking_back, visits=3),
    "small": Condition("Items of two to three centimetres.", stories.ordinary("small"), visits=5, clips=12),
    "flat": Condition("Sheets of paper.", stories.ordinary("flat"), visits=5),
    "transparent": Condition("Clear plastic and glass.", stories.ordinary("transparent"), visits=5, clips=12),
    "tray_coloured": Condition(
        "Items of the tray's own colour.", stories.ordinary("tray_coloured"), visits=5, clips=12
    ),
    "shiny": Condition("Polished metal.", stories.ordinary("shiny"), visits=5),
    "rolling": Condition("Items that roll to their place.", stories.rolling, visits=5),
    "bouncing": Condition("Items that are dropped and bounce.", stories.bouncing, visits=5),
    "wet": Condition("Items that leave a wet patch for a while.", stories.wet),
    "two_at_once": Condition("Two items side by side.", stories.two_at_once),
    "on_top": Condition("An item put on another that was counted.", stories.on_top, visits=3),
    "half_on": Condition("An item half over the edge, then pushed in.", stories.half_on, visits=3),
    "not_falling": Condition("An item that stays when the lid opens.", stories.not_falling, visits=3),
    "dirty_lens": Condition("Grease on the lens.", stories.behind_dirt, _dirty, visits=5),
    "fogged_lens": Condition("Fog that comes and goes.", stories.fogging),
    "knocked": Condition("A camera that is knocked aside.", stories.knocked, _knock),
    "stained": Condition("Splashes that stay on the tray.", stories.staining),
    "blinded": Condition("All lamps off, or a glare.", stories.blinded),
}
