"""`bin-daemon model import` and `model labels`: where the bundle goes, what is told, and that nothing else changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bin_daemon.cli import app
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.store import activate, active_bundle, models_dir
from bin_daemon.model.taxonomy import labels265
from tests.model import import_rig as rig

runner = CliRunner()
NAMES = [x.label for x in labels265()[250:254]]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small checkpoint as the card's, four labels from two categories."""
    file = tmp_path / "pytorch_model.pt"
    torch.save(rig.card_checkpoint(rig.weights(), NAMES), file)
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config whose state directory is the test's own."""
    file = tmp_path / "bin.toml"
    file.write_text(f'[service]\nstate_dir = "{tmp_path / "state"}"\n')
    return file


def test_it_goes_into_the_store_and_says_where(checkpoint: Path, config: Path, tmp_path: Path) -> None:
    """Network, layout, eps and why, labels, preprocessing and why, the folder, the next step."""
    result = runner.invoke(app, ["model", "import", str(checkpoint), "--config", str(config)])
    assert result.exit_code == 0, result.output
    (folder,) = models_dir(tmp_path / "state").iterdir()
    assert str(folder) in result.stdout
    for words in (
        "convnext_atto",
        "mmcls0 (no framework version in the checkpoint: taken for mmcls 0.x)",
        "4: 0 recyclable, 0 kitchen, 3 hazardous, 1 other (class names in the checkpoint)",
        "(nothing says: the card's)",
        f"bin-daemon model activate {folder}",
    ):
        assert words in result.stdout
    assert active_bundle(tmp_path / "state") is None


def test_out_becomes_the_bundle_and_json_tells_it(checkpoint: Path, config: Path, tmp_path: Path) -> None:
    """An empty folder is taken as it is; licence, id, eps and labels as asked for."""
    out = tmp_path / "mine"
    out.mkdir()
    options = [
        "--out",
        str(out),
        "--id",
        "mine-1",
        "--licence",
        "MIT",
        "--eps",
        "mmpretrain1",
        "--config",
        str(config),
        "--json",
    ]
    result = runner.invoke(app, ["model", "import", str(checkpoint), *options])
    assert result.exit_code == 0, result.output
    said, bundle = json.loads(result.stdout), read_bundle(out)
    assert (said["path"], said["id"], said["sha256"]) == (str(out), "mine-1", bundle.sha256)
    assert said["eps"] == {"family": "mmpretrain1", "reason": "as asked for"}
    assert said["labels"] | {"count": 4, "hazardous": 3, "other": 1} == said["labels"]
    assert said["checkpoint"]["layout"] == "mmcls"
    assert said["parameters"] == sum(x.numel() for x in rig.weights().values())
    assert (bundle.metadata.licence, bundle.metadata.architecture.norm_eps) == ("MIT", {})
    assert not (tmp_path / "state").exists()


def test_a_folder_in_use_is_left_alone(checkpoint: Path, config: Path, tmp_path: Path) -> None:
    """Even another bundle's: import never replaces; a link to nowhere and a file are in use too."""
    bundle = tmp_path / "bundle"
    runner.invoke(app, ["model", "import", str(checkpoint), "--out", str(bundle), "--config", str(config)])
    before = sorted((x.name, x.stat().st_mtime_ns) for x in bundle.iterdir())
    (tmp_path / "link").symlink_to("gone")
    for out in (bundle, checkpoint, tmp_path / "link"):
        result = runner.invoke(app, ["model", "import", str(checkpoint), "--out", str(out), "--config", str(config)])
        assert isinstance(result.exception, ConfigError)
        assert result.exception.exit_code == 78
    assert sorted((x.name, x.stat().st_mtime_ns) for x in bundle.iterdir()) == before


def test_a_bad_checkpoint_leaves_the_active_model(
    checkpoint: Path, config: Path, tmp_path: Path, exported_bundle: Path
) -> None:
    """Nothing half-written in the store, the pointer as it was."""
    state = tmp_path / "state"
    active = activate(exported_bundle, state)
    before = {x: x.stat().st_mtime_ns for x in state.rglob("*") if x.is_file()}
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    result = runner.invoke(app, ["model", "import", str(checkpoint), "--config", str(config)])
    assert isinstance(result.exception, ModelError)
    assert active_bundle(state) == active
    assert {x: x.stat().st_mtime_ns for x in state.rglob("*") if x.is_file()} == before


def test_the_same_checkpoint_twice_is_one_bundle(checkpoint: Path, config: Path, tmp_path: Path) -> None:
    """The folder's name comes from the content."""
    for _ in range(2):
        assert runner.invoke(app, ["model", "import", str(checkpoint), "-c", str(config)]).exit_code == 0
    assert len(list(models_dir(tmp_path / "state").iterdir())) == 1


def test_the_source_may_go_once_it_is_imported(checkpoint: Path, config: Path, tmp_path: Path) -> None:
    """Weights were mapped from the file while importing; the bundle holds its own. `classify` then judges with it."""
    folder = checkpoint.parent / "download"
    folder.mkdir()
    shutil.move(checkpoint, folder / "pytorch_model.pt")
    out = tmp_path / "bundle"
    result = runner.invoke(app, ["model", "import", str(folder), "--out", str(out), "--config", str(config)])
    assert result.exit_code == 0, result.output
    shutil.rmtree(folder)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(
        tmp_path / "photo.png"
    )
    config.write_text(config.read_text() + '[model]\nengine = "torch"\n')
    words = ["classify", str(tmp_path / "photo.png"), "--model", str(out), "--config", str(config), "--json"]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.output
    assert {x[0] for x in json.loads(result.stdout)["top"]} == set(NAMES)


def test_labels_lists_what_an_override_may_name(config: Path, tmp_path: Path) -> None:
    """Without a model: the card's 265; the site's own rule is shown beside the model's category."""
    config.write_text(config.read_text() + '[model.label_overrides]\n"充电宝" = "hazardous"\n')
    result = runner.invoke(app, ["model", "labels", "--find", "power bank", "--json", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "index": 67,
        "label": "可回收物-充电宝",
        "gloss": "power bank",
        "category": "recyclable",
        "site_category": "hazardous",
        "similar": [],
    }
    shown = runner.invoke(app, ["model", "labels", "--find", "电池", "--config", str(config)])
    assert "4 of 265 labels" in shown.stdout
    nothing = runner.invoke(app, ["model", "labels", "--find", "qqq", "--config", str(config)])
    assert (nothing.exit_code, "0 of 265" in nothing.stdout) == (1, True)


def test_labels_of_a_model_are_its_own(checkpoint: Path, config: Path, tmp_path: Path) -> None:
    """Its indexes, not those of the 265."""
    out = tmp_path / "bundle"
    runner.invoke(app, ["model", "import", str(checkpoint), "--out", str(out), "--config", str(config)])
    result = runner.invoke(app, ["model", "labels", "--model", str(out), "--json", "--config", str(config)])
    rows = [json.loads(x) for x in result.stdout.splitlines()]
    assert [(x["index"], x["label"]) for x in rows] == list(enumerate(NAMES))
