"""Our detector, as a watcher of clips."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import LidsState
from bin_daemon.placement import Detector
from tests.scenes.score import Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.sim.suite.truth import Clip


def watch(clip: Clip, *, lid_reports: bool = True) -> Iterator[Said]:
    """What the detector says of ``clip``, times from its start; without reports it must tell by sight alone that an item fell."""
    numbers = itertools.count()
    detector = Detector(PlacementSettings(), lambda: f"item-{next(numbers)}")
    blind = LidsState(connected=False)
    for frame in clip.frames:
        detector.update(frame, clip.lids_at(frame.t_s) if lid_reports else blind)
        for outcome in detector.take():
            yield Said(outcome.kind.value, outcome.t_s, outcome.box)
