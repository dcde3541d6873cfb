"""One small supervised thread per device: open it, step until told to stop, open it again when it fails.

A `DeviceError` is weather: the device is opened again for ever, with capped, jittered back-off. Anything else is a bug: its
traceback is logged and the device opened again, until `CRASHES` of them within `CRASH_WINDOW_S` stop the worker for good,
so that the process can end with exit 70 and systemd starts afresh.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from bin_daemon.errors import BinError, DeviceError

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 30.0
"""A technician who plugs a cable back in waits at most this long."""
CRASHES = 5
CRASH_WINDOW_S = 60.0

Step = Callable[[], object]
OpenDevice = Callable[[], AbstractContextManager[Step]]


class CrashLimitError(BinError):
    """A worker crashed too often in too short a time: the process must end (exit 70)."""

    exit_code = 70


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker seen from outside: ``beat_t_s`` is its last sign of life (a step, or a *handled* failure)."""

    name: str
    beat_t_s: float
    failing: str
    """What is wrong with the device now; empty when it works."""
    hint: str
    failures: int
    """Device failures in a row."""
    recoveries: int
    dead: bool
    """The crash limit was reached, or the thread is gone without having been told."""


class Worker:
    """Runs ``with open_device() as step: while not stop: step()`` on its own daemon thread, for ever.

    ``step`` must return within a second or so (that is the worker's sign of life); `stop` takes effect between two steps.
    """

    def __init__(
        self,
        name: str,
        open_device: OpenDevice,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] | None = None,
    ) -> None:
        self.name = name
        self._open_device = open_device
        self._clock = clock
        self._jitter = jitter or (lambda wait_s: random.uniform(wait_s / 2, wait_s))
        self._stop = threading.Event()
        self._log = structlog.get_logger().bind(worker=name)
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._failing: DeviceError | None = None
        self._failures = 0
        self._recoveries = 0
        self._gave_up = False
        self._beat_t_s = clock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def status(self) -> WorkerStatus:
        """How the worker is doing; callable from any thread."""
        failing = self._failing
        started = self._thread.ident is not None
        gone = started and not self._thread.is_alive() and not self._stop.is_set()
        return WorkerStatus(
            name=self.name,
            beat_t_s=self._beat_t_s,
            failing=str(failing) if failing else "",
            hint=failing.hint if failing else "",
            failures=self._failures,
            recoveries=self._recoveries,
            dead=self._gave_up or gone,
        )

    def start(self) -> None:
        """Start the thread; its life counts from now."""
        self._beat_t_s = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after its present step; returns at once."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread, at most ``timeout_s``; False when it is still busy (it is a daemon thread and dies with us)."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._open_device() as step:
                    while not self._stop.is_set():
                        step()
                        self._works()
            except DeviceError as error:
                self._failed(error)
            except Exception:  # noqa: BLE001 - the supervisor's very purpose
                if self._crashed():
                    return
            # Both paths arrive here with the device closed: never reopen before the old handle is gone (ttyACM0 -> ttyACM1).
            if not self._stop.is_set() and self._failures:
                self._wait()

    def _works(self) -> None:
        self._beat_t_s = self._clock()
        if self._failures:
            self._log.info("device works again", after_failures=self._failures)
            self._recoveries += 1
            self._failures = 0
            self._failing = None

    def _failed(self, error: DeviceError) -> None:
        self._failures += 1
        self._failing = error
        self._beat_t_s = self._clock()
        log = self._log.warning if self._failures == 1 else self._log.debug
        log("device failed, trying again", error=str(error), hint=error.hint, failures=self._failures)

    def _crashed(self) -> bool:
        now = self._clock()
        self._beat_t_s = now
        self._log.exception("bug in worker, starting it again")
        self._crashes.append(now)
        self._gave_up = len(self._crashes) == CRASHES and now - self._crashes[0] <= CRASH_WINDOW_S
        return self._gave_up

    def _wait(self) -> None:
        wait_s = self._jitter(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(self._failures - 1, 10)))
        # Beat while waiting: a handled failure is a sign of life, and 30 s of silence is not.
        end_t_s = self._clock() + wait_s
        while not self._stop.is_set() and (left_s := end_t_s - self._clock()) > 0:
            self._stop.wait(min(left_s, 1.0))
            self._beat_t_s = self._clock()
