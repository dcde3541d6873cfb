"""From the names in a data set (folders, class names, indices) to labels with a category.

Where the names come from, the first that is there:

1. a file named by hand: ``classname.txt`` (one class name a line, the line is the index), or a CSV table;
2. ``labels.csv`` (columns label, category, and optionally index, label265), ``MANIFEST.csv`` (columns fine_label or label, bin
   or category, and optionally nearest_label265 or label265), or ``classname.txt`` in the data set's folder;
3. the names alone: numbers are indices of the 265 national labels, the four categories are themselves, and national labels
   tell their category by their prefix.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.training.dataset import LabelRow

CLASSNAMES = "classname.txt"
TABLES = ("labels.csv", "MANIFEST.csv", CLASSNAMES)
_HINT = (
    "write labels.csv with the columns label,category (recyclable, kitchen, hazardous or other), "
    "or classname.txt with one national label a line, or give --labels FILE"
)

Resolve = Callable[[Sequence[str]], tuple[LabelRow, ...]]
"""Names (of folders or classes) -> their labels, in the same order; ConfigError for one that nobody knows."""


def find_table(root: Path, given: Path | None) -> Path | None:
    """The file that tells the labels: the given one, or the first of `TABLES` in ``root``, None when there is none."""
    if given is not None:
        return given
    return next((root / name for name in TABLES if (root / name).is_file()), None)


def resolver(root: Path, given: Path | None) -> Resolve:
    """How this data set's names become labels; ConfigError when the table of labels is no good."""
    table = find_table(root, given)
    if table is None:
        return lambda names: _by_name_alone(root, names)
    if table.suffix.lower() == ".txt":
        rows = read_classnames(table, beside=root)
        return lambda names: tuple(_class(n, rows, table) for n in names)
    known = read_labels(table)
    return lambda names: _from_table(names, known, table)


def read_classnames(file: Path, *, beside: Path | None = None) -> tuple[LabelRow, ...]:
    """Read ``classname.txt``: a class name a line, the first has index 0.

    The category comes from ``labels.csv`` in folder ``beside`` where it names the class, else from the national prefix.

    Raises:
        ConfigError: Unreadable, empty, an empty line between names (every index after it would shift), a name twice, or a name
            that neither table nor prefix gives a category.
    """
    names = _lines(file)
    if not names:
        raise ConfigError(f"{file}: no class name in it", hint="one class name a line, in index order")
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise ConfigError(
                f"{file}:{number}: empty line", hint="every line is a class; an empty one shifts all others"
            )
        if (earlier := first.setdefault(name, number)) != number:
            raise ConfigError(f"{file}:{number}: {name!r} stands on line {earlier} already", hint="each class once")
    table = beside / "labels.csv" if beside else None
    known = {x.label: x for x in read_labels(table).values()} if table and table.is_file() else {}
    return tuple(known.get(n) or _national(n, f"{file}:{first[n]}") for n in names)


def read_labels(path: Path) -> dict[str, LabelRow]:
    """Read a table of labels: a dict from folder name (label or index) to row, in the table's order.

    Raises:
        ConfigError: Unreadable, a column is missing, or a category is none of the four (line named).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            label = _column(path, columns, "label", "fine_label")
            category = _column(path, columns, "category", "bin")
            near = next((c for c in ("label265", "nearest_label265") if c in columns), None)
            table: dict[str, LabelRow] = {}
            for row in reader:
                where = f"{path}:{reader.line_num}"
                entry = _row(where, row[label] or "", row[category] or "", (row[near] or "") if near else "")
                key = (row["index"] or "").strip() if "index" in columns else entry.label
                known = table.setdefault(key, entry)
                if known.category is not entry.category:
                    raise ConfigError(
                        f"{where}: label {entry.label!r} is {entry.category.value} here, {known.category.value} above",
                        hint="one label has one category",
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{path}: {_reason(error)}", hint="a CSV table in UTF-8 with the columns label and category"
        ) from error
    return table


def _from_table(names: Sequence[str], known: dict[str, LabelRow], table: Path) -> tuple[LabelRow, ...]:
    labels = {x.label: x for x in known.values()}
    unknown = [n for n in names if n not in known and n not in labels]
    if unknown:
        raise ConfigError(
            f"{table}: no category for the folder {_some(unknown)}", hint="add a line to the table of labels"
        )
    return tuple(known.get(n) or labels[n] for n in names)


def _class(name: str, rows: tuple[LabelRow, ...], file: Path) -> LabelRow:
    """The class that a folder means: its index where it is a number, else its name."""
    if name.isdecimal():
        if int(name) < len(rows):
            return rows[int(name)]
        raise ConfigError(
            f"{file}: {len(rows)} classes, but there is a folder {name}", hint="indices begin with 0, one line a class"
        )
    found = next((x for x in rows if x.label == name), None)
    if found is None:
        raise ConfigError(f"{file}: no class {name!r}, which is a folder's name", hint="add it, or rename the folder")
    return found


def _by_name_alone(root: Path, names: Sequence[str]) -> tuple[LabelRow, ...]:
    if names and all(n.isdecimal() for n in names):
        return tuple(_national_index(int(n), f"{root}: folder {n}") for n in names)
    known = {c.value: c for c in Category}
    if names and all(n.lower() in known for n in names):
        return tuple(LabelRow(n.lower(), known[n.lower()]) for n in names)
    try:
        return tuple(_national(n, "the folder's name") for n in names)
    except ConfigError as error:
        raise ConfigError(f"{root}: neither {' nor '.join(TABLES)}, and {error}", hint=_HINT) from None


def _national_index(index: int, where: str) -> LabelRow:
    from bin_daemon.model.taxonomy import labels265

    labels = labels265()
    if index >= len(labels):
        raise ConfigError(f"{where}: the national labels have indices 0 to {len(labels) - 1}", hint=_HINT)
    return LabelRow(labels[index].label, labels[index].category, index)


def _national(name: str, where: str) -> LabelRow:
    from bin_daemon.model.taxonomy import find_labels

    try:
        (info,) = find_labels([name])
    except ModelError:
        raise ConfigError(
            f"{where}: {name!r} is none of the 265 national labels and has none of their prefixes", hint=_HINT
        ) from None
    return LabelRow(info.label, info.category, info.label265)


def _lines(file: Path) -> list[str]:
    """The file's lines without white space around; empty ones at the end do not count."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {_reason(error)}", hint="a text file in UTF-8, one class name a line") from error
    return [x.strip() for x in text.rstrip().splitlines()]


def _column(path: Path, columns: Sequence[str], *names: str) -> str:
    found = next((n for n in names if n in columns), None)
    if found is None:
        raise ConfigError(f"{path}: no column {' or '.join(names)} in its first line", hint="needed: label,category")
    return found


def _row(where: str, label: str, category: str, near: str) -> LabelRow:
    if not label:
        raise ConfigError(f"{where}: no label", hint="each line needs a label and a category")
    try:
        return LabelRow(label, Category(category), int(near) if near else None)
    except ValueError as error:
        known = ", ".join(c.value for c in Category)
        raise ConfigError(f"{where}: label {label!r}: {error}", hint=f"category is one of {known}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _some(names: Sequence[str], count: int = 5) -> str:
    return ", ".join(names[:count]) + (" ..." if len(names) > count else "")
