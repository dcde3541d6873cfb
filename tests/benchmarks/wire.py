"""From the frame on which an item counts as settled to the first byte of OPEN at the far end of the serial line.

Real: camera above the driver, detector, classifier, policy, durable journal, lids, session, tty. The peer does nothing but
what cannot be left out: preprocessing and inference of the same picture by the same engine, in the same process, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bin_daemon.app.parts import new_id
from bin_daemon.config.settings import (
    HOLD_MS_MIN,
    ControllerSettings,
    JournalSettings,
    PlacementSettings,
    PolicySettings,
    Settings,
)
from bin_daemon.domain import Classification, Image, Placement
from bin_daemon.events import Journal
from bin_daemon.lids import SerialLids
from bin_daemon.model.classify import Classifier, open_classifier
from bin_daemon.model.preprocess import prepare_array
from bin_daemon.pipeline import Pipeline
from bin_daemon.placement import Detector
from bin_daemon.placement.states import State
from bin_daemon.policy import Policy
from bin_daemon.sensing.camera import ReadFrame
from bin_daemon.service import Worker
from tests.benchmarks.far_end import FarEnd, far_end
from tests.benchmarks.figures import Figure, alone, paired
from tests.benchmarks.still_life import Device, Metronome, Pictures, camera, to_jpeg

AIM = "<= 1.10"
PATIENCE_S = 30.0
WARM_UP_ITEMS = 2
HOLD_MS = HOLD_MS_MIN
"""And no cool-down: nobody's hand has to come and go here."""


class Witness:
    """The classifier, and what it was last asked and answered."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.seen: list[tuple[Placement, Classification]] = []

    def classify(self, placement: Placement) -> Classification:
        """As the classifier."""
        verdict = self.classifier.classify(placement)
        self.seen.append((placement, verdict))
        return verdict


@dataclass
class Series:
    """Milliseconds, one value an item."""

    wire: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


@dataclass
class Line:
    """The whole line, and the tray in front of it."""

    pipeline: Pipeline
    detector: Detector
    witness: Witness
    lids: SerialLids
    device: Device
    read: ReadFrame
    end: FarEnd

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Watch until then."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"not within {PATIENCE_S:g} s: {what}")
            self.pipeline.step(self.read())


def measure(bundle: Path, pictures: Pictures, folder: Path, items: int) -> list[Figure]:
    """Throw ``items`` items in, one bare run before each."""
    empty, item = tuple(map(to_jpeg, pictures.empty)), tuple(map(to_jpeg, pictures.item))
    series = Series()
    with _line(bundle, folder, empty) as line:
        for number in range(items + WARM_UP_ITEMS):
            line.until(lambda: line.detector.state is State.EMPTY and line.lids.state.all_closed, "an empty, shut bin")
            bare = [_bare_ms(line, pictures)]
            line.device.buffers = item
            line.until(lambda wanted=number: len(line.witness.seen) > wanted, "a placement")  # type: ignore[misc]
            line.device.buffers = empty
            placement, verdict = line.witness.seen[-1]
            open_t_s = line.end.opened_t_s()
            if number < WARM_UP_ITEMS:
                continue
            series.bare += bare
            series.wire.append((open_t_s - placement.t_s) * 1000)
            series.before.append((verdict.t_s - placement.t_s) * 1000 - verdict.took_ms)
            series.after.append((open_t_s - verdict.t_s) * 1000)
        engine = line.witness.classifier.engine.name
    against = f"bare preprocessing + inference, {engine}"
    return [
        paired("settled -> OPEN on the wire", "ms", series.wire, series.bare, against=against, aim=AIM),
        alone("  of that: frame and detector before the classifier", "ms", series.before),
        alone("  of that: policy, durable journal, serial line after it", "ms", series.after),
    ]


def _bare_ms(line: Line, pictures: Pictures) -> float:
    """One bare run: the picture is decoded and the box is known, which the line has to do by itself."""
    classifier, seen = line.witness.classifier, line.witness.seen
    box = seen[-1][0].box if seen else None
    picture = pictures.item[len(seen) % len(pictures.item)]
    began = time.perf_counter()
    classifier.engine.logits(prepare_array(picture, classifier.bundle.metadata.preprocessing, box))
    return (time.perf_counter() - began) * 1000


@contextmanager
def _line(bundle: Path, folder: Path, empty: tuple[Image, ...]) -> Iterator[Line]:
    settings = Settings()
    with far_end(folder) as end:
        lids = SerialLids(ControllerSettings(port=end.port), settings.lids)
        detector = Detector(PlacementSettings(), new_id)
        witness = Witness(open_classifier(bundle, engine="onnx"))
        witness.classifier.warm_up()
        journal = Journal(folder / "journal.sqlite", JournalSettings(), "bench")
        policy = Policy(PolicySettings(hold_ms=HOLD_MS, cooldown_ms=0), settings.lids)
        device = Device("MJPG", empty, Metronome())
        worker = Worker("lids", lids.session)
        worker.start()
        try:
            with camera(device).open() as read:
                yield Line(
                    Pipeline(detector, witness, policy, journal, lids), detector, witness, lids, device, read, end
                )
        finally:
            worker.stop()
            worker.join(2.0)
            journal.close()
