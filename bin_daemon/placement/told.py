"""What the tray shows that somebody should know: told once when it begins, and how long it stays a condition."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bin_daemon.domain import Sight, TrayKind, TrayOutcome

if TYPE_CHECKING:
    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Box, Frame

WAITING_MOST = 256
"""A line that never takes them must not grow by them: the oldest go."""

_SIGHTS = {
    Sight.TOO_DARK: TrayKind.TOO_DARK,
    Sight.TOO_BRIGHT: TrayKind.TOO_BRIGHT,
    Sight.COVERED: TrayKind.COVERED,
}


class Told:
    """Outcomes that wait to be taken, and what goes on."""

    def __init__(self, settings: PlacementSettings) -> None:
        self._after_s = {
            TrayKind.HAND_PRESENT: settings.hand_s,
            TrayKind.AT_EDGE: 0.0,
            TrayKind.LENS_DIRTY: settings.lens_s,
            **dict.fromkeys(_SIGHTS.values(), settings.sight_s),
        }
        self._told_s = settings.told_s
        self._told_t_s: dict[TrayKind, float] = {}
        self._since_t_s: dict[TrayKind, float] = {}
        self._lasting: set[TrayKind] = set()
        self._waiting: deque[TrayOutcome] = deque(maxlen=WAITING_MOST)

    def take(self) -> tuple[TrayOutcome, ...]:
        """What was told since the last call."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken

    def conditions(self, t_s: float) -> set[str]:
        """What lasts, as the words of `TrayKind`."""
        found = {x.value for x in self._lasting if x not in _SIGHTS.values()}
        if t_s - self._last_t_s(TrayKind.CAMERA_MOVED) < self._told_s:
            found.add(TrayKind.CAMERA_MOVED.value)
        return found

    def tell(self, kind: TrayKind, frame: Frame, box: Box | None = None) -> None:
        """It has just happened."""
        self._told_t_s[kind] = frame.t_s
        self._waiting.append(TrayOutcome(kind, frame.t_s, frame.seq, box))

    def tell_once(self, kind: TrayKind, frame: Frame, *, since_s: float) -> None:
        """It has happened, and may have been told of while it lasted, at ``since_s`` or later."""
        if self._last_t_s(kind) < since_s:
            self.tell(kind, frame)

    def watch(self, kind: TrayKind, frame: Frame, box: Box | None = None, *, holds: bool) -> None:
        """It holds in this frame, or not; told when it has held for its time."""
        if not holds:
            self._since_t_s.pop(kind, None)
            self._lasting.discard(kind)
            return
        since_s = self._since_t_s.setdefault(kind, frame.t_s)
        if kind not in self._lasting and frame.t_s - since_s >= self._after_s[kind]:
            self._lasting.add(kind)
            self.tell(kind, frame, box)

    def watch_sight(self, sight: Sight, frame: Frame) -> None:
        """The picture can be trusted, or why not."""
        for each, kind in _SIGHTS.items():
            self.watch(kind, frame, holds=sight is each)

    def _last_t_s(self, kind: TrayKind) -> float:
        return self._told_t_s.get(kind, float("-inf"))
