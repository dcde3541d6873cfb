"""A camera that repeats one picture bit by bit is dead, however promptly it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import DeviceError

if TYPE_CHECKING:
    from bin_daemon.domain import Image

FLAT_GREY = 2
"""Grey levels. A covered sensor clips to one level and may repeat truly; that is the business of `Sight`, not of this check."""


class FrozenCheck:
    """Counts bit-identical pictures in a row; a live sensor's noise makes two of them all but impossible."""

    def __init__(self, limit: int, name: str) -> None:
        self.limit = limit
        self.name = name
        self.repeats = 0
        self._last: tuple[Image, Image] | None = None

    def see(self, raw: Image, grey8: Image) -> None:
        """Take the next picture: ``raw`` is compared (any shape, kept by reference), ``grey8``
        is made of it and tells whether it shows anything.

        Raises:
            DeviceError: ``limit`` identical pictures have come in a row.
        """
        # The small pictures first: where they differ, as nearly always, megabytes of YUYV need no comparing.
        last, self._last = self._last, (raw, grey8)
        same = last is not None and np.array_equal(last[1], grey8) and np.array_equal(last[0], raw)
        same = same and int(np.ptp(grey8)) > FLAT_GREY
        self.repeats = self.repeats + 1 if same else 0
        if self.repeats + 1 >= self.limit:
            raise DeviceError(
                f"camera {self.name} is frozen: {self.repeats + 1} bit-identical frames in a row",
                hint="it is opened again by itself; if this comes back, replug the camera or try another USB port",
            )
