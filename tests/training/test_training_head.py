"""The head on frozen features: convex, weighted, equal to a plain linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
import torch

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.network import load_network
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import prepare_picture
from bin_daemon.training.backbone import Backbone
from bin_daemon.training.data import load
from bin_daemon.training.embed import Job, embed
from bin_daemon.training.head import HeadRecipe, train_head
from bin_daemon.training.loss import LossRecipe, SortingLoss
from bin_daemon.training.run import Order, train_bundle
from bin_daemon.training.screen import QuietScreen
from bin_daemon.training.start import find_start

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle


def test_loss_is_fine_plus_category_cross_entropy() -> None:
    """Two labels of one category: the category's part is minus the logarithm of their sum."""
    logits = torch.log(torch.tensor([[0.2, 0.3, 0.5]]))
    loss = SortingLoss(np.array([1, 1, 1]), np.array([2, 2, 3]), LossRecipe(smoothing=0.0, category_weight=1.0))
    assert float(loss(logits, torch.tensor([0]))) == pytest.approx(-np.log(0.2) - np.log(0.5), rel=1e-5)


def test_rare_labels_weigh_more() -> None:
    """With full balance, one picture of a label with one tenth of the pictures weighs ten times as much; the mean stays 1."""
    loss = SortingLoss(
        np.array([10, 100]), np.array([0, 1]), LossRecipe(smoothing=0.0, category_weight=0.0, balance=1.0)
    )
    logits = torch.zeros(1, 2)
    rare, common = (float(loss(logits, torch.tensor([i]))) for i in (0, 1))
    assert rare / common == pytest.approx(10)
    assert (10 * rare + 100 * common) / 110 == pytest.approx(np.log(2), rel=1e-5)


def test_head_separates_and_repeats() -> None:
    """Separable features are learned, the loss falls, and the same input gives the same weights."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = (rng.normal(0, 0.3, (90, 2, 8)) * 5 + 3).astype(np.float32)
    features[np.arange(90), :, labels] += 9
    losses: list[float] = []
    recipe = HeadRecipe(steps=30)
    head = train_head(features, labels, np.array([0, 1, 2]), recipe, losses.append)
    assert (head.logits(features[:, 0]).argmax(1) == labels).mean() == 1.0
    assert losses[-1] < 0.5 * losses[0]
    again = train_head(features, labels, np.array([0, 1, 2]), recipe)
    assert (head.weight == again.weight).all()


@pytest.mark.parametrize(("tray_share", "follows"), [(0.2, "photographs"), (0.8, "trays")])
def test_trays_weigh_by_their_share(tray_share: float, follows: str) -> None:
    """One photograph against five trays of each picture, which contradict it: the share decides, not the number."""
    labels = np.arange(60) % 2
    features = np.random.default_rng(0).normal(0, 0.1, (60, 6, 2)).astype(np.float32)
    features[np.arange(60), 0, labels] += 1
    for view in range(1, 6):
        features[np.arange(60), view, 1 - labels] += 1
    head = train_head(features, labels, np.array([0, 1]), HeadRecipe(tray_share=tray_share), photos=1)
    told = head.logits(features[:, 0]).argmax(1)
    assert (told == (labels if follows == "photographs" else 1 - labels)).all()


def test_features_are_kept_and_belong_to_their_recipe(shapes: Path, tmp_path: Path) -> None:
    """A second run computes nothing, another seed computes again, and the order of threads changes nothing."""
    pictures = load(shapes).splits["val"]
    runs: list[int] = []

    def forward(batch: np.ndarray) -> np.ndarray:
        runs.append(len(batch))
        return np.asarray(batch.mean((2, 3)), np.float32)

    def job(seed: int) -> Job:
        return Job(
            "mean",
            lambda bgr, rng: [bgr, np.clip(bgr * rng.uniform(0.5, 1), 0, 255).astype(np.uint8)],
            lambda view: view.transpose(2, 0, 1)[np.newaxis].astype(np.float32),
            forward,
            seed,
        )

    first = embed(pictures, job(1), tmp_path, lambda _n: None)
    computed = len(runs)
    assert first.shape == (24, 2, 3)
    assert (embed(pictures, job(1), tmp_path, lambda _n: None) == first).all()
    assert len(runs) == computed
    other = embed(pictures, job(2), tmp_path, lambda _n: None)
    assert (other[:, 0] == first[:, 0]).all()
    assert (other[:, 1] != first[:, 1]).any()


def test_head_only_training_writes_a_whole_bundle(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """The backbone stays bit for bit, the head is new, and the bundle's network says what head and features say."""
    screen = QuietScreen()
    order = Order(shapes, tmp_path / "out", start=str(tiny_bundle.path), head_only=True, cache=tmp_path / "cache")
    train_bundle(order, screen)
    bundle = read_bundle(tmp_path / "out")
    assert [x.label for x in bundle.metadata.labels] == ["apple", "box", "cell", "stripe"]
    assert bundle.metadata.labels[2].category is Category.HAZARDOUS
    before, after = load_network(tiny_bundle).state_dict(), load_network(bundle).state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("head.fc"))
    assert after["head.fc.weight"].shape == (4, 32)
    picture = load(shapes).splits["test"][0].path
    image = prepare_picture(read_picture(picture), bundle.metadata.preprocessing)
    with torch.inference_mode():
        whole = load_network(bundle)(torch.from_numpy(image)).numpy()
        features = (
            load_network(tiny_bundle)
            .forward_head(  # type: ignore[operator] # every timm model has it
                load_network(tiny_bundle).forward_features(torch.from_numpy(image)),  # type: ignore[operator]
                pre_logits=True,
            )
            .numpy()
        )
    head = features @ after["head.fc.weight"].numpy().T + after["head.fc.bias"].numpy()
    assert whole == pytest.approx(head, abs=1e-3)
    metrics = orjson.loads((tmp_path / "out" / "bundle.json").read_bytes())["metrics"]
    assert metrics["test"]["items"] == 24
    assert metrics["test"]["category_accuracy"] > 0.5  # four equal categories: guessing gives 0.25
    assert "--head-only" in metrics["recipe"]["command"]
    assert [r["event"] for r in screen.records][-1] == "metrics"


def test_contradictions_are_refused(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A head for the wrong backbone, two architectures, nothing to start from, an unknown network: each before any work."""
    for order, message in (
        (
            Order(shapes, tmp_path / "o", start=str(tiny_bundle.path), head_only=True, export_head=tmp_path),
            "--export-head needs",
        ),
        (Order(shapes, tmp_path / "o", start=str(tiny_bundle.path), arch="convnext_base"), "holds convnext_atto"),
        (Order(shapes, tmp_path / "o"), "nothing to start from"),
        (Order(shapes, tmp_path / "o", arch="resnet50"), "--arch resnet50"),
    ):
        with pytest.raises(ConfigError, match=message):
            train_bundle(order, QuietScreen())
    assert not (tmp_path / "o").exists()


def test_old_torch_gives_the_same_features(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch has no new exporter, eager torch stands in and gives what ONNX Runtime gives."""
    start = find_start(str(tiny_bundle.path), None)
    images = np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)
    by_onnx = Backbone(start, 1).features(images)
    monkeypatch.setattr(torch, "__version__", "2.3.0+cpu")
    assert Backbone(start, 1).features(images) == pytest.approx(by_onnx, abs=1e-4)
