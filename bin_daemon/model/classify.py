"""The classifier: frames of one placement in, one verdict out. A failure is a verdict too: unsure, with its reason."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Classification
from bin_daemon.errors import BinError, ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.engine import Stoppable, open_engine
from bin_daemon.model.familiarity import scores
from bin_daemon.model.labels import CATEGORIES, CategorySums, probabilities
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import prepare_array, prepare_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image as PilImage

    from bin_daemon.config.settings import ModelSettings
    from bin_daemon.domain import Box, Category, Frame, Placement
    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.engine import Engine

TOP = 5
GREY = 114
"""Grey level of the warm-up picture; any would do."""


@dataclass(frozen=True, slots=True)
class Studied:
    """What the network said (1 x labels) of one frame, cut to one box."""

    frame: Frame
    box: Box
    logits: NDArray[np.float32]

    def is_of(self, frame: Frame, box: Box) -> bool:
        """The very frame and the very box."""
        return self.frame is frame and self.box == box


class Classifier:
    """Judges by one bundle and one engine; one thread uses it, but for `stop_run`. The daemon's: `bin_daemon.model.ahead`."""

    def __init__(
        self,
        engine: Engine,
        bundle: Bundle,
        overrides: Mapping[str, Category] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.bundle = bundle
        self._sums = CategorySums(bundle.metadata.labels, overrides)
        self._clock = clock
        self._studied: Studied | None = None

    @property
    def info(self) -> dict[str, str | int]:
        """What `info` and `status` tell of the model: name, sha256 of the weights, number of labels, engine."""
        metadata = self.bundle.metadata
        return {
            "name": metadata.id,
            "sha256": self.bundle.sha256,
            "labels": len(metadata.labels),
            "engine": self.engine.name,
        }

    def warm_up(self) -> float:
        """Judge a grey picture, so that the first item does not wait for lazy set-up; returns milliseconds.

        Raises ModelError when the network cannot run, gives NaN, or has not one output for each label.
        """
        began = time.perf_counter()
        side = self.bundle.metadata.preprocessing.resize_px
        image = prepare_array(np.full((side, side, 3), GREY, np.uint8), self.bundle.metadata.preprocessing)
        self.verdict(self._judge([image]), began)
        return _ms_since(began)

    def classify(self, placement: Placement) -> Classification:
        """Judge one placement: the mean over its frames. Never raises for a bad frame or model: unsure, with the reason.

        Probabilities are averaged, not logits: one frame that sees another thing then costs the verdict its share of certainty,
        and no frame can outvote the rest by being loud. The frames of one still item are nearly the same picture: they must not
        be multiplied as if they were independent witnesses.
        """
        began = time.perf_counter()
        studied, self._studied = self._studied, None
        fresh = [x for x in placement.frames if not (studied and studied.is_of(x, placement.box))]
        known = [studied.logits] if studied and len(fresh) < len(placement.frames) else []
        batch, problems = self._prepared(fresh, placement.box)
        if not batch and not known:
            return self._unsure("; ".join(problems) or "the placement has no frames", began, seen=False)
        try:
            return self.verdict(np.concatenate([*known, self._judge(batch)] if batch else known), began)
        except BinError as error:
            return self._unsure(str(error), began)

    def study(self, candidate: Placement, is_wanted: Callable[[], bool]) -> bool:
        """Ask the network about the candidate's first frame, and keep the answer for the next `classify`; whether there is one.

        `classify` takes it for that very frame, cut to that very box, and forgets it otherwise. A frame or network that fails
        leaves nothing: the placement is then judged from scratch, and what is wrong shows in its own verdict.
        """
        self._studied = None
        frame = candidate.frames[0]
        batch, _ = self._prepared([frame], candidate.box)
        if not batch or not is_wanted():
            return False
        try:
            logits = self._judge(batch)
        except BinError:
            return False
        self._studied = Studied(frame, candidate.box, logits)
        return True

    def stop_run(self) -> None:
        """From any thread: nobody wants what the network is working at. An engine that cannot be stopped runs to its end."""
        if isinstance(self.engine, Stoppable):
            self.engine.stop_run()

    def classify_picture(self, file: Path, top: int = TOP) -> Classification:
        """Judge a picture file, with the ``top`` most probable labels; ModelError when it is no good picture."""
        began = time.perf_counter()
        return self.verdict(self.judge(read_picture(file)), began, top)

    def judge(self, picture: PilImage.Image) -> NDArray[np.float32]:
        """Logits, 1 x labels, of an RGB picture."""
        return self._judge([prepare_picture(picture, self.bundle.metadata.preprocessing)])

    def _prepared(self, frames: Sequence[Frame], box: Box) -> tuple[list[NDArray[np.float32]], list[str]]:
        """The network's input for each frame that can be decoded, and what is wrong with the others."""
        batch: list[NDArray[np.float32]] = []
        problems: list[str] = []
        for frame in frames:
            try:
                batch.append(prepare_array(frame.bgr(), self.bundle.metadata.preprocessing, box))
            except BinError as error:  # noqa: PERF203 - one to eight frames, each may fail alone
                problems.append(f"frame {frame.seq}: {error}")
        return batch, problems

    def _judge(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Logits, frames x labels."""
        logits = self.engine.logits(np.concatenate(batch))
        wanted = (len(batch), len(self.bundle.metadata.labels))
        if logits.shape != wanted:
            raise ModelError(
                f"{self.bundle.path}: the network gave {logits.shape} logits, the labels ask for {wanted}",
                hint="make the bundle again",
            )
        return logits

    def verdict(self, logits: NDArray[np.float32], began: float, top: int = TOP) -> Classification:
        """What the logits of all pictures of one item (pictures x labels) say together; ``began`` is of `time.perf_counter`."""
        shares = probabilities(logits, self.bundle.metadata.temperature)
        mean = shares.mean(axis=0)
        sums = self._sums.sums(mean)
        second, best = np.argsort(sums, kind="stable")[-2:]
        own_best = self._sums.sums(shares).argmax(axis=1)
        familiarity, familiar = self._familiarity(logits)
        return Classification(
            category=CATEGORIES[best],
            category_probs={category: float(x) for category, x in zip(CATEGORIES, sums, strict=True)},
            top5=self._sums.top(mean, top),
            margin=float(sums[best] - sums[second]),
            agreement=float((own_best == best).mean()),
            model_id=self.bundle.metadata.id,
            took_ms=_ms_since(began),
            t_s=self._clock(),
            familiarity=familiarity,
            familiar=familiar,
        )

    def _familiarity(self, logits: NDArray[np.float32]) -> tuple[float | None, bool]:
        """Share of held-out pictures that look stranger, and whether that is enough; by the mean score of the frames."""
        known = self.bundle.metadata.familiarity
        if known is None:
            return None, True
        score = scores(logits, self.bundle.metadata.temperature, known.score).mean(keepdims=True)
        return float(known.shares(score)[0]), bool(known.familiar(score)[0])

    def _unsure(self, reason: str, began: float, *, seen: bool = True) -> Classification:
        return Classification(
            category=None,
            category_probs={},
            top5=(),
            margin=0.0,
            agreement=0.0,
            model_id=self.bundle.metadata.id,
            took_ms=_ms_since(began),
            t_s=self._clock(),
            reason=reason,
            seen=seen,
        )


def open_classifier(
    path: Path,
    *,
    engine: str = "auto",
    threads: int = 0,
    cores: Sequence[int] = (),
    state_dir: Path | None = None,
    overrides: Mapping[str, Category] | None = None,
    clock: Callable[[], float] = time.monotonic,
    on_export: Callable[[float], None] = lambda _longest_s: None,
) -> Classifier:
    """Check the bundle in folder ``path`` and load it: ModelError for the bundle, ConfigError for an override of no label.

    Where the ONNX engine is to run and the bundle has no good export, one is made first, in a process of its own: ``on_export``
    is told before, with the longest time that may take, seconds.
    """
    bundle = read_bundle(path)
    CategorySums(bundle.metadata.labels, overrides)  # before the slow part
    opened = open_engine(bundle, engine, threads, cores=cores, state_dir=state_dir, on_export=on_export)
    return Classifier(opened, bundle, overrides, clock)


def open_as_configured(
    path: Path,
    use: ModelSettings,
    state_dir: Path,
    on_export: Callable[[float], None] = lambda _longest_s: None,
) -> Classifier:
    """`open_classifier` with the site's engine, threads, cores and rules: whoever opens a model so sees what the daemon will."""
    return open_classifier(
        path,
        engine=use.engine,
        threads=use.threads,
        cores=use.cores,
        state_dir=state_dir,
        overrides=use.label_overrides,
        on_export=on_export,
    )


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
