"""One proved Maestro: each turn reads what it says and sends what the state table wants. No thread; blocks for the line alone."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

import structlog

from bin_daemon.errors import DeviceError
from bin_daemon.lids.maestro_bytes import INPUT_MAX, SCRIPT_ERRORS, names
from bin_daemon.lids.maestro_servo import AT_REST

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.lids.maestro_core import MaestroCore
    from bin_daemon.lids.maestro_line import MaestroLine

FAILURES = 5
FAILURES_WITHIN_S = 10.0
"""More errors than that are no accident: somebody must hear of it."""
STOP_INPUT_MIN = 768
"""Of 1023: below this the stop switch counts as open, and so does a broken wire."""


def capabilities(stop_channel: int | None) -> frozenset[str]:
    """Nothing is measured and nothing acknowledged."""
    return frozenset({"unconfirmed"} if stop_channel is None else {"unconfirmed", "estop_sense"})


class MaestroSession:
    """Not thread-safe: its owner holds the mutex."""

    def __init__(
        self, line: MaestroLine, core: MaestroCore, stop_channel: int | None, *, clock: Callable[[], float]
    ) -> None:
        self.line = line
        self._core = core
        self._stop_channel = stop_channel
        self._clock = clock
        self._failures_s: deque[float] = deque(maxlen=FAILURES)
        self._log = structlog.get_logger().bind(port=line.url)
        core.begin(clock())

    def turn(self) -> bool:
        """Errors first, then pulses, then what is due, with the error register after each command. True when the Maestro reported
        no error. Raises `DeviceError`.
        """
        well = self._is_sound()
        seen = {one.lid: self.line.position(one.channel) for one in self._core.servos.values()}
        for order in self._core.turn(seen, self._stop_pressed(), self._clock()):
            self.line.set_speed(order.channel, order.speed)
            self.line.set_target(order.channel, order.target)
            if not self._is_sound():
                return False  # the Maestro has sent all home; the next turn says so again
            self._core.sent(order, self._clock())
        if self._core.strays:
            raise DeviceError(
                f"{self.line.url}: something else has changed the pulse of lid {self._core.strays[0]}",
                hint="close the Maestro Control Center; if the Maestro restarts by itself, its supply breaks down under load",
            )
        return well

    def farewell(self) -> None:
        """Before the port is closed: what may stand open is told to shut. The time-out does it anyhow, a little later."""
        if self._core.stopped:
            return
        with contextlib.suppress(DeviceError):
            for one in self._core.servos.values():
                if one.phase not in AT_REST:
                    self.line.set_target(one.channel, one.closed_q)

    def _is_sound(self) -> bool:
        """Read the error register; with any bit in it the Maestro has sent all channels home."""
        errors = self.line.errors()
        if not errors:
            return True
        self._log.warning("the Maestro reports errors and shuts its lids", errors=names(errors))
        now_s = self._clock()
        self._core.failed(errors, now_s)
        if errors & SCRIPT_ERRORS:
            raise DeviceError(
                f"{self.line.url}: a script on the Maestro failed ({', '.join(names(errors & SCRIPT_ERRORS))})",
                hint="erase the script in the Maestro Control Center",
            )
        self._failures_s.append(now_s)
        if len(self._failures_s) == FAILURES and now_s - self._failures_s[0] < FAILURES_WITHIN_S:
            raise DeviceError(
                f"{self.line.url}: the Maestro reports error after error, last {', '.join(names(errors))}",
                hint="check the cable, its length and its ground; on a serial line also the baud rate at both ends",
            )
        return False

    def _stop_pressed(self) -> bool:
        """A channel that is no input, or whose wire is broken, reads as pressed."""
        if self._stop_channel is None:
            return False
        return not STOP_INPUT_MIN <= self.line.position(self._stop_channel) <= INPUT_MAX
