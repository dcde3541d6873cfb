"""Engines: torch and ONNX agree; after the export no torch is needed; bad networks and exports are one error each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, read_bundle, read_metadata, write_bundle
from bin_daemon.model.cores import default_threads
from bin_daemon.model.engine import has_gpu, open_engine
from bin_daemon.model.onnx_file import DATA_FILE, ONNX_FILE, SIDECAR_FILE, checked_onnx, ensure_onnx, run_module
from bin_daemon.model.weights import read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = np.random.default_rng(3).standard_normal((3, 3, 64, 64)).astype(np.float32)


def test_torch_and_onnx_give_the_same_logits(exported_bundle: Path) -> None:
    """Within 1e-4 of logits around one, image by image and as a batch."""
    bundle = read_bundle(exported_bundle)
    torch_logits = open_engine(bundle, "torch", 1).logits(IMAGES)
    onnx_logits = open_engine(bundle, "onnx", 1).logits(IMAGES)
    assert torch_logits.shape == onnx_logits.shape == (3, 8)
    assert torch_logits.std() > 0.1
    assert np.abs(torch_logits - onnx_logits).max() < 1e-4


def test_layer_norms_and_gelu_stay_whole_in_the_export(exported_bundle: Path) -> None:
    """A decomposed LayerNorm wrecks fp16 accuracy in TensorRT: the graph must hold the operators themselves."""
    import onnx

    graph = onnx.load(str(exported_bundle / ONNX_FILE)).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("LayerNormalization") == 10
    assert kinds.count("Gelu") == 5
    assert "Erf" not in kinds
    sidecar = json.loads((exported_bundle / SIDECAR_FILE).read_text())
    assert sidecar["opset"] >= 17
    assert sidecar["max_logit_difference"] < 1e-4


ONNX_ONLY = """
import sys
from pathlib import Path
import numpy as np
from bin_daemon.model.classify import open_classifier
classifier = open_classifier(Path(sys.argv[1]), engine=sys.argv[2])
classifier.warm_up()
print(classifier.info["engine"], [x for x in ("torch", "timm", "torchvision", "cv2") if x in sys.modules])
"""


def test_an_exported_bundle_runs_without_torch(exported_bundle: Path) -> None:
    """A fresh process that opens, warms up and judges has neither torch nor timm in sys.modules."""
    kind = "onnx" if has_gpu() else "auto"
    command = [sys.executable, "-c", ONNX_ONLY, str(exported_bundle), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("onnx cpu x")
    assert done.stdout.strip().endswith("[]")


def test_one_core_is_left_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores - 1, and one on a single core."""
    for cores, wanted in ((1, 1), (2, 1), (6, 5)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert default_threads() == wanted


@pytest.mark.parametrize("name", [ONNX_FILE, DATA_FILE, SIDECAR_FILE])
def test_a_damaged_export_is_seen(bundle_copy: Path, name: str, flip_bit: Callable[[Path], None]) -> None:
    """One flipped bit in the graph or its weights, or half a sidecar."""
    if name == SIDECAR_FILE:
        (bundle_copy / name).write_text('{"format_version": 1, "op')
    else:
        flip_bit(bundle_copy / name)
    with pytest.raises(ModelError, match=r"damaged") as caught:
        checked_onnx(read_bundle(bundle_copy))
    assert "again" in caught.value.hint


def test_an_export_of_other_weights_is_not_used(bundle_copy: Path) -> None:
    """New weights beside an old model.onnx: the old network must not answer for the new one."""
    weights = read_weights(bundle_copy / "model.safetensors")
    weights["head.fc.bias"] = weights["head.fc.bias"] + np.float32(1)
    keep = {name: (bundle_copy / name).read_bytes() for name in (ONNX_FILE, DATA_FILE, SIDECAR_FILE)}
    bundle = write_bundle(bundle_copy, read_metadata(bundle_copy), weights)
    for name, content in keep.items():
        (bundle_copy / name).write_bytes(content)
    with pytest.raises(ModelError, match="exported from other weights"):
        checked_onnx(bundle)


def test_a_bundle_without_export_says_so(plain_bundle: Path) -> None:
    """The ONNX engine alone never exports: it names the command that does."""
    with pytest.raises(ModelError, match="not exported to ONNX yet") as caught:
        open_engine(read_bundle(plain_bundle), "onnx", 1)
    assert caught.value.hint.startswith("bin-daemon model export ")


def _written(path: Path, source: Path, change: Callable[[dict[str, Any]], object], **metadata: Any) -> Path:
    weights = dict(read_weights(source / "model.safetensors"))
    change(weights)
    write_bundle(path, read_metadata(source).model_copy(update=metadata), weights)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("stages.1.blocks.0.norm.bias"), r"stages\.1\.blocks\.0\.norm\.bias is missing"),
        (lambda w: w.update(extra=np.zeros(2, np.float32)), r"1 tensors that convnext_atto lacks, first extra"),
        (lambda w: w.update({"stem.0.bias": np.zeros(9, np.float32)}), r"stem\.0\.bias is \(9,\).*wants \(16,\)"),
    ],
)
def test_weights_that_do_not_fit_the_network(
    change: Callable[[dict[str, Any]], object], message: str, plain_bundle: Path, tmp_path: Path
) -> None:
    """Missing, unknown and misshapen tensors are named."""
    path = _written(tmp_path / "odd", plain_bundle, change)
    with pytest.raises(ModelError, match=message):
        open_engine(read_bundle(path), "torch", 1)


