"""int8: made only when it passed on pictures, opened only with the record of that, and never by itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bin_daemon.cli import app
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model import int8_export
from bin_daemon.model.agreement import Agreement, measure
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, read_bundle, write_bundle
from bin_daemon.model.engine import open_engine
from bin_daemon.model.int8_export import export_int8
from bin_daemon.model.int8_file import INT8_DATA_FILE, INT8_FILE, INT8_SIDECAR_FILE, checked_int8, needs_reduced_range
from bin_daemon.model.labels import CATEGORIES
from bin_daemon.model.onnx_file import SIDECAR_FILE, ensure_onnx
from bin_daemon.model.photos import Photo, find_photos

LINEAR = ArchitectureInfo(name="convnext_tiny", kwargs={"depths": (1, 1, 1, 1), "dims": (16, 24, 32, 48)})
"""Its blocks hold matrix products; the tiny bundle of the other tests has 1 x 1 convolutions in their place."""
LABELS = tuple(LabelInfo(label=f"{c.value}-{i}", category=c) for i, c in enumerate([*CATEGORIES, *CATEGORIES]))
FILES = (INT8_FILE, INT8_DATA_FILE, INT8_SIDECAR_FILE)


@pytest.fixture(scope="session")
def linear_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported to ONNX; only to be read."""
    import torch

    from bin_daemon.model.network import build_network, weights_of

    torch.manual_seed(11)
    network = build_network(LINEAR, len(LABELS))
    for name, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.3)
    metadata = BundleMetadata(
        id="linear-11", architecture=LINEAR, labels=LABELS, preprocessing=Preprocessing(resize_px=73, crop_px=64)
    )
    path = tmp_path_factory.mktemp("models") / "linear"
    ensure_onnx(write_bundle(path, metadata, weights_of(network)))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures without label."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    for number in range(3):
        noise = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((96, 80)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def int8_bundle(linear_bundle: Path, pictures: Path) -> Path:
    """With int8 file and sidecar; only to be read."""
    path = shutil.copytree(linear_bundle, linear_bundle.with_name("linear-int8"))
    bundle = read_bundle(path)
    export_int8(bundle, find_photos(pictures, bundle.metadata), 1)
    return path


@pytest.fixture
def copy(int8_bundle: Path, tmp_path: Path) -> Path:
    """One that the test may damage."""
    return shutil.copytree(int8_bundle, tmp_path / "copy")


def test_int8_runs_and_nearly_agrees(int8_bundle: Path) -> None:
    """Every product but the last has 8-bit weights; logits differ by a few hundredths of their spread, and do differ."""
    import onnx

    bundle = read_bundle(int8_bundle)
    images = np.random.default_rng(3).standard_normal((2, 3, 64, 64)).astype(np.float32)
    exact, found = (open_engine(bundle, kind, 1).logits(images) for kind in ("onnx", "onnx-int8"))
    assert 0 < np.abs(exact - found).max() < 0.25 * exact.std()
    kinds = [x.op_type for x in onnx.load(str(int8_bundle / INT8_FILE), load_external_data=False).graph.node]
    assert kinds.count("MatMulInteger") == 8
    assert (int8_bundle / INT8_DATA_FILE).stat().st_mode & 0o444 == 0o444, "the daemon runs as another user"


def test_the_sidecar_tells_what_was_measured(int8_bundle: Path) -> None:
    """Number of pictures, differences, agreement, and how it was quantised."""
    told = json.loads((int8_bundle / INT8_SIDECAR_FILE).read_text())
    assert told["agreement"]["pictures"] == 3
    assert told["agreement"]["labelled"] == 0
    assert told["agreement"]["same_category"] == 1.0
    assert told["agreement"]["max_logit_difference"] > 0
    assert told["matrix_products"] == 8
    assert told["reduce_range"] == needs_reduced_range()
    assert set(told["sha256"]) == {INT8_FILE, INT8_DATA_FILE}


def test_without_its_record_int8_does_not_open(linear_bundle: Path) -> None:
    """Not made: the command that makes it is named."""
    with pytest.raises(ModelError, match="not exported to int8 yet") as caught:
        open_engine(read_bundle(linear_bundle), "onnx-int8", 1)
    assert "--engine onnx-int8 --pictures" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agreement": {"same_category": 0.9}}, r"did not pass: only 90\.00% of 3 pictures"),
        ({"agreement": {"pictures": 0}}, r"did not pass: no picture was compared"),
        (
            {"agreement": {"labelled": 2, "category_accuracy": 0.5, "exact_category_accuracy": 0.506}},
            r"did not pass: category accuracy",
        ),
        ({"decision_id": "0"}, r"measured with other labels"),
        ({"architecture_id": "0"}, r"exported from other weights"),
        ({"sha256": {INT8_FILE: "0"}}, r"sha256 differs"),
        ({"sha256": {"../../etc/passwd": "0"}}, r"sha256 differs"),
        ({"agreement": {"same_category": 7}}, r"damaged"),
    ],
)
def test_a_record_that_does_not_hold_is_refused(copy: Path, change: dict[str, Any], message: str) -> None:
    """Not passed, of another network, of other labels, damaged: one error each, before anything is loaded."""
    file = copy / INT8_SIDECAR_FILE
    told = json.loads(file.read_text())
    for key, value in change.items():
        told[key] = told[key] | value if isinstance(value, dict) else value
    file.write_text(json.dumps(told))
    with pytest.raises(ModelError, match=message):
        checked_int8(read_bundle(copy))


