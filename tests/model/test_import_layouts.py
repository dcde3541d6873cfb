"""Import: each framework's names give the same network, with the right eps, whatever the size and the wrapping."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import Preprocessing, read_bundle
from bin_daemon.model.importing import import_checkpoint, read_checkpoint
from bin_daemon.model.importing.norm_eps import choose_eps
from bin_daemon.model.importing.sizes import V1, V2, XXLARGE, Sizes
from bin_daemon.model.network import build_network, load_network
from bin_daemon.model.taxonomy import labels265
from tests.model import import_rig as rig

if TYPE_CHECKING:
    from bin_daemon.model.importing import Checkpoint

NAMES = [x.label for x in labels265()[:4]]
MMCLS_FAINT = [
    [-1.5233887434005737, -1.5825551748275757, -1.2597805261611938, -0.6253025531768799],
    [-1.4911165237426758, -1.5516324043273926, -1.2375335693359375, -0.6170022487640381],
]
"""Logits that mmcls 0.25.0 itself gave for `rig.mmcls(rig.weights(faint=True))` on `rig.images()`."""


def save(tmp_path: Path, content: Any, name: str = "model.pth", **options: Any) -> Path:
    """A checkpoint file as torch saves it."""
    file = tmp_path / name
    torch.save(content, file, **options)
    return file


def imported_logits(file: Path, tmp_path: Path, **options: Any) -> torch.Tensor:
    """What the imported bundle's network says to the rig's pictures."""
    bundle = import_checkpoint(file, tmp_path / "bundle", tmp_path / "state", **options)
    assert read_bundle(bundle.path) == bundle
    with torch.inference_mode():
        found: torch.Tensor = load_network(bundle)(rig.images())
    return found


def labels_file(tmp_path: Path) -> Path:
    """Four labels of the 265 for checkpoints that name no classes."""
    file = tmp_path / "classname.txt"
    file.write_text("\n".join(NAMES), encoding="utf-8")
    return file


@pytest.mark.parametrize("faint", [False, True])
@pytest.mark.parametrize("layout", rig.WRITERS)
def test_every_layout_gives_the_same_logits(layout: str, faint: bool, tmp_path: Path) -> None:  # noqa: FBT001 - parametrized
    """Against the network written out in plain torch, at features of ordinary and of very little variance."""
    w = rig.weights(faint=faint)
    file = save(tmp_path, rig.WRITERS[layout](w))
    eps = 1e-5 if layout.startswith("mmcls") else 1e-6
    wanted = rig.logits(w, rig.images(), downsample_eps=eps)
    assert torch.allclose(imported_logits(file, tmp_path, labels=labels_file(tmp_path)), wanted, rtol=0, atol=1e-5)


def test_logits_are_those_of_mmcls_itself(tmp_path: Path) -> None:
    """The trap: numbers that mmcls 0.25.0 gave where eps counts; timm's eps is 0.3 away from them."""
    file = save(tmp_path, rig.card_checkpoint(rig.weights(faint=True), NAMES))
    golden = torch.tensor(MMCLS_FAINT)
    assert torch.allclose(imported_logits(file, tmp_path), golden, rtol=0, atol=1e-5)
    wrong = rig.logits(rig.weights(faint=True), rig.images(), downsample_eps=1e-6)
    assert float((wrong - golden).abs().max()) > 0.3


@pytest.mark.parametrize("layout", ["mmcls", "facebook", "timm"])
def test_version_two_with_response_norms(layout: str, tmp_path: Path) -> None:
    """ConvNeXt V2: no layer scale, a response norm in each block, whatever its shape in the file."""
    w = rig.weights(grn=True)
    file = save(tmp_path, {"state_dict": rig.WRITERS[layout](w)})
    wanted = rig.logits(w, rig.images(), downsample_eps=1e-6)
    found = imported_logits(file, tmp_path, labels=labels_file(tmp_path), norm_eps="mmpretrain1")
    assert torch.allclose(found, wanted, rtol=0, atol=1e-5)


def test_no_layer_scale_means_one(tmp_path: Path) -> None:
    """Made by mmcls with ``layer_scale_init_value=0`` has no gamma in the file."""
    w = {k: x for k, x in rig.weights().items() if not k.endswith("gamma")}
    file = save(tmp_path, rig.mmcls(w))
    assert read_checkpoint(file).notes == ("no layer scales in it: taken as 1",)
    wanted = rig.logits(w, rig.images(), downsample_eps=1e-5)
    assert torch.allclose(imported_logits(file, tmp_path, labels=labels_file(tmp_path)), wanted, rtol=0, atol=1e-5)


