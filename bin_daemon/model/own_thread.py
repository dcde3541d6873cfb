"""One thread that does one thing after the other, and that nobody has to wait for at the end."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class OwnThread:
    """Starts with its first job. A daemon thread: one that hangs does not keep the process from ending.

    `concurrent.futures.ThreadPoolExecutor` would: the interpreter joins its threads at exit, however long that takes.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._began_t_s: float | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return self._waiting == 0

    @property
    def began_t_s(self) -> float | None:
        """When the job that runs now began; None when none does."""
        return self._began_t_s

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Do ``job`` after what waits already; what it raises comes out of the future's ``result``."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting += 1
            if self._thread.ident is None:
                self._thread.start()
        self._jobs.put((job, future))
        return future

    def close(self, timeout_s: float) -> bool:
        """End after what waits; False when the thread is still busy after ``timeout_s``. Nothing may be submitted any more."""
        if self._thread.ident is None:
            return True
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while item := self._jobs.get():
            self._do(*item)
            del item  # it holds pictures

    def _do(self, job: Callable[[], Any], future: Future[Any]) -> None:
        self._began_t_s = self._clock()
        result, error = None, None
        try:
            result = job()
        except BaseException as raised:  # noqa: BLE001 - whoever waits gets it
            error = raised
        self._began_t_s = None
        with self._lock:
            self._waiting -= 1
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)
