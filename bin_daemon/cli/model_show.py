"""What `bin-daemon model list`, `show` and `verify` print for people: narrow enough for 80 columns, names never folded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bin_daemon.model.bundle import BundleMetadata
    from bin_daemon.model.inventory import StoredModel
    from bin_daemon.model.verify import Check


def show_list(models: Sequence[StoredModel], store: Path, configured: Path | None) -> None:
    """Two lines a model: a table would fold the names, which are what a technician copies."""
    console = _console()
    for model in models:
        console.print(_headline(model), soft_wrap=True)
        console.print(Padding(Text(_facts(model), "red" if model.damage else ""), (0, 0, 0, 4)))
    if not models:
        _say(console, f"no model in {store}: bin-daemon model pull or bin-daemon model import PATH brings one")
    elif not any(x.active for x in models):
        _say(console, "none is active: bin-daemon model activate ID activates one")
    if configured is not None:
        _say(console, f"model.bundle of the config is set and wins: {configured}")


def show_downloads(downloads: Sequence[tuple[Path, int]]) -> None:
    """What `model pull` has not brought to an end: it takes room."""
    for folder, size_bytes in downloads:
        text = (
            f"not finished: {size_bytes / 1e6:.1f} MB in {folder}: bin-daemon model pull goes on, or remove the folder"
        )
        _say(_console(), text)


def show_bundle(path: Path, metadata: BundleMetadata, *, labels: bool) -> None:
    """All that the bundle says about itself; the labels only where asked for, metrics as they are."""
    console = _console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _rows(path, metadata):
        grid.add_row(name, Text(value))
    console.print(grid)
    if labels:
        table = Table("index", "label", "category", "meaning", box=None, pad_edge=False)
        for index, info in enumerate(metadata.labels):
            table.add_row(str(index), Text(info.label), info.category.value, Text(info.gloss))
        console.print(table)


def show_check(check: Check) -> None:
    """One line, and the mend under it."""
    word, style = {True: ("ok", "green"), False: ("bad", "red"), None: ("-", "dim")}[check.ok]
    console = _console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=3, style=style)
    grid.add_column(width=9)
    grid.add_column(overflow="fold")
    grid.add_row(word, check.name, Text(check.text))
    if check.hint:
        grid.add_row("", "mend", Text(check.hint))
    console.print(grid)


def category_counts(metadata: BundleMetadata) -> dict[str, int]:
    """How many labels count for each category."""
    return dict(Counter(x.category.value for x in metadata.labels))


def test_accuracy(metadata: BundleMetadata) -> float | None:
    """Share of test pictures whose category was right, where the bundle says it (``metrics.test.category_accuracy``)."""
    test = metadata.metrics.get("test")
    value = test.get("category_accuracy") if isinstance(test, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def _headline(model: StoredModel) -> Text:
    text = Text()
    text.append("* " if model.active else "  ", "bold green")
    text.append(model.name, "bold")
    if model.active:
        text.append("  active", "green")
    if model.back_steps == 1:
        text.append("  next rollback", "yellow")
    if model.damage:
        text.append("  damaged", "red")
    return text


def _facts(model: StoredModel) -> str:
    if model.damage or model.metadata is None:
        return model.damage
    metadata, accuracy = model.metadata, test_accuracy(model.metadata)
    facts = [
        f"{len(metadata.labels)} labels, {len(category_counts(metadata))} categories",
        f"{model.size_bytes / 1e6:.1f} MB",
        f"{metadata.created:%Y-%m-%d}",
        "" if accuracy is None else f"test {accuracy:.1%}",
    ]
    return "; ".join(x for x in (metadata.name, *facts) if x)


def _rows(path: Path, metadata: BundleMetadata) -> Iterator[tuple[str, str]]:
    architecture, preprocessing = metadata.architecture, metadata.preprocessing
    yield "folder", str(path)
    yield "id", metadata.id
    yield "name", metadata.name or metadata.id
    yield "network", " ".join([architecture.name, *(f"{k}={_plain(v)}" for k, v in architecture.kwargs.items())])
    for name, eps in architecture.norm_eps.items():
        yield "", f"eps {eps:g} in {name}"
    counts = ", ".join(f"{count} {category}" for category, count in category_counts(metadata).items())
    yield "labels", f"{len(metadata.labels)}: {counts}"
    yield "picture", ", ".join(f"{k} {_plain(v)}" for k, v in preprocessing.model_dump(mode="json").items())
    for name in sorted(type(metadata).model_fields.keys() - _SHOWN_ELSEWHERE):
        if (value := getattr(metadata, name)) is not None:
            yield name, _plain(value if not hasattr(value, "model_dump") else value.model_dump(mode="json"))
    yield "source", metadata.source or "not stated"
    yield "licence", metadata.licence or "not stated"
    yield "created", metadata.created.isoformat(timespec="seconds")
    for name, digest in metadata.sha256.items():
        yield "sha256", f"{digest}  {name}"
    yield from _exports(path)
    for name, value in metadata.metrics.items():
        yield "metrics", f"{name}: {_plain(value)}"


_SHOWN_ELSEWHERE = frozenset(
    {"format_version", "id", "name", "architecture", "labels", "preprocessing", "source", "licence", "created"}
    | {"sha256", "metrics"}
)


def _exports(path: Path) -> Iterator[tuple[str, str]]:
    """What the sidecars of exported files say; damaged ones are `verify`'s business."""
    sidecars = sorted(path.glob("model*.onnx.json"))
    for sidecar in sidecars:
        try:
            content = orjson.loads(sidecar.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            content = {}
        facts = {k: v for k, v in content.items() if k not in {"format_version", "architecture_id", "sha256"}}
        yield "exported", f"{sidecar.name.removesuffix('.json')}: {_plain(facts)}"
    if not sidecars:
        yield "exported", "no"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return f"({', '.join(_plain(x) for x in value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _console() -> Console:
    return Console(highlight=False)


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
