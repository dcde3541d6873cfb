"""From the frame on which an item counts as settled to the first byte of OPEN at the far end of the serial line.

Item by item in turns: with the head start that the model gets while the item settles, and without.

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
from bin_daemon.model.ahead import Ahead
from bin_daemon.model.classify import open_classifier
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

AIM = "< 1"
AIM_OVER = "a few"
PATIENCE_S = 30.0
WARM_UP_ITEMS = 2
HOLD_MS = HOLD_MS_MIN
"""And no cool-down: nobody's hand has to come and go here."""


class Witness:
    """The model, and what it was last asked and answered; ``gets_head_start``: whether it hears of candidates."""

    def __init__(self, ahead: Ahead) -> None:
        self.ahead = ahead
        self.gets_head_start = True
        self.seen: list[tuple[Placement, Classification]] = []

    def prefer(self, candidate: Placement | None) -> None:
        """As the model, or not at all."""
        if self.gets_head_start:
            self.ahead.prefer(candidate)

    def classify(self, placement: Placement) -> Classification:
        """As the classifier."""
        verdict = self.ahead.classify(placement)
        self.seen.append((placement, verdict))
        return verdict


@dataclass
class Series:
    """Milliseconds, one value an item."""

    wire: list[float] = field(default_factory=list)
    without: list[float] = field(default_factory=list)
    """As ``wire``, without a head start."""
    over: list[float] = field(default_factory=list)
    """Beyond what of the bare run the settle time cannot hide."""
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
    """Throw ``items`` items in for each of the two ways, one bare run before each item."""
    empty, item = tuple(map(to_jpeg, pictures.empty)), tuple(map(to_jpeg, pictures.item))
    series = Series()
    with _line(bundle, folder, empty) as line:
        for number in range(2 * items + WARM_UP_ITEMS):
            line.until(lambda: line.detector.state is State.EMPTY and line.lids.state.all_closed, "an empty, shut bin")
            line.witness.gets_head_start = number % 2 == 0
            bare_ms = _bare_ms(line, pictures)
            line.device.buffers = item
            line.until(lambda wanted=number: len(line.witness.seen) > wanted, "a placement")  # type: ignore[misc]
            line.device.buffers = empty
            open_t_s = line.end.opened_t_s()
            if number >= WARM_UP_ITEMS:
                _note(series, line.witness, open_t_s, bare_ms)
        engine = line.witness.ahead.classifier.engine.name
    with_start = series.wire[: len(series.without)]
    return [
        paired("settled -> OPEN on the wire", "ms", series.wire, series.bare, against=f"bare run, {engine}", aim=AIM),
        paired("  the same", "ms", with_start, series.without, against="ours without a head start"),
        paired("  the same, without a head start", "ms", series.without, series.bare, against=f"bare run, {engine}"),
        alone("  beyond max(0, bare run - settle time)", "ms", series.over, aim=AIM_OVER),
        alone("  frame and detector before the classifier, without a head start", "ms", series.before),
        alone("  policy, durable journal, serial line after it", "ms", series.after),
    ]


def _note(series: Series, witness: Witness, open_t_s: float, bare_ms: float) -> None:
    placement, verdict = witness.seen[-1]
    wire_ms = (open_t_s - placement.t_s) * 1000
    series.after.append((open_t_s - verdict.t_s) * 1000)
    if not witness.gets_head_start:
        series.without.append(wire_ms)
        series.before.append((verdict.t_s - placement.t_s) * 1000 - verdict.took_ms)
        return
    series.wire.append(wire_ms)
    series.bare.append(bare_ms)
    series.over.append(wire_ms - max(0.0, bare_ms - placement.settled_ms))


def _bare_ms(line: Line, pictures: Pictures) -> float:
    """One bare run: the picture is decoded and the box is known, which the line has to do by itself."""
    classifier, seen = line.witness.ahead.classifier, line.witness.seen
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
        witness = Witness(Ahead(open_classifier(bundle, engine="onnx")))
        witness.ahead.warm_up()
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
            witness.ahead.close(5.0)
            journal.close()
