"""The live empty tray against its picture from when the bin was aimed: has the camera moved, the lens or the tray changed?

The detector learns every new view within seconds, which keeps the bin sorting and forgets how it should look. This remembers.
Only outlines and texture are compared, so light, exposure and a grown-over white balance say nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.placement.background import Reference, odd_cells, smooth
from bin_daemon.placement.region import CELL, Region

if TYPE_CHECKING:
    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Image
    from bin_daemon.placement.background import Grey

SAME_CELLS = 0.75
"""A shift below this is the picture's own trembling, in grey8 pixels of 8 full-frame pixels."""
SURE_RESPONSE = 0.12
"""Peak of the phase correlation, 1 for a pure shift; below this, the two pictures have no shift in common."""
LEAST_SPREAD = 2.0
"""Grey levels; a region with less relief than this, tray, rim and all, cannot tell where it is."""
CLEAR_FRAC = 0.6
"""Share of the tray's own texture below which the lens is fogged or dirty."""
STAIN_GREY = 7.0
"""Grey levels by which an outline must stand out to be a mark: twice what an item needs, for weeks lie between the pictures."""
TREMBLE = 0.3
"""Share of the steps in the tray's own picture that an outline may have for nothing."""
STAIN_FRAC = 0.003
"""Share of the region under such outlines that makes a stained tray."""
BETTER = 0.5
"""A shift is believed when undoing it leaves less than this share of the new outlines: a mark pulls at the correlation, too."""
OTHER_FRAC = 0.06
"""With more than this it is no mark: the view is turned, or another one."""
FORMAT = 1


class Change(str, Enum):
    """What has become of the view."""

    SAME = "same"
    MOVED = "moved"
    OTHER = "other"
    """Not the same scene at all."""
    VEILED = "veiled"
    STAINED = "stained"
    UNKNOWN = "unknown"
    """The reference has too little relief to say anything."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How the live picture differs from the reference."""

    change: Change
    shift_px: tuple[float, float] = (0.0, 0.0)
    """Right and down, full-frame pixels."""
    clarity: float = 1.0
    """Share of the reference's texture that is left."""
    stain_frac: float = 0.0
    """Share of the region with outlines that the reference has not."""