def test_flipped_bits_are_seen(copy: Path, flip_bit: Callable[[Path], None]) -> None:
    """In the graph and in the weights beside it."""
    for name in (INT8_DATA_FILE, INT8_FILE):
        flip_bit(copy / name)
        with pytest.raises(ModelError, match=f"{name}: sha256 differs"):
            checked_int8(read_bundle(copy))
        flip_bit(copy / name)
    assert checked_int8(read_bundle(copy)) == copy / INT8_FILE


def test_another_temperature_asks_for_another_measurement(copy: Path) -> None:
    """It changes which category wins."""
    file = copy / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"temperature": 3.0}))
    with pytest.raises(ModelError, match="other labels, temperature"):
        checked_int8(read_bundle(copy))


@pytest.mark.parametrize(
    ("flags", "machine", "wanted"),
    [("avx2 fma", "x86_64", True), ("avx2 avx_vnni", "x86_64", False), ("", "aarch64", False)],
)
def test_weights_have_7_bits_where_8_would_overflow(
    flags: str, machine: str, wanted: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x86 without VNNI adds pairs of products in 16 bits."""
    (tmp_path / "cpuinfo").write_text(f"flags\t: fpu {flags}\n")
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert needs_reduced_range(tmp_path / "cpuinfo") is wanted


def test_an_8_bit_file_is_not_used_where_it_would_overflow(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made on a machine with VNNI, copied to one without."""
    file = copy / INT8_SIDECAR_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"reduce_range": False}))
    monkeypatch.setattr("bin_daemon.model.int8_file.needs_reduced_range", lambda: True)
    with pytest.raises(ModelError, match="made for a CPU with VNNI"):
        checked_int8(read_bundle(copy))


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [(0, ""), (1, ""), (2, r"falls by 1\.00 points on 200 labelled pictures \(100\.00% to 99\.00%\)")],
)
def test_half_a_point_of_category_accuracy_is_the_limit(linear_bundle: Path, wrong: int, wanted: str) -> None:
    """On 200 labelled pictures one may go wrong (0.5 points), two may not."""
    exact = np.tile(np.eye(8, dtype=np.float32), (25, 1)) * 9
    found = exact.copy()
    found[:wrong] = np.roll(found[:wrong], 1, axis=1)
    truth = [CATEGORIES.index(LABELS[i % 8].category) for i in range(200)]
    agreement = measure(read_bundle(linear_bundle), exact, found, truth)
    assert agreement.drop_points == pytest.approx(wrong / 2)
    assert re.search(wanted or "^$", agreement.refused_because)


def test_without_labels_the_categories_have_to_agree(linear_bundle: Path) -> None:
    """One of 200 may differ, two may not; another label of the same category is no harm."""
    exact = np.tile(np.eye(8, dtype=np.float32), (25, 1)) * 9
    same_category = exact.copy()
    same_category[0] = np.roll(same_category[0], 4)
    found = measure(read_bundle(linear_bundle), exact, same_category, [None] * 200)
    assert found.same_top1 == 0.995
    assert found.same_category == 1.0
    for wrong, refused in ((1, False), (2, True)):
        other = exact.copy()
        other[:wrong] = np.roll(other[:wrong], 1, axis=1)
        agreement = measure(read_bundle(linear_bundle), exact, other, [None] * 200)
        assert bool(agreement.refused_because) is refused


