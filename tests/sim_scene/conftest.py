"""Small scenes of drawn items, and a clock that does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bin_daemon.sim.photos import PhotoSet, load_photos
from bin_daemon.sim.playback import Player, VirtualClock
from bin_daemon.sim.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE_HW = (240, 426)


@pytest.fixture(scope="session")
def drawn() -> PhotoSet:
    """The items that need no file."""
    return load_photos("drawn")


@pytest.fixture
def play(drawn: PhotoSet) -> Callable[..., Player]:
    """Make a player of a small scene; keyword arguments as of `Scene`."""

    def make(seed: int = 3, **options: object) -> Player:
        return Player(Scene(drawn.items, seed, **{"count": 2, "size_hw": SIZE_HW, **options}))  # type: ignore[arg-type]

    return make


@pytest.fixture
def virtual() -> VirtualClock:
    """A fresh virtual clock."""
    return VirtualClock()
