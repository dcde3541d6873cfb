"""Where a training starts from: timm's name, a checkpoint file, a bundle; and what becomes of the last layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.training.start import find_start

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

ATTO = "convnext_atto.d2_in1k"
TINY: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache folder, empty, with the network shut off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_offline_is_one_error(hub_cache: Path) -> None:
    """Without network the card's own start names itself and the way round."""
    with pytest.raises(ModelError, match=r"timm:convnext_base\.fb_in22k: timm cannot fetch the weights") as caught:
        find_start("timm:convnext_base.fb_in22k", None)
    assert "--from FILE" in caught.value.hint


def test_weights_by_name(hub_cache: Path) -> None:
    """What the hub's client has in its cache becomes the start: weights, preprocessing and licence, without the last layer."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = timm.create_model("convnext_atto", num_classes=1000)
    folder = hub_cache / "models--timm--convnext_atto.d2_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(network.state_dict(), str(folder / "snapshots" / "abc" / "model.safetensors"))
    start = find_start(f"timm:{ATTO}", None)
    assert start.architecture.name == "convnext_atto"
    assert (start.preprocessing.resize_px, start.preprocessing.crop_px) == (256, 224)
    assert "apache" in start.licence
    state = start.network(4, seed=0).state_dict()
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items() if not k.startswith("head.fc"))
    assert state["head.fc.weight"].shape == (4, 320)


def test_a_checkpoint_of_another_layout_and_number_of_labels(tmp_path: Path) -> None:
    """Facebook's layout, as its ImageNet-22K files have it: weights arrive, its last layer is dropped, and that is said."""
    theirs = {
        "stem.0": "downsample_layers.0.0",
        "stem.1": "downsample_layers.0.1",
        **{f"stages.{n}.downsample.{i}": f"downsample_layers.{n}.{i}" for n in (1, 2, 3) for i in (0, 1)},
        "blocks.": "",
        "conv_dw": "dwconv",
        "mlp.fc1": "pwconv1",
        "mlp.fc2": "pwconv2",
        "head.norm": "norm",
        "head.fc": "head",
    }
    network = timm.create_model("convnext_tiny", num_classes=22, **TINY)
    named = {}
    for name, tensor in network.state_dict().items():
        other = name
        for ours, their in theirs.items():
            other = other.replace(ours, their)
        named[other] = tensor
    torch.save({"model": named}, tmp_path / "convnext_22k_224.pth")
    start = find_start(str(tmp_path / "convnext_22k_224.pth"), None)
    labels = ["a", "b", "c"]
    state = start.network(3, seed=0, labels=labels, head_scale=0.001).state_dict()
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items() if not k.startswith("head.fc"))
    assert state["head.fc.weight"].abs().max() < 1e-3
    assert start.of_head(labels) == "no last layer to keep: a fresh one for 3 labels"


def test_a_bundle_s_own_labels_keep_their_layer(tiny_bundle: Bundle) -> None:
    """The same labels in the same order go on with the layer that knows them; any others begin with a fresh one."""
    from bin_daemon.model.weights import read_weights

    start = find_start(str(tiny_bundle.path), None)
    before = torch.from_numpy(read_weights(tiny_bundle.weights_path)["head.fc.weight"])
    assert torch.equal(start.network(2, seed=0, labels=["a", "b"]).state_dict()["head.fc.weight"], before)
    assert not torch.equal(start.network(2, seed=1, labels=["b", "a"]).state_dict()["head.fc.weight"], before)
    assert start.of_head(["a", "b"]) == "its last layer of 2 labels is kept"
    assert start.of_head(["b", "a"]) == "its last layer of 2 other labels is dropped: a fresh one for 2 labels"


@pytest.mark.parametrize(
    ("source", "arch", "said", "hint"),
    [
        (None, None, "nothing to start from", "timm:convnext_base.fb_in22k"),
        (None, "resnet50", "--arch resnet50", "convnext_base"),
        ("timm:resnet50.a1_in1k", None, "resnet50", "convnext_base"),
        ("timm:convnext_base.nobody", None, "no such weights", "timm:convnext_base.fb_in1k"),
        ("convnext_base.fb_in22k", None, "no such file or folder", "--from timm:convnext_base.fb_in22k"),
        ("nowhere/at/all", None, "no such file or folder", "imagenet-lite0"),
    ],
)
def test_a_wrong_start_is_named(source: str | None, arch: str | None, said: str, hint: str) -> None:
    """What was asked for, and what could be asked for instead."""
    with pytest.raises((ConfigError, ModelError), match=said) as caught:
        find_start(source, arch)
    assert hint in caught.value.hint


def test_another_architecture_than_the_start_s(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """--arch against what --from holds; and a file that is no checkpoint."""
    with pytest.raises(ConfigError, match=r"--arch convnext_base, but .* holds convnext_atto"):
        find_start(str(tiny_bundle.path), "convnext_base")
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ModelError, match=r"x\.pt"):
        find_start(str(tmp_path / "x.pt"), None)
