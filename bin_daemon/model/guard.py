"""Half precision ends at 65,504: an engine that overflowed is replaced by an exact one, for that picture and for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.model.engine import Stoppable
from bin_daemon.model.notes import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bin_daemon.model.engine import Engine


class GuardedEngine:
    """Runs ``fast`` as long as its logits are finite; from the first that are not, what ``open_exact`` gives.

    A network that overflowed once will again: answers that come from one precision now and another then could not be compared.
    """

    def __init__(self, fast: Engine, open_exact: Callable[[], Engine]) -> None:
        self._engine = fast
        self._open_exact: Callable[[], Engine] | None = open_exact

    @property
    def name(self) -> str:
        """Of the engine that runs now."""
        return self._engine.name

    def stop_run(self) -> None:
        """See `bin_daemon.model.engine.Stoppable`, where the engine that runs now is one."""
        if isinstance(self._engine, Stoppable):
            self._engine.stop_run()

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `bin_daemon.model.engine.Engine`."""
        found = self._engine.logits(batch)
        if self._open_exact is None or np.isfinite(found).all():
            return found
        exact = self._open_exact()
        warn("half precision overflowed: going on with another engine", from_engine=self.name, to_engine=exact.name)
        self._engine, self._open_exact = exact, None
        return exact.logits(batch)