def test_a_network_that_timm_does_not_know(plain_bundle: Path, tmp_path: Path) -> None:
    """And a norm that the network does not have."""
    for architecture, message in (
        (ArchitectureInfo(name="convnext_gigantic"), "cannot build convnext_gigantic"),
        (ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1)}), "cannot build convnext_atto"),
        (
            read_metadata(plain_bundle).architecture.model_copy(update={"norm_eps": {"stem.7": 1e-5}}),
            r"no norm 'stem\.7'",
        ),
    ):
        path = _written(tmp_path / "odd", plain_bundle, lambda _: None, architecture=architecture)
        with pytest.raises(ModelError, match=message):
            open_engine(read_bundle(path), "torch", 1)


def test_norm_eps_of_the_bundle_takes_effect(plain_bundle: Path, tmp_path: Path) -> None:
    """Mmcls 0.25's downsample norms have eps 1e-5: the named module gets it, the others keep 1e-6."""
    from bin_daemon.model.network import load_network

    architecture = read_metadata(plain_bundle).architecture.model_copy(
        update={"norm_eps": {"stages.1.downsample.0": 1e-5}}
    )
    network = load_network(
        read_bundle(_written(tmp_path / "eps", plain_bundle, lambda _: None, architecture=architecture))
    )
    assert network.get_submodule("stages.1.downsample.0").eps == 1e-5
    assert network.get_submodule("stages.2.downsample.0").eps == 1e-6


def test_an_export_that_fails_leaves_the_bundle_as_it_was(plain_bundle: Path, tmp_path: Path) -> None:
    """A network that cannot be built: one error, nothing half-written beside the weights."""
    from bin_daemon.model.export import export

    path = _written(tmp_path / "odd", plain_bundle, lambda w: w.pop("stem.0.bias"))
    before = sorted(x.name for x in path.iterdir())
    with pytest.raises(ModelError, match=r"stem\.0\.bias is missing"):
        export(read_bundle(path))
    assert sorted(x.name for x in path.iterdir()) == before


def test_an_exporter_that_disagrees_is_passed_over(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When every exporter's file gives other logits than torch, all are named and the bundle stays as it was."""
    from bin_daemon.model import export as export_module

    path = shutil.copytree(plain_bundle, tmp_path / "odd")
    before = sorted(x.name for x in path.iterdir())
    monkeypatch.setattr(export_module, "EXPORTERS", (("torchscript", 20), ("torchscript", 17)))
    monkeypatch.setattr(export_module, "run_one", lambda _session, _image: np.full((1, 8), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"opset 20: ONNX and torch differ by nan.*opset 17: ONNX and torch differ"):
        export_module.export(read_bundle(path))
    assert sorted(x.name for x in path.iterdir()) == before


@pytest.mark.parametrize(
    "exporter", [("torchscript", 20), ("torchscript", 17), pytest.param(("dynamo", 20), marks=pytest.mark.slow)]
)
def test_each_exporter_agrees_with_torch(
    exporter: tuple[str, int], plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older and newer torch take different ones: all three give a file that passes the comparison."""
    from bin_daemon.model import export as export_module

    path = shutil.copytree(plain_bundle, tmp_path / "one")
    monkeypatch.setattr(export_module, "EXPORTERS", (exporter,))
    info = export_module.export(read_bundle(path))
    assert info.exporter.endswith(exporter[0])
    assert info.opset == exporter[1]
    assert checked_onnx(read_bundle(path)) == path / ONNX_FILE


def test_a_failed_process_of_its_own_becomes_one_error() -> None:
    """Its last line on stderr is the message; without one, its status and the command to look closer."""
    with pytest.raises(ModelError, match="No such file"):
        run_module("json.tool", "/nowhere.json")
    with pytest.raises(ModelError, match="ended with status 3") as caught:
        run_module("timeit", "import os; os._exit(3)")
    assert "python -m timeit" in caught.value.hint


def test_nan_weights_never_become_an_engine(plain_bundle: Path, tmp_path: Path) -> None:
    """A bundle whose file was written by another program with NaN in it."""
    path = shutil.copytree(plain_bundle, tmp_path / "nan")
    weights = read_weights(path / "model.safetensors")
    weights["head.fc.bias"] = np.full_like(weights["head.fc.bias"], np.nan)
    write_weights(path / "model.safetensors", weights)
    from bin_daemon.model.weights import sha256_of

    content = json.loads((path / "bundle.json").read_text())
    content["sha256"]["model.safetensors"] = sha256_of(path / "model.safetensors")
    (path / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="holds NaN or infinity"):
        open_engine(read_bundle(path), "torch", 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_convnext_base_with_265_labels_runs(tmp_path: Path) -> None:
    """The size of the card: 87,838,089 parameters and their 344 tensors, exported, both engines agree."""
    from bin_daemon.model.network import build_network, weights_of

    architecture = ArchitectureInfo(name="convnext_base")
    network = build_network(architecture, 265)
    assert sum(x.numel() for x in network.parameters()) == 87_838_089
    assert len(network.state_dict()) == 344
    labels = tuple(LabelInfo(label=str(i), category=Category.OTHER) for i in range(265))
    metadata = BundleMetadata(id="base-265", architecture=architecture, labels=labels)
    bundle = write_bundle(tmp_path / "base", metadata, weights_of(network))
    ensure_onnx(bundle)
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    difference = open_engine(bundle, "torch", 2).logits(image) - open_engine(bundle, "onnx", 2).logits(image)
    assert np.abs(difference).max() < 1e-4
