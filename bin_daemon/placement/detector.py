"""One placement per item: watches the small grey pictures and says when something new has come to rest on the tray.

The tray must be empty when watching starts: the first still picture is learnt as the empty tray. An item that lies there at the
start is learnt as tray and never placed; when it is taken away, the bare tray is recognised as such and learnt, without a
placement. Time comes from the frames only.

No lid needs to report: an item that vanishes without a hand has fallen, whoever opened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Box, Frame, LidPosition, LidsState, Placement, Sight, TrayKind, TrayOutcome
from bin_daemon.placement.background import EmptyTray, smooth
from bin_daemon.placement.counted import Change, Counted, change, is_ghost
from bin_daemon.placement.item import NOTHING, look_at
from bin_daemon.placement.quality import sight_of
from bin_daemon.placement.reach import Reach
from bin_daemon.placement.region import Region
from bin_daemon.placement.rest import Rest
from bin_daemon.placement.states import PLACES, Limits, Seen, State, process
from bin_daemon.placement.told import Told
from bin_daemon.placement.view import is_moved
from bin_daemon.placement.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Box
    from bin_daemon.placement.background import Grey, Mask
    from bin_daemon.placement.item import Look

LONG_RESTED = 2.0
"""What has rested for so many times the longer of ``settle_ms`` and ``clear_ms`` is looked at as seldom as a clear tray."""

FIRST_SHARE = 0.4
"""An item that rested alone for this share of the settle time is known when another is laid on it."""

SPAN_FRAC = 0.5
"""What spans more of a side than this may be the tray's own outlines at another place."""

VEILING = 0.85
"""Clarity of a lens that begins to fog; an item leaves the tray's better fields as they were."""

PLAIN = 2.0
"""A tray with less than so many times ``flat_std`` of structure has none to lose."""

MARK = 1.15
"""What an item leaves is at the most so many times as large."""

SAME_OUTLINE = 0.6
"""Intersection over union from which two looks show one thing that has not moved: noise takes less than a tenth."""

_MOVING_LIDS = frozenset({LidPosition.OPENING, LidPosition.OPEN, LidPosition.CLOSING})
_OPEN_ENDED = frozenset({State.EMPTY, State.SETTLING, State.NOT_CLEARED})
"""From here a changed view is motion first."""
_ADDED = {Change.ADDED: Seen.ADDED, Change.REPLACED: Seen.REPLACED}


