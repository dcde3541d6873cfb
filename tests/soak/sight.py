"""The detector alone, for a million frames of a filmed bin."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from bin_daemon.app.parts import new_id
from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Frame
from bin_daemon.placement import Detector
from tests.soak import reel
from tests.soak.samples import Sample, take

REEL_FRAMES = 1000


def run(
    frames: int, stretches: int, *, film_frames: int = REEL_FRAMES, beside: Callable[[Frame], object] = lambda _: None
) -> Iterator[tuple[Sample, int]]:
    """A sample after each stretch, the first one after one as warm-up; and the items so far. ``beside`` sees each frame, too.

    Nobody takes the detector's outcomes here: a line that does not want them must not grow by them.
    """
    detector = Detector(PlacementSettings(), new_id)
    items, stretch = 0, frames // stretches
    shown = reel.show(reel.film(film_frames), frames + stretch)
    for number in range(stretches + 1):
        for frame, lids in itertools.islice(shown, stretch):
            items += detector.update(frame, lids) is not None
            beside(frame)
        yield take(number * stretch), items
