"""One placement per item: watches the small grey pictures and says when something new has come to rest on the tray.

The tray must be empty when watching starts: the first still picture is learnt as the empty tray. An item that lies there at the
start is learnt as tray and never placed; when it is taken away, the bare tray is recognised as such and learnt, without a
placement.

Rest is measured against an anchor, the picture at the beginning of the rest, and not against the previous frame: so a slow hand
adds up, and 5 and 60 frames per second judge alike. Time comes from the frames only.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Frame, LidPosition, LidsState, Placement, Sight, TrayKind, TrayOutcome
from bin_daemon.placement.background import EmptyTray, difference, sharp, smooth
from bin_daemon.placement.item import Look, is_ghost, look_at
from bin_daemon.placement.quality import sight_of
from bin_daemon.placement.states import Seen, State, process

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Box, Image
    from bin_daemon.placement.background import Grey

CELL = 8
"""Side of a grey8 pixel in full-frame pixels."""

GAP_S = 2.0
"""After a longer pause between two frames nothing of the past rest counts: the camera was away."""

LEFT_MS = 1000.0
"""A counted item that rests this long after the lids shut did not fall."""

LEFT_UNOPENED_MS = 10_000.0
"""A counted item for which no lid moved (unsure, refused) is reported as left after this long."""

PADDING_FRAC = 0.05
"""The box grows by this share and half a cell on each side, so that shaded edges and thin parts of the item are in it."""

_MOVING_LIDS = frozenset({LidPosition.OPENING, LidPosition.OPEN, LidPosition.CLOSING})
_OWED = frozenset({State.WAIT_CLEAR, State.NOT_CLEARED, State.DISTURBED, State.BLIND_OWED})
_NOTHING = Look()


class Detector:
    """Frames in, placements out; pure. Implements `bin_daemon.pipeline.DetectorPort`."""

    def __init__(self, settings: PlacementSettings, new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._new_id = new_id
        self._tray = EmptyTray(settings.background_s)
        self._state = State.LEARNING
        self._sight = Sight.UNKNOWN
        self._look = _NOTHING
        self._views: deque[Frame] = deque(maxlen=settings.views)
        self._size = (0, 0)
        self._last_t_s = 0.0
        self._anchor: Grey | None = None
        self._still_t_s = 0.0
        self._clear_t_s: float | None = None
        self._large_t_s: float | None = None
        self._lids_moved = False
        self._lids_rest_t_s = 0.0
        self._emptied = False
        self._left: Grey | None = None
        self._candidate: Placement | None = None
        self._outcomes: list[TrayOutcome] = []

    @property
    def sight(self) -> Sight:
        """Whether the last frame could be trusted; UNKNOWN before the first."""
        return self._sight

    @property
    def state(self) -> State:
        """What the detector believes of the tray."""
        return self._state

    @property
    def conditions(self) -> frozenset[str]:
        """What a person may have to mend: ``not_cleared``, ``at_edge`` (lies over the region's edge), ``view_changed``."""
        found = set()
        if self._state in {State.NOT_CLEARED, State.DISTURBED}:
            found.add("not_cleared")
        if self._look.at_edge:
            found.add("at_edge")
        if self._look.large:
            found.add("view_changed")
        return frozenset(found)

    @property
    def candidate(self) -> Placement | None:
        """What would be placed if it goes on lying still: from the first still frame of an item until it is placed or moves."""
        return self._candidate

    def take(self) -> tuple[TrayOutcome, ...]:
        """What the tray showed since the last call, oldest first."""
        taken, self._outcomes = tuple(self._outcomes), []
        return taken

    def update(self, frame: Frame, lids: LidsState) -> Placement | None:
        """Look at one frame; a placement when an item has just settled, else None. Frames come in the order of their time."""
        self._sight = sight_of(frame.grey8, self._settings)
        if self._size != (frame.width, frame.height):
            self._size = (frame.width, frame.height)
            self._tray.forget()
            self._anchor = None
            self._state = State.LEARNING
        seen, grey = self._see(frame, lids)
        self._last_t_s = frame.t_s
        before, self._state = self._state, process(self._state, seen)
        placement = self._act(seen, frame, grey)
        self._candidate = self._offer(seen, frame) if placement is None else None
        self._tell(before, placement, frame)
        return placement

    def _offer(self, seen: Seen, frame: Frame) -> Placement | None:
        if seen is not Seen.ITEM or self._state is not State.SETTLING or self._look.box is None:
            return None
        if self._candidate is not None:
            return self._candidate
        return Placement(self._new_id(), frame.t_s, (frame,), self._full_box(self._look.box), self._still_ms(frame.t_s))

    def _tell(self, before: State, placement: Placement | None, frame: Frame) -> None:
        if placement:
            kind = TrayKind.PLACEMENT if placement.items == 1 else TrayKind.MULTI_ITEM
            self._outcomes.append(TrayOutcome(kind, frame.t_s, frame.seq, placement.box))
        elif self._state is State.NOT_CLEARED and before is State.WAIT_CLEAR:
            self._outcomes.append(
                TrayOutcome(TrayKind.NOT_CLEARED, frame.t_s, frame.seq, self._full_box(self._look.box or (0, 0, 0, 0)))
            )

    def _see(self, frame: Frame, lids: LidsState) -> tuple[Seen, Grey]:
        grey = smooth(self._region(frame.grey8))
        rest = self._watch_lids(lids, frame.t_s)
        if self._sight is not Sight.OK:
            self._anchor = None
            self._clear_t_s = self._large_t_s = None
            self._look = _NOTHING
            return Seen.UNUSABLE, grey
        moved = self._moved(frame, grey)
        if self._tray.grey is None:
            return self._see_unlearnt(frame, moved=moved), grey
        if not moved:
            self._look = look_at(self._tray.difference(grey), self._settings)
        return self._see_learnt(frame, grey, moved=moved, rest=rest), grey

    def _see_unlearnt(self, frame: Frame, *, moved: bool) -> Seen:
        if moved:
            return Seen.MOTION
        return Seen.LEARNT if self._still_ms(frame.t_s) >= self._settings.settle_ms else Seen.CLEAR

    def _see_learnt(self, frame: Frame, grey: Grey, *, moved: bool, rest: bool) -> Seen:
        look, t_s = self._look, frame.t_s
        self._large_t_s = self._since(self._large_t_s, t_s, holds=look.large and not moved)
        clear = not moved and look.box is None and not look.at_edge and not look.large
        self._clear_t_s = self._since(self._clear_t_s, t_s, holds=clear)
        if self._large_t_s is not None and t_s - self._large_t_s >= self._settings.background_s:
            return (
                Seen.VIEW_CHANGED
                if self._state not in {State.EMPTY, State.SETTLING, State.NOT_CLEARED}
                else Seen.MOTION
            )
        if moved or look.at_edge or look.large:
            return Seen.MOTION
        if self._clear_t_s is not None:
            long = (t_s - self._clear_t_s) * 1000 >= self._settings.clear_ms
            self._emptied |= long
            return Seen.CLEARED if long and rest else Seen.CLEAR
        return self._see_item(t_s, grey, rest=rest)

    def _see_item(self, t_s: float, grey: Grey, *, rest: bool) -> Seen:
        """What an item at rest means in the present state."""
        still_ms = self._still_ms(t_s)
        if not rest or still_ms < self._settings.settle_ms:
            return Seen.ITEM
        if self._state is State.SETTLING:
            return Seen.GHOST if self._is_ghost(grey) else Seen.SETTLED
        if self._state is State.DISTURBED:
            return Seen.SETTLED if self._emptied or self._changed(grey) else Seen.LEFT
        if self._state is State.WAIT_CLEAR:
            if self._emptied:
                return Seen.SETTLED
            wait_ms = LEFT_MS if self._lids_moved else LEFT_UNOPENED_MS
            if min(still_ms, (t_s - self._lids_rest_t_s) * 1000) >= wait_ms:
                return Seen.LEFT
        return Seen.ITEM

    def _act(self, seen: Seen, frame: Frame, grey: Grey) -> Placement | None:
        if seen is Seen.LEARNT:
            self._tray.learn(grey, frame.t_s)
        elif seen is Seen.VIEW_CHANGED:
            self._tray.forget()
            self._look = _NOTHING
        elif seen is Seen.GHOST and self._look.mask is not None:
            self._tray.accept(grey, self._look.mask)
        elif seen is Seen.LEFT:
            self._left = grey
        elif self._state is State.EMPTY:
            self._tray.follow(grey, frame.t_s)
        return self._place(frame) if seen is Seen.SETTLED else None

    def _place(self, frame: Frame) -> Placement:
        self._emptied = self._lids_moved = False
        box = self._look.box or (0, 0, 0, 0)
        return Placement(self._new_id(), frame.t_s, tuple(self._views), self._full_box(box), self._still_ms(frame.t_s))

    def _moved(self, frame: Frame, grey: Grey) -> bool:
        """Compare with the picture at the beginning of the rest; begin anew when it has changed."""
        gap = frame.t_s - self._last_t_s > GAP_S
        if self._anchor is None or gap or self._differs(self._anchor, grey):
            self._anchor = grey
            self._still_t_s = frame.t_s
            self._views.clear()
            self._views.append(frame)
            return True
        self._views.append(frame)
        return False

    def _differs(self, before: Grey, grey: Grey) -> bool:
        # Outlines move with things; a soft shadow changes much, but no outline. Half of a thing's contrast shows there.
        change = sharp(difference(before, grey)) > self._settings.motion_grey / 2
        return int(np.count_nonzero(change)) > self._settings.motion_area_frac * grey.size

    def _changed(self, grey: Grey) -> bool:
        return self._left is None or self._differs(self._left, grey)

    def _is_ghost(self, grey: Grey) -> bool:
        mask, tray = self._look.mask, self._tray.grey
        return mask is not None and tray is not None and is_ghost(mask, grey, tray, self._settings.item_grey / 2)

    def _watch_lids(self, lids: LidsState, t_s: float) -> bool:
        """True while no lid is known to move. An absent controller or a faulty lid is the policy's business: sight goes on."""
        rest = not (lids.connected and any(x.position in _MOVING_LIDS for x in lids.lids.values()))
        if not rest:
            self._lids_moved = True
            self._lids_rest_t_s = t_s
        return rest

    def _still_ms(self, t_s: float) -> float:
        return (t_s - self._still_t_s) * 1000

    @staticmethod
    def _since(since_s: float | None, t_s: float, *, holds: bool) -> float | None:
        """Beginning of the run of frames for which something holds, None when it does not."""
        if not holds:
            return None
        return t_s if since_s is None else since_s

    def _region(self, grey8: Image) -> Image:
        x, y, width, height = self._roi_cells(grey8.shape)
        return grey8[y : y + height, x : x + width]

    def _roi_cells(self, shape: tuple[int, ...]) -> Box:
        rows, columns = shape
        x, y, width, height = self._settings.roi
        left, top = min(int(x * columns), columns - 1), min(int(y * rows), rows - 1)
        right, bottom = round((x + width) * columns), round((y + height) * rows)
        return left, top, max(1, min(right, columns) - left), max(1, min(bottom, rows) - top)

    def _full_box(self, box: Box) -> Box:
        """Cells of the region to padded full-frame pixels, within the frame."""
        full_width, full_height = self._size
        left, top, _, _ = self._roi_cells((-(-full_height // CELL), -(-full_width // CELL)))
        x, y, width, height = ((left + box[0]) * CELL, (top + box[1]) * CELL, box[2] * CELL, box[3] * CELL)
        pad_x, pad_y = round(width * PADDING_FRAC) + CELL // 2, round(height * PADDING_FRAC) + CELL // 2
        x0, y0 = max(0, x - pad_x), max(0, y - pad_y)
        return x0, y0, min(full_width, x + width + pad_x) - x0, min(full_height, y + height + pad_y) - y0