class Detector:
    """Frames in, placements out; pure. Implements `bin_daemon.pipeline.DetectorPort`."""

    def __init__(self, settings: PlacementSettings, new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._new_id = new_id
        self._tray = EmptyTray(settings.background_s)
        self._told = Told(settings)
        self._state = State.LEARNING
        self._sight = Sight.UNKNOWN
        self._look = NOTHING
        self._looked_t_s = float("-inf")
        self._region = Region(settings, (1, 1))
        self._rest = Rest(Limits(settings, 1, 1), settings.views)
        self._last_t_s = 0.0
        self._clear_t_s: float | None = None
        self._large_t_s: float | None = None
        self._shown_t_s: float | None = None
        self._shown: Mask | None = None
        self._candidate: Placement | None = None
        self._counted: Counted | None = None
        self._compared: tuple[Counted, Look, Change] | None = None
        self._first: Counted | None = None
        self._left: Counted | None = None
        self._visit = Visit()
        self._has_reports = False
        self._reach = Reach(settings)
        self._clarity: float | None = None
        self._is_stale = False
        self._is_knocked: bool | None = None
        self._touched = False
        self._lids_moved = False
        self._lids_rest_t_s = float("-inf")
        self._emptied = self._bared = False

    @property
    def sight(self) -> Sight:
        """Whether the last frame could be trusted; UNKNOWN before the first."""
        return self._sight

    @property
    def state(self) -> State:
        """What the detector believes of the tray."""
        return self._state

    @property
    def look(self) -> Look:
        """What differed from the empty tray when it was last compared, in cells of the region; for people who tune."""
        return self._look

    @property
    def limits(self) -> Limits:
        """The limits in force, with the camera's noise as measured."""
        return self._rest.limits

    @property
    def conditions(self) -> frozenset[str]:
        """What a person may have to mend, words of `TrayKind`: not_cleared, hand_present, at_edge, lens_dirty, camera_moved."""
        found = self._told.conditions(self._last_t_s)
        if self._state in {State.NOT_CLEARED, State.DISTURBED}:
            found.add(TrayKind.NOT_CLEARED.value)
        return frozenset(found)

    @property
    def candidate(self) -> Placement | None:
        """What will be placed if it goes on lying still: from an item's first still frame until it is placed or moves."""
        return self._candidate

    def take(self) -> tuple[TrayOutcome, ...]:
        """What the tray showed since the last call, oldest first."""
        return self._told.take()

    def update(self, frame: Frame, lids: LidsState) -> Placement | None:
        """Look at one frame; a placement when an item has just settled, else None. Frames come in the order of their time."""
        self._sight = self._sight_of(frame)
        self._told.watch_sight(self._sight, frame)
        if self._region.size != (frame.width, frame.height):
            self._begin((frame.width, frame.height))
        grey = smooth(self._region.cut(frame.grey8))
        seen = self._see(frame, grey, rest=self._watch_lids(lids, frame.t_s))
        self._last_t_s = frame.t_s
        before, self._state = self._state, process(self._state, seen)
        placement = self._act(seen, frame, grey)
        self._candidate = None if placement else self._offer(seen, frame, grey)
        self._tell(before, seen, frame)
        return placement

    def _sight_of(self, frame: Frame) -> Sight:
        """A tray may be as plain as a covered lens: only what had structure can have lost it."""
        sight = sight_of(frame.grey8, self._settings)
        if sight is not Sight.COVERED:
            return sight
        is_plain = not self._tray.is_known or self._tray.spread_grey < PLAIN * self._settings.flat_std
        return Sight.OK if is_plain else sight

    def _begin(self, size: tuple[int, int]) -> None:
        """Nothing is known of pictures of this size."""
        self._region = Region(self._settings, size)
        self._rest = Rest(Limits(self._settings, self._region.rows, self._region.columns), self._settings.views)
        self._tray.forget()
        self._state = State.LEARNING

    def _see(self, frame: Frame, grey: Grey, *, rest: bool) -> Seen:
        if self._sight is not Sight.OK:
            self._rest.forget()
            self._clear_t_s = self._large_t_s = None
            self._look = NOTHING
            self._clarity = self._tray.clarity(grey) if self._sight is Sight.COVERED else None
            return Seen.UNUSABLE
        if frame.t_s - self._last_t_s > self._settings.gap_s:
            self._rest.forget()
        moved = self._rest.moved(frame, grey)
        self._touched |= moved
        if not self._tray.is_known:
            if moved:
                return Seen.MOTION
            return Seen.LEARNT if self._rest.is_settled(frame.t_s) else Seen.CLEAR
        if moved or self._is_settling(frame.t_s) or frame.t_s - self._looked_t_s >= self._settings.look_again_s:
            self._look = look_at(self._tray.reference, grey, self._rest.limits)
            self._looked_t_s = frame.t_s
            if self._look.at_edge:
                self._reach.see(self._look, frame.t_s, self._rest.still_ms(frame.t_s))
            else:
                self._reach = Reach(self._settings)
            item = None if self._counted is None else self._counted.mask
            is_shadow = self._reach.is_unmoved or (self._reach.was_across and self._counted is None)
            if not is_shadow:
                self._visit.see(self._look, grey, self._tray.reference.grey, item, frame.t_s)
            if not moved:
                self._clarity = self._tray.clarity(grey)
                self._is_stale = self._look is not NOTHING and self._shows_clean_tray(grey)
            else:
                self._is_stale = False
        self._watch_view(frame.t_s, grey, moved=moved)
        return self._see_learnt(frame, grey, moved=moved, rest=rest)

    def _is_settling(self, t_s: float) -> bool:
        """Something may be decided in this frame: it has not rested for long, and the tray was not clear."""
        settings = self._settings
        decided_ms = LONG_RESTED * max(settings.settle_ms, settings.clear_ms)
        is_new = self._rest.still_ms(t_s) < decided_ms or not self._rest.is_settled(t_s)
        return self._state is not State.EMPTY and is_new

    def _watch_view(self, t_s: float, grey: Grey, *, moved: bool) -> None:
        """Once in a rest: whether what differs is the old view from another place."""
        if moved:
            self._is_knocked = None
        elif self._is_knocked is None and self._rest.is_settled(t_s) and self._may_be_view():
            self._is_knocked = is_moved(self._tray.reference, grey, self._rest.limits)

    def _may_be_view(self) -> bool:
        """An item does not span the tray, nor reach over its edge."""
        return self._look.large or self._look.at_edge or self._spans_tray

    def _see_learnt(self, frame: Frame, grey: Grey, *, moved: bool, rest: bool) -> Seen:
        look, t_s = self._look, frame.t_s
        self._large_t_s = _since(self._large_t_s, t_s, holds=not moved and (self._is_another_view or look.at_edge))
        clear = not moved and look.box is None and not look.at_edge and not self._is_another_view
        self._clear_t_s = _since(self._clear_t_s, t_s, holds=clear)
        self._watch_item(t_s, holds=not (moved or clear or look.at_edge or self._is_another_view))
        if self._large_t_s is not None and t_s - self._large_t_s >= self._view_wait_s:
            return Seen.MOTION if self._state in _OPEN_ENDED else Seen.VIEW_CHANGED
        if moved or look.at_edge or self._is_another_view:
            return Seen.MOTION
        if self._clear_t_s is not None:
            long = (t_s - self._clear_t_s) * 1000 >= self._settings.clear_ms
            self._emptied |= long
            self._bared = True
            return Seen.CLEARED if long and rest else Seen.CLEAR
        return self._see_item(t_s, grey, rest=rest)

    def _watch_item(self, t_s: float, *, holds: bool) -> None:
        """Since when something lies there in one outline."""
        mask = self._look.mask if holds else None
        if mask is None:
            self._shown_t_s = self._shown = None
        elif self._shown is None or (mask is not self._shown and _overlap(mask, self._shown) < SAME_OUTLINE):
            self._shown_t_s, self._shown = t_s, mask

    def _came_with_motion(self) -> bool:
        """It was seen as soon as the picture rested, as a thing that somebody brings is; a shade of light shows up later."""
        late_ms = 0.0 if self._shown_t_s is None else self._rest.still_ms(self._shown_t_s)
        return late_ms <= 1000 * self._settings.look_again_s + self._settings.settle_ms

    def _has_lain(self, t_s: float) -> bool:
        """Long enough to count, given how it came."""
        if self._came_with_motion():
            return True
        return self._shown_t_s is not None and t_s - self._shown_t_s >= self._settings.unmoved_s

    @property
    def _is_another_view(self) -> bool:
        """What differs is no thing: all of the picture, a veiled lens, or a lens that is clean again."""
        return (
            self._look.large
            or self._is_stale
            or bool(self._is_knocked)
            or self._is_veiling
            or (self._is_veiled and self._look is not NOTHING)
        )

    @property
    def _view_wait_s(self) -> float:
        """How long to wait before the view is learnt: a clean lens is known at once, fog may go as it came."""
        if self._is_stale:
            return self._settings.clear_ms / 1000
        is_view = self._is_knocked or (self._look.large and not self._is_veiled)
        return self._settings.view_s if is_view else self._settings.stuck_s

    def _shows_clean_tray(self, grey: Grey) -> bool:
        """The model has taken in a veil that has gone: the tray is bare as it was through a clean lens."""
        clean = self._tray.clean
        return clean is not None and look_at(clean, grey, self._rest.limits) is NOTHING

    @property
    def _is_veiling(self) -> bool:
        """What spans the tray while the tray's own texture fades nearly everywhere is fog that comes, and no thing."""
        return self._spans_tray and self._clarity is not None and self._clarity < VEILING

    @property
    def _spans_tray(self) -> bool:
        box, limits = self._look.box, self.limits
        return box is not None and max(box[2] / limits.columns, box[3] / limits.rows) > SPAN_FRAC

    @property
    def _is_veiled(self) -> bool:
        return self._clarity is not None and self._clarity < self._settings.clarity_frac

    def _see_item(self, t_s: float, grey: Grey, *, rest: bool) -> Seen:
        """What an item at rest means in the present state."""
        if not rest or not self._rest.is_settled(t_s):
            return Seen.ITEM
        if self._state is State.SETTLING:
            if not self._has_lain(t_s):
                return Seen.ITEM
            return Seen.GHOST if self._is_ghost(grey) else Seen.SETTLED
        if self._state is State.DISTURBED:
            return self._see_disturbed(grey)
        if self._state is State.WAIT_CLEAR:
            return self._see_owed(t_s, grey)
        return Seen.ITEM

    def _see_disturbed(self, grey: Grey) -> Seen:
        if self._emptied or self._left is None:
            return Seen.SETTLED
        found = self._change(self._left, grey)
        if found is Change.RESIDUE:
            return Seen.STAINED
        return Seen.LEFT if found is Change.SAME else _ADDED.get(found, Seen.SETTLED)

    def _see_owed(self, t_s: float, grey: Grey) -> Seen:
        if self._emptied or self._counted is None:
            return Seen.SETTLED
        found = self._change(self._counted, grey)
        if found is Change.ADDED and self._is_mark_of(self._counted):
            found = Change.RESIDUE
        if found in _ADDED and self._touched and self._is_brought(t_s):
            return _ADDED[found]
        if found is Change.MOVED and self._bared and self._visit.is_hand:
            return Seen.REPLACED
        if found in {Change.SAME, Change.MOVED}:
            self._see_unfallen(found, grey)
        wait_ms = self._settings.left_ms
        if found is not Change.RESIDUE and not self._lids_moved:
            wait_ms = 1000 * self._settings.left_unopened_s
        if min(self._rest.still_ms(t_s), (t_s - self._lids_rest_t_s) * 1000) < wait_ms:
            return Seen.ITEM
        return Seen.STAINED if found is Change.RESIDUE else Seen.LEFT

    def _is_mark_of(self, counted: Counted) -> bool:
        """A lid has opened, nobody came, and what lies there is no larger: the wet place of what has fallen."""
        mask = self._look.mask
        if mask is None or self._visit.is_hand or not self._lids_moved:
            return False
        return int(mask.sum()) < MARK * int(counted.mask.sum())

    def _is_brought(self, t_s: float) -> bool:
        """Not an open lid nor the bare shaft: the lids are known to be shut, a hand brought it, or no lid stays open so long."""
        return self._has_reports or self._visit.is_hand or self._rest.still_ms(t_s) >= 1000 * self._settings.lid_open_s

    def _see_unfallen(self, found: Change, grey: Grey) -> None:
        """The counted item lies there after a visit: whoever comes next is another."""
        self._lids_moved |= self._visit.is_opening
        if found is Change.MOVED and self._visit.is_hand and self._look.mask is not None:
            self._counted = Counted.of(self._tray.reference, grey, self._look.mask)
        self._visit.forget()

    def _change(self, counted: Counted, grey: Grey) -> Change:
        """Worked out once per look."""
        if self._compared is None or self._compared[0] is not counted or self._compared[1] is not self._look:
            found = change(
                counted, self._tray.reference, grey, self._look, self._rest.limits, by_hand=self._visit.is_hand
            )
            self._compared = (counted, self._look, found)
        return self._compared[2]

    def _act(self, seen: Seen, frame: Frame, grey: Grey) -> Placement | None:
        if seen is Seen.LEARNT:
            self._tray.learn(grey, frame.t_s)
        elif seen is Seen.VIEW_CHANGED:
            is_other = self._look.large and not (self._is_veiled or self._tray.is_known_view(grey))
            if self._is_knocked or is_other:
                self._told.tell(TrayKind.CAMERA_MOVED, frame)
                self._tray.forget()
            self._tray.forget(keeps_lens=True)
            self._look, self._is_knocked = NOTHING, None
        elif seen in {Seen.GHOST, Seen.STAINED} and self._look.mask is not None:
            self._tray.accept(grey, self._look.mask)
            self._looked_t_s = float("-inf")  # what was seen there is tray from now on
        elif seen is Seen.LEFT and self._look.mask is not None:
            self._left = Counted.of(self._tray.reference, grey, self._look.mask)
        elif self._state is State.EMPTY and self._looked_t_s == frame.t_s:
            self._tray.follow(grey, frame.t_s)
        return self._place(seen, frame, grey) if seen in PLACES else None

    def _place(self, seen: Seen, frame: Frame, grey: Grey) -> Placement:
        items = self._items(seen, grey)
        self._emptied = self._bared = self._lids_moved = self._touched = False
        self._visit.forget()
        self._first = None
        if self._look.mask is not None:
            self._counted = Counted.of(self._tray.reference, grey, self._look.mask)
        placement = self._as_offered(self._placement(frame, self._rest.views, items))
        kind = TrayKind.PLACEMENT if items == 1 else TrayKind.MULTI_ITEM
        self._told.tell(kind, frame, self._item_box())
        return placement

    def _as_offered(self, placement: Placement) -> Placement:
        """With the candidate's frame as the first view where its box is still the item's, for the model may have seen it already.

        Both frames are of one rest, so they show the same. Another box means that something has changed: then the last views
        are the truth. Of 661 placements of 150 scenes 621 had the candidate's box, 17 another, 23 no candidate.
        """
        offered = self._candidate
        if offered is None or offered.box != placement.box:
            return placement
        first, later = offered.frames[0], [x for x in placement.frames if x is not offered.frames[0]]
        room = len(placement.frames) - 1
        return replace(placement, frames=(first, *later[len(later) - room :]))

    def _items(self, seen: Seen, grey: Grey) -> int:
        if seen is Seen.ADDED:
            return 2
        if self._first is not None and self._change(self._first, grey) is Change.ADDED:
            return 2
        return max(1, self._look.items)

    def _item_box(self) -> Box | None:
        """Not padded: for those who score it; the crop's box is the placement's."""
        return self._region.item_box(self._look.box) if self._look.box else None

    def _placement(self, frame: Frame, views: tuple[Frame, ...], items: int) -> Placement:
        box = self._region.full_box(self._look.box or (0, 0, 0, 0))
        return Placement(self._new_id(), frame.t_s, views, box, self._rest.still_ms(frame.t_s), items)

    def _offer(self, seen: Seen, frame: Frame, grey: Grey) -> Placement | None:
        """The item that settles; the same object for as long as it lies still."""
        if seen is not Seen.ITEM or self._state is not State.SETTLING or self._look.mask is None:
            return None
        if not self._came_with_motion():
            return None
        if self._first is None and self._rest.is_settled(frame.t_s, FIRST_SHARE):
            self._first = Counted.of(self._tray.reference, grey, self._look.mask)
        return self._candidate or self._placement(frame, (frame,), max(1, self._look.items))

    def _tell(self, before: State, seen: Seen, frame: Frame) -> None:
        look = self._look
        box = self._region.item_box(look.edge_box) if look.edge_box else None
        is_lid = self._visit.shows_opening or self._lids_rest_t_s >= frame.t_s
        reaches = look.at_edge and not (self._is_veiled or is_lid or self._reach.is_shade(frame.t_s))
        left = reaches and self._reach.is_left(self._rest.still_ms(frame.t_s))
        self._told.watch(TrayKind.AT_EDGE, frame, box, holds=left)
        self._told.watch(TrayKind.HAND_PRESENT, frame, box, holds=reaches and not (left or self._reach.was_across))
        if self._clarity is not None:
            self._told.watch(TrayKind.LENS_DIRTY, frame, holds=self._is_veiled)
        if self._state is State.NOT_CLEARED and before is State.WAIT_CLEAR:
            self._told.tell(TrayKind.NOT_CLEARED, frame, self._item_box())
        if seen is Seen.STAINED:
            self._told.tell(TrayKind.TRAY_STAINED, frame, self._item_box())
        if self._state is State.EMPTY and before is not State.EMPTY:
            self._ended(before, frame)

    def _ended(self, before: State, frame: Frame) -> None:
        """The tray is clear again: by hand, or because what lay there fell."""
        owed = before in {State.WAIT_CLEAR, State.NOT_CLEARED, State.DISTURBED}
        if self._visit.is_hand and not self._lids_moved and (owed or self._first is not None):
            self._told.tell(TrayKind.TAKEN_BACK, frame)
        elif self._visit.hand_s >= self._settings.dip_s and not owed:
            self._told.tell_once(TrayKind.HAND_PRESENT, frame, since_s=self._visit.came_t_s)
        self._visit.forget()
        self._first = self._counted = self._left = None

    def _is_ghost(self, grey: Grey) -> bool:
        mask = self._look.mask
        return mask is not None and is_ghost(mask, grey, self._tray.reference.grey, self._rest.limits.strong_grey / 2)

    def _watch_lids(self, lids: LidsState, t_s: float) -> bool:
        """True while no lid is known to move. An absent controller or a faulty lid is the policy's business: sight goes on."""
        self._has_reports = lids.connected
        rest = not (lids.connected and any(x.position in _MOVING_LIDS for x in lids.lids.values()))
        if not rest:
            self._lids_moved = True
            self._lids_rest_t_s = t_s
        return rest


def _overlap(one: Mask, two: Mask) -> float:
    """Intersection over union."""
    return int(np.count_nonzero(one & two)) / max(1, int(np.count_nonzero(one | two)))


def _since(since_s: float | None, t_s: float, *, holds: bool) -> float | None:
    """Beginning of the run of frames for which something holds, None when it does not."""
    if not holds:
        return None
    return t_s if since_s is None else since_s
