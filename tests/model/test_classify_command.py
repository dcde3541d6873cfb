"""`classify`: JSON lines and tables; a bad picture does not stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from bin_daemon.cli.classify import classify
from bin_daemon.errors import ModelError
from bin_daemon.model.store import activate

app = typer.Typer()
app.command()(classify)
runner = CliRunner()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """One picture of noise."""
    file = tmp_path / "[red]item.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(file)
    return file


def test_json_is_one_object_a_picture(exported_bundle: Path, photo: Path) -> None:
    """The keys that scripts read, the path as given, sums that make one."""
    result = runner.invoke(app, ["--model", str(exported_bundle), "--top", "3", "--json", str(photo), str(photo)])
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first == second
    assert list(first) == ["path", "category", "categories", "top"]
    assert first["path"] == str(photo)
    assert list(first["categories"]) == ["recyclable", "kitchen", "hazardous", "other"]
    assert first["category"] == max(first["categories"], key=first["categories"].get)
    assert sum(first["categories"].values()) == pytest.approx(1)
    assert len(first["top"]) == 3
    label, index, probability = first["top"][0]
    assert label.endswith(f"-{index}")
    assert 0 < probability <= 1


def test_a_bad_picture_gives_its_error_and_the_others_go_on(exported_bundle: Path, photo: Path, tmp_path: Path) -> None:
    """Text under a picture's name, then a missing file, then a good one; status 1 at the end."""
    (tmp_path / "text.jpg").write_text("hello")
    names = [str(tmp_path / "text.jpg"), "missing.jpg", str(photo)]
    result = runner.invoke(app, ["--model", str(exported_bundle), "--json", *names])
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [x["path"] for x in lines] == names
    assert ["error" in x for x in lines] == [True, True, False]
    assert "not a picture" in lines[0]["error"]


def test_the_table_shows_categories_and_labels(exported_bundle: Path, photo: Path) -> None:
    """For people: every category, five labels, percentages; square brackets in a file name are no markup."""
    result = runner.invoke(app, ["--model", str(exported_bundle), str(photo)])
    assert result.exit_code == 0, result.output
    assert "[red]item.png" in result.stdout.replace("\n", "")
    assert result.stdout.count("%") == 4 + 5
    assert "hazardous" in result.stdout


def test_the_active_bundle_is_the_default(exported_bundle: Path, photo: Path, tmp_path: Path) -> None:
    """Taken from the state directory that the config names, with the site's rules."""
    state = tmp_path / "state"
    activate(exported_bundle, state)
    rules = "".join(f'"{i}" = "hazardous"\n' for i in range(8))
    (tmp_path / "bin.toml").write_text(f'[service]\nstate_dir = "{state}"\n[model.label_overrides]\n{rules}')
    result = runner.invoke(app, ["--config", str(tmp_path / "bin.toml"), "--json", str(photo)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["categories"]["hazardous"] == pytest.approx(1)


def test_bundle_trouble_is_exit_78(photo: Path, tmp_path: Path) -> None:
    """A model that is not there stops the command before any picture."""
    result = runner.invoke(app, ["--model", str(tmp_path / "none"), "--json", str(photo)])
    assert isinstance(result.exception, ModelError)
    assert result.exception.exit_code == 78
    assert result.stdout == ""
