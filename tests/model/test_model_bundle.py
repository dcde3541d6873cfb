"""Bundles: what is written is read back; every wrong thing is one error that names file, place and mend."""

from __future__ import annotations

import json
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bin_daemon.errors import ModelError
from bin_daemon.model import bundle as bundle_module
from bin_daemon.model.bundle import METADATA_FILE, WEIGHTS_FILE, read_bundle, read_metadata, write_bundle
from bin_daemon.model.weights import read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((path / METADATA_FILE).read_text())
    change(content)
    (path / METADATA_FILE).write_text(json.dumps(content))


def test_a_written_bundle_reads_back_the_same(plain_bundle: Path, tmp_path: Path) -> None:
    """Metadata and every tensor survive a round trip, scalars included."""
    metadata = read_metadata(plain_bundle)
    weights = read_weights(plain_bundle / WEIGHTS_FILE) | {"count": np.array(3, np.int64)}
    written = write_bundle(tmp_path / "copy", metadata, weights)
    again = read_bundle(tmp_path / "copy")
    assert again == written
    assert again.metadata.model_dump(exclude={"sha256"}) == metadata.model_dump(exclude={"sha256"})
    found = read_weights(again.weights_path)
    assert found.keys() == weights.keys()
    assert all(
        np.array_equal(found[name], weights[name]) and found[name].shape == weights[name].shape for name in weights
    )


def test_another_user_can_read_a_written_bundle(plain_bundle: Path, tmp_path: Path) -> None:
    """What root imports, the daemon's own user runs: folder and files are readable by everybody."""
    write_bundle(tmp_path / "copy", read_metadata(plain_bundle), read_weights(plain_bundle / WEIGHTS_FILE))
    modes = {x.name: x.stat().st_mode & 0o777 for x in (tmp_path / "copy", *(tmp_path / "copy").iterdir())}
    assert modes == {"copy": 0o755, METADATA_FILE: 0o644, WEIGHTS_FILE: 0o644}


def test_a_failed_write_leaves_the_old_bundle(bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk while writing a new version: one error, the old version whole, no leftovers."""
    before = {file.name: file.read_bytes() for file in bundle_copy.iterdir()}

    def full(file: Path, weights: Mapping[str, NDArray[np.generic]]) -> None:
        file.write_bytes(b"half")
        raise OSError(28, f"No space left on device, {len(weights)} arrays to go")

    monkeypatch.setattr(bundle_module, "write_weights", full)
    with pytest.raises(ModelError, match="No space left"):
        write_bundle(bundle_copy, read_metadata(bundle_copy), read_weights(bundle_copy / WEIGHTS_FILE))
    assert {file.name: file.read_bytes() for file in bundle_copy.iterdir()} == before
    assert list(bundle_copy.parent.iterdir()) == [bundle_copy]


def test_a_bundle_never_replaces_another_folder(plain_bundle: Path, tmp_path: Path) -> None:
    """A slip of the pen must not delete a folder of photographs."""
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(ModelError, match="exists and is no model bundle"):
        write_bundle(tmp_path, read_metadata(plain_bundle), {})
    assert (tmp_path / "holiday.jpg").exists()


def test_weights_that_are_not_finite_are_not_written(plain_bundle: Path, tmp_path: Path) -> None:
    """NaN weights are caught where they are made, with the tensor's name."""
    weights = read_weights(plain_bundle / WEIGHTS_FILE)
    weights["head.fc.bias"] = np.full_like(weights["head.fc.bias"], np.nan)
    with pytest.raises(ModelError, match=r"head\.fc\.bias holds NaN"):
        write_bundle(tmp_path / "nan", read_metadata(plain_bundle), weights)
    assert not (tmp_path / "nan").exists()


def test_nan_weights_from_elsewhere_are_refused(bundle_copy: Path) -> None:
    """A file that some other program wrote is checked when its weights are read."""
    weights = read_weights(bundle_copy / WEIGHTS_FILE)
    weights["stem.0.bias"] = np.full_like(weights["stem.0.bias"], np.inf)
    write_weights(bundle_copy / WEIGHTS_FILE, weights)
    with pytest.raises(ModelError, match=r"model\.safetensors: stem\.0\.bias holds NaN or infinity"):
        read_weights(bundle_copy / WEIGHTS_FILE)


def test_one_flipped_bit_is_a_digest_error(bundle_copy: Path, flip_bit: Callable[[Path], None]) -> None:
    """Bit rot in the weights cannot pass."""
    flip_bit(bundle_copy / WEIGHTS_FILE)
    with pytest.raises(ModelError, match=r"model\.safetensors: sha256 is") as caught:
        read_bundle(bundle_copy)
    assert "again" in caught.value.hint


def _as_digest_of(path: Path) -> None:
    from bin_daemon.model.weights import sha256_of

    _edit(path, lambda x: x["sha256"].update({WEIGHTS_FILE: sha256_of(path / WEIGHTS_FILE)}))


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, pickle.dumps({"a": 1}), b"PK\x03\x04 not weights"])
def test_a_file_that_is_no_safetensors_is_refused(bundle_copy: Path, content: bytes) -> None:
    """Empty, zeroed, a pickle or a zip under the right name and digest: one error, nothing executed."""
    (bundle_copy / WEIGHTS_FILE).write_bytes(content)
    _as_digest_of(bundle_copy)
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        read_bundle(bundle_copy)


