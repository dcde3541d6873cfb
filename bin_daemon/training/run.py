"""`bin-daemon train` from start to end: read the data, train the head or everything, calibrate, measure, write the bundle."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import platformdirs
import timm
import torch

from bin_daemon.errors import ConfigError
from bin_daemon.model.bundle import BundleMetadata, check_replaceable, write_bundle
from bin_daemon.model.cores import default_threads
from bin_daemon.model.network import weights_of
from bin_daemon.model.preprocess import prepare_array
from bin_daemon.model.standin import write_head
from bin_daemon.training.backbone import Backbone
from bin_daemon.training.data import DataSet, hold_out, load
from bin_daemon.training.embed import Job, embed
from bin_daemon.training.head import Head, HeadRecipe, train_head
from bin_daemon.training.judge import Answers, Logits, ask
from bin_daemon.training.publish import Measured, describe
from bin_daemon.training.ranks import Ranks
from bin_daemon.training.recipe import FinetuneRecipe, LossRecipe, as_options
from bin_daemon.training.report import tables
from bin_daemon.training.start import IMAGENET_LITE0, TIMM, Start, find_start
from bin_daemon.training.views import ViewPlan, views
from bin_daemon.training.whole import WholeTraining, run_torch
from bin_daemon.training.work import Cadence, default_work

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.model.bundle import Bundle
    from bin_daemon.training.screen import Screen

HELD_OUT_FRAC = 0.15
"""Of the training pictures, where the data set has no val."""
LEAST_LABELS = 2
L2_TRIED = (1e-2, 3e-2, 1e-1)
"""Weight decays of the head; val decides."""


@dataclass(frozen=True, slots=True)
class Order:
    """What `bin-daemon train` was asked for."""

    data: Path
    out: Path
    start: str | None = None
    arch: str | None = None
    labels: Path | None = None
    head_only: bool = False
    export_head: Path | None = None
    finetune: FinetuneRecipe = field(default_factory=FinetuneRecipe)
    seed: int = 1
    name: str = ""
    cache: Path = field(default_factory=lambda: platformdirs.user_cache_path("bin-daemon") / "features")
    plan: ViewPlan = field(default_factory=ViewPlan)
    head: LossRecipe = field(default_factory=LossRecipe)
    """Loss of a head alone."""
    work: Path | None = None
    """Work folder of a whole training; None: beside ``out``."""
    resume: bool = False
    restart: bool = False
    cadence: Cadence = field(default_factory=Cadence)
    tensorboard: bool = False
    export: Literal["", "best", "last"] = ""
    """Make the bundle from the work folder's best or last weights, without training on."""

    @property
    def work_folder(self) -> Path:
        """Recipe, log and checkpoints of the training."""
        return self.work or default_work(self.out)

    def check(self) -> None:
        """ConfigError where the order contradicts itself."""
        if self.export_head and not (self.head_only and self.start == IMAGENET_LITE0):
            raise ConfigError(
                "--export-head needs --head-only and --from imagenet-lite0", hint="the head fits that backbone alone"
            )
        if self.resume and self.restart:
            raise ConfigError("--resume and --restart (or --head-only) contradict each other", hint="give one of them")
        if self.export and (self.export not in {"best", "last"} or not self.resume):
            raise ConfigError(f"--export {self.export}", hint="--resume --export best, or --resume --export last")

    @property
    def trays(self) -> bool:
        """Whether to train and measure on items laid on trays too."""
        return self.finetune.augment.tray_share > 0


