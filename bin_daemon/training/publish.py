"""What a bundle says of itself: temperature and familiarity from val, metrics from test, sources from the data set."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bin_daemon.config.settings import PolicySettings, Settings
from bin_daemon.model.bundle import BundleMetadata, LabelInfo
from bin_daemon.model.familiarity import scores
from bin_daemon.policy import DEFAULT_COST
from bin_daemon.training.familiarity import fit_familiarity
from bin_daemon.training.judge import Answers, category_probabilities
from bin_daemon.training.metrics import CategoryMetrics, log_loss, measure, top_k
from bin_daemon.training.sorting import Doubt, sort_items
from bin_daemon.training.temperature import fit_temperature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.model.familiarity import Familiarity
    from bin_daemon.training.data import DataSet
    from bin_daemon.training.start import Start


NOTE = (
    "val and test are photographs as they are; *_trays are the same photographs' items, cut out automatically (imperfectly) "
    "and laid on the simulated bin's tray. Nothing was measured on a real bin's camera."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers on held-out pictures, by name: 'val', 'test', and with items laid on trays 'val_trays', 'test_trays'."""

    answers: dict[str, Answers]

    def temperature(self, data: DataSet) -> float:
        """Fitted on the val answers, photographs and trays alike; never on test."""
        labels = np.concatenate([_labels(a) for a in self._held().values()])
        return fit_temperature(self._held_logits(), labels, data.categories())

    def familiarity(self, temperature: float) -> Familiarity:
        """Fitted on the same answers: photographs and trays, for the bin must know an item on its tray."""
        logits, names = self._held_logits(), " and ".join(self._held())
        return fit_familiarity(logits, temperature, f"{names}, {len(logits)} pictures")

    def _held(self) -> dict[str, Answers]:
        return {name: a for name, a in self.answers.items() if name.startswith("val")}

    def _held_logits(self) -> NDArray[np.float32]:
        return np.concatenate([a.logits for a in self._held().values()])

    def category_metrics(self, name: str, data: DataSet, temperature: float) -> CategoryMetrics:
        """How well one set of answers tells the categories apart."""
        answers = self.answers[name]
        probs = category_probabilities(answers.logits, temperature, label_infos(data))
        return measure(probs, data.categories()[_labels(answers)], DEFAULT_COST)

    def category_loss(self, data: DataSet) -> float:
        """Negative log-likelihood of the true category at the fitted temperature, mean over the sets of answers."""
        temperature = self.temperature(data)
        losses: list[float] = []
        for answers in self.answers.values():
            probs = category_probabilities(answers.logits, temperature, label_infos(data))
            truth = data.categories()[_labels(answers)]
            losses.append(log_loss(probs, truth))
        return float(np.mean(losses))

    def to_json(
        self, data: DataSet, temperature: float, familiarity: Familiarity | None = None
    ) -> dict[str, JsonValue]:
        """Per set of answers: category metrics, fine top-1 and top-5, calibration error before and after the temperature, the
        share of familiar items, and what the policy of the default settings makes of them all.
        """
        found: dict[str, JsonValue] = {"note": NOTE}
        for name, answers in self.answers.items():
            logits, labels = answers.logits.astype(np.float64), _labels(answers)
            doubt = _doubt(answers, temperature, familiarity)
            probs = category_probabilities(answers.logits, temperature, label_infos(data))
            found[name] = {
                **self.category_metrics(name, data, temperature).to_json(),
                "ece_before_temperature": round(self.category_metrics(name, data, 1.0).ece, 4),
                "fine_top1": round(top_k(logits, labels, 1), 4),
                "fine_top5": round(top_k(logits, labels, 5), 4),
                "familiar": None if doubt.familiar is None else round(float(doubt.familiar.mean()), 4),
                "policy": sort_items(
                    probs, data.categories()[labels], PolicySettings(), Settings().lids, DEFAULT_COST, doubt
                ).to_json(),
            }
        return found


def label_infos(data: DataSet) -> tuple[LabelInfo, ...]:
    """The data set's labels as a bundle has them."""
    return tuple(LabelInfo(label=x.label, category=x.category, label265=x.label265) for x in data.labels)


def describe(  # noqa: PLR0917 - the parts of one description
    name: str,
    start: Start,
    data: DataSet,
    temperature: float,
    metrics: dict[str, JsonValue],
    familiarity: Familiarity | None = None,
) -> BundleMetadata:
    """The bundle's metadata; ``metrics`` also holds the recipe, which tells how to make it again."""
    sources, licence = _sources(data.root)
    return BundleMetadata(
        id=re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "model",
        name=name,
        architecture=start.architecture,
        labels=label_infos(data),
        preprocessing=start.preprocessing,
        temperature=temperature,
        familiarity=familiarity,
        source="; ".join(x for x in (start.source, sources) if x),
        licence="; ".join(x for x in (start.licence, licence) if x) or "unknown",
        metrics=metrics,
    )


def _sources(root: Path) -> tuple[str, str]:
    """Where the training pictures come from and under which licences, from ``MANIFEST.csv`` where there is one."""
    file = root / "MANIFEST.csv"
    if not file.is_file():
        return f"trained on pictures of {root.name}", ""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if r.get("split", "train") == "train"]
    origins = Counter(f"{r.get('source_repo', '?')} ({r.get('licence') or 'licence not stated'})" for r in rows)
    listed = ", ".join(f"{n} from {origin}" for origin, n in origins.most_common())
    unstated = sum("NONE" in (r.get("licence") or "NONE").upper() for r in rows)
    licence = "pictures are not part of the bundle"
    if unstated:
        licence += f"; {unstated} of {len(rows)} training pictures state no licence and must not be published"
    return f"trained on {len(rows)} photographs: {listed}", licence


def _doubt(answers: Answers, temperature: float, familiarity: Familiarity | None) -> Doubt:
    if familiarity is None:
        return Doubt()
    found = scores(answers.logits, temperature, familiarity.score)
    return Doubt(familiarity.shares(found), familiarity.familiar(found))


def _labels(answers: Answers) -> Any:
    return np.array([x.label_index for x in answers.pictures], dtype=np.int64)
