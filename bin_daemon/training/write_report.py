"""Reports of an evaluation on disk: ``report.json`` (all numbers), ``answers.csv`` (a row a picture), ``report.html``.

Each file is written whole beside and then renamed, so that a full disk or a power cut leaves the old one or the new one.
"""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING

import orjson
from rich.text import Text

from bin_daemon.errors import ConfigError
from bin_daemon.training.metrics import CATEGORIES
from bin_daemon.training.sorting import KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bin_daemon.model.bundle import LabelInfo
    from bin_daemon.training.evaluation import Evaluation, Judged
    from bin_daemon.training.screen import Screen

JSON_FILE = "report.json"
CSV_FILE = "answers.csv"
HTML_FILE = "report.html"
_REST = ("true_category", "label", "said_label", "said_probability", "lid", "reason", "price", "familiarity")


def write_report(folder: Path, found: Evaluation, screen: Screen) -> None:
    """Write all three files; without the train extra the page is left out, and ``screen`` told why.

    Raises:
        ConfigError: The folder cannot be written.
    """
    report = found.to_json()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / JSON_FILE, orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
        _replace(folder / CSV_FILE, answers_csv(found).encode("utf-8", "surrogateescape"))
        try:
            from bin_daemon.training.html_report import page
        except ModuleNotFoundError as error:
            screen.show(Text(f"no {HTML_FILE}: {error.name} is not installed: pip install 'bin-daemon[train]'"))
            return
        _replace(folder / HTML_FILE, page(report, found).encode())
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}", hint="choose another --out") from error
    screen.show(Text(f"report: {folder / HTML_FILE}"))


def answers_csv(found: Evaluation) -> str:
    """One row a picture: what it is, what was said, how sure, what the bin would have done, and the price of that."""
    stream = io.StringIO(newline="")
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["file", "label_index", "category", *(c.value for c in CATEGORIES), *_REST])
    judged, labels = found.judged, found.labels
    for i, picture in enumerate(judged.pictures):
        sums = judged.sums[i]
        said = CATEGORIES[int(sums.argmax())].value
        rows.writerow([picture.path, picture.label_index, said, *(f"{p:.4f}" for p in sums), *_rest(judged, labels, i)])
    return stream.getvalue()


def _rest(judged: Judged, labels: Sequence[LabelInfo], i: int) -> list[str]:
    lid = int(judged.sorted.lid[i])
    return [
        CATEGORIES[int(judged.truth[i])].value,
        judged.names[i],
        labels[int(judged.said[i])].label,
        f"{judged.share[i]:.4f}",
        "" if lid == KEPT else CATEGORIES[lid].value,
        judged.sorted.reason[i],
        f"{judged.sorted.price[i]:g}",
        "" if judged.familiarity is None else f"{judged.familiarity[i]:.4f}",
    ]


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