def test_a_truncated_weight_file_is_refused_whatever_its_digest(bundle_copy: Path) -> None:
    """Half a download with a digest made from it still fails."""
    file = bundle_copy / WEIGHTS_FILE
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="sha256 is"):
        read_bundle(bundle_copy)
    _as_digest_of(bundle_copy)
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        read_bundle(bundle_copy)


def test_missing_things_are_named(bundle_copy: Path, tmp_path: Path) -> None:
    """No folder, a file for a folder, no metadata, no weights: each says which."""
    with pytest.raises(ModelError, match="no such folder"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="is a file, not a folder"):
        read_bundle(bundle_copy / METADATA_FILE)
    (bundle_copy / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: No such file"):
        read_bundle(bundle_copy)
    (bundle_copy / METADATA_FILE).unlink()
    with pytest.raises(ModelError, match=r"no bundle\.json in it"):
        read_bundle(bundle_copy)


def _set(*place: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        at: Any = content
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = to

    return change


WRONG = {
    "format_version": (_set("format_version", to=2), "format_version.*found '2'"),
    "id with a path": (_set("id", to="../../etc"), "id: .*found '../../etc'"),
    "temperature": (_set("temperature", to=0), "temperature: .*greater than or equal to 0.01"),
    "temperature text": (_set("temperature", to="warm"), "temperature: .*found 'warm'"),
    "category": (_set("labels", 3, "category", to="plastic"), r"labels\.3\.category: .*found 'plastic'"),
    "label265": (_set("labels", 1, "label265", to=265), r"labels\.1\.label265: .*found '265'"),
    "twice": (_set("labels", 1, "label", to="recyclable-0"), "labels: .*index 0 and again at 1"),
    "labels type": (_set("labels", to="all"), "labels: "),
    "unknown key": (_set("labels", 0, "colour", to="red"), r"labels\.0\.colour: "),
    "architecture": (_set("architecture", "name", to="resnet50"), r"architecture\.name: .*found 'resnet50'"),
    "hub name": (_set("architecture", "name", to="hf-hub:evil/model"), r"architecture\.name: "),
    "pretrained": (
        _set("architecture", "kwargs", to={"pretrained": True}),
        r"architecture\.kwargs: .*'pretrained' is not",
    ),
    "eps": (_set("architecture", "norm_eps", to={"stem.1": -1.0}), r"architecture\.norm_eps\.stem\.1: "),
    "std infinite": (_set("preprocessing", "std", to=[math.inf, 1.0, 1.0]), r"preprocessing\.std\.0: .*finite"),
    "mean": (_set("preprocessing", "mean", to=[math.nan, 0.0, 0.0]), r"preprocessing\.mean\.0: .*finite"),
    "std": (_set("preprocessing", "std", to=[0.2, 0.0, 0.2]), r"preprocessing\.std: .*above 0"),
    "crop": (_set("preprocessing", "crop_px", to=74), "preprocessing: .*crop_px 74 is larger than resize_px 73"),
    "backend": (_set("preprocessing", "backend", to="gpu"), r"preprocessing\.backend: .*found 'gpu'"),
    "no digest": (_set("sha256", to={}), r"sha256 has no entry for model\.safetensors"),
    "foreign digest": (_set("sha256", "../../etc/passwd", to="00"), "not a file of the bundle"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_metadata_is_one_error_with_file_and_place(bundle_copy: Path, case: str) -> None:
    """Each wrong value is named with its place in the file and what was found there."""
    change, message = WRONG[case]
    _edit(bundle_copy, change)
    with pytest.raises(ModelError, match=message) as caught:
        read_bundle(bundle_copy)
    assert str(bundle_copy / METADATA_FILE) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_metadata_that_is_no_json_object_is_refused(bundle_copy: Path, content: bytes) -> None:
    """Empty, cut, of another type, not UTF-8, nested without end: an error, never a traceback."""
    (bundle_copy / METADATA_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=r"bundle\.json: "):
        read_bundle(bundle_copy)


def test_metadata_of_gigabytes_is_not_read(bundle_copy: Path) -> None:
    """A sparse file of 1 GB is refused by its size."""
    with (bundle_copy / METADATA_FILE).open("r+b") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(ModelError, match="larger than"):
        read_bundle(bundle_copy)


def test_label_count_must_match_the_weights(bundle_copy: Path) -> None:
    """One label too few would shift nothing visible and sort wrongly: refused with both numbers."""
    _edit(bundle_copy, lambda x: x["labels"].pop())
    with pytest.raises(ModelError, match=r"head\.fc\.weight has 8 rows, bundle\.json has 7 labels"):
        read_bundle(bundle_copy)


def test_weights_of_another_family_are_refused(bundle_copy: Path) -> None:
    """ConvNeXt weights under the stand-in's architecture lack its last layer."""
    _edit(bundle_copy, _set("architecture", to={"name": "tf_efficientnet_lite0"}))
    with pytest.raises(ModelError, match=r"no tensor classifier\.weight"):
        read_bundle(bundle_copy)
