"""The state table of the tray: what may follow what; and the limits in cells and grey levels that decide what a frame shows.

One item must give one placement, whatever hands, light and lids do in between. So there are two halves. In the first (EMPTY,
MOVING, SETTLING) nothing is owed: what comes to rest will be placed. A placement leads into the second half (WAIT_CLEAR,
NOT_CLEARED, DISTURBED), where what lies on the tray has been counted already; the only ways back are a tray that has been seen
clear, or something that a person visibly put there anew. Blindness remembers which half it interrupted, so that a lamp switched
off and on cannot count an item twice. An event that the table does not know is a bug and raises.

`Seen` is worked out per frame by `detector`; durations and lids are in it already, so that this table holds no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bin_daemon.config.settings import PlacementSettings


class State(str, Enum):
    """What the detector believes of the tray."""

    LEARNING = "learning"
    """Nothing is known of the tray; whatever lies still is taken for the empty tray."""
    EMPTY = "empty"
    """Still and clear; only here the model of the empty tray follows slow changes."""
    MOVING = "moving"
    """Something moves, reaches in, or is too large to be an item."""
    SETTLING = "settling"
    """An item lies there, but not long enough yet, or a lid is not shut."""
    WAIT_CLEAR = "wait_clear"
    """The item was counted; waiting for the tray to be clear and the lids to be shut."""
    NOT_CLEARED = "not_cleared"
    """The lids are shut again and the item still lies there: someone must help."""
    DISTURBED = "disturbed"
    """Something moved after NOT_CLEARED; what comes to rest is compared with what lay there."""
    BLIND = "blind"
    """The picture cannot be trusted; nothing was owed."""
    BLIND_OWED = "blind_owed"
    """The picture cannot be trusted; a counted item may still lie there."""


class Seen(str, Enum):
    """What one frame says, given how long it has been so."""

    UNUSABLE = "unusable"
    MOTION = "motion"
    """Motion, or something that cannot be an item: a hand at the edge, a change of nearly everything."""
    CLEAR = "clear"
    """Still, nothing there, but not for long."""
    CLEARED = "cleared"
    """Still and clear for ``clear_ms``, lids shut."""
    ITEM = "item"
    """Still, something there, but not for long, or a lid is not shut."""
    SETTLED = "settled"
    """An item that has not been counted has rested ``settle_ms``, lids shut: place it."""
    LEFT = "left"
    """The counted item lies there as before, though it had its chance to fall."""
    ADDED = "added"
    """The counted item lies there as before, and another with it, beside or on top: place them as several."""
    REPLACED = "replaced"
    """The counted item has gone and another lies there, though the tray was never seen clear: place it."""
    STAINED = "stained"
    """The counted item has gone and left a mark."""
    GHOST = "ghost"
    """What differs is the tray laid bare: an item that was learnt as tray was taken away."""
    LEARNT = "learnt"
    """Still long enough to know the empty tray."""
    VIEW_CHANGED = "view_changed"
    """Nearly everything is different and still for long: the camera or the tray was moved."""


_S, _E = State, Seen

TABLE: dict[State, dict[Seen, State]] = {
    State.LEARNING: {_E.UNUSABLE: _S.LEARNING, _E.MOTION: _S.LEARNING, _E.CLEAR: _S.LEARNING, _E.LEARNT: _S.EMPTY},
    State.EMPTY: {
        _E.UNUSABLE: _S.BLIND,
        _E.MOTION: _S.MOVING,
        _E.CLEAR: _S.EMPTY,
        _E.CLEARED: _S.EMPTY,
        _E.ITEM: _S.SETTLING,
    },
    State.MOVING: {
        _E.UNUSABLE: _S.BLIND,
        _E.MOTION: _S.MOVING,
        _E.CLEAR: _S.MOVING,
        _E.CLEARED: _S.EMPTY,
        _E.ITEM: _S.SETTLING,
        _E.VIEW_CHANGED: _S.LEARNING,
    },
    State.SETTLING: {
        _E.UNUSABLE: _S.BLIND,
        _E.MOTION: _S.MOVING,
        _E.CLEAR: _S.MOVING,
        _E.CLEARED: _S.EMPTY,
        _E.ITEM: _S.SETTLING,
        _E.SETTLED: _S.WAIT_CLEAR,
        _E.GHOST: _S.EMPTY,
    },
    State.WAIT_CLEAR: {
        _E.UNUSABLE: _S.BLIND_OWED,
        _E.MOTION: _S.WAIT_CLEAR,
        _E.CLEAR: _S.WAIT_CLEAR,
        _E.CLEARED: _S.EMPTY,
        _E.ITEM: _S.WAIT_CLEAR,
        _E.SETTLED: _S.WAIT_CLEAR,
        _E.ADDED: _S.WAIT_CLEAR,
        _E.REPLACED: _S.WAIT_CLEAR,
        _E.STAINED: _S.EMPTY,
        _E.LEFT: _S.NOT_CLEARED,
        _E.VIEW_CHANGED: _S.LEARNING,
    },
    State.NOT_CLEARED: {
        _E.UNUSABLE: _S.BLIND_OWED,
        _E.MOTION: _S.DISTURBED,
        _E.CLEAR: _S.DISTURBED,
        _E.CLEARED: _S.EMPTY,
        _E.ITEM: _S.NOT_CLEARED,
    },
    State.DISTURBED: {
        _E.UNUSABLE: _S.BLIND_OWED,
        _E.MOTION: _S.DISTURBED,
        _E.CLEAR: _S.DISTURBED,
        _E.CLEARED: _S.EMPTY,
        _E.ITEM: _S.DISTURBED,
        _E.SETTLED: _S.WAIT_CLEAR,
        _E.ADDED: _S.WAIT_CLEAR,
        _E.REPLACED: _S.WAIT_CLEAR,
        _E.STAINED: _S.EMPTY,
        _E.LEFT: _S.NOT_CLEARED,
        _E.VIEW_CHANGED: _S.LEARNING,
    },
    State.BLIND: {_E.UNUSABLE: _S.BLIND, _E.MOTION: _S.MOVING},
    State.BLIND_OWED: {_E.UNUSABLE: _S.BLIND_OWED, _E.MOTION: _S.WAIT_CLEAR},
}
"""The first frame after blindness always counts as motion: nothing is known of what happened meanwhile."""


def process(state: State, seen: Seen) -> State:
    """The state after ``seen``. Raises ValueError for a pair that the table does not know: a bug in the detector."""
    try:
        return TABLE[state][seen]
    except KeyError:
        raise ValueError(f"placement: {seen.value!r} cannot happen in state {state.value!r}") from None


PLACES = frozenset({Seen.SETTLED, Seen.ADDED, Seen.REPLACED})
"""What makes a placement."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings' shares as cells of a region of ``rows`` x ``columns``, and grey levels beyond the camera's noise."""

    settings: PlacementSettings
    rows: int
    columns: int
    noise_grey: float = 0.0
    """Spread of what is left over where nothing happens."""

    @property
    def cells(self) -> int:
        """Of the whole region."""
        return self.rows * self.columns

    @property
    def motion_grey(self) -> float:
        """Both pictures have noise."""
        return max(self.settings.motion_grey, 1.4 * self.settings.noise_factor * self.noise_grey)

    @property
    def outline_grey(self) -> float:
        """See `PlacementSettings.outline_grey`; the model of the tray is a mean and has no noise."""
        return max(self.settings.outline_grey, self.settings.noise_factor * self.noise_grey)

    @property
    def weak_grey(self) -> float:
        """See `PlacementSettings.weak_grey`."""
        return max(self.settings.weak_grey, self.settings.noise_factor * self.noise_grey)

    @property
    def strong_grey(self) -> float:
        """See `PlacementSettings.item_grey`."""
        return max(self.settings.item_grey, self.weak_grey)

    @property
    def item_cells(self) -> float:
        """The smallest item; a single cell is never one."""
        return max(3.0, self.settings.item_area_frac * self.cells)

    @property
    def strong_cells(self) -> float:
        """See `PlacementSettings.strong_frac`."""
        return self.settings.strong_frac * self.item_cells

    @property
    def motion_cells(self) -> float:
        """More cells than this must change."""
        return max(2.0, self.settings.motion_area_frac * self.cells)

    @property
    def edge_cells(self) -> float:
        """More cells than this on the edge come from outside."""
        return max(2.0, self.settings.edge_frac * min(self.rows, self.columns))

    @property
    def gap_cells(self) -> int:
        """Parts up to this far apart are one item."""
        return max(2, round(self.settings.multi_gap_frac * min(self.rows, self.columns)))
