"""All that shapes a training, as plain values: the model card's recipe by default; to a file and back.

The card (ConvNeXt-Base, 265 labels) names batch 128, 100 epochs, lr 5e-5, weight decay 0.1 and warm-up 10 on ImageNet-22K
weights, and the ConvNeXt paper for the rest: AdamW, cosine, drop path 0.5, RandAugment, RandomErasing, smoothing, no decay on
norms and biases, EMA. What the paper does only when it fine-tunes (layer-wise rate 0.8, a small head; its TRAINING.md) is done
only when a training starts from weights.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from bin_daemon.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

DROP_PATH = {"tiny": 0.1, "small": 0.4, "base": 0.5, "large": 0.5, "xlarge": 0.5}
"""ConvNeXt's ImageNet-1K training by size (its TRAINING.md); the card has base's 0.5."""
DROP_PATH_SMALLER = 0.1
"""atto to nano: ConvNeXt V2's TRAINING.md."""
LAYER_DECAY = 0.8
HEAD_INIT_SCALE = 0.001
WARMUP_EPOCHS = 10
NOT_SHAPING = frozenset({"workers"})
"""What changes no weight, and so may differ when a training is resumed."""


@dataclass(frozen=True, slots=True)
class LossRecipe:
    """What the loss wants; see `bin_daemon.training.loss`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the fine label's target that is spread over all labels."""
    category_weight: NotNegative = 1.0
    """Weight of the category's cross-entropy beside the fine label's. The one departure from the card's recipe that is on by
    default: it pulls the same way as the fine loss, and says that a wrong category, which opens a wrong lid, costs more than a
    wrong label within the right one. 0: the card's own loss."""
    balance: Share = 0.5
    """A label's pictures weigh (1 / their number) ** balance; 0: as they come, 1: every label counts the same."""
    hard_gamma: NotNegative = 0.0
    """Focal factor (1 - p) ** gamma of the true label's probability p: pictures that are known well weigh less, hard ones
    relatively more (Lin et al. 2017, Focal Loss for Dense Object Detection, which uses 2). 0: all alike."""


