"""`bin-daemon model pull`: from a hub on loopback to an active model."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from bin_daemon.cli.model import model_app
from bin_daemon.cli.model_progress import progress
from bin_daemon.errors import BinError, ConfigError, ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.hub import DEFAULT_ENDPOINT, DEFAULT_MODEL, HubFile, default_revision
from bin_daemon.model.hub.pull import choose_weights, stated_licence
from bin_daemon.model.store import active_bundle, models_dir
from bin_daemon.model.taxonomy import labels265
from tests.model import import_rig
from tests.model.fake_hub import MODEL, FakeHub, running

CONFIGURATION = {
    "framework": "pytorch",
    "preprocessor": {
        "val": [
            {"type": "LoadImageFromFile"},
            {"type": "Resize", "size": [72, -1], "backend": "pillow", "interpolation": "bicubic"},
            {"type": "CenterCrop", "crop_size": 64},
            {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True},
        ]
    },
}
Run = Callable[..., str]


def _checkpoint() -> bytes:
    """Small, of the card's layout: mmcls key names, class names of the 265."""
    names = [x.label for x in labels265()][50:58]
    stream = io.BytesIO()
    torch.save({"meta": {"CLASSES": names}, "state_dict": import_rig.mmcls(import_rig.weights(8))}, stream)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's network needs is no part of a test."""
    for name in [x for x in os.environ if x.lower().endswith("_proxy") or x.startswith("MODELSCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """What the hub has."""
    return {
        "pytorch_model.pt": _checkpoint(),
        "configuration.json": json.dumps(CONFIGURATION).encode(),
        "README.md": b"---\nlicense: Apache License 2.0\n---\n",
        "resources/picture.jpg": b"\xff" * 1000,
    }


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[FakeHub]:
    """A hub, and a store that it sends downloads of weights on to."""
    with running(FakeHub(files)) as store, running(FakeHub(dict(files), store_base=store.base)) as hub:
        yield hub


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory."""
    return tmp_path / "state"


@pytest.fixture
def run(tmp_path: Path, state: Path, server: FakeHub) -> Run:
    """Pulls with these words; stdout."""
    config = tmp_path / "bin.toml"
    config.write_text(
        f'config_version = 1\n[service]\nstate_dir = "{state}"\nruntime_dir = "{tmp_path / "run"}"\n'
        '[model]\nengine = "torch"\n'  # saves the export, which is another test's business
    )

    def invoke(*words: str, code: int = 0) -> str:
        words = ("pull", *words, "--endpoint", server.base, "--config", str(config))
        result = CliRunner().invoke(model_app, words)
        if isinstance(result.exception, BinError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    return invoke


def test_a_whole_run(run: Run, server: FakeHub, state: Path) -> None:
    """No words at all: the card's model, imported into the store with its origin, labels and preprocessing; not active."""
    shown = run()
    (stored,) = models_dir(state).iterdir()
    metadata = read_bundle(stored).metadata
    assert f"imported: {stored}" in shown
    assert f"next: bin-daemon model activate {stored} --config " in shown
    assert "licence of the model: Apache License 2.0" in shown
    assert metadata.licence == "Apache License 2.0"
    assert f"{server.base}/models/{MODEL}, revision v1.0.2, sha256 " in metadata.source
    assert [x.label265 for x in metadata.labels] == list(range(50, 58))
    assert (metadata.preprocessing.resize_px, metadata.preprocessing.crop_px) == (72, 64)
    assert set(metadata.architecture.norm_eps.values()) == {1e-5}
    assert active_bundle(state) is None
    assert not any((state / "downloads").iterdir()), "what was downloaded is in the bundle now"


def test_json_lines_to_an_active_model(run: Run, state: Path) -> None:
    """For scripts: progress, imported, active, each one object a line."""
    events = [json.loads(x) for x in run("--activate", "--json").splitlines()]
    assert [x["event"] for x in events if x["event"] != "progress"] == ["imported", "active"]
    last = {x["file"]: x for x in events if x["event"] == "progress"}
    assert set(last) == {"pytorch_model.pt", "configuration.json", "README.md"}
    assert all(x["bytes"] == x["of"] for x in last.values())
    active = active_bundle(state)
    assert active is not None
    assert active.name == events[-1]["name"]


def test_only_the_download(run: Run, files: dict[str, bytes], tmp_path: Path, state: Path) -> None:
    """For a bin without a network: the files in DIR, ready for `model import`."""
    shown = run("--download-only", "--out", str(tmp_path / "stick"))
    assert {x.name for x in (tmp_path / "stick").iterdir()} == set(files) - {"resources/picture.jpg"}
    assert f"next: bin-daemon model import {tmp_path / 'stick' / 'pytorch_model.pt'}" in shown
    assert not state.exists()


def test_a_bundle_of_its_own(run: Run, tmp_path: Path, state: Path) -> None:
    """--out: DIR becomes the bundle; nothing else stays beside it."""
    run("--out", str(tmp_path / "mine"))
    read_bundle(tmp_path / "mine")
    assert not state.exists()
    assert not (tmp_path / "mine.download").exists()
    with pytest.raises(ConfigError, match="not an empty folder"):
        run("--out", str(tmp_path / "mine"))


def test_contradictions_are_wrong_usage(run: Run, server: FakeHub) -> None:
    """Exit 2 before anything is asked."""
    run("--activate", "--download-only", code=2)
    run("--activate", "--out", "x", code=2)
    assert server.asked == []


def test_a_checkpoint_that_is_none_keeps_the_active_model(run: Run, server: FakeHub, state: Path) -> None:
    """Downloaded rightly, but not a model: one error; the active one stays, the download too, for a look at it."""
    run("--activate")
    active = active_bundle(state)
    server.files["pytorch_model.bin"] = b"not a checkpoint"
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        run("--activate", "--weights", "pytorch_model.bin")
    assert active_bundle(state) == active
    assert [x.name for x in models_dir(state).iterdir() if x.is_dir()] == [active.name if active else ""]


def test_which_weights() -> None:
    """The hub's own order of names; else the only one; else all are named; pictures and folders do not count."""

    def listed(*names: str) -> tuple[HubFile, ...]:
        return tuple(HubFile(x, 5, "ab" * 32) for x in names)

    assert choose_weights(listed("model.safetensors", "pytorch_model.pt")).path == "pytorch_model.pt"
    assert choose_weights(listed("my.pth", "x.jpg", "old/pytorch_model.pt")).path == "my.pth"
    assert choose_weights(listed("a.pth", "b.pth"), "b.pth").path == "b.pth"
    with pytest.raises(ModelError, match="2 weights files") as caught:
        choose_weights(listed("a.pth", "b.pth"))
    assert "--weights: a.pth, b.pth" in caught.value.hint
    with pytest.raises(ModelError, match="no weights file c"):
        choose_weights(listed("a.pth"), "c")
    with pytest.raises(ModelError, match="0 weights files"):
        choose_weights(listed("x.jpg", ".hidden.pt"))
    for file in (HubFile("a.pth", 0, "ab" * 32), HubFile("a.pth", 5, "")):
        with pytest.raises(ModelError, match="nothing could tell"):
            choose_weights((file,))


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: Apache License 2.0\n---\n", "Apache License 2.0"),
        ("---\r\ntasks:\r\n- x\r\nlicense: 'mit'  # here\r\n---\r\n", "mit"),
        ("\ufeff---\nLicense: MIT\n---", "MIT"),
        ("---\nlicense:\n---\nlicense: fake\n", "unknown"),
        ("---\nlicense:\n- a\n---\n", "unknown"),
        ("# Model\nlicense: none\n", "unknown"),
        ("---\nother: x\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_licence_is_what_the_readme_states(tmp_path: Path, text: str, licence: str) -> None:
    """Its front matter alone; never a guess."""
    (tmp_path / "README.md").write_bytes(text.encode())
    assert stated_licence(tmp_path) == licence


def test_no_readme_no_licence(tmp_path: Path) -> None:
    """Unknown, not an error."""
    assert stated_licence(tmp_path) == "unknown"


def test_default_revisions() -> None:
    """The card's for its model under both of its names; else the main branch, as the hub's client has it."""
    assert default_revision(MODEL) == default_revision(MODEL.replace("iic", "damo")) == "v1.0.2"
    assert default_revision("iic/other") == "master"


def test_an_unfinished_download_is_listed(run: Run, server: FakeHub, state: Path, tmp_path: Path) -> None:
    """It takes room, and goes on: `model list` says where it lies."""
    server.files["pytorch_model.bin"] = b"not a checkpoint"
    with pytest.raises(ModelError):
        run("--weights", "pytorch_model.bin")
    shown = CliRunner().invoke(model_app, ["list", "--config", str(tmp_path / "bin.toml")]).stdout
    folder = state / "downloads" / f"{MODEL.replace('/', '--')}@v1.0.2"
    assert f"in {folder}: bin-daemon model pull goes on" in shown
    assert (folder / "pytorch_model.bin").exists()


def test_the_command_line_and_the_hub_agree() -> None:
    """The defaults in the help are written there twice, so that the help does not load the HTTP library."""
    parameters = {x.name: x.default for x in typer.main.get_group(model_app).commands["pull"].params}
    assert parameters["model_id"] == DEFAULT_MODEL
    assert parameters["endpoint"] == DEFAULT_ENDPOINT


def test_a_log_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a terminal: a line for each tenth of a file, though it is told of every piece; a restart is told too."""
    file = HubFile("w.pt", 1_000_000, "")
    with progress(as_json=False) as shown:
        for there in (*range(0, 500_001, 1000), 0, *range(0, 1_000_001, 1000)):
            shown.update(file, there)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 + 11
    assert lines[-1] == "w.pt: 1.0 of 1.0 MB"
