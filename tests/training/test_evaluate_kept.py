"""A long evaluation that is killed goes on where it stopped, and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bin_daemon.errors import ConfigError
from bin_daemon.training.data import load
from bin_daemon.training.evaluate import Question, evaluate_model
from bin_daemon.training.judge import ask
from bin_daemon.training.kept import ANSWERS_FILE, keep_answers
from bin_daemon.training.screen import QuietScreen
from tests.training.judge_rig import HOW, ColourEngine, colour_model, colour_set, install

if TYPE_CHECKING:
    from bin_daemon.training.data import Picture
    from bin_daemon.training.judge import Answers

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from bin_daemon.training import kept, judge
from bin_daemon.training.data import load
from tests.training.judge_rig import HOW, ColourEngine

data, out, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
put, count = kept.KeptAnswers.put, 0

class Dying(sqlite3.Connection):
    def execute(self, *words):
        done = super().execute(*words)
        if count == 3 and moment == "writing" and words[0].startswith("INSERT"):
            die()
        return done

def counted(self, key, logits):
    global count
    count += 1
    put(self, key, logits)
    if count == 3 and moment == "written":
        die()

class Engine(ColourEngine):
    def logits(self, batch):
        if len(self.batches) == 3 and moment == "judging":
            die()
        return super().logits(batch)

kept.KeptAnswers.put = counted
connect = sqlite3.connect
kept.sqlite3.connect = lambda *a, **k: connect(*a, **k, factory=Dying)
pictures = load(data, needed=("test",)).splits["test"]
with kept.keep_answers(out, "scope") as answers:
    judge.ask(pictures, HOW, Engine().logits, on_tray=False, advance=lambda n: None, kept=answers)
"""


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """40 pictures: five batches."""
    return colour_set(tmp_path / "data")


def run(pictures: tuple[Picture, ...], out: Path | None, scope: str = "scope") -> tuple[Answers, list[int]]:
    """Answers, and the batches that had to be judged for them."""
    engine = ColourEngine()
    if out is None:
        return ask(pictures, HOW, engine.logits, on_tray=False, advance=lambda _n: None), engine.batches
    with keep_answers(out, scope) as kept:
        found = ask(pictures, HOW, engine.logits, on_tray=False, advance=lambda _n: None, kept=kept)
        kept.forget_others()
    return found, engine.batches


def test_killed_run_goes_on(colours: Path, tmp_path: Path) -> None:
    """A kill -9 while judging, while writing or after it: whole batches are kept, no half one, the logits are the same bits."""
    pictures = load(colours, needed=("test",)).splits["test"]
    whole = run(pictures, None)[0].logits.tobytes()
    left = {"judging": 2, "writing": 3, "written": 2}
    killed = {
        moment: subprocess.Popen(
            [sys.executable, "-c", KILLED, str(colours), str(tmp_path / moment), moment],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for moment in left
    }
    for moment, process in killed.items():
        assert process.wait(60) == -signal.SIGKILL
        found, batches = run(pictures, tmp_path / moment)
        assert batches == [8] * left[moment]
        assert found.logits.tobytes() == whole


def test_kept_answers_are_taken(colours: Path, tmp_path: Path) -> None:
    """A second run judges nothing; a changed picture's batch, another model and another order of pictures are judged anew."""
    pictures = load(colours, needed=("test",)).splits["test"]
    first, batches = run(pictures, tmp_path)
    assert batches == [8] * 5
    again, batches = run(pictures, tmp_path)
    assert batches == []
    assert (again.logits == first.logits).all()
    assert again.pictures == first.pictures
    changed = pictures[9].path
    stat = changed.stat()
    changed.write_bytes(pictures[30].path.read_bytes())
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    found, batches = run(pictures, tmp_path)
    assert batches == [8]
    assert (found.logits[9] == first.logits[30]).all()
    assert run(pictures, tmp_path, "another model")[1] == [8] * 5
    assert run(pictures[1:], tmp_path, "another model")[1] == [8] * 4 + [7]


def test_answers_no_longer_needed_are_forgotten(colours: Path, tmp_path: Path) -> None:
    """The file holds the answers of the last run alone."""
    pictures = load(colours, needed=("test",)).splits["test"]
    for scope in ("one", "two"):
        run(pictures, tmp_path, scope)
    with sqlite3.connect(tmp_path / ANSWERS_FILE) as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (5,)
    database.close()


def test_damage_costs_work_but_no_truth(colours: Path, tmp_path: Path) -> None:
    """A flipped bit in kept logits, a truncated file and a file of another kind are noticed and judged anew."""
    pictures = load(colours, needed=("test",)).splits["test"]
    first, _ = run(pictures, tmp_path)
    file = tmp_path / ANSWERS_FILE
    content = file.read_bytes()
    place = content.index(first.logits[:2].tobytes()[:24])
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    found, batches = run(pictures, tmp_path)
    assert batches == [8]
    assert (found.logits == first.logits).all()
    for damaged in (content[: len(content) // 2], b"", b"no database" * 1000):
        file.write_bytes(damaged)
        found, batches = run(pictures, tmp_path)
        assert batches == [8] * 5
        assert (found.logits == first.logits).all()


def test_bad_pictures_are_looked_at_again(colours: Path, tmp_path: Path) -> None:
    """A batch with an unreadable picture is not kept: once the picture is mended, it counts."""
    pictures = load(colours, needed=("test",)).splits["test"]
    good = pictures[3].path.read_bytes()
    pictures[3].path.write_bytes(good[:40])
    found, _ = run(pictures, tmp_path)
    assert [x.path for x in found.bad] == [pictures[3].path]
    assert len(found.pictures) == len(found.logits) == 39
    again, batches = run(pictures, tmp_path)
    assert batches == [7]
    assert again.bad == found.bad
    pictures[3].path.write_bytes(good)
    assert len(run(pictures, tmp_path)[0].pictures) == 40


def test_one_evaluation_a_folder(tmp_path: Path) -> None:
    """A second one at the same time is told so, and a folder that cannot be is an error of ours."""
    with keep_answers(tmp_path, "a") as kept:
        kept.put(b"k", np.zeros((1, 2), np.float32))
        with (
            pytest.raises(ConfigError, match="another evaluation works in this folder") as caught,
            keep_answers(tmp_path, "b"),
        ):
            pass
    assert caught.value.hint
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"), keep_answers(tmp_path / "file" / "out", "a"):
        pass


def test_a_resumed_report_is_the_same(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three files of an interrupted and resumed evaluation equal those of one that ran through, byte for byte."""
    model = colour_model(tmp_path)
    engine = install(monkeypatch, model)
    evaluate_model(Question(colours, model=tmp_path, out=tmp_path / "whole"), QuietScreen())
    whole, logits = list(engine.batches), engine.logits

    def broken(batch: np.ndarray) -> np.ndarray:
        if len(engine.batches) - len(whole) == 3:
            raise KeyboardInterrupt
        return logits(batch)

    monkeypatch.setattr(engine, "logits", broken)
    question = Question(colours, model=tmp_path, out=tmp_path / "resumed")
    with pytest.raises(KeyboardInterrupt):
        evaluate_model(question, QuietScreen())
    assert not (tmp_path / "resumed" / "report.json").exists()
    monkeypatch.setattr(engine, "logits", logits)
    evaluate_model(question, QuietScreen())
    assert len(engine.batches) == len(whole) + 5
    for name in ("report.json", "answers.csv", "report.html"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
