"""What the detector thinks, drawn over the picture: region, mask, box, state, and how near it is to each limit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.domain import PLACED, Sight
from bin_daemon.placement.region import CELL, Region

if TYPE_CHECKING:
    from bin_daemon.config import PlacementSettings
    from bin_daemon.domain import Box, Image, TrayOutcome
    from bin_daemon.technician.replay import Thought

Colour = tuple[int, int, int]
"""B, G, R."""

WHITE, REGION = (255, 255, 255), (200, 160, 60)
MASK, EDGE, CANDIDATE, TOLD = (60, 200, 60), (0, 140, 255), (60, 220, 255), (80, 255, 80)
ALARM = (60, 60, 255)
SHOW_S = 1.5
"""An outcome stays on the picture for so long, or nobody could read it."""
LINES = 3
FONT = cv2.FONT_HERSHEY_SIMPLEX


class Drawing:
    """Draws one clip's thoughts; remembers the outcomes of the last moments."""

    def __init__(self, settings: PlacementSettings, size: tuple[int, int]) -> None:
        """``size``: width and height of every picture that comes out; frames of other sizes are fitted into it."""
        self._settings, self.size = settings, size
        self._region = Region(settings, size)
        self._recent: deque[TrayOutcome] = deque(maxlen=LINES)

    def draw(self, thought: Thought) -> Image:
        """A new uint8 H x W x 3 BGR picture of ``size``."""
        self._recent.extend(thought.outcomes)
        frame = thought.frame
        own = (frame.width, frame.height)
        if self._region.size != own:
            self._region = Region(self._settings, own)
        picture = frame.bgr().copy()
        self._draw_look(picture, thought)
        for outcome in self._recent:
            if outcome.box and frame.t_s - outcome.t_s < SHOW_S:
                _rectangle(picture, outcome.box, _colour(outcome), 3)
        picture = _fitted(picture, self.size)
        self._write(picture, thought)
        return picture

    def _draw_look(self, picture: Image, thought: Thought) -> None:
        look = thought.detector.look
        height, width = picture.shape[:2]
        cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.uint8)
        inside = self._region.cut(cells)
        inside[...] = 1
        x, y, wide, high = (int(side) * CELL for side in cv2.boundingRect(cells))
        _rectangle(picture, (x, y, min(wide, width - x), min(high, height - y)), REGION, 1)
        if look.mask is not None and look.mask.shape == inside.shape:
            inside[...] = look.mask
            full = cv2.resize(cells, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_NEAREST)[:height, :width] > 0
            picture[full] = (picture[full] * 0.6 + np.array(MASK) * 0.4).astype(np.uint8)
        if look.box:
            _rectangle(picture, self._region.item_box(look.box), CANDIDATE, 2)
        if look.edge_box:
            _rectangle(picture, self._region.item_box(look.edge_box), EDGE, 2)

    def _write(self, picture: Image, thought: Thought) -> None:
        scale = max(0.35, min(self.size) / 720 * 0.7)
        step = round(34 * scale)
        for number, text in enumerate(status_lines(thought, self._settings)):
            _text(picture, text, (6, step * (number + 1)), scale, WHITE)
        row = self.size[1] - 8
        for outcome in reversed(self._recent):
            if thought.frame.t_s - outcome.t_s < SHOW_S:
                text = f"{outcome.kind.value.upper()} at {outcome.t_s:.2f} s, frame {outcome.frame_seq}"
                _text(picture, text, (6, row), 1.2 * scale, _colour(outcome))
                row -= round(1.3 * step)


def status_lines(thought: Thought, settings: PlacementSettings) -> tuple[str, ...]:
    """State, and the numbers that decide with the limits they are held against."""
    frame, detector = thought.frame, thought.detector
    look, limits = detector.look, detector.limits
    sight = "" if detector.sight is Sight.OK else f"  {detector.sight.value.upper()}"
    first = f"{frame.t_s:.2f} s  frame {frame.seq}  {detector.state.value.upper()}{sight}"
    second = f"mean {frame.grey8.mean():.0f} ({settings.dark_grey:g}..{settings.bright_grey:g})  noise {limits.noise_grey:.1f}"
    second += f"  limits: motion {limits.motion_grey:.1f}, item {limits.strong_grey:.1f}"
    cells = 0 if look.mask is None else int(look.mask.sum())
    third = f"item {cells} cells (least {limits.item_cells:.0f})"
    if look.items > 1:
        third += f", {look.items} things"
    if thought.still_ms is not None:
        third += f", still {thought.still_ms:.0f} of {settings.settle_ms:g} ms"
    if look.at_edge:
        third += f", over the edge: {look.edge_cells} cells"
    if look.large:
        third += ", nearly everything differs"
    return first, second, third


def _colour(outcome: TrayOutcome) -> Colour:
    return TOLD if outcome.kind in PLACED else ALARM


def _rectangle(picture: Image, box: Box, colour: Colour, thickness: int) -> None:
    x, y, width, height = box
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), colour, thickness)


def _text(picture: Image, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
    """On a darkened bar: readable on any tray."""
    (width, height), below = cv2.getTextSize(text, FONT, scale, 1)
    x, y = at
    bar = picture[max(0, y - height - 2) : y + below, max(0, x - 3) : x + width + 3]
    bar[...] = (bar * 0.35).astype(np.uint8)
    cv2.putText(picture, text, at, FONT, scale, colour, 1, cv2.LINE_AA)


def _fitted(picture: Image, size: tuple[int, int]) -> Image:
    """Scaled to fit, the rest black: a video has one size."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    scale = min(size[0] / width, size[1] / height)
    small = (max(1, int(width * scale)), max(1, int(height * scale)))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: small[1], : small[0]] = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return canvas
