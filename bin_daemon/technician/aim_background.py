"""The picture of the empty tray that the daemon holds the live one against: taken, checked, kept in the state folder."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.domain import LidsState, Sight
from bin_daemon.errors import ConfigError
from bin_daemon.placement import Detector
from bin_daemon.placement.background import odd_cells, smooth
from bin_daemon.placement.drift import TrayReference
from bin_daemon.placement.quality import sight_of
from bin_daemon.placement.region import Region
from bin_daemon.placement.states import Limits
from bin_daemon.technician.aim import replace_durably

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bin_daemon.config import PlacementSettings
    from bin_daemon.domain import Box, Frame

NAME = "tray.json"
MODE = 0o644
"""The daemon's own user reads it, whoever took it."""
RIM_FRAC = 0.12
"""Of each side; what differs there is the tray's own rim."""
MOST_FRAC = 0.4
"""A patch larger than this share of the region is the tray's own."""
STILL_GREY = 2.5
"""Mean change between two smoothed frames in a row, grey levels; noise alone is below 1."""
LEAST_SPREAD_GREY = 1.5
"""A tray evener than this is taken to be as uneven: a smear is no thing."""
THING_DEVIATIONS = 6.0
"""A patch stands out of the tray when it differs by so many robust deviations from all that surrounds it."""

_WHY = {
    Sight.TOO_DARK: ("it is too dark", "switch the tray light on"),
    Sight.TOO_BRIGHT: ("it is overexposed", "shade the tray, or lower the camera's exposure"),
    Sight.COVERED: ("it has no structure at all", "clean the lens, and take away what covers it"),
}


def take_background(frames: Sequence[Frame], settings: PlacementSettings, at: str) -> TrayReference:
    """The mean of ``frames``, which must be still and fit for use. Raises `ConfigError` that says what is wrong."""
    last = frames[-1]
    alike = [x for x in frames if (x.width, x.height) == (last.width, last.height)]
    sight = sight_of(last.grey8, settings)
    if sight in _WHY:
        seen, mend = _WHY[sight]
        raise ConfigError(f"this picture cannot be the empty tray: {seen}", hint=f"{mend}; then try again")
    region = Region(settings, (last.width, last.height))
    cut = [smooth(region.cut(x.grey8)) for x in alike]
    moved = max((float(np.abs(b - a).mean()) for a, b in pairwise(cut)), default=0.0)
    if moved > STILL_GREY or _something_comes(alike, settings):
        raise ConfigError(
            "something moves over the tray, or its light changes", hint="hands off, wait a moment, then try again"
        )
    mean = np.mean([x.grey8 for x in alike], axis=0)
    return TrayReference(np.rint(mean).astype(np.uint8), (last.width, last.height), settings.roi, at)


def thing_on(reference: TrayReference, settings: PlacementSettings) -> Box | None:
    """Where something seems to lie, padded, in full-frame pixels: a patch unlike all around it, away from the rim.

    A guess from one picture: on a patterned tray nothing stands out, and a mark may look like a thing.
    """
    region = Region(settings, reference.size)
    grey = smooth(region.cut(reference.grey8))
    rows, columns = (int(side * RIM_FRAC) for side in grey.shape)
    inner = grey[rows : grey.shape[0] - rows, columns : grey.shape[1] - columns]
    if min(inner.shape) < 3:  # noqa: PLR2004 - nothing is left to look at
        return None
    side = odd_cells(0.5, inner.shape)
    relief = inner - cv2.medianBlur(np.rint(inner).astype(np.uint8), min(side, 31)).astype(np.float32)
    middle = np.median(relief)
    spread = max(1.4826 * float(np.median(np.abs(relief - middle))), LEAST_SPREAD_GREY)
    patches = (np.abs(relief - middle) > THING_DEVIATIONS * spread).astype(np.uint8)
    patches = np.asarray(cv2.morphologyEx(patches, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(patches)
    least = 2 * Limits(settings, *grey.shape).item_cells
    boxes = [x for x in stats[1:] if least <= x[cv2.CC_STAT_AREA] <= MOST_FRAC * inner.size]
    if not boxes:
        return None
    x, y, width, height, _ = (int(v) for v in max(boxes, key=lambda x: x[cv2.CC_STAT_AREA]))
    return region.full_box((x + columns, y + rows, width, height))


def keep_background(state_dir: Path, reference: TrayReference) -> Path:
    """Write it durably; returns its file. Raises `ConfigError`."""
    file = state_dir / NAME
    if not state_dir.is_dir():
        raise ConfigError(f"{state_dir}: no such folder", hint="start the service once, or set service.state_dir")
    replace_durably(file, reference.to_bytes(), MODE)
    return file


def _something_comes(frames: Sequence[Frame], settings: PlacementSettings) -> bool:
    """By the detector's own judgement, where there are frames enough for it."""
    detector = Detector(settings, lambda: "background")
    shut = LidsState(connected=True)
    for frame in frames:
        detector.update(frame, shut)
    return detector.look.box is not None or detector.look.at_edge
