"""`bin-daemon evaluate`: show a model labelled pictures, exactly as the bin would, and measure its answers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.config import load_settings
from bin_daemon.errors import ConfigError
from bin_daemon.model.classify import open_classifier
from bin_daemon.model.engine import KINDS
from bin_daemon.model.labels import CategorySums, probabilities
from bin_daemon.model.standin import bundle_or_standin
from bin_daemon.policy import full_cost
from bin_daemon.training.data import ALL, SPLITS, Picture, available, load, refuse_if_damaged
from bin_daemon.training.evaluation import Evaluation, Judged
from bin_daemon.training.fine import measure_fine
from bin_daemon.training.folders import pictures_below
from bin_daemon.training.frames import of_groups, of_views
from bin_daemon.training.judge import BATCH, ask
from bin_daemon.training.kept import keep_answers, scope_of
from bin_daemon.training.matching import MATCHES, match
from bin_daemon.training.metrics import CATEGORIES, cost_matrix, measure, top_k
from bin_daemon.training.report import tell
from bin_daemon.training.sorting import cost_curve, sort_items
from bin_daemon.training.strange import doubt_of, measure_strange
from bin_daemon.training.write_report import write_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from bin_daemon.config.settings import Settings
    from bin_daemon.model.bundle import LabelInfo
    from bin_daemon.model.classify import Classifier
    from bin_daemon.training.data import DataSet
    from bin_daemon.training.judge import Answers
    from bin_daemon.training.kept import KeptAnswers
    from bin_daemon.training.matching import Match
    from bin_daemon.training.metrics import Cost
    from bin_daemon.training.screen import Screen

GPU_BATCH = 64
"""Inputs a run of a network on a GPU."""
MAX_VIEWS = 32
AUTO = "auto"
_ORDER = ("test", "val", ALL, "train")
"""Which split is meant when none is named."""


@dataclass(frozen=True, slots=True)
class Question:
    """What `bin-daemon evaluate` was asked."""

    data: Path
    model: Path | None = None
    split: str = AUTO
    """auto: test, else val, else the only one."""
    labels: Path | None = None
    trays: bool = False
    engine: str = AUTO
    """auto: what the config says."""
    out: Path | None = None
    config: Path | None = None
    settings: Settings | None = field(default=None, repr=False)
    """Instead of ``config``, already read."""
    views: int = 1
    unfamiliar: Path | None = None
    match: str = AUTO
    skip_bad_rows: bool = False


def evaluate_model(question: Question, screen: Screen) -> Evaluation:
    """Measure a model on one split; tell ``screen``, and write reports where asked (`bin_daemon.training.write_report`).

    With ``question.out`` answers are kept there while the work goes on, and a run that was killed is taken up again.

    Raises:
        ConfigError: Bad data set, or an unknown split, engine or way to match.
        ModelError: Bad bundle, or not one readable picture.
    """
    _check(question)
    settings = question.settings or load_settings(question.config)
    split = _split(question)
    data = load(
        question.data,
        labels=question.labels,
        needed=(split,),
        splits=(split,),
        decode=False,  # they are judged at once, and a bad one is seen then
        skip_bad_rows=question.skip_bad_rows,
    )
    strangers = _strangers(question.unfamiliar)
    work = _Work(question, settings, split, data, _open(question, settings), screen)
    with work.kept() as kept:
        answers = work.answers(split, data.splits[split], kept, views=question.views)
        others = work.answers("unfamiliar", strangers, kept) if strangers else None
        if kept is not None:
            kept.forget_others()
    found = work.judge(answers, others)
    tell(found, screen)
    if question.out:
        write_report(question.out, found, screen)
    return found


def _check(question: Question) -> None:
    if question.split not in {AUTO, ALL, *SPLITS}:
        raise ConfigError(f"--split {question.split}: no such split", hint=f"one of {', '.join(SPLITS)}")
    if question.engine not in KINDS:
        raise ConfigError(f"--engine {question.engine}: no such engine", hint=f"one of {', '.join(KINDS)}")
    if question.match not in MATCHES:
        raise ConfigError(f"--match {question.match}: no such way", hint=f"one of {', '.join(MATCHES)}")
    if not 1 <= question.views <= MAX_VIEWS:
        raise ConfigError(f"--views {question.views}: must be 1 to {MAX_VIEWS}", hint="1: each picture as it is")


def _split(question: Question) -> str:
    """The split that is meant; a data set without splits is the one that was asked for, whatever that is called."""
    present = available(question.data)
    return next(s for s in _ORDER if s in present) if question.split == AUTO else question.split


def _strangers(folder: Path | None) -> tuple[Picture, ...]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise ConfigError(
            f"--unfamiliar {folder}: no such folder", hint="a folder with pictures of things that are no waste"
        )
    found = tuple(Picture(x, 0) for x in pictures_below(folder))
    if not found:
        raise ConfigError(f"--unfamiliar {folder}: no picture in it", hint="JPEG, PNG, WebP, BMP or TIFF, at any depth")
    return found


def _open(question: Question, settings: Settings) -> Classifier:
    use, state_dir = settings.model, settings.service.state_dir
    path = bundle_or_standin(question.model, use, state_dir)
    engine = use.engine if question.engine == AUTO else question.engine
    return open_classifier(path, engine=engine, threads=use.threads, cores=use.cores, state_dir=state_dir)


@dataclass(frozen=True, slots=True)
class _Work:
    """One evaluation under way."""

    question: Question
    settings: Settings
    split: str
    data: DataSet
    classifier: Classifier
    screen: Screen

    def kept(self) -> AbstractContextManager[KeptAnswers | None]:
        """Answers of an interrupted run; nothing is kept without a folder to keep it in."""
        if self.question.out is None:
            return nullcontext()
        bundle, engine = self.classifier.bundle, self.classifier.engine.name
        how = bundle.metadata.preprocessing.model_dump_json()
        parts = (bundle.sha256, bundle.metadata.architecture.model_dump_json(), how, engine, self._batch())
        return keep_answers(self.question.out, scope_of(*parts, self.question.trays, self.question.views))

    def answers(self, title: str, pictures: Sequence[Picture], kept: KeptAnswers | None, *, views: int = 1) -> Answers:
        """Show the pictures to the network."""
        name = f"{self.question.data}: split {self.split}" if title == self.split else str(self.question.unfamiliar)
        with self.screen.progress(title, len(pictures)) as advance:
            return ask(
                pictures,
                self.classifier.bundle.metadata.preprocessing,
                self.classifier.engine.logits,
                on_tray=self.question.trays,
                advance=partial(advance, words=""),
                views=views,
                batch=self._batch(),
                kept=kept,
                check=lambda bad: refuse_if_damaged(name, len(pictures), bad),
            )

    def judge(self, answers: Answers, others: Answers | None) -> Evaluation:
        """Measure the answers on the split, and those on strange pictures."""
        metadata, data = self.classifier.bundle.metadata, self.data
        overrides = {} if self.question.model else self.settings.model.label_overrides
        sums = CategorySums(metadata.labels, overrides)
        matched = match(data.labels, metadata.labels, self.question.match)
        labels = np.array([x.label_index for x in answers.pictures], dtype=np.int64)
        truth = _true_categories(data, matched, sums, metadata.labels)[labels]
        cost = full_cost(self.settings.policy)
        judged = self._judged(answers, labels, truth, sums, cost)
        place = matched.place[labels]
        known = place >= 0
        scores = answers.logits[known].astype(np.float64)
        views = None if answers.views is None else sums.sums(probabilities(answers.views, metadata.temperature))
        return Evaluation(
            bundle=self.classifier.bundle,
            engine=self.classifier.engine.name,
            split=self.split,
            trays=self.question.trays,
            metrics=measure(judged.sums, truth, cost),
            ece_before_temperature=measure(judged.sums_before, truth).ece,
            top1=top_k(scores, place[known], 1) if known.any() else None,
            top5=top_k(scores, place[known], 5) if known.any() else None,
            labels_shared=matched.shared,
            matched_by=matched.how,
            fine_items=int(known.sum()),
            fine=measure_fine(scores, place[known]) if known.any() else None,
            judged=judged,
            strange=measure_strange(
                answers.logits,
                judged.correct,
                metadata.temperature,
                metadata.familiarity,
                others.logits if others else None,
            ),
            frames=of_groups(judged.sums, truth, answers.pictures) if views is None else of_views(views, truth),
            cost=cost_matrix(cost),
            cost_curve=cost_curve(judged.sums, truth, cost, self.settings.policy.unsure_category),
            bad=self._bad(answers),
        )

    def _judged(
        self, answers: Answers, labels: NDArray[np.int64], truth: NDArray[np.int64], sums: CategorySums, cost: Cost
    ) -> Judged:
        metadata = self.classifier.bundle.metadata
        shares = probabilities(answers.logits, metadata.temperature)
        doubt = doubt_of(answers.logits, metadata.temperature, metadata.familiarity)
        totals = sums.sums(shares)
        return Judged(
            pictures=answers.pictures,
            names=tuple(self.data.labels[i].label for i in labels),
            truth=truth,
            sums=totals,
            sums_before=sums.sums(probabilities(answers.logits, 1.0)),
            said=shares.argmax(1),
            share=shares.max(1),
            sorted=sort_items(totals, truth, self.settings.policy, self.settings.lids, cost, doubt),
            familiarity=doubt.familiarity,
        )

    def _bad(self, answers: Answers) -> tuple[str, ...]:
        return tuple(f"{x.path}: {x.reason}" for x in (*self.data.bad, *answers.bad))

    def _batch(self) -> int:
        engine = self.classifier.engine.name
        return BATCH if " cpu " in f" {engine} " else GPU_BATCH


def _true_categories(
    data: DataSet, matched: Match, sums: CategorySums, infos: Sequence[LabelInfo]
) -> NDArray[np.int64]:
    """Category of every label of the data set; where the site's own rule says otherwise, that is the truth at this site."""
    truth = data.categories()
    for label, output in enumerate(matched.place):
        if output >= 0 and sums.categories[output] is not infos[output].category:
            truth[label] = CATEGORIES.index(sums.categories[output])
    return truth
