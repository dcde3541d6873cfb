"""The far end of a simulated cable: who is connected, the faults of both directions, and a thread that lets its time pass."""

from __future__ import annotations

import errno
import os
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.sim.faults import Fault, Line
    from bin_daemon.sim.world import World

TICK_S = 0.01
"""Half a servo's pulse period."""
LINGER_S = 3.0
"""After the host went away the device lives on until its dead-man (2 s) has shut every lid."""


class FarEnd(ABC):
    """Lives on its own thread while a host is connected and until its lids rest. All methods may be called from any thread."""

    def __init__(
        self, where: World, to_device: Line, to_host: Line, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.received = 0
        """Bytes that hosts wrote so far."""
        self.plugged = True
        self._world = where
        self._clock = clock
        self._lock = threading.RLock()
        self._deliver: Callable[[bytes | None], None] | None = None
        self._to_device, self._to_host = to_device, to_host
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._last_t_s = self._left_t_s = clock()

    @property
    @abstractmethod
    def all_closed(self) -> bool:
        """Whether every lid really rests on its rim."""

    @abstractmethod
    def _exchange(self, data: bytes) -> None:
        """Bytes and time in, bytes out by `_deliver`. The lock is held."""

    @abstractmethod
    def _tick(self) -> None:
        """Let the time since ``_last_t_s`` pass. The lock is held."""

    def connect(self, deliver: Callable[[bytes | None], None]) -> None:
        """A host opens the port; ``deliver`` gets bytes, or None when the cable is pulled. Raises OSError as a driver would."""
        with self._lock:
            if not self.plugged:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            if self._deliver is not None:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            self._deliver = deliver
            if self._thread is None:
                self._stop.clear()
                self._last_t_s = self._clock()
                self._thread = threading.Thread(target=self._run, name=f"sim-{self._world.name}", daemon=True)
                self._thread.start()

    def disconnect(self, deliver: Callable[[bytes | None], None]) -> None:
        """The host closes the port."""
        with self._lock:
            if self._deliver == deliver:
                self._deliver = None
                self._left_t_s = self._clock()

    def receive(self, data: bytes) -> None:
        """Bytes that the host wrote; answers go out before this returns."""
        with self._lock:
            self.received += len(data)
            self._exchange(data)

    def unplug(self) -> None:
        """Pull the cable; the board keeps its power."""
        with self._lock:
            self.plugged = False
            if self._deliver:
                self._deliver(None)

    def plug(self) -> None:
        """Put it back."""
        self.plugged = True

    def add_fault(self, *, to_controller: Fault | None = None, to_host: Fault | None = None) -> None:
        """From now on bytes of that direction pass through this fault, too."""
        with self._lock:
            self._to_device.faults += [to_controller] if to_controller else []
            self._to_host.faults += [to_host] if to_host else []

    def shut_down(self) -> None:
        """End the thread at once, wherever the lids are."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            with self._lock:
                self._tick()
                if self._at_rest():
                    break
        with self._lock:
            self._thread = None

    def _at_rest(self) -> bool:
        if self._deliver is not None:
            return False
        return self.all_closed and self._clock() - self._left_t_s > LINGER_S


OptionsT = TypeVar("OptionsT")
EndT = TypeVar("EndT", bound=FarEnd)


class FarEnds(Generic[OptionsT, EndT]):
    """The devices of one kind by the name of their world, made at first use; other options than before make a fresh one."""

    def __init__(self, make: Callable[[str, OptionsT], EndT], default: Callable[[], OptionsT]) -> None:
        self._make, self._default = make, default
        self._ends: dict[str, tuple[OptionsT, EndT]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, options: OptionsT | None = None) -> EndT:
        """The device of that world; without ``options`` the present one, whatever its options."""
        with self._lock:
            present = self._ends.get(name)
            if present is not None and options in {None, present[0]}:
                return present[1]
            if present is not None:
                present[1].shut_down()
            chosen = options or self._default()
            self._ends[name] = (chosen, self._make(name, chosen))
            return self._ends[name][1]
