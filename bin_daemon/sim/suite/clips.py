"""The clips of the suite: which there are, and how each is built from its condition and seed."""

from __future__ import annotations

import functools
import itertools
import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from bin_daemon.sim.photos import load_photos
from bin_daemon.sim.suite.conditions import CONDITIONS, Condition, Draft
from bin_daemon.sim.suite.ground import VARIANTS, kinds
from bin_daemon.sim.suite.lens import Lens
from bin_daemon.sim.suite.light import Lights
from bin_daemon.sim.suite.plot import Plot
from bin_daemon.sim.suite.sensor import SensorSettings
from bin_daemon.sim.suite.stage import Stage, play
from bin_daemon.sim.suite.things import sort_photos
from bin_daemon.sim.suite.truth import Clip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bin_daemon.domain import Frame
    from bin_daemon.sim.suite.things import Photos

Slice = Literal["everyday", "all"]

SIZES = ((640, 480), (640, 480), (848, 480), (960, 544), (1280, 720), (1280, 720), (1280, 720), (1920, 1080))
EVERYDAY_FPS = 15.0
"""The everyday slice has one clip a condition, at most this fast: every condition, in less than a minute."""
EVERYDAY_VISITS = 3


def clips(
    slice_: Slice = "everyday", *, data: Path | None = None, seed: int = 0, only: Sequence[str] = ()
) -> Iterator[Clip]:
    """The clips of a slice, condition by condition. The same arguments and photographs give the same pictures.

    ``data`` is a folder with photographs of waste (waste_images) and of empty plates (scenes); without it the fetched stamps
    are used, else drawn items. ``seed`` gives another suite of the same kind; ``only`` names conditions. Raises KeyError for an
    unknown condition.
    """
    for name in only or CONDITIONS:
        condition = CONDITIONS[name]
        for number in range(condition.clips if slice_ == "all" else 1):
            yield clip(name, seed * 1000 + number, data=data, everyday=slice_ == "everyday")


def clip(condition: str, seed: int = 0, *, data: Path | None = None, everyday: bool = False) -> Clip:
    """One clip. Only its story is told here; pictures are made when its frames are asked for."""
    row = CONDITIONS[condition]
    # Separate streams, from the name: another story, or another row of the table, changes no other clip.
    camera, look, story = np.random.default_rng((seed, zlib.crc32(condition.encode()))).spawn(3)
    fps, size = _camera(row, camera, everyday=everyday)
    draft = Draft(camera, size)
    draft.sensor["noise_grey"] = float(camera.uniform(1.5, 3.5))
    draft.sensor["jpeg_quality"] = int(camera.integers(70, 95))
    draft.sensor["shutter_s"] = min(0.02, 0.4 / fps)
    if row.setting is not None:
        row.setting(draft)
    grounds = kinds(data / "scenes" if data else None)
    stage = Stage(
        size,
        (grounds[int(look.integers(len(grounds)))], int(look.integers(VARIANTS))),
        Lights(draft.lights, size),
        Lens(size, dirt=draft.dirt, knock=draft.knock),
        SensorSettings(**draft.sensor),
    )
    plot = Plot(stage, photos(data), story)
    row.story(plot, min(row.visits, EVERYDAY_VISITS) if everyday else row.visits)
    plot.wait(1.0)
    truth = plot.end()

    def frames() -> Iterator[Frame]:
        return play(stage, fps, plot.t_s, seed)

    return Clip(f"{condition}-{seed:04d}", condition, seed, fps, size, plot.t_s, truth, tuple(stage.lids), frames)


def _camera(row: Condition, rng: np.random.Generator, *, everyday: bool) -> tuple[float, tuple[int, int]]:
    fps = float(rng.choice(row.fps))
    size = SIZES[int(rng.integers(len(SIZES)))]
    if everyday:
        return (fps if len(row.fps) == 1 else min(fps, EVERYDAY_FPS)), min(size, (1280, 720))
    return fps, size


@functools.lru_cache(maxsize=2)
def photos(data: Path | None) -> Photos:
    """Everything that may be thrown in: photographs of waste where there are some, stamps or drawn items."""
    waste = () if data is None or not (data / "waste_images").is_dir() else load_photos(data / "waste_images").items
    return sort_photos(itertools.chain(waste, load_photos("auto").items))