def train_bundle(order: Order, screen: Screen, ranks: Ranks | None = None) -> Bundle | None:
    """Train as ordered and write ``order.out``; None in a process that shares the training and is not the first.

    Raises:
        ConfigError: Bad data, a contradiction in the order, or a work folder that holds another training.
        ModelError: A bad start, a loss that is no number, or an ``out`` that is something else.
        UnreachableError: Another training is at work in the work folder.
    """
    ranks = ranks or Ranks(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    order.check()
    if order.head_only and ranks.processes > 1:
        raise ConfigError("--head-only with several processes", hint="start it without torchrun: it takes minutes")
    check_replaceable(order.out)
    data = hold_out(load(order.data, labels=order.labels), HELD_OUT_FRAC, order.seed)
    if len(data.labels) < LEAST_LABELS:
        raise ConfigError(f"{order.data}: one label only", hint="a classifier tells at least two apart")
    start = find_start(order.start, order.arch)
    torch.manual_seed(order.seed)
    training = _Training(order, start, data, screen)
    training.tell_data()
    return training.head_only() if order.head_only else training.whole(ranks)


@dataclass(frozen=True, slots=True)
class _Training:
    """One order at work."""

    order: Order
    start: Start
    data: DataSet
    screen: Screen

    def tell_data(self) -> None:
        counts: dict[str, JsonValue] = {k: len(v) for k, v in self.data.splits.items()}
        bad: list[JsonValue] = [f"{x.path}: {x.reason}" for x in self.data.bad]
        self.screen.record("data", {"labels": len(self.data.labels), **counts, "left_out": bad})
        self.screen.show(f"{len(self.data.labels)} labels; " + ", ".join(f"{k} {n}" for k, n in counts.items()))
        for line in bad:
            self.screen.show(f"left out: {line}")

    def head_only(self) -> Bundle:
        backbone = Backbone(self.start, default_threads())
        plan = self.order.plan if self.order.trays else ViewPlan(self.order.plan.altered, 0, 0)
        features = self._features(backbone, plan)
        val = self._ask("val", backbone.features)
        head, recipe = self._choose_head(features, val)
        answers = {**val, **self._ask("test", backbone.features)}
        metadata = self._describe(_through(head, answers), {"head": asdict(recipe), "views": asdict(plan)})
        if self.order.export_head:
            write_head(self.order.export_head, metadata, head.weight, head.bias)
        weights = backbone.with_head(head.weight, head.bias, self.start.architecture.head_key)
        return write_bundle(self.order.out, metadata, weights)

    def whole(self, ranks: Ranks) -> Bundle | None:
        trained = WholeTraining(self.order, self.start, self.data, self.screen, ranks).run()
        if not ranks.first:
            return None
        run = run_torch(trained.network)
        answers = {**self._ask("val", run), **self._ask("test", run)}
        made = {"finetune": asdict(trained.recipe), "epochs_done": trained.epochs_done, "steps": trained.step}
        metadata = self._describe(Measured(answers), made)
        return write_bundle(self.order.out, metadata, weights_of(trained.network))

    def _features(self, backbone: Backbone, plan: ViewPlan) -> NDArray[np.float32]:
        """Features of all views of the training pictures, N x V x D."""
        how = self.start.preprocessing
        job = Job(
            name=f"{self.start.source} {how} {plan}",
            show=lambda bgr, rng: views(bgr, plan, rng),
            prepare=lambda bgr: prepare_array(bgr, how),
            forward=backbone.features,
            seed=self.order.seed,
        )
        pictures = self.data.splits["train"]
        with self.screen.progress("features", len(pictures)) as advance:
            return embed(pictures, job, self.order.cache, lambda n: advance(n, ""))

    def _choose_head(self, features: NDArray[np.float32], val: dict[str, Answers]) -> tuple[Head, HeadRecipe]:
        """The head with the best category log-likelihood on val; not accuracy, for on 200 pictures accuracies tie."""
        labels, categories = self.data.indices("train"), self.data.categories()
        tried: list[tuple[float, Head, HeadRecipe]] = []
        share = self.order.finetune.augment.tray_share if self.order.trays else 0.0
        recipes = [HeadRecipe(self.order.head, l2=l2, tray_share=share) for l2 in L2_TRIED]
        with self.screen.progress("head", sum(x.steps for x in recipes)) as advance:
            for recipe in recipes:
                head = train_head(
                    features,
                    labels,
                    categories,
                    recipe,
                    lambda x: advance(1, f"loss {x:.3f}"),
                    photos=1 + self.order.plan.altered,
                )
                loss = _through(head, val).category_loss(self.data)
                self.screen.record("head", {"l2": recipe.l2, "val_category_loss": round(loss, 4)})
                tried.append((loss, head, recipe))
        _, head, recipe = min(tried, key=lambda x: x[0])
        return head, recipe

    def _ask(self, split: str, run: Logits) -> dict[str, Answers]:
        """Answers on the split's photographs and, where trays are wanted, on their items laid on trays."""
        pictures, how = self.data.splits.get(split, ()), self.start.preprocessing
        found: dict[str, Answers] = {}
        for name, on_tray in ((split, False), (f"{split}_trays", True)):
            if pictures and (self.order.trays or not on_tray):
                with self.screen.progress(name, len(pictures)) as advance:
                    found[name] = ask(pictures, how, run, on_tray=on_tray, advance=partial(advance, words=""))
        return found

    def _describe(self, measured: Measured, made: dict[str, Any]) -> BundleMetadata:
        temperature = measured.temperature(self.data)
        familiarity = measured.familiarity(temperature)
        metrics = measured.to_json(self.data, temperature, familiarity)
        for name in measured.answers:
            self.screen.show(tables(name, measured.category_metrics(name, self.data, temperature)))
        self.screen.record("metrics", {"temperature": temperature, **metrics})
        versions = {"torch": torch.__version__, "timm": timm.__version__}
        recipe = {"command": _command(self.order), "seed": self.order.seed, **versions, **made}
        name = self.order.name or self.order.out.name
        return describe(name, self.start, self.data, temperature, {"recipe": recipe, **metrics}, familiarity)


def _through(head: Head, features: dict[str, Answers]) -> Measured:
    """Features in the place of logits become logits."""
    return Measured({k: Answers(head.logits(a.logits), a.pictures, a.bad) for k, a in features.items()})


def _command(order: Order) -> str:
    """How to make the bundle again; folders by name only, for their paths are this machine's own."""
    words = ["bin-daemon", "train", order.data.name, "--out", order.out.name, "--seed", str(order.seed)]
    if order.start:
        named = order.start == IMAGENET_LITE0 or order.start.startswith(TIMM)
        words += ["--from", order.start if named else Path(order.start).name]
    words += ["--arch", order.arch] if order.arch else []
    words += ["--export-head", order.export_head.name] if order.export_head else []
    words += ["--name", order.name] if order.name else []
    if not order.head_only:
        return shlex.join([*words, *as_options(order.finetune)])
    words += ["--head-only", "--category-weight", str(order.head.category_weight), "--balance", str(order.head.balance)]
    return shlex.join([*words, "--tray-share", str(order.finetune.augment.tray_share)])
