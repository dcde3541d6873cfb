"""What reaches in over the edge: an arm, a thing that was left half on the tray, or light.

An arm and a thing are seen to come, slow light is not. An arm draws back or trembles, a thing keeps still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.placement.item import Look

DRAWN_BACK_FRAC = 0.6
"""What reached in has become smaller than this share of its largest: an arm has drawn back from what it left."""


class Reach:
    """As seen from its first look on; a look that shows nothing at the edge ends it."""

    def __init__(self, settings: PlacementSettings) -> None:
        self._settings = settings
        self._since_t_s: float | None = None
        self._late_ms = 0.0
        self._cells = self._most_cells = 0
        self.was_across = False
        """It lay over two opposite edges, as a shadow does that lies over one edge when it leaves."""

    def see(self, look: Look, t_s: float, still_ms: float) -> None:
        """One look that shows something at the edge, taken at ``t_s`` when the picture had rested for ``still_ms``."""
        if self._since_t_s is None:
            self._since_t_s, self._late_ms = t_s, still_ms
        elif still_ms == 0.0:
            self._late_ms = 0.0
        self._cells, self._most_cells = look.edge_cells, max(self._most_cells, look.edge_cells)
        self.was_across |= look.is_across

    @property
    def is_unmoved(self) -> bool:
        """It was never seen to move, as an arm or an item does that comes: light that changes slowly."""
        return self._late_ms > 1000 * self._settings.look_again_s + self._settings.settle_ms

    def is_shade(self, t_s: float) -> bool:
        """Slow light, unless it stays for long."""
        is_new = self._since_t_s is not None and t_s - self._since_t_s < self._settings.unmoved_s
        return self.is_unmoved and is_new

    def is_left(self, still_ms: float) -> bool:
        """It lies there and no hand holds it: that has drawn back, or nobody could keep so still."""
        drawn_back = self._cells < DRAWN_BACK_FRAC * self._most_cells
        return still_ms / 1000 >= (self._settings.edge_s if drawn_back else self._settings.edge_still_s)
