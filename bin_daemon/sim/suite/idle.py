"""Hours in which nobody comes: an empty tray through a day's light, for counting placements of nothing.

Watched as the daemon watches an idle tray: few frames a second. Each hour is another bin: another tray, camera, lamp and weather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.sim.suite.ground import VARIANTS, kinds
from bin_daemon.sim.suite.lens import Lens, smudges
from bin_daemon.sim.suite.light import Clouds, Lamp, Lights, Passer, Passers, Sunrise
from bin_daemon.sim.suite.sensor import SensorSettings
from bin_daemon.sim.suite.stage import Stage, play
from bin_daemon.sim.suite.truth import Clip, Truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bin_daemon.domain import Frame
    from bin_daemon.sim.suite.light import Light

IDLE_FPS = 5.0
SIZE = (640, 480)
HOUR_S = 3600.0
LAMPS_AN_HOUR = 6
PASSERS_AN_HOUR = 120


def idle_hour(
    hour: int, *, seed: int = 0, data: Path | None = None, length_s: float = HOUR_S, fps: float = IDLE_FPS
) -> Clip:
    """One hour of an empty tray: clouds, a lamp now and then, people who walk by; sunrise in hours 5 to 8 of each day.

    The truth demands nothing: a placement in it is false. Too dark or too bright may be said.
    """
    rng = np.random.default_rng((seed, hour, 24))
    grounds = kinds(data / "scenes" if data else None)
    dirt = smudges(rng, SIZE, share=0.15, depth=0.3) if rng.random() < 0.2 else None  # noqa: PLR2004 - one lens in five
    sensor = SensorSettings(
        noise_grey=float(rng.uniform(1.5, 5.0)),
        tone=float(rng.uniform(0.85, 1.2)),
        hunt=float(rng.choice((0, 0, 0, 0.06))),
        hunt_hz=float(rng.uniform(0.3, 1.2)),
        white_drift=float(rng.uniform(0, 0.08)),
        flicker=float(rng.choice((0, 0, 0, 0.04))),
        mains_hz=50.0 + float(rng.uniform(-0.05, 0.05)),
        jpeg_quality=int(rng.integers(40, 95)),
        lost_share=0.01,
        doubled_share=0.01,
    )
    lights = _weather(rng, hour % 24, length_s)
    stage = Stage(
        SIZE,
        (grounds[int(rng.integers(len(grounds)))], int(rng.integers(VARIANTS))),
        Lights(lights, SIZE),
        Lens(SIZE, dirt=dirt),
        sensor,
    )
    allowed = tuple(Truth(kind, 0.0, length_s, demanded=False) for kind in ("too_dark", "too_bright", "lens_dirty"))

    def frames() -> Iterator[Frame]:
        return play(stage, fps, length_s, seed + hour)

    return Clip(f"idle-{hour:04d}", "idle", seed, fps, SIZE, length_s, allowed, (), frames)


def _weather(rng: np.random.Generator, hour: int, length_s: float) -> list[Light]:
    lights: list[Light] = []
    if 5 <= hour <= 8:  # noqa: PLR2004 - morning
        lights.append(Sunrise(0.0, length_s, float(rng.uniform(0.15, 0.4)), float(rng.uniform(0.1, 0.4))))
    if 6 <= hour <= 18:  # noqa: PLR2004 - daylight
        waves = tuple(
            tuple(float(v) for v in (*rng.uniform(-1, 1, 2), rng.uniform(0.005, 0.15), rng.random())) for _ in range(3)
        )
        lights.append(Clouds(tuple((w[0], w[1], w[2], w[3]) for w in waves), float(rng.uniform(0.05, 0.35))))
    for _ in range(2):
        times = np.sort(rng.uniform(5, length_s, rng.poisson(LAMPS_AN_HOUR / 2 * length_s / HOUR_S)))
        x, y = (float(v) for v in rng.uniform(0, 1, 2))
        lights.append(Lamp(tuple(float(t) for t in times), float(rng.uniform(0.1, 0.7)), x, y))
    lights.append(Passers(_people(rng, length_s)))
    return lights


def _people(rng: np.random.Generator, length_s: float) -> tuple[Passer, ...]:
    number = int(rng.poisson(PASSERS_AN_HOUR * length_s / HOUR_S))
    starts = np.sort(rng.uniform(5, max(6.0, length_s - 5), number))
    return tuple(
        Passer(
            float(start_s),
            float(rng.uniform(0.7, 6.0)),
            float(rng.uniform(0.08, 0.5)),
            float(rng.uniform(0.15, 0.5)),
            float(rng.uniform(0.05, 0.15)),
            to_right=bool(rng.integers(2)),
        )
        for start_s in starts
    )