@dataclass(frozen=True, slots=True, eq=False)
class TrayReference:
    """The empty tray as it was when the bin was aimed."""

    grey8: Image
    """As `bin_daemon.domain.Frame.grey8`: whole picture, coarse enough to show no face."""
    size: tuple[int, int]
    """Width and height of the full frame."""
    roi: tuple[float, float, float, float]
    at: str
    """When, ISO 8601 in UTC."""

    def to_bytes(self) -> bytes:
        """One JSON object."""
        _, png = cv2.imencode(".png", self.grey8)
        picture = base64.b64encode(png.tobytes()).decode()
        return json.dumps(
            {"format": FORMAT, "at": self.at, "roi": self.roi, "size": self.size, "grey8_png": picture}
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> TrayReference:
        """Raises ValueError for anything that `to_bytes` did not make."""
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']!r} is not known")
            png = np.frombuffer(base64.b64decode(found["grey8_png"], validate=True), np.uint8)
            grey8 = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE) if png.size else None
            width, height = (int(x) for x in found["size"])
            x, y, w, h = (float(x) for x in found["roi"])
        except (KeyError, TypeError, RecursionError, binascii.Error, cv2.error) as error:
            raise ValueError(f"no tray reference: {error!r}") from error
        if grey8 is None or grey8.shape != (-(-height // CELL), -(-width // CELL)):
            raise ValueError("no tray reference: its picture does not fit its size")
        return cls(np.asarray(grey8, np.uint8), (width, height), (x, y, w, h), str(found["at"]))

    def fits(self, settings: PlacementSettings, size: tuple[int, int]) -> bool:
        """False when the camera's size or the region was changed since: then nothing can be compared."""
        return self.size == size and bool(np.allclose(self.roi, settings.roi, atol=1e-3))


class Comparison:
    """Compares live pictures with one reference; what can be worked out beforehand is."""

    def __init__(self, reference: TrayReference, settings: PlacementSettings) -> None:
        self._region = Region(settings, reference.size)
        grey = smooth(self._region.cut(reference.grey8))
        self._reference = Reference(grey)
        self._relief = _relief(grey)
        # Where the tray itself has an edge, a tremble of a fraction of a cell leaves an outline.
        steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        self._allowed = np.asarray(STAIN_GREY + TREMBLE * steps, np.float32)
        self._window = np.asarray(
            cv2.createHanningWindow((max(2, grey.shape[1]), max(2, grey.shape[0])), cv2.CV_32F), np.float32
        )

    def drift(self, grey8: Image) -> Drift:
        """``grey8`` is a whole picture of the empty tray, of the reference's size."""
        grey = smooth(self._region.cut(grey8))
        if float(self._relief.std()) < LEAST_SPREAD or min(grey.shape) < 2 * odd_cells(0, grey.shape):
            return Drift(Change.UNKNOWN)
        clarity = self._reference.clarity(grey)
        clarity = 1.0 if clarity is None else clarity
        (dx, dy), response = cv2.phaseCorrelate(self._relief.copy(), _relief(grey), self._window)  # it may spoil both
        shift = (dx * CELL, dy * CELL)
        here = self._new_outlines(grey)
        there = self._new_outlines(_shifted_back(grey, dx, dy), dx, dy) if response >= SURE_RESPONSE else here
        is_shift = there < BETTER * here or there < STAIN_FRAC
        if response >= SURE_RESPONSE and is_shift and max(abs(dx), abs(dy)) >= SAME_CELLS:
            return Drift(Change.MOVED, shift, clarity)
        if clarity < CLEAR_FRAC:
            # A veil leaves the coarse forms where they are; another scene leaves nothing.
            return Drift(Change.VEILED if self._alike(grey) else Change.OTHER, clarity=clarity)
        stain_frac = min(here, there)
        if stain_frac > OTHER_FRAC:
            return Drift(Change.OTHER, shift, clarity, stain_frac)
        return Drift(Change.STAINED if stain_frac > STAIN_FRAC else Change.SAME, shift, clarity, stain_frac)

    def _new_outlines(self, grey: Grey, dx: float = 0.0, dy: float = 0.0) -> float:
        """Share of the region with outlines that the reference has not; what a shift brought in from outside left out."""
        found = self._reference.outlines(grey) > self._allowed
        rows, columns = grey.shape
        right, down = math.ceil(abs(dx)), math.ceil(abs(dy))
        top, left = (down if dy < 0 else 0), (right if dx < 0 else 0)
        return float(
            np.mean(found[top : max(top + 1, rows - down + top), left : max(left + 1, columns - right + left)])
        )

    def _alike(self, grey: Grey) -> bool:
        """The same forms, however faint: normalised correlation of the two reliefs."""
        live = _relief(grey)
        norm = float(np.linalg.norm(live)) * float(np.linalg.norm(self._relief))
        return norm > 0 and float(np.vdot(live, self._relief)) / norm > 0.5  # noqa: PLR2004 - half is far from chance


def _shifted_back(grey: Grey, dx: float, dy: float) -> Grey:
    """So that a tremble of less than a cell does not draw outlines."""
    matrix = np.array([[1, 0, -dx], [0, 1, -dy]], np.float32)
    size = (grey.shape[1], grey.shape[0])
    return np.asarray(cv2.warpAffine(grey, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _relief(grey: Grey) -> Grey:
    """Without soft light: the difference to the surroundings, as a share of them, in grey levels of a middling picture."""
    side = odd_cells(0.35, grey.shape)
    around = cv2.blur(grey, (side, side))
    return np.asarray((grey - around) / (around + 8.0) * 128.0, np.float32)
