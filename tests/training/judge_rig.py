"""A data set of plain colours, and a network that sees nothing but the mean colour: evaluation without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import WEIGHTS_FILE, Bundle, BundleMetadata, LabelInfo, Preprocessing
from bin_daemon.training import evaluate

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from numpy.typing import NDArray

    from bin_daemon.model.familiarity import Familiarity

NAMES = ("厨余垃圾-果壳", "可回收物-<b>纸</b>", "其他垃圾-渣土", "有害垃圾-电池")
CATEGORIES = (Category.KITCHEN, Category.RECYCLABLE, Category.OTHER, Category.HAZARDOUS)
COLOURS = ((230, 60, 60), (60, 230, 60), (60, 60, 230), (200, 200, 60))
"""BGR, one for each label."""
HOW = Preprocessing(resize_px=16, crop_px=16)
COUNT = 10
"""Pictures of each label."""


def colour_set(folder: Path, *, count: int = COUNT, split: str = "test") -> Path:
    """``folder/split/INDEX/*.png`` in noisy plain colours, and classname.txt."""
    rng = np.random.default_rng(5)
    for index, colour in enumerate(COLOURS):
        (folder / split / str(index)).mkdir(parents=True)
        for number in range(count):
            picture = np.clip(np.array(colour) + rng.normal(0, 45, (20, 24, 3)).mean((0, 1)) * 20, 0, 255)
            cv2.imwrite(str(folder / split / str(index) / f"{number}.png"), np.full((20, 24, 3), picture, np.uint8))
    (folder / "classname.txt").write_text("\n".join(NAMES), encoding="utf-8")
    return folder


@dataclass
class ColourEngine:
    """Logits are the negative distance of a picture's mean colour from each label's."""

    name: str = "colour cpu x1"
    batches: list[int] = field(default_factory=list)
    """Size of every batch that was run."""

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `bin_daemon.model.engine.Engine`."""
        self.batches.append(len(batch))
        mean = np.array(HOW.mean, np.float32), np.array(HOW.std, np.float32)
        rgb = (batch.mean((2, 3)) * mean[1] + mean[0]) * 255
        targets = np.array(COLOURS, np.float32)[:, ::-1]
        distance = np.linalg.norm(rgb[:, np.newaxis] - targets, axis=2)
        return np.asarray(-distance / 20, np.float32)


@dataclass
class ColourModel:
    """What `evaluate_model` needs of a classifier."""

    bundle: Bundle
    engine: ColourEngine


def colour_model(folder: Path, *, sha256: str = "a" * 64, familiarity: Familiarity | None = None) -> ColourModel:
    """A bundle of the four colours; there is nothing in ``folder``."""
    metadata = BundleMetadata(
        id="colours",
        architecture=ArchitectureInfo(name="convnext_atto"),
        labels=tuple(
            LabelInfo(label=n, category=c, gloss=f"gloss & {i}")
            for i, (n, c) in enumerate(zip(NAMES, CATEGORIES, strict=True))
        ),
        preprocessing=HOW,
        temperature=0.5,
        familiarity=familiarity,
        sha256={WEIGHTS_FILE: sha256},
    )
    return ColourModel(Bundle(folder, metadata), ColourEngine())


def install(monkeypatch: pytest.MonkeyPatch, model: ColourModel) -> ColourEngine:
    """Let `evaluate_model` open this model; returns its engine."""
    monkeypatch.setattr(evaluate, "open_classifier", lambda *_words, **_options: model)
    return model.engine
