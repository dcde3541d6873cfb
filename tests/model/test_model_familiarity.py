"""Familiarity: the two scores by hand, their share among held-out pictures, and the way to verdict and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import logsumexp

from bin_daemon.domain import Frame, Placement
from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import Bundle, read_bundle
from bin_daemon.model.classify import Classifier
from bin_daemon.model.familiarity import Familiarity, scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGITS = np.random.default_rng(1).normal(0, 4, (6, 8)).astype(np.float32)
LADDER = Familiarity(score="energy", threshold=2.0, coverage=0.75, quantiles=(0.0, 2.0, 3.0, 3.0, 10.0))
PICTURE = np.zeros((64, 64, 3), np.uint8)


class Says:
    """An engine that gives these rows."""

    name = "says"

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows = rows

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """One row a picture."""
        return self.rows[: len(batch)]


def placement(count: int) -> Placement:
    """That many frames of one item."""
    frames = tuple(Frame(i, 1.0, 64, 64, PICTURE[::8, ::8, 0], lambda: PICTURE) for i in range(count))
    return Placement("id", 1.0, frames, (0, 0, 64, 64), 400.0)


def with_familiarity(folder: Path, known: Familiarity | None) -> Bundle:
    """The plain bundle, telling strange items so."""
    bundle = read_bundle(folder)
    return Bundle(bundle.path, bundle.metadata.model_copy(update={"familiarity": known}))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_scores_are_those_of_the_papers(temperature: float) -> None:
    """Energy is T logsumexp(logits / T), the baseline the largest softmax; huge logits overflow neither."""
    scaled = LOGITS.astype(np.float64) / temperature
    energy = temperature * logsumexp(scaled, axis=1)
    assert scores(LOGITS, temperature, "energy") == pytest.approx(energy, rel=1e-9)
    top = np.exp(scaled.max(1) - logsumexp(scaled, axis=1))
    assert scores(LOGITS, temperature, "max_probability") == pytest.approx(top, rel=1e-9)
    huge = np.array([[3e38, 0.0], [-3e38, -3e38]], np.float32)
    assert np.isfinite(scores(huge, temperature, "energy")).all()


def test_energy_sees_what_the_softmax_cannot() -> None:
    """A constant added to all logits changes no probability, but says that the network is more at home."""
    near, far = LOGITS, LOGITS - 7
    assert scores(near, 1.0, "max_probability") == pytest.approx(scores(far, 1.0, "max_probability"), abs=1e-6)
    assert scores(near, 1.0, "energy") == pytest.approx(scores(far, 1.0, "energy") + 7, abs=1e-5)


def test_logits_that_are_none_raise() -> None:
    """As for probabilities: NaN is no score."""
    with pytest.raises(ModelError, match="NaN"):
        scores(np.full((1, 3), np.nan, np.float32), 1.0, "energy")


def test_share_and_threshold() -> None:
    """Between two quantiles linearly, 0 below the first, 1 above the last; the threshold itself is familiar."""
    found = LADDER.shares(np.array([-5.0, 0.0, 1.0, 2.5, 10.0, 99.0]))
    assert found == pytest.approx([0, 0, 0.125, 0.375, 1, 1])
    assert LADDER.familiar(np.array([1.999, 2.0, 2.001])).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantiles": [0.0, 2.0, 1.0]}, "must not fall: 2.0 at 1, then 1.0"),
        ({"quantiles": [0.0]}, "at least 2"),
        ({"quantiles": [0.0, float("inf")]}, "finite"),
        ({"coverage": 0.0}, "greater than 0"),
        ({"score": "odin"}, "energy"),
        ({"threshold": float("nan")}, "finite"),
        ({"extra": 1}, "Extra"),
    ],
)
def test_bad_metadata_is_refused(change: dict[str, object], message: str) -> None:
    """Each wrong value with its rule, as anywhere in bundle.json."""
    with pytest.raises(ValidationError, match=message):
        Familiarity.model_validate({**LADDER.model_dump(), **change})


def test_the_verdict_tells_the_mean_of_its_frames(plain_bundle: Path) -> None:
    """Two frames, scores 1 and 4 at the bundle's temperature of 2: their mean 2.5 counts, which is familiar."""
    rows = np.full((2, 8), -200.0, np.float32)
    rows[:, 0] = (1.0, 4.0)
    bundle = with_familiarity(plain_bundle, LADDER)
    both = Classifier(Says(rows), bundle).classify(placement(2))
    assert both.familiarity == pytest.approx(0.375)
    assert both.familiar
    strange = Classifier(Says(rows), bundle).classify(placement(1))
    assert strange.familiarity == pytest.approx(0.125)
    assert not strange.familiar
    assert strange.category is both.category  # the policy decides what to make of it


def test_a_bundle_without_it_cannot_tell(plain_bundle: Path) -> None:
    """As all bundles were before: None, and nothing is unfamiliar."""
    verdict = Classifier(Says(LOGITS), with_familiarity(plain_bundle, None)).classify(placement(1))
    assert (verdict.familiarity, verdict.familiar) == (None, True)
