"""A small data set of drawn shapes, and a small network to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

SHAPES = {"box": "recyclable", "apple": "kitchen", "cell": "hazardous", "stripe": "other"}
COUNTS = {"train": 12, "val": 6, "test": 6}


def draw(label: str, rng: np.random.Generator) -> np.ndarray:
    """One shape at a random place on a light ground, uint8 72 x 80 x 3."""
    picture = np.full((72, 80, 3), rng.integers(200, 250), np.uint8)
    x, y = (int(v) for v in rng.integers(28, 44, 2))
    r = int(rng.integers(14, 22))
    if label == "box":
        cv2.rectangle(picture, (x - r, y - r), (x + r, y + r), (200, 90, 40), -1)
    elif label == "apple":
        cv2.circle(picture, (x, y), r, (40, 40, 210), -1)
    elif label == "cell":
        cv2.rectangle(picture, (x - r // 2, y - r), (x + r // 2, y + r), (20, 20, 20), -1)
    else:
        for offset in range(-r, r, 6):
            cv2.line(picture, (x - r, y + offset), (x + r, y + offset), (60, 170, 60), 3)
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four labels, one of each category; unchanged by tests."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for label in SHAPES:
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                cv2.imwrite(str(folder / f"{number}.png"), draw(label, rng))
    rows = "".join(f"{label},{category}\n" for label, category in SHAPES.items())
    (root / "labels.csv").write_text(f"label,category\n{rows}")
    return root


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A ConvNeXt of 30,000 parameters with fresh weights, for pictures of 64 pixels."""
    import torch

    from bin_daemon.domain import Category
    from bin_daemon.model.architecture import ArchitectureInfo
    from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, write_bundle
    from bin_daemon.model.network import build_network

    architecture = ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(architecture, 2)
    metadata = BundleMetadata(
        id="tiny",
        architecture=architecture,
        labels=(LabelInfo(label="a", category=Category.OTHER), LabelInfo(label="b", category=Category.KITCHEN)),
        preprocessing=Preprocessing(resize_px=72, crop_px=64),
        licence="none needed",
        source="drawn by a random generator",
    )
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    return write_bundle(folder, metadata, {k: v.numpy() for k, v in network.state_dict().items()})
