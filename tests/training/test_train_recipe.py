"""Recipe values: to a file and back, the command line over the file over the work folder, and what is wrong named."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from bin_daemon.errors import ConfigError
from bin_daemon.training.choice import choose
from bin_daemon.training.recipe import (
    OPTIONS,
    AugmentRecipe,
    FinetuneRecipe,
    LossRecipe,
    as_options,
    nested,
    with_values,
)
from bin_daemon.training.work import RECIPE_FILE, write_recipe

RECIPE = FinetuneRecipe(epochs=7, lr=1e-3, amp="bf16", loss=LossRecipe(smoothing=0.2), augment=AugmentRecipe(mixup=0.5))


def test_a_written_recipe_is_read_back(tmp_path: Path) -> None:
    """The dump of one training is the --recipe of the next, to the last value; options typed go over it."""
    write_recipe(tmp_path, {"seed": 5, "from": "timm:convnext_base.fb_in22k", "arch": None, **RECIPE.to_json()})
    found = choose({}, tmp_path / RECIPE_FILE, None, head_only=False)
    assert (found.recipe, found.seed, found.start, found.arch) == (RECIPE, 5, "timm:convnext_base.fb_in22k", None)
    typed = choose({"lr": 2e-3, "seed": 6, "arch": "convnext_atto"}, tmp_path / RECIPE_FILE, None, head_only=False)
    assert (typed.recipe.lr, typed.recipe.epochs, typed.seed) == (2e-3, 7, 6)
    assert (typed.start, typed.arch) == (None, "convnext_atto")  # the file's start does not fit another architecture


def test_toml_is_read_too(tmp_path: Path) -> None:
    """Values that a file leaves out are the card's."""
    file = tmp_path / "mine.toml"
    file.write_text('epochs = 3\nseed = 0\n[loss]\ncategory_weight = 0\n[augment]\nauto_augment = ""\n')
    found = choose({}, file, None, head_only=False)
    assert (found.recipe.epochs, found.recipe.loss.category_weight, found.recipe.augment.auto_augment) == (3, 0, "")
    assert (found.recipe.batch_size, found.recipe.loss.smoothing, found.seed) == (128, 0.1, 0)


def test_a_resumed_training_needs_no_options_again(tmp_path: Path) -> None:
    """What was not typed is the work folder's; what was typed and differs is refused by name, workers may differ."""
    write_recipe(tmp_path, {"seed": 5, "from": None, "arch": "convnext_atto", **RECIPE.to_json()})
    found = choose({"workers": 4}, None, tmp_path, head_only=False)
    assert (found.recipe.epochs, found.recipe.workers, found.seed, found.arch) == (7, 4, 5, "convnext_atto")
    with pytest.raises(ConfigError, match=r"lr is 0\.01, was 0\.001; seed is 1, was 5") as caught:
        choose({"lr": 0.01, "seed": 1}, None, tmp_path, head_only=False)
    assert "--restart" in caught.value.hint


def test_words_give_the_recipe_again() -> None:
    """The command in a bundle's metadata holds every value that is not usual."""
    words = as_options(RECIPE)
    typed = {words[i].removeprefix("--").replace("-", "_"): words[i + 1] for i in range(0, len(words), 2)}
    assert with_values(FinetuneRecipe(), nested(typed), "words") == RECIPE
    assert as_options(FinetuneRecipe()) == []
    assert shlex.join(words).startswith("--epochs 7 --lr 0.001")
    assert len(OPTIONS) == len(set(OPTIONS.values())) == 26


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"lr": 0}, "lr"),
        ({"lr": "fast"}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"epochs": 0}, "epochs"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"amp": "fp8"}, "amp"),
        ({"loss": {"smoothing": 1}}, "loss.smoothing"),
        ({"loss": {"smooth": 0.1}}, "loss.smooth"),
        ({"augment": {"erase_prob": 2}}, "augment.erase_prob"),
        ({"momentum": 0.9}, "momentum"),
        ({"seed": "one"}, "seed"),
        ({"loss": 3}, "loss"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], place: str, tmp_path: Path) -> None:
    """File and key, whether the value, its type or the key itself is wrong."""
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=f"mine.json: {place}: "):
        choose({}, file, None, head_only=False)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe"])
def test_what_is_no_recipe_is_refused(content: bytes, tmp_path: Path) -> None:
    """One error with the file's name, for a missing file too."""
    file = tmp_path / "mine.json"
    file.write_bytes(content)
    for path in (file, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=path.name):
            choose({}, path, None, head_only=False)


def test_values_that_contradict_each_other() -> None:
    """Warm-up without end, a least rate above the highest, an odd number of pictures to pair."""
    for recipe, named in (
        (FinetuneRecipe(epochs=3, warmup_epochs=3), "--warmup-epochs 3 of --epochs 3"),
        (FinetuneRecipe(lr=1e-7), "--min-lr"),
        (FinetuneRecipe(batch_size=9, augment=AugmentRecipe(cutmix=1.0)), "--batch-per-step is 9"),
    ):
        with pytest.raises(ConfigError, match=named):
            recipe.resolved("convnext_base", from_weights=True, processes=1)