def test_sizes_come_from_the_shapes(tmp_path: Path) -> None:
    """Odd depths and widths; the nearest of timm's names with what differs from it."""
    found = read_checkpoint(save(tmp_path, rig.mmcls(rig.weights()))).architecture
    assert found.name == "convnext_atto"
    assert found.kwargs == {"depths": rig.DEPTHS, "dims": rig.WIDTHS, "conv_mlp": False}
    assert found.norm_eps == {f"stages.{i}.downsample.0": 1e-5 for i in (1, 2, 3)}


def test_other_patch_and_kernel_sizes(tmp_path: Path) -> None:
    """A stem of 8 x 8 and depthwise kernels of 5 x 5 are read from the shapes too."""
    state = rig.mmcls(rig.weights())
    state = {k: x[..., 1:-1, 1:-1] if "depthwise" in k and x.ndim == 4 else x for k, x in state.items()}
    state["backbone.downsample_layers.0.0.weight"] = torch.ones(rig.WIDTHS[0], 3, 8, 8)
    found = read_checkpoint(save(tmp_path, state)).architecture.kwargs
    assert (found["patch_size"], found["kernel_sizes"]) == (8, (5, 5, 5, 5))


@pytest.mark.parametrize(
    ("scale", "changes"),
    [
        (V1["convnext_base"], {}),
        (V2["convnextv2_pico"], {"response_norm": True}),
        ((rig.DEPTHS, rig.WIDTHS), {"kernels_px": (5, 5, 3, 3), "patch_px": 8, "outputs": 265}),
    ],
)
def test_shapes_are_those_of_timms_network(scale: Any, changes: dict[str, Any]) -> None:
    """What the importer wants in a file is what timm builds under the name and arguments that go into the bundle."""
    plain: dict[str, Any] = {"kernels_px": (7, 7, 7, 7), "patch_px": 4, "response_norm": False, "outputs": 3}
    sizes = Sizes(depths=scale[0], widths=scale[1], **{**plain, **changes})
    with torch.device("meta"):
        network = build_network(sizes.architecture("mmcls"), sizes.outputs)
    assert {k: tuple(x.shape) for k, x in network.state_dict().items()} == sizes.shapes()


def test_sizes_of_the_paper_have_plain_names() -> None:
    """Each is one of timm's names without depths and widths; timm's own largest keeps its name, for its eps is another."""
    for names, response_norm in ((V1, False), (V2, True)):
        for name, (depths, widths) in names.items():
            found = Sizes(depths, widths, (7, 7, 7, 7), 4, response_norm, 9).architecture("mmcls")
            assert found.name == name
            assert found.kwargs in ({}, {"conv_mlp": False})
    largest = Sizes(*XXLARGE, (7, 7, 7, 7), 4, response_norm=False, outputs=9)
    assert largest.architecture("timm") == ArchitectureInfo(name="convnext_xxlarge")
    assert largest.architecture("facebook").name == "convnext_xlarge"


