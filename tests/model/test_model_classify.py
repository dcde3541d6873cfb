"""The classifier: views averaged, failures told as unsure, the same result for a frame and its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bin_daemon.domain import Category, Frame, Placement
from bin_daemon.errors import ConfigError, DeviceError, ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.classify import Classifier, open_classifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PICTURE = np.random.default_rng(5).integers(0, 256, (120, 160, 3), dtype=np.uint8)
WHOLE = (0, 0, 160, 120)


class SaysInTurn:
    """An engine that gives the listed logits, one row a picture."""

    name = "says in turn"

    def __init__(self, *rows: list[float]) -> None:
        self.rows = rows

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first rows, as many as there are pictures."""
        return np.array(self.rows[: len(batch)], np.float32)


class Breaks:
    """An engine whose GPU is gone."""

    name = "breaks"

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Never works."""
        raise ModelError(f"CUDA lost with {len(batch)} pictures to go")


def _frame(seq: int, decode: Callable[[], NDArray[np.uint8]] = lambda: PICTURE) -> Frame:
    return Frame(seq, 1.0, 160, 120, PICTURE[::8, ::8, 0], decode)


def _damaged() -> NDArray[np.uint8]:
    raise DeviceError("JPEG cut short")


def _placement(*frames: Frame) -> Placement:
    return Placement("id", 1.0, frames, WHOLE, 400.0)


def test_views_are_averaged_and_their_agreement_told(plain_bundle: Path) -> None:
    """Two of three frames see kitchen (index 1), one recyclable: mean shares, margin and agreement by hand."""
    bundle = read_bundle(plain_bundle)  # temperature 2: logits of 80 are certain
    sure = [[80.0 if i == n else 0.0 for i in range(8)] for n in (1, 5, 0)]
    verdict = Classifier(SaysInTurn(*sure), bundle, clock=lambda: 42.0).classify(_placement(*map(_frame, range(3))))
    assert verdict.category is Category.KITCHEN
    assert verdict.category_probs == pytest.approx(
        {**dict.fromkeys(Category, 0.0), Category.KITCHEN: 2 / 3, Category.RECYCLABLE: 1 / 3}
    )
    assert verdict.margin == pytest.approx(1 / 3)
    assert verdict.agreement == pytest.approx(2 / 3)
    assert [x.index for x in verdict.top5] == [0, 1, 5, 2, 3]
    assert (verdict.t_s, verdict.model_id, verdict.reason) == (42.0, "tiny-7", "")
    assert verdict.took_ms > 0


def test_site_rules_move_a_label_to_another_category(plain_bundle: Path) -> None:
    """The label's whole probability goes where the site wants it; the label itself stays."""
    rows = [80.0] + [0.0] * 7
    classifier = Classifier(SaysInTurn(rows), read_bundle(plain_bundle), {"recyclable-0": Category.HAZARDOUS})
    verdict = classifier.classify(_placement(_frame(0)))
    assert verdict.category is Category.HAZARDOUS
    assert verdict.label == "recyclable-0"


def test_a_damaged_frame_among_good_ones_is_left_out(plain_bundle: Path) -> None:
    """The verdict stands on the good frames."""
    rows = [[0.0] * 7 + [80.0]]
    verdict = Classifier(SaysInTurn(*rows), read_bundle(plain_bundle)).classify(
        _placement(_frame(0, _damaged), _frame(1))
    )
    assert verdict.category is Category.OTHER
    assert verdict.agreement == 1.0


@pytest.mark.parametrize(
    ("engine", "frames", "reason"),
    [
        (SaysInTurn(), (_frame(9, _damaged),), "frame 9: JPEG cut short"),
        (SaysInTurn(), (), "no frames"),
        (SaysInTurn(), (_frame(3, lambda: PICTURE[:, :, :1]),), "frame 3: frame is uint8 120x160x1"),
        (Breaks(), (_frame(0),), "CUDA lost"),
        (SaysInTurn([np.nan] * 8), (_frame(0),), "NaN or infinity"),
        (SaysInTurn([1.0] * 7), (_frame(0),), r"gave \(1, 7\) logits, the labels ask for \(1, 8\)"),
    ],
)
def test_every_failure_is_unsure_with_its_reason(
    engine: SaysInTurn | Breaks, frames: tuple[Frame, ...], reason: str, plain_bundle: Path
) -> None:
    """Damaged frames, none, of a wrong kind; a lost GPU, NaN, a wrong count: no exception, no category, no label."""
    verdict = Classifier(engine, read_bundle(plain_bundle)).classify(_placement(*frames))
    assert verdict.category is None
    assert verdict.label is None
    assert verdict.probability == 0
    assert verdict.seen == ("frame" not in reason)  # what no frame shows is no doubt about an item
    with pytest.raises(ModelError, match=reason):
        raise ModelError(verdict.reason)


@pytest.mark.parametrize("engine", [Breaks(), SaysInTurn([np.nan] * 8), SaysInTurn([1.0] * 9)])
def test_warm_up_raises_what_would_be_unsure_for_ever(engine: SaysInTurn | Breaks, plain_bundle: Path) -> None:
    """At start a network that cannot judge is a fault of the bundle, not a quiet stream of unsure items."""
    with pytest.raises(ModelError):
        Classifier(engine, read_bundle(plain_bundle)).warm_up()


def test_the_real_classifier_end_to_end(exported_bundle: Path, tmp_path: Path) -> None:
    """Open, warm up, judge a file; its whole frame seen by torch gives the same to 1e-4."""
    Image.fromarray(PICTURE).save(tmp_path / "item.png")
    results = []
    for kind in ("onnx", "torch"):
        classifier = open_classifier(exported_bundle, engine=kind, threads=1)
        assert classifier.warm_up() > 0
        assert classifier.info["labels"] == 8
        assert classifier.info["sha256"] == read_bundle(exported_bundle).sha256
        results.append(classifier.classify_picture(tmp_path / "item.png", top=8))
    first, second = results
    assert sum(first.category_probs.values()) == pytest.approx(1.0)
    assert [x.label for x in first.top5] == [x.label for x in second.top5]
    assert first.category_probs == pytest.approx(second.category_probs, abs=1e-4)
    assert len(first.top5) == 8


def test_frame_and_file_of_the_same_picture_agree(exported_bundle: Path, tmp_path: Path) -> None:
    """A box that needs the whole frame sees what the file's classification sees."""
    Image.fromarray(PICTURE).save(tmp_path / "item.png")
    classifier = open_classifier(exported_bundle, engine="onnx", threads=1)
    bgr = np.ascontiguousarray(PICTURE[:, :, ::-1])
    by_frame = classifier.classify(_placement(_frame(0, lambda: bgr)))
    by_file = classifier.classify_picture(tmp_path / "item.png")
    assert by_frame.top5 == by_file.top5


def test_a_wrong_site_rule_fails_before_the_network_is_loaded(plain_bundle: Path) -> None:
    """ConfigError, and no export is started for it."""
    with pytest.raises(ConfigError, match="label_overrides"):
        open_classifier(plain_bundle, engine="onnx", overrides={"nothing": Category.OTHER})
    assert not (plain_bundle / "model.onnx").exists()
