"""The key names of each framework's ConvNeXt, and timm's for the same tensor.

Sources: mmcls 0.25 and mmpretrain 1.2 ``models/backbones/convnext.py``, facebookresearch/ConvNeXt and ConvNeXt-V2
``models/convnext*.py``, torchvision ``models/convnext.py``, timm ``models/convnext.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

Rules = tuple[tuple[str, str], ...]
BLOCK = r"stages\.(\d+)\.(\d+)\."
OUT = r"stages.\1.blocks.\2."
TO_TIMM_GRN = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


@dataclass(frozen=True, slots=True)
class Layout:
    """One framework's names. A checkpoint is of the first layout whose ``mark`` one of its keys matches."""

    name: str
    mark: str
    rules: Rules
    """Whole-key patterns and timm's name; a key that none of them matches is no part of a ConvNeXt classifier."""
    other_norms: str = r"(?!)"
    """Norms of features for other tasks, which a classifier does not use."""


LAYOUTS = (
    Layout(
        "mmcls",
        r"(backbone\.)?stages\.\d+\.\d+\.depthwise_conv\.",
        (
            (r"(?:backbone\.)?downsample_layers\.0\.([01])\.(\w+)", r"stem.\1.\2"),
            (r"(?:backbone\.)?downsample_layers\.(\d+)\.([01])\.(\w+)", r"stages.\1.downsample.\2.\3"),
            (rf"(?:backbone\.)?{BLOCK}depthwise_conv\.(\w+)", OUT + r"conv_dw.\3"),
            (rf"(?:backbone\.)?{BLOCK}pointwise_conv([12])\.(\w+)", OUT + r"mlp.fc\3.\4"),
            (rf"(?:backbone\.)?{BLOCK}grn\.(\w+)", OUT + r"mlp.grn.\3"),
            (rf"(?:backbone\.)?{BLOCK}(gamma|norm\.\w+)", OUT + r"\3"),
            (r"(?:backbone\.)?norm3\.(\w+)", r"head.norm.\1"),
            (r"head\.fc\.(\w+)", r"head.fc.\1"),
        ),
        other_norms=r"(backbone\.)?norm[0-2]\.\w+",
    ),
    Layout(
        "facebook",
        r"stages\.\d+\.\d+\.dwconv\.",
        (
            (r"downsample_layers\.0\.([01])\.(\w+)", r"stem.\1.\2"),
            (r"downsample_layers\.(\d+)\.([01])\.(\w+)", r"stages.\1.downsample.\2.\3"),
            (rf"{BLOCK}dwconv\.(\w+)", OUT + r"conv_dw.\3"),
            (rf"{BLOCK}pwconv([12])\.(\w+)", OUT + r"mlp.fc\3.\4"),
            (rf"{BLOCK}grn\.(\w+)", OUT + r"mlp.grn.\3"),
            (rf"{BLOCK}(gamma|norm\.\w+)", OUT + r"\3"),
            (r"norm\.(\w+)", r"head.norm.\1"),
            (r"head\.(weight|bias)", r"head.fc.\1"),
        ),
        other_norms=r"norm[0-3]\.\w+",
    ),
    Layout(
        "timm",
        r"stages\.\d+\.blocks\.\d+\.conv_dw\.",
        (
            (r"(stem\.[01]\.\w+)", r"\1"),
            (r"(stages\.\d+\.downsample\.[01]\.\w+)", r"\1"),
            (r"(stages\.\d+\.blocks\.\d+\.(?:gamma|(?:conv_dw|norm|mlp\.fc[12]|mlp\.grn)\.\w+))", r"\1"),
            (r"(head\.(?:norm|fc)\.\w+)", r"\1"),
        ),
    ),
    Layout(
        "torchvision",
        r"features\.\d+\.\d+\.layer_scale$",
        (
            (r"features\.0\.([01])\.(\w+)", r"stem.\1.\2"),
            (r"features\.([246])\.([01])\.(\w+)", r"stages.{half}.downsample.\2.\3"),
            (r"features\.([1357])\.(\d+)\.block\.0\.(\w+)", r"stages.{half}.blocks.\2.conv_dw.\3"),
            (r"features\.([1357])\.(\d+)\.block\.2\.(\w+)", r"stages.{half}.blocks.\2.norm.\3"),
            (r"features\.([1357])\.(\d+)\.block\.3\.(\w+)", r"stages.{half}.blocks.\2.mlp.fc1.\3"),
            (r"features\.([1357])\.(\d+)\.block\.5\.(\w+)", r"stages.{half}.blocks.\2.mlp.fc2.\3"),
            (r"features\.([1357])\.(\d+)\.layer_scale", r"stages.{half}.blocks.\2.gamma"),
            (r"classifier\.0\.(\w+)", r"head.norm.\1"),
            (r"classifier\.2\.(\w+)", r"head.fc.\1"),
        ),
    ),
)
"""torchvision counts downsampling and stages in one row of features: stage is half of the number, rounded down."""

