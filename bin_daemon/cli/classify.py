"""`bin-daemon classify`: what the model makes of picture files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from bin_daemon.config import Settings
    from bin_daemon.domain import Classification
    from bin_daemon.model.classify import Classifier

BAR_CHARACTERS = 24


def classify(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMG...", help="Photographs, folders of them, or - for standard input.", show_default=False
        ),
    ],
    *,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Model bundle; default: the active one, else the stand-in."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, max=1000, help="Show the N most probable labels.")
    ] = 5,
    together: Annotated[
        bool, typer.Option("--together", help="All pictures show one item: one answer, and how far they agree.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, one a line.")] = False,
    config: ConfigFile = None,
) -> None:
    """Say which category and label the model sees in each picture.

    A picture that cannot be judged is told of, the others go on, and the command then ends with status 1.
    """
    from bin_daemon.cli.picture_names import expand
    from bin_daemon.config import load_settings

    answers = _Answers(_open(load_settings(config), model), top, as_json=as_json)
    if together:
        answers.one_item(expand(pictures))
    else:
        for picture in expand(pictures):
            answers.one_picture(picture)
    if answers.failed:
        raise typer.Exit(1)


class _Answers:
    """Judges pictures and prints what came out."""

    def __init__(self, classifier: Classifier, top: int, *, as_json: bool) -> None:
        self.failed = False
        self._classifier = classifier
        self._top = top
        self._as_json = as_json
        self._glosses = [x.gloss for x in classifier.bundle.metadata.labels]

    def one_picture(self, picture: Path) -> None:
        began = time.perf_counter()
        if (logits := self._logits(picture)) is not None:
            self._show({"path": str(picture)}, str(picture), self._classifier.verdict(logits, began, self._top))

    def one_item(self, pictures: Iterable[Path]) -> None:
        from numpy import concatenate

        began = time.perf_counter()
        names, found = [], []
        for picture in pictures:
            if (logits := self._logits(picture)) is not None:
                names.append(str(picture))
                found.append(logits)
        if not found:
            return
        verdict = self._classifier.verdict(concatenate(found), began, self._top)
        count = "1 picture" if len(names) == 1 else f"{len(names)} pictures"
        title = f"{count} of one item, agreement {verdict.agreement:.0%}"
        self._show({"paths": names, "agreement": verdict.agreement}, title, verdict)

    def _logits(self, picture: Path) -> NDArray[np.float32] | None:
        from bin_daemon.cli.picture_names import open_picture
        from bin_daemon.errors import BinError

        try:
            return self._classifier.judge(open_picture(picture))
        except BinError as error:
            self.failed = True
            _show_error(picture, error, as_json=self._as_json)
            return None

    def _show(self, about: dict[str, Any], title: str, verdict: Classification) -> None:
        if self._as_json:
            print_json(about | _as_dict(verdict))
        else:
            _console().print(_as_table(title, verdict, self._glosses))


def _open(settings: Settings, model: Path | None) -> Classifier:
    from bin_daemon.model.classify import open_as_configured
    from bin_daemon.model.standin import bundle_or_standin

    use, state_dir = settings.model, settings.service.state_dir
    if model:
        use = use.model_copy(update={"label_overrides": {}})  # another model may lack the labels of the site's rules
    return open_as_configured(bundle_or_standin(model, settings.model, state_dir), use, state_dir)


def _as_dict(verdict: Classification) -> dict[str, Any]:
    """``scores`` and ``labels`` as ModelScope's pipeline returns them, the rest is ours."""
    return {
        "category": verdict.category,
        "categories": {category.value: p for category, p in verdict.category_probs.items()},
        "top": [[x.label, x.index, x.probability] for x in verdict.top5],
        "scores": [x.probability for x in verdict.top5],
        "labels": [x.label for x in verdict.top5],
    }


def _as_table(title: str, verdict: Classification, glosses: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(min_width=12, overflow="fold")
    table.add_column(width=BAR_CHARACTERS)
    table.add_column(justify="right", width=7)
    for category, p in sorted(verdict.category_probs.items(), key=lambda x: -x[1]):
        table.add_row(Text(category.value, "bold" if category is verdict.category else ""), _bar(p), f"{p:.1%}")
    table.add_section()
    for score in verdict.top5:
        gloss = glosses[score.index]
        name = f"{score.index}: {score.label} ({gloss})" if gloss else f"{score.index}: {score.label}"
        table.add_row(Text(name), _bar(score.probability), f"{score.probability:.1%}")
    table.add_row()
    return table


def _bar(probability: float) -> Any:
    from rich.bar import Bar

    return Bar(1.0, 0.0, probability, width=BAR_CHARACTERS, color="green")


def _show_error(picture: Path, error: Exception, *, as_json: bool) -> None:
    from rich.text import Text

    hint = getattr(error, "hint", "")
    text = f"{error} ({hint})" if hint else str(error)
    if as_json:
        print_json({"path": str(picture), "error": text})
    else:
        _console(stderr=True).print(Text(text, "red"), soft_wrap=True)


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
