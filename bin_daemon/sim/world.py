"""What a simulated camera and a simulated controller share: the same bin, found by its name in both URLs.

``sim:bin?seed=7`` (camera) and ``sim://bin`` (controller) meet in ``world("bin")``; the controller tells every lid motion, the
scene listens and lets the item fall. pyserial finds its handler by URL alone, hence the one dictionary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from firmware_protocol.hal import Motion


@dataclass(frozen=True, slots=True)
class LidMotion:
    """One lid motion of the simulated controller; ``t_s`` is the controller's clock (monotonic), ``lid`` counts from 1."""

    t_s: float
    lid: int
    motion: Motion
    action_id: int


class World:
    """One simulated bin. Listeners are called on the controller's thread and must return at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listeners: list[Callable[[LidMotion], None]] = []
        self._lock = threading.Lock()

    def listen(self, listener: Callable[[LidMotion], None]) -> Callable[[], None]:
        """Call ``listener`` with every lid motion from now on; the returned function ends that."""
        with self._lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return forget

    def tell(self, motion: LidMotion) -> None:
        """Hand one motion to all listeners."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(motion)


_worlds: dict[str, World] = {}
_worlds_lock = threading.Lock()


def world(name: str) -> World:
    """The simulated bin of that name, made at first use."""
    with _worlds_lock:
        return _worlds.setdefault(name, World(name))
