"""Data sets as ModelScope's trainer takes them: ``classname.txt`` and a CSV list for each split.

A list has the columns ``image:FILE`` (path of a picture, relative to the list's folder or the data set's) and ``category`` (index
into ``classname.txt``, or a class name). Lists are called train.csv, val.csv (or validation.csv, valid.csv) and test.csv, or
``*_list.csv``.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bin_daemon.errors import ConfigError
from bin_daemon.model.label_names import spelling
from bin_daemon.training.dataset import SPLITS, BadPicture, LabelRow, Picture
from bin_daemon.training.folders import SPLIT_NAMES, read_groups
from bin_daemon.training.label_table import CLASSNAMES, find_table, read_classnames, read_labels

FILE_COLUMN = "image:FILE"
CATEGORY_COLUMN = "category"
SHOWN = 5
"""Bad rows told by name; the rest are counted."""
SHOWN_CHARS = 120
"""Of a path in a message."""


@dataclass(slots=True)
class Listed:
    """What one list holds: ``bad`` are the rows that were left out on request."""

    pictures: list[Picture] = field(default_factory=list)
    bad: list[BadPicture] = field(default_factory=list)


def split_lists(root: Path) -> dict[str, Path]:
    """The lists that are there; ConfigError when one split has two."""
    found: dict[str, Path] = {}
    for split in SPLITS:
        names = [f"{n}{end}" for n in SPLIT_NAMES[split] for end in (".csv", "_list.csv")]
        mine = [root / n for n in names if (root / n).is_file()]
        if len(mine) > 1:
            raise ConfigError(f"{root}: both {mine[0].name} and {mine[1].name}", hint=f"keep one list for {split}")
        if mine:
            found[split] = mine[0]
    return found


def read_lists(
    root: Path, lists: dict[str, Path], labels: Path | None, *, skip_bad_rows: bool
) -> tuple[tuple[LabelRow, ...], dict[str, tuple[Picture, ...]], tuple[BadPicture, ...]]:
    """Labels in index order, the pictures of every list, and the rows left out.

    With ``skip_bad_rows`` a row that points nowhere or repeats an earlier one is left out and told; a wrong category is refused
    even then, for it means that list and class names do not belong together.

    Raises:
        ConfigError: A list is empty or unreadable, lacks a column, or has bad rows: the first of them with file and line, and
            how many there are.
    """
    names = Names.read(root, labels)
    groups = read_groups(root)
    splits: dict[str, tuple[Picture, ...]] = {}
    bad: list[BadPicture] = []
    for split, file in lists.items():
        listed = _read_list(file, root, names, groups, skip_bad_rows=skip_bad_rows)
        splits[split] = tuple(listed.pictures)
        bad += listed.bad
    return names.rows, splits, tuple(bad)


@dataclass(frozen=True, slots=True)
class Names:
    """The classes of a data set, and every way to write one."""

    rows: tuple[LabelRow, ...]
    source: str
    index: dict[str, int]

    @classmethod
    def read(cls, root: Path, labels: Path | None) -> Names:
        """From ``labels``, else ``classname.txt``, else ``labels.csv`` of the folder; else the 265 national labels."""
        found = labels or (root / CLASSNAMES if (root / CLASSNAMES).is_file() else find_table(root, None))
        if found is None or found.name == "MANIFEST.csv":
            rows = _national()
            return cls(rows, "the national labels", {spelling(x.label): i for i, x in enumerate(rows)})
        if found.suffix.lower() != ".txt":
            return cls._of_table(found)
        rows = read_classnames(found, beside=root)
        return cls(rows, found.name, {spelling(x.label): i for i, x in enumerate(rows)})

    @classmethod
    def _of_table(cls, file: Path) -> Names:
        """A table's own indices must be 0, 1, 2 ...: they are what the list's numbers mean."""
        table = read_labels(file)
        keys = [k for k in table if k.isdecimal()]
        if keys and sorted(map(int, keys)) != list(range(len(table))):
            raise ConfigError(
                f"{file}: its indices are not 0 to {len(table) - 1}", hint="each index once, beginning with 0"
            )
        rows = tuple(table[k] for k in (sorted(keys, key=int) if keys else table))
        return cls(rows, file.name, {spelling(x.label): i for i, x in enumerate(rows)})

    def find(self, category: str) -> int:
        """Index of a class written as index or name; ValueError says what is wrong."""
        if category.isdecimal():
            if int(category) < len(self.rows):
                return int(category)
            raise ValueError(f"category {category} is outside 0 to {len(self.rows) - 1} ({self.source})")
        if (known := self.index.get(spelling(category))) is not None:
            return known
        raise ValueError(f"category {category!r} is no index and no class of {self.source}")


def _national() -> tuple[LabelRow, ...]:
    from bin_daemon.model.taxonomy import labels265

    return tuple(LabelRow(x.label, x.category, i) for i, x in enumerate(labels265()))


def _read_list(file: Path, root: Path, names: Names, groups: dict[str, str], *, skip_bad_rows: bool) -> Listed:
    listed = Listed()
    problems: list[str] = []
    seen: dict[str, tuple[int, int]] = {}
    for line, name, category in _rows(file):
        where = f"{file}:{line}"
        try:
            index = names.find(category)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        path, problem = _locate(name, file.parent, root)
        first = seen.setdefault(str(path), (line, index))
        if not problem and first[0] != line:
            other = "" if first[1] == index else f" as {names.rows[first[1]].label}"
            problem = f"{name} is listed on line {first[0]} already{other}"
        if not problem:
            group = groups.get(name, "")
            listed.pictures.append(Picture(path, index, f"{file.name}:{line}", group))
        elif skip_bad_rows:
            listed.bad.append(BadPicture(path, f"{where}: {problem}"))
        else:
            problems.append(f"{where}: {problem}")
    _refuse(file, problems, len(problems) + len(listed.pictures) + len(listed.bad))
    return listed


def _refuse(file: Path, problems: list[str], rows: int) -> None:
    if problems:
        told = "; ".join(problems[:SHOWN]) + ("; ..." if len(problems) > SHOWN else "")
        head = f"{len(problems)} of {rows} rows are no good: " if len(problems) > 1 else ""
        raise ConfigError(
            head + told,
            hint="mend the list; bin-daemon evaluate --skip-bad-rows leaves out rows that point nowhere or repeat others",
        )
    if not rows:
        raise ConfigError(
            f"{file}: no row in it", hint=f"below the line {FILE_COLUMN},{CATEGORY_COLUMN}: one a picture"
        )


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line, path and category of each row; ConfigError at the first that is no CSV row of these columns."""
    reader = csv.DictReader(io.StringIO(_text(file), newline=""), strict=True, skipinitialspace=True)
    try:
        columns = [x.strip() for x in reader.fieldnames or ()]
        reader.fieldnames = columns
        for name in (FILE_COLUMN, CATEGORY_COLUMN):
            if name not in columns:
                raise ConfigError(
                    f"{file}:1: no column {name} (found: {', '.join(columns) or 'nothing'})",
                    hint=f"its first line must be {FILE_COLUMN},{CATEGORY_COLUMN}",
                )
        for row in reader:
            name, category = (row[FILE_COLUMN] or "").strip(), (row[CATEGORY_COLUMN] or "").strip()
            if not name or not category:
                raise ConfigError(
                    f"{file}:{reader.line_num}: no {CATEGORY_COLUMN if name else FILE_COLUMN}",
                    hint="each row needs a picture's path and its category",
                )
            yield reader.line_num, name, category
    except csv.Error as error:
        raise ConfigError(f"{file}:{reader.reader.line_num}: {error}", hint="a CSV list in UTF-8") from error


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: not UTF-8", hint="save the list as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", hint="check that it exists and is readable") from error


def _locate(name: str, beside: Path, root: Path) -> tuple[Path, str]:
    """The picture's path, and what is wrong with it ('' when it is a file)."""
    plain, shown = name.replace("\\", "/"), name if len(name) <= SHOWN_CHARS else f"{name[:SHOWN_CHARS]}..."
    places = [Path(os.path.normpath(folder / plain)) for folder in (beside, root)]  # "\\": lists made on Windows
    try:
        found = next((p for p in places if p.is_file()), None)
        folder = found is None and any(p.is_dir() for p in places)
    except (OSError, ValueError) as error:  # too long, no permission, a NUL
        return places[0], f"{shown!r}: {getattr(error, 'strerror', None) or error}"
    if found is not None:
        return found, ""
    return places[0], f"{shown} is a folder" if folder else f"no such file {shown}"
