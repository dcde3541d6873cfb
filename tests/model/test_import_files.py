"""Import: files damaged, cut off, malicious or of another kind give one clear error; nothing is executed or written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bin_daemon.errors import ModelError
from bin_daemon.model.importing import import_checkpoint, read_checkpoint
from bin_daemon.model.importing.locate import find_checkpoint
from tests.model import import_rig as rig

if TYPE_CHECKING:
    from collections.abc import Callable

STATE = rig.mmcls(rig.weights())


def _saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


ZIPPED, LEGACY = _saved(STATE), _saved(STATE, _use_new_zipfile_serialization=False)


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same weights as safetensors."""
    file = tmp_path_factory.mktemp("safe") / "model.safetensors"
    save_file(STATE, file)
    return file.read_bytes()


def refusal(content: bytes | Any, folder: Path) -> ModelError:
    """The error that importing this file gives; it names the file and has a hint, and nothing else came into the folder."""
    file = folder / "model.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ModelError) as caught:
        import_checkpoint(file, folder / "bundle", folder / "state")
    assert str(caught.value).startswith(f"{file}: ")
    assert caught.value.hint
    assert [x.name for x in folder.iterdir()] == ["model.pth"]
    return caught.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\0" * 4096, "begins with zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 351\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>Log in</html>", "a web page"),
        (b"\n<html>404</html>", "a web page"),
        (b'{"Code": 10010205001, "Message": "no such file"}', "neither a torch checkpoint nor safetensors"),
        (b"\x1f\x8b\x08" + b"x" * 99, "gzip"),
        (b"\x08\x07\x12\x07pytorch" + b"x" * 99, "ONNX"),
        (pickle.dumps({"state_dict": {}}), "a plain Python pickle"),
        (b"PK\x03\x04", "missing or damaged"),
        (b"RIFF\x00\x00\x00\x00WEBP", "neither a torch checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_told(content: bytes, words: str, tmp_path: Path) -> None:
    """What a broken download or a wrong path leaves."""
    assert words in str(refusal(content, tmp_path))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.9999), kind=st.sampled_from(["zip", "legacy", "safetensors"]))
def test_a_download_cut_off_anywhere_is_refused(share: float, kind: str, tmp_path: Path, safe: bytes) -> None:
    """No length but the whole is taken, in any of the three formats."""
    content = {"zip": ZIPPED, "legacy": LEGACY, "safetensors": safe}[kind]
    refusal(content[: int(len(content) * share)], tmp_path)


@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_bytes_after_the_end_are_refused(kind: str, tmp_path: Path, safe: bytes) -> None:
    """Two downloads in one file: which is meant cannot be known."""
    refusal((ZIPPED if kind == "zip" else safe) + b"\0" * 70_000, tmp_path)


def test_one_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    """Which torch itself would not find: it does not look at its archive's checksums."""
    content = bytearray(ZIPPED)
    content[len(content) // 2] ^= 1
    assert "differs from its checksum" in str(refusal(bytes(content), tmp_path))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), legacy=st.booleans())