@dataclass(frozen=True, slots=True)
class AugmentRecipe:
    """How pictures are altered; timm's names where timm does it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    auto_augment: str = "rand-m9-mstd0.5-mmax9-inc1"
    """Empty: none. Magnitude is cut at 9: at 10, timm asks for 0 bits of posterising, which Pillow 13 refuses."""
    erase_prob: Share = 0.25
    min_scale: Annotated[float, Field(gt=0, le=1)] = 0.08
    """Least share of the picture that a crop keeps."""
    tray_share: Share = 0.0
    """Share of pictures whose item is cut out and laid on a random tray."""
    mixup: NotNegative = 0.0
    """Alpha of mixing two pictures; the paper fine-tunes without."""
    cutmix: NotNegative = 0.0
    """Alpha of pasting a part of one into the other; the paper fine-tunes without."""


@dataclass(frozen=True, slots=True)
class FinetuneRecipe:
    """One training of a whole network. None: depends on the start, see `resolved`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    epochs: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Pictures in one step, of all processes together."""
    batch_per_step: Annotated[int, Field(ge=1)] | None = None
    """Pictures that one process takes at once; the rest of the batch follows before the weights move. None: its whole share."""
    lr: Positive = 5e-5
    min_lr: NotNegative = 1e-6
    """Where the cosine ends."""
    weight_decay: NotNegative = 0.1
    """Not on norms and biases (timm's default)."""
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None
    """None: 10, but at most a fifth of the epochs."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each of the paper's layer groups learns so much slower than the one above. None: 0.8 from weights, 1 (alike) afresh."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Of the last block; grows linearly from 0. None: by size, 0.5 for base."""
    head_init_scale: Positive | None = None
    """A fresh last layer is multiplied by it. None: 0.001 from weights, 1 afresh."""
    freeze_to: str = ""
    """Parts up to this one stay as they are, such as 'stages.1'; empty: everything learns."""
    clip_norm: NotNegative = 5.0
    """Longest gradient, as mmcls trains ConvNeXt: a single bad batch must not throw the weights away. 0: any."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Warms up with the number of steps, so that short trainings have a useful average too."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Mixed precision. auto: bf16 on a GPU that has it, fp16 on any other, off on a CPU."""
    balance_by: Literal["loss", "draw"] = "loss"
    """How ``loss.balance`` is done: rare labels' pictures weigh more, or are drawn more often."""
    workers: Annotated[int, Field(ge=0)] = 0
    loss: LossRecipe = field(default_factory=lambda: LossRecipe(balance=0.0))
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)

    def resolved(self, architecture: str, *, from_weights: bool, processes: int) -> FinetuneRecipe:
        """The same with every None filled in; ConfigError where two values contradict each other."""
        size = next((x for x in DROP_PATH if architecture.endswith(f"_{x}")), "")
        share = self.batch_size // processes
        warmup = min(WARMUP_EPOCHS, self.epochs // 5)
        filled = replace(
            self,
            batch_per_step=self.batch_per_step or max(1, share),
            warmup_epochs=warmup if self.warmup_epochs is None else self.warmup_epochs,
            layer_decay=self.layer_decay or (LAYER_DECAY if from_weights else 1.0),
            drop_path=DROP_PATH.get(size, DROP_PATH_SMALLER) if self.drop_path is None else self.drop_path,
            head_init_scale=self.head_init_scale or (HEAD_INIT_SCALE if from_weights else 1.0),
        )
        filled.check(processes)
        return filled

    def check(self, processes: int) -> None:
        """ConfigError where values contradict each other."""
        at_once = (self.batch_per_step or 1) * processes
        if self.batch_size % at_once:
            raise ConfigError(
                f"--batch-size {self.batch_size}: no multiple of --batch-per-step {self.batch_per_step} x {processes} processes",
                hint=f"such as --batch-size {at_once * max(1, round(self.batch_size / at_once))}",
            )
        if (self.warmup_epochs or 0) >= self.epochs and self.warmup_epochs:
            raise ConfigError(
                f"--warmup-epochs {self.warmup_epochs} of --epochs {self.epochs}: the full rate is never reached",
                hint="fewer warm-up epochs, or more epochs",
            )
        if self.min_lr > self.lr:
            raise ConfigError(f"--lr {self.lr:g} is below --min-lr {self.min_lr:g}", hint="lower --min-lr too")
        if (self.augment.mixup or self.augment.cutmix) and (self.batch_per_step or 0) % 2:
            raise ConfigError(
                f"--mixup and --cutmix pair pictures, and --batch-per-step is {self.batch_per_step}",
                hint="an even number",
            )

    def to_json(self) -> dict[str, Any]:
        """Nested plain values: what a recipe file holds."""
        return asdict(self)


OPTIONS: dict[str, tuple[str, ...]] = {
    **{
        x: (x,)
        for x in (
            "epochs",
            "batch_size",
            "batch_per_step",
            "lr",
            "min_lr",
            "weight_decay",
            "warmup_epochs",
            "layer_decay",
            "drop_path",
            "head_init_scale",
            "freeze_to",
            "clip_norm",
            "ema_decay",
            "amp",
            "balance_by",
            "workers",
        )
    },
    **{x: ("loss", x) for x in ("smoothing", "category_weight", "balance", "hard_gamma")},
    **{x: ("augment", x) for x in ("auto_augment", "erase_prob", "min_scale", "tray_share", "mixup", "cutmix")},
}
"""Name of a command-line option -> place of its value."""


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Values by option name -> nested as in a recipe file."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        *outer, key = OPTIONS[name]
        (found.setdefault(outer[0], {}) if outer else found)[key] = value
    return found


def as_options(recipe: FinetuneRecipe) -> list[str]:
    """The command-line words that turn the default recipe into this one."""
    words: list[str] = []
    for name, place in OPTIONS.items():
        value, usual = _at(recipe.to_json(), place), _at(FinetuneRecipe().to_json(), place)
        if value != usual and value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _at(values: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        values = values[key]
    return values


RECIPE: TypeAdapter[FinetuneRecipe] = TypeAdapter(FinetuneRecipe)


def with_values(base: FinetuneRecipe, values: dict[str, Any], where: str) -> FinetuneRecipe:
    """``base`` with some values exchanged; ``values`` is nested as in a file. ConfigError, naming ``where`` and the key."""
    merged = base.to_json()
    for key, value in values.items():
        merged[key] = (
            {**merged[key], **value} if isinstance(merged.get(key), dict) and isinstance(value, dict) else value
        )
    try:
        return RECIPE.validate_python(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(x) for x in first["loc"])
        raise ConfigError(
            f"{where}: {place}: {first['msg']} (found {str(first['input'])[:60]!r})",
            hint="see `bin-daemon train --help`",
        ) from None


def read_values(file: Path) -> dict[str, Any]:
    """A recipe file, TOML or JSON by its suffix, as nested values that are not checked yet; ConfigError when unreadable."""
    try:
        text = file.read_text("utf-8")
        found: Any = tomllib.loads(text) if file.suffix.lower() == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{file}: {why}", hint="a recipe in TOML or JSON, such as recipe.json of a work folder"
        ) from None
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: holds no table of values", hint='such as {"lr": 5e-5, "loss": {"smoothing": 0.1}}')
    return found


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """'name is NEW, was OLD' for every value that differs and shapes the weights."""
    found: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{prefix}{key}.")
        elif before != now and key not in NOT_SHAPING:
            found.append(f"{prefix}{key} is {now}, was {before}")
    return found
