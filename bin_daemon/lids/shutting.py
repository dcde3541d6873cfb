"""At the end of the daemon's life: shut what is open, whatever controller it is, and wait for it, but not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bin_daemon.domain import LidPosition

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from bin_daemon.domain import LidsState

SHUT = frozenset({LidPosition.CLOSED, LidPosition.CLOSING, LidPosition.FAULT})
"""Where a close would change nothing."""


class Shutter(Protocol):
    """What is needed of a driver."""

    @property
    def state(self) -> LidsState:
        """All lids as last reported."""

    def close(self, lid: int) -> bool:
        """Shut one lid now."""


def shut_and_wait(lids: Shutter, changed: threading.Condition, timeout_s: float, clock: Callable[[], float]) -> bool:
    """Close what is open and wait until all are shut, at most ``timeout_s``; True when they are known to be.

    ``changed`` is the driver's own condition, which it notifies with each new state.
    """
    end = clock() + timeout_s
    for lid in lids.state.lids.values():
        if lids.state.connected and lid.position not in SHUT and clock() < end:
            lids.close(lid.lid)
    with changed:
        while lids.state.connected and not lids.state.all_closed and (left := end - clock()) > 0:
            changed.wait(left)
        return lids.state.all_closed
