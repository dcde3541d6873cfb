"""`bin-daemon evaluate`: show a model labelled pictures, exactly as the bin would, and measure its answers."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import platformdirs

from bin_daemon.config import load_settings
from bin_daemon.errors import ConfigError
from bin_daemon.model.classify import open_classifier
from bin_daemon.model.labels import CategorySums, probabilities
from bin_daemon.model.standin import ensure_standin
from bin_daemon.model.store import active_bundle
from bin_daemon.policy import DEFAULT_COST
from bin_daemon.training.data import SPLITS, load
from bin_daemon.training.judge import ask
from bin_daemon.training.metrics import CATEGORIES, CategoryMetrics, measure, top_k
from bin_daemon.training.report import percent, tables

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.config.settings import Settings
    from bin_daemon.model.bundle import LabelInfo
    from bin_daemon.model.classify import Classifier
    from bin_daemon.training.data import DataSet
    from bin_daemon.training.judge import Answers
    from bin_daemon.training.metrics import Cost
    from bin_daemon.training.screen import Screen


@dataclass(frozen=True, slots=True)
class Question:
    """What `bin-daemon evaluate` was asked."""

    data: Path
    model: Path | None = None
    split: str = "test"
    labels: Path | None = None
    trays: bool = False
    engine: str = "auto"
    out: Path | None = None
    config: Path | None = None
    settings: Settings | None = field(default=None, repr=False)
    """Instead of ``config``, already read."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. ``top1`` and ``top5`` are of the pictures whose label the model has under the same name."""

    model_id: str
    split: str
    trays: bool
    metrics: CategoryMetrics
    ece_before_temperature: float
    top1: float | None
    top5: float | None
    labels_shared: int
    bad: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """For a script or ``report.json``."""
        return {
            "model": self.model_id,
            "split": self.split,
            "trays": self.trays,
            **self.metrics.to_json(),
            "ece_before_temperature": round(self.ece_before_temperature, 4),
            "labels_shared": self.labels_shared,
            "top1": None if self.top1 is None else round(self.top1, 4),
            "top5": None if self.top5 is None else round(self.top5, 4),
            "unreadable": list(self.bad),
        }


def evaluate_model(question: Question, screen: Screen) -> Evaluation:
    """Measure a model on one split; tell ``screen``, and write ``report.json`` and ``answers.csv`` where asked.

    Raises:
        ConfigError: Bad data set, or an unknown split or engine.
        ModelError: Bad bundle, or not one readable picture.
    """
    if question.split not in SPLITS:
        raise ConfigError(f"--split {question.split}: no such split", hint=f"one of {', '.join(SPLITS)}")
    if question.engine not in {"auto", "torch", "onnx"}:
        raise ConfigError(f"--engine {question.engine}: no such engine", hint="one of auto, torch, onnx")
    settings = question.settings or load_settings(question.config)
    data = load(question.data, labels=question.labels, needed=(question.split,))
    classifier = _open(question, settings)
    pictures, how = data.splits[question.split], classifier.bundle.metadata.preprocessing
    with screen.progress(question.split, len(pictures)) as advance:
        answers = ask(pictures, how, classifier.engine.logits, on_tray=question.trays, advance=lambda n: advance(n, ""))
    overrides = {} if question.model else settings.model.label_overrides
    sums = CategorySums(classifier.bundle.metadata.labels, overrides)
    found = _judge(question, data, answers, classifier, sums, _cost(settings))
    _tell(found, screen)
    if question.out:
        _write(
            question.out,
            found,
            answers,
            sums.sums(probabilities(answers.logits, classifier.bundle.metadata.temperature)),
        )
    return found


def _open(question: Question, settings: Settings) -> Classifier:
    path = question.model or settings.model.bundle or active_bundle(settings.service.state_dir)
    if path is None:
        path = ensure_standin(platformdirs.user_cache_path("bin-daemon"))
    return open_classifier(path, engine=question.engine, threads=settings.model.threads)


def _cost(settings: Settings) -> Cost:
    """The built-in matrix with the site's own prices in their places, as the policy has it."""
    own = settings.policy.cost
    return {true: {**row, **own.get(true, {})} for true, row in DEFAULT_COST.items()}


def _judge(  # noqa: PLR0917 - the parts of one measurement
    question: Question, data: DataSet, answers: Answers, classifier: Classifier, sums: CategorySums, cost: Cost
) -> Evaluation:
    metadata = classifier.bundle.metadata
    labels = np.array([x.label_index for x in answers.pictures], dtype=np.int64)
    truth = data.categories()[labels]
    before = measure(sums.sums(probabilities(answers.logits, 1.0)), truth)
    top1, top5, shared = _fine(answers.logits, labels, data, metadata.labels)
    unreadable = [x for x in data.bad if x.path.is_relative_to(data.root / question.split)]
    return Evaluation(
        model_id=metadata.id,
        split=question.split,
        trays=question.trays,
        metrics=measure(sums.sums(probabilities(answers.logits, metadata.temperature)), truth, cost),
        ece_before_temperature=before.ece,
        top1=top1,
        top5=top5,
        labels_shared=shared,
        bad=tuple(f"{x.path}: {x.reason}" for x in (*unreadable, *answers.bad)),
    )


def _fine(
    logits: NDArray[np.float32], labels: NDArray[np.int64], data: DataSet, infos: tuple[LabelInfo, ...]
) -> tuple[float | None, float | None, int]:
    """Top-1 and top-5 on pictures whose label the model knows by the same name, and how many labels those are."""
    index = {x.label: i for i, x in enumerate(infos)}
    place = np.array([index.get(x.label, -1) for x in data.labels], dtype=np.int64)
    known = place[labels] >= 0
    if not known.any():
        return None, None, 0
    scores, truth = logits[known].astype(np.float64), place[labels][known]
    return top_k(scores, truth, 1), top_k(scores, truth, 5), int((place >= 0).sum())


def _tell(found: Evaluation, screen: Screen) -> None:
    where = f"{found.split}, items laid on trays" if found.trays else found.split
    screen.show(tables(f"{found.model_id} on {where}", found.metrics))
    if found.top1 is not None:
        screen.show(
            f"fine labels ({found.labels_shared} shared): top-1 {percent(found.top1)}, top-5 {percent(found.top5)}"
        )
    for line in found.bad:
        screen.show(f"unreadable: {line}")
    screen.record("evaluation", found.to_json())


def _write(folder: Path, found: Evaluation, answers: Answers, probs: NDArray[np.float64]) -> None:
    """The report, and one row for each picture: which one was taken for what."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_bytes(orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
        with (folder / "answers.csv").open("w", encoding="utf-8", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["file", "label_index", "category", *(c.value for c in CATEGORIES)])
            for picture, row in zip(answers.pictures, probs, strict=True):
                said = CATEGORIES[int(row.argmax())].value
                rows.writerow([picture.path, picture.label_index, said, *(f"{p:.4f}" for p in row)])
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}", hint="choose another --out") from error
