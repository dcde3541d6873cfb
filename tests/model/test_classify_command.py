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
    assert list(first) == ["path", "category", "categories", "top", "scores", "labels"]
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


def test_scores_and_labels_stand_as_modelscope_returns_them(exported_bundle: Path, photo: Path) -> None:
    """Five of each, best first: a program that read the pipeline's answer reads ours."""
    result = runner.invoke(app, ["--model", str(exported_bundle), "--json", str(photo)])
    found = json.loads(result.stdout)
    assert len(found["scores"]) == len(found["labels"]) == 5
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert [[label, score] for label, _, score in found["top"]] == [
        [label, score] for label, score in zip(found["labels"], found["scores"], strict=True)
    ]


def test_the_gloss_stands_beside_the_label(bundle_copy: Path, photo: Path) -> None:
    """A technician who reads no Chinese sees what was found."""
    file = bundle_copy / "bundle.json"
    content = json.loads(file.read_text("utf-8"))
    for index, label in enumerate(content["labels"]):
        label["gloss"] = f"thing {index}"
    file.write_text(json.dumps(content), "utf-8")
    result = runner.invoke(app, ["--model", str(bundle_copy), "--top", "8", str(photo)])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("(thing ") == 8


def test_pictures_of_one_item_get_one_answer(exported_bundle: Path, photo: Path, tmp_path: Path) -> None:
    """The mean over the good ones, as the line averages frames; a bad one is told of; the agreement is said."""
    other = tmp_path / "other.png"
    Image.new("RGB", (90, 120), (10, 90, 200)).save(other)
    single = [
        json.loads(x)
        for x in runner.invoke(
            app, ["--model", str(exported_bundle), "--json", str(photo), str(other)]
        ).stdout.splitlines()
    ]
    names = [str(photo), str(tmp_path / "missing.png"), str(other)]
    result = runner.invoke(app, ["--model", str(exported_bundle), "--json", "--together", *names])
    assert result.exit_code == 1
    bad, found = (json.loads(x) for x in result.stdout.splitlines())
    assert "no such file" in bad["error"]
    assert found["paths"] == [str(photo), str(other)]
    for category, share in found["categories"].items():
        assert share == pytest.approx(sum(x["categories"][category] for x in single) / 2)
    assert found["agreement"] == sum(x["category"] == found["category"] for x in single) / 2
    shown = runner.invoke(app, ["--model", str(exported_bundle), "--together", str(photo), str(photo)])
    assert "2 pictures of one item, agreement 100%" in shown.stdout


def test_not_one_good_picture_of_an_item_is_no_answer(exported_bundle: Path, tmp_path: Path) -> None:
    """Status 1 and the reasons, no verdict made of nothing."""
    result = runner.invoke(app, ["--model", str(exported_bundle), "--json", "--together", str(tmp_path / "a.png")])
    assert result.exit_code == 1
    assert [list(json.loads(x)) for x in result.stdout.splitlines()] == [["path", "error"]]


def test_a_folder_is_its_pictures(exported_bundle: Path, photo: Path, tmp_path: Path) -> None:
    """Sorted, those below it too, other files left alone; a folder without pictures is told of."""
    folder, empty = tmp_path / "item", tmp_path / "empty"
    (folder / "more").mkdir(parents=True)
    empty.mkdir()
    for name in ("b.PNG", "a.png", "more/c.png"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "notes.txt").write_text("no picture")
    result = runner.invoke(app, ["--model", str(exported_bundle), "--json", str(folder), str(empty)])
    assert result.exit_code == 1
    lines = [json.loads(x) for x in result.stdout.splitlines()]
    assert [x["path"] for x in lines] == [str(folder / x) for x in ("a.png", "b.PNG", "more/c.png")] + [str(empty)]
    assert "no picture in this folder" in lines[-1]["error"]


def test_a_picture_comes_through_a_pipe(exported_bundle: Path, photo: Path) -> None:
    """`-` is standard input; nothing in it is one clear error."""
    command = ["--model", str(exported_bundle), "--json", "-"]
    named = json.loads(runner.invoke(app, [*command[:-1], str(photo)]).stdout)
    piped = json.loads(runner.invoke(app, command, input=photo.read_bytes()).stdout)
    assert piped["path"] == "-"
    assert piped["scores"] == named["scores"]
    empty = runner.invoke(app, command, input=b"")
    assert empty.exit_code == 1
    assert "standard input: the file is empty" in json.loads(empty.stdout)["error"]
