"""Small real bundles: a ConvNeXt of four tiny stages with seeded random weights, exported once for the whole run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, write_bundle
from bin_daemon.model.onnx_file import ensure_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1, 2, 1), "dims": (16, 24, 32, 48)})
LABELS = tuple(
    LabelInfo(label=f"{category.value}-{i}", category=category) for i, category in enumerate([*Category, *Category])
)


@pytest.fixture(scope="session")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without export; only to be read."""
    import torch

    from bin_daemon.model.network import build_network, weights_of

    torch.manual_seed(7)
    network = build_network(TINY, len(LABELS))
    for name, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.3)
    metadata = BundleMetadata(
        id="tiny-7",
        architecture=TINY,
        labels=LABELS,
        preprocessing=Preprocessing(resize_px=73, crop_px=64),
        temperature=2.0,
    )
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_bundle(path, metadata, weights_of(network))
    return path


@pytest.fixture(scope="session")
def exported_bundle(plain_bundle: Path) -> Path:
    """The same with ``model.onnx``, exported by the real subprocess; only to be read."""
    from bin_daemon.model.bundle import read_bundle

    path = plain_bundle.with_name("tiny-exported")
    shutil.copytree(plain_bundle, path)
    ensure_onnx(read_bundle(path))
    return path


@pytest.fixture
def bundle_copy(exported_bundle: Path, tmp_path: Path) -> Path:
    """An exported bundle that the test may damage."""
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


@pytest.fixture
def flip_bit() -> Callable[[Path], None]:
    """Flips one bit in the middle of a file."""

    def flip(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return flip
