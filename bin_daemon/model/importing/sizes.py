"""From the tensors' shapes to the network: depths, widths, kernel and patch sizes; all shapes that follow; timm's name for it."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.architecture import ArchitectureInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bin_daemon.model.architecture import Argument

STAGES = 4
PATCH_PX, KERNEL_PX, WIDENING = 4, 7, 4
"""The paper's; timm's ConvNeXt takes other patches and kernels, not another widening of the pointwise layers."""
Scale = tuple[tuple[int, ...], tuple[int, ...]]
"""Depths and widths."""
V1: Mapping[str, Scale] = {
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
V2: Mapping[str, Scale] = {
    "convnextv2_atto": V1["convnext_atto"],
    "convnextv2_femto": V1["convnext_femto"],
    "convnextv2_pico": V1["convnext_pico"],
    "convnextv2_nano": V1["convnext_nano"],
    "convnextv2_tiny": V1["convnext_tiny"],
    "convnextv2_base": V1["convnext_base"],
    "convnextv2_large": V1["convnext_large"],
    "convnextv2_huge": ((3, 3, 27, 3), (352, 704, 1408, 2816)),
}
XXLARGE: Scale = ((3, 4, 30, 3), (384, 768, 1536, 3072))
"""timm's own, whose norms have 1e-5 everywhere: named only where timm made the checkpoint."""
CONV_MLP = frozenset({"atto", "femto", "pico", "nano"})
"""timm builds these with 1x1 convolutions where we keep linear layers: the same sums, other shapes."""
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Sizes:
    """A ConvNeXt classifier's measures, one of each for each stage."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    kernels_px: tuple[int, ...]
    patch_px: int
    response_norm: bool
    """Version 2: a response norm in each block, and no layer scale."""
    outputs: int
    """Rows of the last layer; 0 for a backbone without one."""

    def architecture(self, layout: str) -> ArchitectureInfo:
        """The name that timm has for this size, else of the nearest with what differs; without the norms' eps."""
        scale = self.depths, self.widths
        if layout == "timm" and scale == XXLARGE:
            return ArchitectureInfo(name="convnext_xxlarge")
        names = V2 if self.response_norm else V1
        name = _nearest(scale, names)
        depths, widths = names[name]
        kwargs: dict[str, Argument] = {}
        kwargs |= {"depths": self.depths} if self.depths != depths else {}
        kwargs |= {"dims": self.widths} if self.widths != widths else {}
        kwargs |= {"conv_mlp": False} if name.rpartition("_")[2] in CONV_MLP else {}
        kwargs |= {"patch_size": self.patch_px} if self.patch_px != PATCH_PX else {}
        kwargs |= {"kernel_sizes": self.kernels_px} if set(self.kernels_px) != {KERNEL_PX} else {}
        return ArchitectureInfo(name=name, kwargs=kwargs)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the network, by timm's name."""
        first, last = self.widths[0], self.widths[-1]
        found = {
            **_weight_and_bias("stem.0", (first, 3, self.patch_px, self.patch_px)),
            **_weight_and_bias("stem.1", (first,)),
        }
        for stage, (depth, width, kernel) in enumerate(zip(self.depths, self.widths, self.kernels_px, strict=True)):
            if stage:
                before = self.widths[stage - 1]
                found |= _weight_and_bias(f"stages.{stage}.downsample.0", (before,))
                found |= _weight_and_bias(f"stages.{stage}.downsample.1", (width, before, 2, 2))
            for block in range(depth):
                found |= self._block(f"stages.{stage}.blocks.{block}", width, kernel)
        found |= _weight_and_bias("head.norm", (last,))
        return found | (_weight_and_bias("head.fc", (self.outputs, last)) if self.outputs else {})

    def _block(self, name: str, width: int, kernel: int) -> dict[str, tuple[int, ...]]:
        wide = WIDENING * width
        return {
            **({} if self.response_norm else {f"{name}.gamma": (width,)}),
            **_weight_and_bias(f"{name}.conv_dw", (width, 1, kernel, kernel)),
            **_weight_and_bias(f"{name}.norm", (width,)),
            **_weight_and_bias(f"{name}.mlp.fc1", (wide, width)),
            **(_weight_and_bias(f"{name}.mlp.grn", (wide,)) if self.response_norm else {}),
            **_weight_and_bias(f"{name}.mlp.fc2", (width, wide)),
        }


def measure(place: str, weights: Mapping[str, torch.Tensor]) -> Sizes:
    """Read the sizes from timm-named ``weights``; ModelError names what is missing, of another shape, or too much."""
    blocks = [f"stages.{i}.blocks.0" for i in range(STAGES)]
    sizes = Sizes(
        depths=_depths(place, weights),
        widths=tuple(_shape(place, weights, f"{x}.norm.weight")[0] for x in blocks),
        kernels_px=tuple(_shape(place, weights, f"{x}.conv_dw.weight")[-1] for x in blocks),
        patch_px=_shape(place, weights, "stem.0.weight")[-1],
        response_norm=any(".mlp.grn." in x for x in weights),
        outputs=_shape(place, weights, "head.fc.weight")[0] if "head.fc.weight" in weights else 0,
    )
    wanted = sizes.shapes()
    for name, shape in wanted.items():
        if name not in weights:
            raise ModelError(f"{place}: {name} {shape} is missing", hint=_PART)
        if (found := tuple(weights[name].shape)) != shape:
            raise ModelError(f"{place}: {name} is {found}, such a ConvNeXt has {shape}", hint=_PART)
    if unknown := sorted(weights.keys() - wanted.keys()):
        raise ModelError(f"{place}: {unknown[0]} has no place in such a ConvNeXt", hint=_PART)
    return sizes


def fill_layer_scales(weights: Tensors) -> bool:
    """Version 1 without any layer scale (made with an initial value of 0) is one whose scales are 1; true when it was so."""
    if any(x.endswith(".gamma") or ".mlp.grn." in x for x in weights):
        return False
    for name in [x for x in weights if x.endswith(".norm.weight") and ".blocks." in x]:
        weights[name.replace(".norm.weight", ".gamma")] = torch.ones_like(weights[name])
    return True


_PART = "the checkpoint is not whole, or not a plain ConvNeXt classifier: save it again from the model itself"


def _weight_and_bias(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _depths(place: str, weights: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    blocks: dict[int, set[int]] = {}
    for name in weights:
        if found := re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name):
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    if sorted(blocks) != list(range(STAGES)):
        raise ModelError(f"{place}: has stages {sorted(blocks)}, a ConvNeXt has {STAGES}", hint=_PART)
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


def _nearest(scale: Scale, names: Mapping[str, Scale]) -> str:
    """The name of this scale, else of the nearest: by the last width, then by the number of blocks."""

    def distance(name: str) -> tuple[float, int]:
        depths, widths = names[name]
        return abs(math.log(scale[1][-1] / widths[-1])), abs(sum(scale[0]) - sum(depths))

    return min(names, key=distance)
