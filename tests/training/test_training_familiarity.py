"""The fitted threshold keeps the coverage that it promises, and what a bundle says of it is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.familiarity import ScoreKind, scores
from bin_daemon.training.data import load
from bin_daemon.training.familiarity import fit_familiarity
from bin_daemon.training.judge import Answers
from bin_daemon.training.publish import Measured

if TYPE_CHECKING:
    from bin_daemon.model.bundle import Bundle

RNG = np.random.default_rng(2)
HELD = (RNG.normal(0, 1, (400, 5)) + 6 * np.eye(5)[RNG.integers(0, 5, 400)]).astype(np.float32)


@pytest.mark.parametrize("kind", ["energy", "max_probability"])
@pytest.mark.parametrize("coverage", [1.0, 0.98, 0.5])
def test_threshold_keeps_its_coverage(kind: ScoreKind, coverage: float) -> None:
    """At least that share of the held-out pictures stays familiar, hardly more; what is like none of them does not."""
    known = fit_familiarity(HELD, 1.3, "drawn", coverage=coverage, kind=kind)
    familiar = known.familiar(scores(HELD, 1.3, kind)).mean()
    assert coverage <= familiar <= coverage + 0.01
    nothing = np.full((1, 5), -4, np.float32)
    assert not known.familiar(scores(nothing, 1.3, kind))[0]
    assert known.shares(scores(nothing, 1.3, kind))[0] == 0


def test_a_share_is_a_share() -> None:
    """Among the held-out pictures themselves, shares are evenly spread from 0 to 1."""
    known = fit_familiarity(HELD, 1.0, "drawn")
    shares = np.sort(known.shares(scores(HELD, 1.0, "energy")))
    assert shares == pytest.approx(np.linspace(0, 1, len(HELD)), abs=0.01)


def test_measured_reports_what_stays_familiar_and_what_the_policy_does(shapes: Path) -> None:
    """Fitted on val and val_trays together, reported for each; an item called strange is unsure in the policy's own count."""
    data = load(shapes)
    pictures = data.splits["val"]
    truth = np.eye(4, dtype=np.float32)[[x.label_index for x in pictures]]
    answers = {"val": Answers(truth * 9, pictures, ()), "val_trays": Answers(truth * 8, pictures, ())}
    strange = truth.copy()
    strange[0] = 0.1
    answers["test"] = Answers(strange * 9, pictures, ())
    measured = Measured(answers)
    known = measured.familiarity(1.0)
    assert known.chosen_on == f"val and val_trays, {2 * len(pictures)} pictures"
    told = measured.to_json(data, 1.0, known)
    assert {name: told[name]["familiar"] for name in answers} == {  # type: ignore[call-overload,index]
        "val": 1.0,
        "val_trays": 1.0,
        "test": round(1 - 1 / len(pictures), 4),
    }
    assert told["test"]["policy"]["reasons"] == {"sorted": len(pictures) - 1, "unsure_unfamiliar": 1}  # type: ignore[call-overload,index]
    assert told["val"]["policy"]["mean_cost"] == 0  # type: ignore[call-overload,index]
    assert measured.to_json(data, 1.0)["test"]["familiar"] is None  # type: ignore[call-overload,index]


def test_a_bundle_without_familiarity_reads_as_before(tiny_bundle: Bundle) -> None:
    """The field is optional: null and missing mean the same."""
    assert tiny_bundle.metadata.familiarity is None
    file = tiny_bundle.path / "bundle.json"
    assert '"familiarity": null' in file.read_text(encoding="utf-8")
    assert read_bundle(tiny_bundle.path).metadata.familiarity is None