def _wrapped(w: rig.Tensors) -> dict[str, Any]:
    """Many ways to save the same mmcls weights."""
    state = rig.mmcls(w)
    other = {k: x + 1 for k, x in state.items()}
    return {
        "bare": state,
        "ordered": OrderedDict(state),
        "state_dict": {"meta": {}, "state_dict": state},
        "model": {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        "averaged": {"model": other, "model_ema": state},
        "timm averaged": {"state_dict": other, "state_dict_ema": state},
        "no average yet": {"state_dict": state, "state_dict_ema": None},
        "data parallel": {"state_dict": {f"module.{k}": x for k, x in state.items()}},
        "modelscope": {"state_dict": {f"cls_model.{k}": x for k, x in state.items()}},
        "twice": {f"module.cls_model.{k}": x for k, x in state.items()},
        "compiled": {f"_orig_mod.{k}": x for k, x in state.items()},
        "mmcv average beside": {"state_dict": {**state, **{f"ema_{k.replace('.', '_')}": x for k, x in other.items()}}},
        "torch average": {"n_averaged": torch.tensor(7), **{f"module.{k}": x for k, x in state.items()}},
        "half precision": {k: x.half() for k, x in state.items()},
        "double precision": {k: x.double() for k, x in state.items()},
        "parameters": {k: torch.nn.Parameter(x) for k, x in state.items()},
    }


WRAPPED = _wrapped(rig.weights())


@pytest.mark.parametrize("way", WRAPPED)
def test_wrappings_come_off(way: str, tmp_path: Path) -> None:
    """State dicts, averaged copies, prefixes of wrappers, other precisions: the same weights each time, as float32."""
    found = read_checkpoint(save(tmp_path, WRAPPED[way]))
    wanted = rig.timm(rig.weights())
    assert found.weights.keys() == wanted.keys()
    for name, array in found.weights.items():
        assert array.dtype == "float32"
        assert torch.allclose(torch.from_numpy(array), wanted[name], rtol=0, atol=2e-3 if "half" in way else 0)


def test_file_formats_give_the_same_weights(tmp_path: Path) -> None:
    """The zip archive of torch, its format before 1.6, safetensors."""
    state = rig.mmcls(rig.weights())
    zipped = save(tmp_path, state)
    legacy = save(tmp_path, state, "old.pth", _use_new_zipfile_serialization=False)
    save_file({k: x.contiguous() for k, x in state.items()}, tmp_path / "model.safetensors")
    found = [read_checkpoint(x).weights for x in (zipped, legacy, tmp_path / "model.safetensors")]
    for name, array in found[0].items():
        assert (array == found[1][name]).all()
        assert (array == found[2][name]).all()


def test_a_backbone_alone_can_start_a_training_but_is_no_model(tmp_path: Path) -> None:
    """`read_checkpoint` takes it, for training makes a new last layer; import says what is missing."""
    file = save(tmp_path, {k: x for k, x in rig.mmcls(rig.weights()).items() if not k.startswith("head.")})
    assert read_checkpoint(file).outputs == 0
    with pytest.raises(ModelError, match="without its last layer"):
        import_checkpoint(file, None, tmp_path / "state")


def test_norms_of_other_stages_are_left_out(tmp_path: Path) -> None:
    """A backbone that fed a detector has a norm after each stage; the classifier uses the last."""
    w = rig.weights()
    state = rig.mmcls(w) | {f"backbone.norm{i}.weight": torch.ones(rig.WIDTHS[i]) for i in range(3)}
    assert read_checkpoint(save(tmp_path, state)).weights.keys() == rig.timm(w).keys()


@pytest.mark.parametrize(
    ("meta", "family"),
    [
        ({}, "mmcls0"),
        ({"mmcls_version": "0.25.0"}, "mmcls0"),
        ({"mmcls_version": "0.23.2", "mmcv_version": "1.5.0"}, "mmcls0"),
        ({"mmcls_version": "1.0.0rc4"}, "mmcls0"),
        ({"mmcls_version": "1.0.0rc5"}, "mmpretrain1"),
        ({"mmcls_version": "1.0.0"}, "mmpretrain1"),
        ({"mmpretrain_version": "1.2.0"}, "mmpretrain1"),
        ({"mmengine_version": "0.10.3"}, "mmpretrain1"),
        ({"mmcv_version": "1.7.2"}, "mmcls0"),
        ({"mmcv_version": "2.1.0"}, "mmpretrain1"),
        ({"mmcls_version": 25}, "mmcls0"),
    ],
)
def test_eps_follows_the_frameworks_version(meta: dict[str, Any], family: str) -> None:
    """In mmcls the downsampling norms were put right in 1.0.0rc5; no version is taken for 0.x, as the card's is."""
    assert choose_eps("mmcls", meta, None).family == family


def test_eps_of_the_others_and_as_asked() -> None:
    """Facebook, timm and torchvision have one eps everywhere; an option beats what the file says."""
    assert {choose_eps(x, {}, None).family for x in ("facebook", "timm", "torchvision")} == {"mmpretrain1"}
    assert choose_eps("mmcls", {"mmcls_version": "0.25.0"}, "mmpretrain1").by_norm == {}
    with pytest.raises(ConfigError, match="mmcls9") as caught:
        choose_eps("mmcls", {}, "mmcls9")
    assert "mmcls0, mmpretrain1" in caught.value.hint


def test_what_the_card_says_is_the_default(tmp_path: Path) -> None:
    """The card's file: meta.CLASSES and nothing else; eps of mmcls 0.x, the card's preprocessing, a source to find it by."""
    file = save(tmp_path, rig.card_checkpoint(rig.weights(265), [x.label for x in labels265()]), "pytorch_model.pt")
    found: Checkpoint = read_checkpoint(file)
    bundle = import_checkpoint(file, None, tmp_path / "state").metadata
    assert bundle.labels == labels265()
    assert bundle.preprocessing == Preprocessing()
    assert bundle.architecture.norm_eps == {f"stages.{i}.downsample.0": 1e-5 for i in (1, 2, 3)}
    assert bundle.id == f"convnext-atto-265-{found.sha256[:8]}"
    assert bundle.source == f"pytorch_model.pt (sha256 {found.sha256[:16]}, mmcls layout, eps mmcls0)"
    assert bundle.licence == "unknown"
