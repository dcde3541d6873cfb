"""``python -m tests.benchmarks.network FOLDER SIZE``: a bundle with random weights and its ONNX export.

In a process of its own, because torch would weigh on every later measurement. Speed does not depend on the weights' values.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, write_bundle

SIZES = {
    "base": ArchitectureInfo(name="convnext_base"),
    "tiny": ArchitectureInfo(name="convnext_tiny", kwargs={"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)}),
}
"""base is what the product runs; tiny is for trying the benchmarks out."""

RANGES = ((Category.KITCHEN, 52), (Category.RECYCLABLE, 149), (Category.OTHER, 50), (Category.HAZARDOUS, 14))
"""The 265 labels, in the order of the national model."""
WINNER = 100
"""The label that always wins, so that every item opens a lid: the line is measured, not the sight."""
WINNER_BIAS = 20.0


def labels() -> tuple[LabelInfo, ...]:
    """265 made-up labels in the four categories."""
    categories = [category for category, count in RANGES for _ in range(count)]
    return tuple(LabelInfo(label=f"label {i}", category=category) for i, category in enumerate(categories))


def make_bundle(folder: Path, size: str) -> None:
    """Write the bundle to ``folder`` and export it."""
    import torch

    from bin_daemon.model.export import export
    from bin_daemon.model.network import build_network, weights_of

    torch.manual_seed(0)
    architecture = SIZES[size]
    weights = weights_of(build_network(architecture, len(labels())))
    bias = weights[f"{architecture.head_key}.bias"].copy()
    bias[WINNER] = WINNER_BIAS
    metadata = BundleMetadata(id=f"random-{size}", architecture=architecture, labels=labels(), source="random weights")
    export(write_bundle(folder, metadata, {**weights, f"{architecture.head_key}.bias": bias}))


if __name__ == "__main__":
    make_bundle(Path(sys.argv[1]), sys.argv[2])