def test_damage_anywhere_is_an_error_or_the_same_network(data: st.DataObject, legacy: bool, tmp_path: Path) -> None:  # noqa: FBT001 - drawn
    """Bytes overwritten in the part that describes the tensors never end in another exception."""
    content = bytearray(LEGACY if legacy else ZIPPED)
    head = 12_000  # where names, shapes and storages are described
    for at in data.draw(st.lists(st.integers(0, head), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    file = tmp_path / "model.pth"
    file.write_bytes(content)
    with contextlib.suppress(ModelError):
        assert read_checkpoint(file).weights.keys() == rig.timm(rig.weights()).keys()


class Evil:
    """Unpickled by a careless loader, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.file),)


class Eval:
    """Wants to be computed when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_wants_more_than_weights_is_refused(legacy: bool, tmp_path: Path) -> None:  # noqa: FBT001 - parametrized
    """The error names what it wanted to call, the hint what to save instead; nothing was called."""
    trap = tmp_path / "trap"
    content = _saved({"state_dict": STATE, "extra": Evil(trap)}, _use_new_zipfile_serialization=not legacy)
    error = refusal(content, tmp_path)
    assert "posix.mkdir" in str(error)
    assert "torch.save" in error.hint
    assert not trap.exists()


def test_a_builtin_is_named_too(tmp_path: Path) -> None:
    """``eval`` has no module in torch's message; the error is one line."""
    error = str(refusal({"state_dict": STATE, "extra": Eval()}, tmp_path))
    assert error.endswith("refused: besides weights it wants eval, which could run a program")


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    """``torch.save(model)`` in place of its state dict: the class is named."""
    assert "torch.nn.modules" in str(refusal(torch.nn.Linear(2, 2), tmp_path))


def test_compressed_records_are_refused(tmp_path: Path) -> None:
    """A zip bomb: 100 MB of zeros in a small archive; torch would unfold it."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\0" * 100_000_000)
    assert "is compressed" in str(refusal(bomb.getvalue(), tmp_path))


def test_records_that_overlap_are_refused(tmp_path: Path) -> None:
    """Many entries on the same bytes: together larger than the file."""
    content = bytearray(_saved({"a": torch.zeros(40_000)}))
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 20 : at + 28] = struct.pack("<II", 150_000, 150_000)
        at += 4
    error = str(refusal(bytes(content), tmp_path))
    assert "records of" in error or "damaged" in error


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    """One number shown as 10^12 by strides of 0: cheap to save, deadly to copy."""
    huge = torch.zeros(1).expand(1_000_000, 1_000_000)
    assert "4000000000000 bytes" in str(refusal({"head.fc.weight": huge}, tmp_path)).replace(",", "")


def test_safetensors_that_lie_are_refused(tmp_path: Path) -> None:
    """A header of 2^60 bytes, and one that is no JSON."""
    assert "cut off" in str(refusal(struct.pack("<Q", 1 << 60) + b"{" + b"x" * 64, tmp_path))
    assert "damaged safetensors header" in str(refusal(struct.pack("<Q", 5) + b"{abcd", tmp_path))
    lying = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}).encode()
    assert "safetensors" in str(refusal(struct.pack("<Q", len(lying)) + lying + b"\0" * 4, tmp_path))


def test_torchscript_is_refused(tmp_path: Path) -> None:
    """It holds program code."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model/data.pkl", b"x")
        archive.writestr("model/code/__torch__.py", b"x")
    assert "TorchScript" in str(refusal(stream.getvalue(), tmp_path))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("backbone.layer1.0.conv1.weight", "backbone.layer1.0.bn1.weight"), "a ResNet"),
        (("conv1.weight", "layer1.0.conv1.weight"), "a ResNet"),
        (("cls_token", "blocks.0.attn.qkv.weight"), "a vision transformer"),
        (("layers.0.blocks.0.attn.relative_position_bias_table",), "a Swin"),
        (("conv_stem.weight", "blocks.0.0.conv_pw.weight"), "an EfficientNet"),
        (("features.0.weight", "features.3.weight"), "a torchvision"),
        (("convnext.encoder.stages.0.layers.0.dwconv.weight",), "Hugging Face"),
        (("stages.0.blocks.0.conv_dw.weight", "stem.3.weight"), "another stem or head"),
        (("stages.0.blocks.0.conv_dw.weight", "norm_pre.weight"), "another stem or head"),
        (("weird",), "another network (first keys: weird)"),
    ],
)
def test_other_networks_are_named(keys: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """What a wrong file looks like, so that the right one is found."""
    error = str(refusal({k: torch.zeros(4, 3, 4, 4) for k in keys}, tmp_path))
    assert words in error


def _changed(key: str, tensor: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = {**STATE, key: tensor}
    return {k: x for k, x in state.items() if x is not None}


@pytest.mark.parametrize(
    ("key", "tensor", "words"),
    [
        ("backbone.stages.2.1.norm.bias", None, "stages.2.blocks.1.norm.bias (20,) is missing"),
        ("backbone.norm3.weight", None, "head.norm.weight (16,) is missing"),
        ("backbone.stages.1.0.gamma", None, "stages.1.blocks.0.gamma (12,) is missing"),
        (
            "backbone.stages.1.0.pointwise_conv1.weight",
            torch.zeros(36, 12),
            "is (36, 12), such a ConvNeXt has (48, 12)",
        ),
        ("backbone.stages.9.0.gamma", torch.zeros(2), "stages"),
        ("backbone.stages.1.99999999999.gamma", torch.zeros(12), "stages.1.blocks.2 is missing"),
        ("backbone.stages.0.0.norm.weight", torch.zeros(0), "has shape (0,)"),
        ("backbone.downsample_layers.0.0.weight", torch.tensor(1.0), "has shape ()"),
        ("head.layers.0.fc.weight", torch.zeros(3, 3), "head.layers.0.fc.weight (3, 3) has no place"),
        (
            "backbone.stages.3.0.norm.weight",
            torch.tensor([float("nan")] * 16),
            "stages.3.blocks.0.norm.weight holds NaN",
        ),
        ("head.fc.bias", torch.tensor([0, 0, 0, float("inf")]), "head.fc.bias holds NaN or infinity"),
        ("head.fc.bias", torch.zeros(4, dtype=torch.int8), "head.fc.bias is torch.int8"),
        ("head.fc.weight", torch.zeros(4, 16).to_sparse(), "torch.sparse_coo"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(key: str, tensor: torch.Tensor | None, words: str, tmp_path: Path) -> None:
    """Missing, too many, of another shape, not finite, quantised: which, in whose shape."""
    assert words in str(refusal(_changed(key, tensor), tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "no weights in it (found: nothing)"),
        ({"epoch": 3, "optimizer": {}}, "found: epoch, optimizer"),
        ([1, 2], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        ({"state_dict": {"epoch": 1}}, "not one tensor"),
    ],
)
def test_checkpoints_without_weights_are_told(content: Any, words: str, tmp_path: Path) -> None:
    """Files of the optimiser, of results, of a single tensor."""
    assert words in str(refusal(content, tmp_path))


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["pytorch_model.pt", "epoch_3.pth"], "pytorch_model.pt"),
        (["checkpoints.pth", "other.pth"], "checkpoints.pth"),
        (["README.md", "configuration.json", "best.pth"], "best.pth"),
        (["pytorch_model.bin", "model.safetensors"], "model.safetensors"),
    ],
)
def test_a_folder_gives_its_checkpoint(names: list[str], chosen: str, tmp_path: Path) -> None:
    """ModelScope's names first, then Hugging Face's, then the only one there is."""
    for name in names:
        (tmp_path / name).write_text("x")
    assert find_checkpoint(tmp_path) == tmp_path / chosen


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no checkpoint in it"),
        (["README.md"], "no checkpoint in it"),
        (["epoch_1.pth", "epoch_2.pth"], "2 checkpoints: epoch_1.pth, epoch_2.pth"),
        (["pytorch_model.pt.incomplete"], "not finished"),
        (["bundle.json", "model.safetensors"], "is a bundle already"),
    ],
)
def test_a_folder_without_one_says_why(names: list[str], words: str, tmp_path: Path) -> None:
    """Empty, several, half downloaded, or a bundle."""
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(ModelError, match=words) as caught:
        find_checkpoint(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_paths_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    """Missing, a dangling link, a loop of links, a pipe; a good link is followed."""
    (tmp_path / "dangling").symlink_to("gone.pth")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "good").symlink_to("model.pth")
    (tmp_path / "model.pth").write_bytes(ZIPPED)
    for name, words in {
        "none": "no such file",
        "dangling": r"leads nowhere \(gone.pth\)",
        "loop": "loop",
        "pipe": "neither a file nor a folder",
        "x" * 300: "name too long",
    }.items():
        with pytest.raises(ModelError, match=f"(?i){words}"):
            find_checkpoint(tmp_path / name)
    assert find_checkpoint(tmp_path / "good") == tmp_path / "good"
    assert read_checkpoint(tmp_path / "good").outputs == 4
