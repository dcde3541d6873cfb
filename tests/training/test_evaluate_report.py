"""`evaluate_model` end to end on plain colours: what is reported, and a page that stands alone."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from typer.testing import CliRunner

from bin_daemon.cli import app
from bin_daemon.config.settings import ModelSettings, Settings
from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.familiarity import Familiarity
from bin_daemon.training.evaluate import Question, evaluate_model
from bin_daemon.training.html_report import MISTAKES, worst_mistakes
from bin_daemon.training.screen import QuietScreen
from tests.training.judge_rig import COUNT, NAMES, ColourEngine, colour_model, colour_set, install

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labels of ten pictures; unchanged by tests."""
    return colour_set(tmp_path_factory.mktemp("colours"))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ColourEngine:
    """The model that sees colours is the one that is opened."""
    rule = Familiarity(score="energy", threshold=-2.5, coverage=0.9, quantiles=(-5.0, -2.5, 0.0))
    return install(monkeypatch, colour_model(tmp_path, familiarity=rule))


def report(question: Question) -> dict[str, Any]:
    """The JSON of an evaluation, through its bytes."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(evaluate_model(question, QuietScreen()).to_json()))
    return found


def test_everything_is_reported(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """All sections are there and agree with each other; files and return value say the same."""
    out = tmp_path / "out"
    found = report(Question(colours, model=tmp_path, out=out))
    assert orjson.loads((out / "report.json").read_bytes()) == found
    assert (found["split"], found["items"], found["labels_shared"], found["labels_matched_by"]) == (
        "test",
        40,
        4,
        "name",
    )
    assert found["top1"] == found["category_accuracy"] > 0.5  # one label a category, so they must be equal
    assert found["top5"] == 1.0
    assert [c["support"] for c in found["fine"]["classes"]] == [COUNT] * 4
    assert [c["label"] for c in found["fine"]["classes"]] == list(NAMES)
    assert found["familiarity"]["score"] == "energy"
    assert sum(found["policy"]["reasons"].values()) == 40
    went = found["policy"]["went_in_rows_true"]
    assert [sum(row.values()) for row in went.values()] == [COUNT] * 4
    assert sum(x["items"] for x in found["reliability"]["after_temperature"]) == 40
    assert found["risk_coverage_curve"][-1] == {"coverage": 1.0, "risk": round(1 - found["category_accuracy"], 4)}
    assert found["frames"] is None
    with (out / "answers.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    right = sum(r["category"] == r["true_category"] for r in rows)
    assert right / 40 == pytest.approx(found["category_accuracy"])
    assert sum(float(r["price"]) for r in rows) / 40 == pytest.approx(found["policy"]["mean_cost"], abs=1e-4)
    assert {r["label"] for r in rows} == set(NAMES)


class Page(HTMLParser):
    """Checks that elements close in order, and gathers what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[k] or "" for k in ("src", "href", "xlink:href", "srcset", "action") if k in given]
        if tag == "img":
            self.alts.append(given["alt"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """Well-formed, fetches nothing, no script, every picture has a text, names are text and not markup."""
    evaluate_model(Question(colours, model=tmp_path, out=tmp_path / "out"), QuietScreen())
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.addresses
    assert all(x.startswith(("data:image/", "#")) for x in page.addresses)
    assert not re.search(r"<script|@import|url\((?!#)", html)
    assert "Content-Security-Policy" in html
    assert all(page.alts)
    assert "可回收物-<b>纸</b>" in page.text  # as text: the label is data
    assert "gloss & 1" in page.text
    assert len(re.findall("<svg", html)) == 3
    ids = re.findall(r'\bid="([^"]+)"', html)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', html))
    assert used
    assert all(ids.count(x) == 1 for x in used)  # two figures on one page must not share a clip path


def test_worst_mistakes_are_few_and_the_dearest(
    tmp_path_factory: pytest.TempPathFactory, engine: ColourEngine, tmp_path: Path
) -> None:
    """At most two dozen, the highest price first, and no item that went right."""
    many = colour_set(tmp_path_factory.mktemp("many"), count=60)
    found = evaluate_model(Question(many, model=tmp_path), QuietScreen())
    worst = worst_mistakes(found)
    assert len(worst) == MISTAKES
    done = found.judged.sorted
    assert all(done.price[i] > 0 or not found.judged.correct[i] for i in worst)
    paid = [float(done.price[i]) for i in worst]
    assert paid == sorted(paid, reverse=True)
    assert paid[0] == done.price.max()


def test_without_the_train_extra_numbers_are_written(
    colours: Path, engine: ColourEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a bin without jinja2 the page is left out; JSON and CSV are there."""
    monkeypatch.delitem(sys.modules, "bin_daemon.training.html_report", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    evaluate_model(Question(colours, model=tmp_path, out=tmp_path / "out"), QuietScreen())
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["answers.csv", "answers.sqlite", "report.json"]


def test_views_and_strangers(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """Several views: the first is the picture itself, so all else stays; strange pictures are told from the known ones."""
    plain = report(Question(colours, model=tmp_path))
    strange = tmp_path / "strange" / "deep"
    strange.mkdir(parents=True)
    shutil.copy(colours / "test" / "0" / "0.png", strange / "x.png")
    question = Question(colours, model=tmp_path, views=3, unfamiliar=tmp_path / "strange", out=tmp_path / "out")
    found = report(question)
    assert {k: v for k, v in found.items() if k not in {"frames", "familiarity"}} == {
        k: v for k, v in plain.items() if k not in {"frames", "familiarity"}
    }
    assert (found["frames"]["kind"], found["frames"]["items"], found["frames"]["frames"]) == ("views", 40, 120)
    assert found["familiarity"]["unfamiliar"]["items"] == 1
    judged = len(engine.batches)
    assert report(question) == found
    assert len(engine.batches) == judged  # several views are kept as well


def test_site_s_own_rule_is_the_truth_there(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """Where label_overrides make batteries 'other', a battery said to be one counts as right: it goes where the site wants it."""
    settings = Settings(model=ModelSettings(bundle=tmp_path, label_overrides={NAMES[3]: Category.OTHER}))
    found = report(Question(colours, settings=settings))
    assert sum(found["confusion_rows_true"]["hazardous"]) == 0
    assert sum(found["confusion_rows_true"]["other"]) == 2 * COUNT
    assert found["category_accuracy"] >= report(Question(colours, model=tmp_path))["category_accuracy"]


def test_split_that_is_meant(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """Without --split: test, else val, else all; a flat folder and a single list are whatever split was asked for."""
    assert report(Question(colours, model=tmp_path))["split"] == "test"
    flat = shutil.copytree(colours / "test", tmp_path / "flat")
    shutil.copy(colours / "classname.txt", flat)
    found = report(Question(flat, model=tmp_path))
    assert (found["split"], found["items"]) == ("all", 40)
    (tmp_path / "flat" / "mine.csv").write_text(
        "image:FILE,category\n" + "".join(f"{i}/{n}.png,{i}\n" for i in range(4) for n in range(3))
    )
    found = report(Question(flat / "mine.csv", model=tmp_path, labels=flat / "classname.txt", split="val"))
    assert (found["split"], found["items"]) == ("val", 12)
    with pytest.raises(ConfigError, match=r"no folder val/ \(found: test\)"):
        report(Question(colours, model=tmp_path, split="val"))


def test_many_unreadable_pictures_stop_the_work(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """Found while judging: above a tenth of the split the work stops, and nothing is reported."""
    copy = shutil.copytree(colours, tmp_path / "copy")
    for number in range(6):
        (copy / "test" / "0" / f"{number}.png").write_text("no picture")
    with pytest.raises(
        ConfigError, match=r"split test: \d of 40 pictures are unreadable, first .*0.png: not a picture"
    ):
        report(Question(copy, model=tmp_path, out=tmp_path / "out"))
    assert not (tmp_path / "out" / "report.json").exists()


def test_bad_wishes_are_refused(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """Each names its option and what would be right."""
    (tmp_path / "empty").mkdir()
    for question, message in (
        (Question(colours, split="holdout"), "--split holdout"),
        (Question(colours, engine="tpu"), "--engine tpu"),
        (Question(colours, match="luck"), "--match luck"),
        (Question(colours, views=0), "--views 0"),
        (Question(colours, unfamiliar=tmp_path / "no"), "--unfamiliar .*no: no such folder"),
        (Question(colours, unfamiliar=tmp_path / "empty"), "--unfamiliar .*empty: no picture in it"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            evaluate_model(question, QuietScreen())
        assert caught.value.hint


def test_a_full_disk_leaves_the_old_report(
    colours: Path, engine: ColourEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the page cannot be written, the error is ours and no half file takes the old one's place."""
    from pathlib import Path as RealPath

    out = tmp_path / "out"
    evaluate_model(Question(colours, model=tmp_path, out=out), QuietScreen())
    before = (out / "report.html").read_bytes()
    write = RealPath.write_bytes

    def full(self: RealPath, content: bytes) -> int:
        if "report.html" in self.name:
            write(self, content[:100])
            raise OSError(28, "No space left on device", str(self))
        return write(self, content)

    monkeypatch.setattr(RealPath, "write_bytes", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        evaluate_model(Question(colours, model=tmp_path, out=out), QuietScreen())
    assert (out / "report.html").read_bytes() == before
    assert not [x for x in out.iterdir() if x.name.startswith(".report")]


def test_json_for_scripts_and_tables_for_people(colours: Path, engine: ColourEngine, tmp_path: Path) -> None:
    """--json: one object on stdout, progress lines on stderr; without: short tables, and where the report lies."""
    words = ["evaluate", str(colours), "--model", str(tmp_path)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert orjson.loads(result.stdout)["event"] == "evaluation"
    told = [orjson.loads(x) for x in result.stderr.splitlines()]
    assert {k: told[-1][k] for k in ("event", "part", "done", "total")} == {
        "event": "progress",
        "part": "test",
        "done": 40,
        "total": 40,
    }
    shown = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")]).stdout
    assert "lid purity" in shown
    assert "top-1" in shown
    assert "report.html" in shown
    assert len(shown.splitlines()) < 45


def test_an_engine_s_nan_is_told(
    colours: Path, engine: ColourEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN logits are no metrics."""
    logits = engine.logits
    monkeypatch.setattr(engine, "logits", lambda batch: logits(batch) * float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        evaluate_model(Question(colours, model=tmp_path), QuietScreen())


def test_the_config_chooses_the_engine(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the bin runs is what is measured, unless --engine says otherwise."""
    asked: list[str] = []

    def open_it(_path: Path, *, engine: str, **_options: object) -> object:
        asked.append(engine)
        return colour_model(tmp_path)

    monkeypatch.setattr("bin_daemon.training.evaluate.open_classifier", open_it)
    settings = Settings(model=ModelSettings(bundle=tmp_path, engine="onnx-int8"))
    for engine in ("auto", "torch"):
        evaluate_model(Question(colours, settings=settings, engine=engine), QuietScreen())
    assert asked == ["onnx-int8", "torch"]
