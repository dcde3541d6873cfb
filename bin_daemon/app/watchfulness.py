"""How closely the line must look: the word that the slot hands back to the camera."""

from __future__ import annotations

from bin_daemon.placement.states import State
from bin_daemon.sensing import Pace

QUIET = frozenset({State.EMPTY, State.BLIND, State.BLIND_OWED})
"""Where nothing happens that a few frames a second would miss: an empty tray, and a bin that stands in the dark all night."""


class Watchfulness:
    """Idle once one quiet state has lasted ``idle_after_s``; alert again with the first frame that says otherwise."""

    def __init__(self, idle_after_s: float) -> None:
        self._idle_after_s = idle_after_s
        self._state = State.LEARNING
        self._since_t_s = 0.0

    def after(self, state: State, t_s: float) -> Pace:
        """The pace after the frame of ``t_s`` left the tray in ``state``."""
        if state is not self._state:
            self._state, self._since_t_s = state, t_s
        quiet = state in QUIET and t_s - self._since_t_s >= self._idle_after_s
        return Pace.IDLE if quiet else Pace.ALERT