def test_nan_is_never_taken_for_agreement(linear_bundle: Path) -> None:
    """NaN compares false with everything, so it is looked for."""
    exact = np.zeros((2, 8), np.float32)
    with pytest.raises(ModelError, match="NaN"):
        measure(read_bundle(linear_bundle), exact, np.full_like(exact, np.nan), [None, None])


def test_a_refused_int8_leaves_nothing(
    linear_bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labelled pictures that the real int8 file gets wrong: one error with the figures, the bundle as it was."""
    bundle = read_bundle(shutil.copytree(linear_bundle, tmp_path / "copy"))
    before = {x.name: x.read_bytes() for x in bundle.path.iterdir()}
    poor = Agreement(
        pictures=3, labelled=3, max_logit_difference=2, same_category=0.6, same_top1=0.6,
        category_accuracy=0.6, exact_category_accuracy=0.9,
    )  # fmt: skip
    monkeypatch.setattr(int8_export, "compare", lambda *_: poor)
    with pytest.raises(ModelError, match=r"int8 refused: category accuracy falls by 30\.00 points"):
        export_int8(bundle, find_photos(pictures, bundle.metadata), 1)
    assert {x.name: x.read_bytes() for x in bundle.path.iterdir()} == before


def test_a_picture_that_is_none_leaves_nothing(linear_bundle: Path, tmp_path: Path) -> None:
    """Half-way through the comparison: its file is named, the bundle is as it was."""
    bundle = read_bundle(shutil.copytree(linear_bundle, tmp_path / "copy"))
    before = sorted(x.name for x in bundle.path.iterdir())
    (tmp_path / "no.jpg").write_text("no picture")
    with pytest.raises(ModelError, match=r"no\.jpg"):
        export_int8(bundle, [Photo(tmp_path / "no.jpg", None)], 1)
    assert sorted(x.name for x in bundle.path.iterdir()) == before


def test_a_network_of_convolutions_is_told_that_int8_is_of_no_use(exported_bundle: Path, pictures: Path) -> None:
    """Its one product is the last layer: quantising that gains nothing."""
    bundle = read_bundle(exported_bundle)
    with pytest.raises(ModelError, match="int8 is of no use: 1 matrix products"):
        export_int8(bundle, find_photos(pictures, bundle.metadata), 1)


def test_what_an_interrupted_export_left_is_removed(copy: Path, pictures: Path) -> None:
    """A kill -9 leaves a working folder; the old files still hold, and the next export clears it away."""
    (copy / ".export.dead").mkdir()
    (copy / ".export.dead" / INT8_FILE).write_bytes(b"half")
    bundle = read_bundle(copy)
    assert checked_int8(bundle)
    export_int8(bundle, find_photos(pictures, bundle.metadata), 1)
    assert not (copy / ".export.dead").exists()
    assert checked_int8(bundle)


def test_a_bundle_that_cannot_be_written_is_one_error(
    linear_bundle: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system, or a full disk."""

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    bundle = read_bundle(linear_bundle)
    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(ModelError, match=r"cannot export into .*: Read-only file system") as caught:
        export_int8(bundle, find_photos(pictures, bundle.metadata), 1)
    assert "copy the bundle" in caught.value.hint


def test_the_command_exports_and_tells(linear_bundle: Path, pictures: Path, tmp_path: Path) -> None:
    """`model export`: words for people, one JSON object for scripts; int8 without pictures is refused with the way out."""
    path = shutil.copytree(linear_bundle, tmp_path / "copy")
    run = CliRunner().invoke
    done = run(app, ["model", "export", str(path), "--engine", "onnx-int8"])
    assert isinstance(done.exception, ConfigError)
    assert "--pictures" in done.exception.hint
    assert not (path / INT8_FILE).exists()

    done = run(app, ["model", "export", str(path), "--engine", "onnx-int8", "--pictures", str(pictures)])
    assert done.exception is None
    assert "3 pictures: same category 100.00%" in done.stdout
    assert "3 pictures say little" in done.stdout

    done = run(app, ["model", "export", str(path), "--pictures", str(pictures), "--json"])
    assert done.exception is None
    told = json.loads(done.stdout)
    assert told["engine"] == "onnx"
    assert told["agreement"]["max_logit_difference"] < 1e-3
    assert json.loads((path / SIDECAR_FILE).read_text())["agreement"]["pictures"] == 3
    assert checked_int8(read_bundle(path)), "a new export of the same weights leaves int8 valid"
