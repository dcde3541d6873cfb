"""`bin-daemon model list|show|verify|activate|rollback|remove` as a technician and a script see them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bin_daemon.cli.model import model_app
from bin_daemon.errors import BinError, UnreachableError
from bin_daemon.model.store import activate, active_bundle, models_dir
from bin_daemon.service import control

Run = Callable[..., str]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory that the config names."""
    return tmp_path / "state"


@pytest.fixture
def config(tmp_path: Path, state: Path) -> Path:
    """A config file of a bin that does not run."""
    file = tmp_path / "bin.toml"
    file.write_text(f'config_version = 1\n[service]\nstate_dir = "{state}"\nruntime_dir = "{tmp_path / "run"}"\n')
    return file


@pytest.fixture
def run(config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command that has to end with ``code``; its output. Errors of ours come through, as `main` takes them."""
    monkeypatch.setenv("COLUMNS", "80")

    def invoke(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(model_app, [*words, "--config", str(config)])
        if isinstance(result.exception, BinError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    return invoke


@pytest.fixture
def two(exported_bundle: Path, tmp_path: Path, state: Path) -> list[Path]:
    """An older and the active model."""
    content = json.loads((exported_bundle / "bundle.json").read_text())
    content |= {"id": "older", "name": "[red] one", "metrics": {"test": {"category_accuracy": 0.875, "items": 8}}}
    older = shutil.copytree(exported_bundle, tmp_path / "older")
    (older / "bundle.json").write_text(json.dumps(content))
    return [activate(older, state), activate(exported_bundle, state)]


def test_an_empty_store_says_how_to_fill_it(run: Run) -> None:
    """List in words and as JSON."""
    assert "bin-daemon model pull" in run("list")
    assert json.loads(run("list", "--json")) == []


def test_the_list(two: list[Path], run: Run) -> None:
    """Names whole on one line, however narrow; which is active, which a rollback goes to; markup in names is no markup."""
    lines = run("list").splitlines()
    assert lines[0] == f"  {two[0].name}  next rollback"
    assert "[red] one; 8 labels, 4 categories;" in lines[1]
    assert "test 87.5%" in " ".join(lines[1:3])
    assert f"* {two[1].name}  active" in lines
    assert max(map(len, lines)) <= 80
    older, newer = json.loads(run("list", "--json"))
    assert (older["active"], newer["active"], older["rollbacks_to_it"]) == (False, True, 1)
    assert older["categories"] == {"recyclable": 2, "kitchen": 2, "hazardous": 2, "other": 2}
    assert older["test_accuracy"] == 0.875
    assert newer["damage"] is None


def test_the_list_tells_of_damage(two: list[Path], run: Run) -> None:
    """With its reason; the others are listed all the same."""
    (two[0] / "model.safetensors").unlink()
    shown = run("list")
    assert f"{two[0].name}  next rollback  damaged" in shown
    assert f"* {two[1].name}  active" in shown
    assert json.loads(run("list", "--json"))[0]["damage"]


def test_show(two: list[Path], run: Run) -> None:
    """Everything a bundle says about itself, within 80 columns; labels where asked for; JSON whole."""
    shown = run("show", "older", "--labels")
    joined = "".join(shown.split())
    digest = json.loads((two[0] / "bundle.json").read_text())["sha256"]["model.safetensors"]
    for part in (
        "convnext_atto",
        "temperature2",
        "notstated",
        digest,
        "category_accuracy0.875",
        "opset",
        "other-7other",
    ):
        assert part in joined
    assert max(map(len, shown.splitlines())) <= 80
    assert json.loads(run("show", str(two[0]), "--json"))["id"] == "older"


def test_verify(two: list[Path], run: Run, flip_bit: Callable[[Path], None]) -> None:
    """By default the model that the daemon runs; a bad one ends with status 1 and the mend."""
    assert [x[:2] for x in run("verify").splitlines()[1:]].count("ok") == 5
    assert json.loads(run("verify", "older", "--json"))["ok"] is True
    flip_bit(two[1] / "model.onnx")
    shown = " ".join(run("verify", code=1).split())
    assert "bad onnx" in shown
    assert "mend" in shown
    told = json.loads(run("verify", "--json", code=1))
    assert told["ok"] is False
    assert told["checks"][-1]["name"] == "onnx"


def test_switching_and_removing(two: list[Path], state: Path, run: Run) -> None:
    """Activate, roll back, remove; each says what is active now and what the daemon does."""
    assert run("rollback").splitlines() == [
        f"active: {two[0].name}",
        "no daemon runs here; it takes the model when it starts",
    ]
    assert f"active: {two[1].name}" in run("activate", "tiny")
    assert active_bundle(state) == two[1]
    with pytest.raises(BinError, match="goes back to"):
        run("remove", "older")
    assert run("remove", "older", "--force") == f"removed: {two[0].name}\n"
    assert [x.name for x in models_dir(state).iterdir() if x.is_dir()] == [two[1].name]


def test_a_folder_or_a_name(exported_bundle: Path, run: Run, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle's folder may be given by its path, or by its bare name where one stands in it."""
    with pytest.raises(BinError, match="no such folder"):
        run("activate", "./nothing")
    monkeypatch.chdir(exported_bundle.parent)
    run("activate", exported_bundle.name)
    assert active_bundle(state)


def test_a_configured_bundle_wins_and_is_told(two: list[Path], run: Run, config: Path) -> None:
    """Activating does nothing for a daemon whose config names a bundle: said by list and activate."""
    config.write_text(f'{config.read_text()}[model]\nbundle = "{two[0]}"\n')
    assert "model.bundle of the config is set and wins" in run("list")
    assert "model.bundle of the config is set and wins" in run("activate", "tiny")
    with pytest.raises(BinError, match="of the config"):
        run("remove", "older", "--force")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ok": True}, ["systemd starts it again with this model"]),
        ({"ok": False, "error": {"message": "busy"}}, ["the model is switched", "refuses", "busy"]),
        (None, ["the model is switched", "no daemon"]),
    ],
)
def test_restart(
    two: list[Path], run: Run, state: Path, monkeypatch: pytest.MonkeyPatch, *, answer: Any, words: list[str]
) -> None:
    """--restart asks the daemon over its socket; where it does not, that is told apart from the switch, which stands."""
    asked: list[dict[str, Any]] = []

    def ask(_: Path, request: dict[str, Any]) -> Any:
        asked.append(request)
        if answer is None:
            raise UnreachableError("no daemon answers", hint="Is it running?")
        return answer

    monkeypatch.setattr(control, "ask", ask)
    try:
        shown = run("rollback", "--restart")
    except UnreachableError as error:
        shown = str(error)
    assert all(x in shown for x in words)
    assert asked == [{"name": "restart"}]
    assert active_bundle(state) == two[0]


def test_a_running_daemon_is_told_of(two: list[Path], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its model until it is restarted; the command names how."""
    monkeypatch.setattr(control, "ask", lambda *_: {"ok": True, "data": {}})
    assert "until: systemctl restart bin-daemon" in run("activate", two[0].name)