OTHERS = (
    (r".*\b(norm_pre\.|stem\.[2-9])", "a timm ConvNeXt with another stem or head (such as _hnf, _ols, CLIP)"),
    (r"(encoder\.)?convnext(v2)?\.(embeddings|encoder)\.", "a ConvNeXt of Hugging Face transformers"),
    (r"(backbone\.)?layer[1-4]\.\d+\.conv1\.", "a ResNet"),
    (r".*relative_position_bias_table", "a Swin Transformer"),
    (
        r"(backbone\.)?(cls_token|pos_embed|.*\battn\.(qkv|q_proj))|.*\.attention\.",
        "a vision transformer (ViT, BEiT or DeiT)",
    ),
    (r"conv_stem\.|.*\.conv_pwl?\.|.*\.se\.conv_reduce", "an EfficientNet or MobileNet of timm"),
    (
        r".*\bfeatures\.\d+\.(conv|weight|block|0\.|1\.)",
        "a torchvision network (VGG, MobileNet, EfficientNet or DenseNet)",
    ),
    (r"(model\.)?\d+\.(conv|cv[123]|m)\.", "a YOLO detector"),
    (r"graph\.|onnx", "a converted ONNX graph"),
)
"""What a checkpoint without any of the marks looks like, for the error."""


def find_layout(place: str, keys: Iterable[str]) -> Layout:
    """The layout that these key names are of; ModelError says what they look like instead. ``place`` is for the message."""
    names = list(keys)
    for layout in LAYOUTS:
        if any(re.match(layout.mark, x) for x in names):
            return layout
    looks = next((what for pattern, what in OTHERS if any(re.match(pattern, x) for x in names)), "another network")
    raise ModelError(
        f"{place}: not a known ConvNeXt: it looks like {looks} (first keys: {', '.join(names[:3])})",
        hint="import a ConvNeXt classifier as mmcls, mmpretrain, Facebook's code, timm or torchvision save it",
    )


def to_timm(place: str, layout: Layout, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under timm's names and in timm's shapes; ModelError names a key that has no place in a ConvNeXt."""
    renamed: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        if re.fullmatch(layout.other_norms, key):
            continue
        name = _timm_name(layout, key)
        if name is None:
            looks = next((f": {what}" for pattern, what in OTHERS if re.match(pattern, key)), "")
            raise ModelError(
                f"{place}: {key} {tuple(tensor.shape)} has no place in a {layout.name} ConvNeXt classifier{looks}",
                hint="import a plain ConvNeXt classifier: patch stem, pooling, norm, one linear head",
            )
        if name in renamed:
            raise ModelError(f"{place}: {key} is there twice, as {name}", hint="save one state dict only")
        renamed[name] = _in_timm_shape(name, tensor)
    return renamed


def _timm_name(layout: Layout, key: str) -> str | None:
    for pattern, target in layout.rules:
        if found := re.fullmatch(pattern, key):
            half = int(found[1]) // 2 if "{half}" in target else 0
            name = found.expand(target.replace("{half}", str(half)))
            start, grn, end = name.partition(".mlp.grn.")
            return f"{start}{grn}{TO_TIMM_GRN.get(end, end)}" if grn else name
    return None


def _in_timm_shape(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Pointwise convolutions become linear layers, layer scales and response norms one row."""
    if ".mlp.fc" in name and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):  # noqa: PLR2004 - O x I x 1 x 1
        return tensor.flatten(1)
    if name.endswith(".gamma") or ".mlp.grn." in name:
        return tensor.flatten()
    return tensor
