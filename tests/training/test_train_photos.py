"""A small ConvNeXt from scratch on the shared photographs: the whole recipe at work on real pictures."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, read_bundle, write_bundle
from bin_daemon.model.network import build_network, weights_of
from bin_daemon.model.weights import read_weights
from bin_daemon.training.finetune import Finetuning
from bin_daemon.training.recipe import FinetuneRecipe, LossRecipe
from bin_daemon.training.run import Order, train_bundle
from bin_daemon.training.screen import QuietScreen
from bin_daemon.training.work import Cadence

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOS = Path(os.environ.get("BIN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "waste_images"
SIDE_PX = 80
SMALL = ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1, 2, 1), "dims": (16, 32, 64, 96)})
RECIPE = FinetuneRecipe(
    epochs=5,
    batch_size=64,
    batch_per_step=32,
    lr=4e-3,
    weight_decay=0.05,
    layer_decay=1.0,
    head_init_scale=1.0,
    drop_path=0.05,
    workers=1,
    loss=LossRecipe(balance=0.5, hard_gamma=0.5),
)
KILLED_AT = 75
"""Of 110 steps: within the fourth epoch."""


class Killed(BaseException):
    """Stands for the signal, which `test_train_resume` sends in earnest."""


@pytest.fixture(scope="module")
def small_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs at 80 pixels, so that decoding them is not what takes the time."""
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "val", "test"):
        for file in sorted((PHOTOS / split).glob("*/*")):
            path = root / file.relative_to(PHOTOS)
            path.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(file) as picture:
                picture.draft("RGB", (SIDE_PX, SIDE_PX))
                picture.convert("RGB").resize((SIDE_PX, SIDE_PX), reducing_gap=2).save(path.with_suffix(".jpg"))
    (root / "MANIFEST.csv").write_bytes((PHOTOS / "MANIFEST.csv").read_bytes())
    return root


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are added in one order only with a fixed number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.real_photos
@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photographs are not here")
def test_from_scratch_on_photographs(small_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss falls, val is clearly better than calling everything recyclable, and killed in the fourth epoch and gone on with
    it ends in the same weights.
    """
    torch.manual_seed(0)
    labels = tuple(LabelInfo(label=x.value, category=x) for x in Category)
    metadata = BundleMetadata(
        id="fresh", architecture=SMALL, labels=labels, preprocessing=Preprocessing(resize_px=56, crop_px=48)
    )
    write_bundle(tmp_path / "fresh", metadata, weights_of(build_network(SMALL, len(labels))))
    order = Order(small_photos, tmp_path / "whole", start=str(tmp_path / "fresh"), finetune=RECIPE)
    screen = QuietScreen()
    train_bundle(order, screen)
    epochs = [x for x in screen.records if x["event"] == "epoch"]
    losses = [float(str(x["train_loss"])) for x in epochs]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.95 * losses[0]  # of 4.6 for 67 labels and their categories
    metrics = read_bundle(tmp_path / "whole").metadata.metrics
    val = metrics["val"]
    assert isinstance(val, dict)
    rows = val["confusion_rows_true"]
    assert isinstance(rows, dict)
    majority = max(sum(int(str(n)) for n in row) for row in rows.values() if isinstance(row, list)) / int(
        str(val["items"])
    )
    assert float(str(val["category_accuracy"])) > majority + 0.05

    step = Finetuning._train_step

    def killed(self: Finetuning, *args: object) -> torch.Tensor:
        if self.step == KILLED_AT:
            raise Killed
        return step(self, *args)  # type: ignore[arg-type]

    again = replace(order, out=tmp_path / "again", cadence=Cadence(0, 7))
    with monkeypatch.context() as patch:
        patch.setattr(Finetuning, "_train_step", killed)
        with pytest.raises(Killed):
            train_bundle(again, QuietScreen())
    train_bundle(replace(again, resume=True), QuietScreen())
    one, two = (read_weights(tmp_path / x / "model.safetensors") for x in ("whole", "again"))
    assert all((one[k] == two[k]).all() for k in one)
