"""From the tensors' shapes to the network: depths, widths, kernel and patch sizes, and timm's name for it."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.network import build_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bin_daemon.model.architecture import Argument

STAGES = 4
Size = tuple[tuple[int, ...], tuple[int, ...]]
"""Depths and widths."""
V1: Mapping[str, Size] = {
    "convnext_atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "convnext_femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "convnext_pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "convnext_nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "convnext_xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}
V2: Mapping[str, Size] = {
    **{
        name.replace("convnext", "convnextv2"): size
        for name, size in V1.items()
        if "small" not in name and "xl" not in name
    },
    "convnextv2_small": V1["convnext_small"],
    "convnextv2_huge": ((3, 3, 27, 3), (352, 704, 1408, 2816)),
}
CONV_MLP = frozenset({"atto", "femto", "pico", "nano"})
"""In version 1 timm builds these with 1x1 convolutions where we keep linear layers: the same sums, other shapes."""
PATCH_PX, KERNEL_PX = 4, 7


def architecture_of(place: str, weights: Mapping[str, torch.Tensor]) -> ArchitectureInfo:
    """The architecture that timm-named ``weights`` belong to, without its norms' eps; ModelError names what is missing."""
    size = (
        _depths(place, weights),
        tuple(_shape(place, weights, f"stages.{i}.blocks.0.norm.weight")[0] for i in range(STAGES)),
    )
    grn = any(".mlp.grn." in x for x in weights)
    name = _nearest(size, V2 if grn else V1)
    depths, dims = (V2 if grn else V1)[name]
    kwargs: dict[str, Argument] = {}
    if size[0] != depths:
        kwargs["depths"] = size[0]
    if size[1] != dims:
        kwargs["dims"] = size[1]
    if not grn and name.rpartition("_")[2] in CONV_MLP:
        kwargs["conv_mlp"] = False
    if (patch := _shape(place, weights, "stem.0.weight")[-1]) != PATCH_PX:
        kwargs["patch_size"] = patch
    kernels = tuple(_shape(place, weights, f"stages.{i}.blocks.0.conv_dw.weight")[-1] for i in range(STAGES))
    if set(kernels) != {KERNEL_PX}:
        kwargs["kernel_sizes"] = kernels
    return ArchitectureInfo(name=name, kwargs=kwargs)


def fill_layer_scales(weights: dict[str, torch.Tensor]) -> int:
    """A block without layer scale (made with an initial value of 0) is one whose scale is 1; returns how many got it."""
    made = 0
    if any(".mlp.grn." in x for x in weights):
        return made  # version 2 has none anywhere
    for name in [x for x in weights if x.endswith(".norm.weight") and ".blocks." in x]:
        gamma = name.replace(".norm.weight", ".gamma")
        if gamma not in weights:
            weights[gamma] = torch.ones_like(weights[name])
            made += 1
    return made


def check_complete(place: str, weights: Mapping[str, torch.Tensor], architecture: ArchitectureInfo) -> None:
    """Every tensor of the network is there, in its shape, and no other; ModelError names the first that is not."""
    wanted = _wanted_shapes(architecture, num_outputs(weights))
    for name, shape in wanted.items():
        if name not in weights:
            raise ModelError(f"{place}: {name} {shape} is missing", hint=_PART)
        if (found := tuple(weights[name].shape)) != shape:
            raise ModelError(f"{place}: {name} is {found}, {architecture.name} wants {shape}", hint=_PART)
    if unknown := sorted(weights.keys() - wanted.keys()):
        raise ModelError(f"{place}: {len(unknown)} tensors too many for {architecture.name}: {unknown[0]}", hint=_PART)


_PART = "the checkpoint is not whole, or not a plain ConvNeXt classifier: save it again from the model itself"


def num_outputs(weights: Mapping[str, torch.Tensor]) -> int:
    """Rows of the last layer; 0 for a backbone without one."""
    return int(weights["head.fc.weight"].shape[0]) if "head.fc.weight" in weights else 0


def _wanted_shapes(architecture: ArchitectureInfo, outputs: int) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            network = build_network(architecture, outputs)
    except ModelError:  # older timm cannot build without memory
        network = build_network(architecture, outputs)
    return {name: tuple(x.shape) for name, x in network.state_dict().items()}


def _depths(place: str, weights: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    blocks: dict[int, set[int]] = {}
    for name in weights:
        if found := re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name):
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    if sorted(blocks) != list(range(STAGES)):
        raise ModelError(f"{place}: stages {sorted(blocks)}, a ConvNeXt has {STAGES}", hint=_PART)
    for stage, numbers in blocks.items():
        missing = next(i for i in itertools.count() if i not in numbers)
        if missing != len(numbers):
            raise ModelError(f"{place}: stages.{stage}.blocks.{missing} is missing", hint=_PART)
    return tuple(len(blocks[i]) for i in range(STAGES))


def _shape(place: str, weights: Mapping[str, torch.Tensor], name: str) -> tuple[int, ...]:
    if name not in weights:
        raise ModelError(f"{place}: {name} is missing", hint=_PART)
    shape = tuple(weights[name].shape)
    if not shape or 0 in shape:
        raise ModelError(f"{place}: {name} has shape {shape}", hint=_PART)
    return shape


def _nearest(size: Size, names: Mapping[str, Size]) -> str:
    """The name of this size, else of the nearest: by the last width, then by the number of blocks."""

    def distance(name: str) -> tuple[float, int]:
        depths, dims = names[name]
        return abs(math.log(size[1][-1] / dims[-1])), abs(sum(size[0]) - sum(depths))

    return min(names, key=distance)
