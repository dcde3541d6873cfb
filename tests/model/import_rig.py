"""A tiny ConvNeXt written out in plain torch, and its weights under each framework's key names.

The definition follows the paper's code and, where they differ, mmcls 0.25; the names are written here by hand, as each framework
has them. Neither knows of timm or of the importer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTHS, WIDTHS = (1, 2, 3, 1), (8, 12, 20, 16)
INPUT_PX = 64
Tensors = dict[str, torch.Tensor]


def weights(outputs: int = 4, *, faint: bool = False, grn: bool = False, seed: float = 0.0) -> Tensors:
    """Fixed numbers under neutral names; ``faint``: features of so little variance that a norm's eps counts."""
    shapes: dict[str, tuple[int, ...]] = {"stem.conv.w": (WIDTHS[0], 3, 4, 4), "stem.conv.b": (WIDTHS[0],)}
    shapes |= {"stem.norm.w": (WIDTHS[0],), "stem.norm.b": (WIDTHS[0],)}
    for s, (depth, c) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        if s:
            before = WIDTHS[s - 1]
            shapes |= {f"{s}.down.norm.w": (before,), f"{s}.down.norm.b": (before,)}
            shapes |= {f"{s}.down.conv.w": (c, before, 2, 2), f"{s}.down.conv.b": (c,)}
        for b in range(depth):
            p = f"{s}.{b}."
            shapes |= {p + "dw.w": (c, 1, 7, 7), p + "dw.b": (c,), p + "norm.w": (c,), p + "norm.b": (c,)}
            shapes |= {p + "pw1.w": (4 * c, c), p + "pw1.b": (4 * c,), p + "pw2.w": (c, 4 * c), p + "pw2.b": (c,)}
            shapes |= {p + "grn.w": (4 * c,), p + "grn.b": (4 * c,)} if grn else {p + "gamma": (c,)}
    shapes |= {"norm.w": (WIDTHS[3],), "norm.b": (WIDTHS[3],), "fc.w": (outputs, WIDTHS[3]), "fc.b": (outputs,)}
    return {name: _numbers(name, shape, i + seed, faint=faint) for i, (name, shape) in enumerate(shapes.items())}


def _numbers(name: str, shape: tuple[int, ...], phase: float, *, faint: bool) -> torch.Tensor:
    """A sine of large steps: as good as noise, and the same on every machine."""
    size = int(np.prod(shape))
    wave = np.sin(np.arange(size) * 12.9898 + phase * 78.233).reshape(shape)
    values = wave * 1.4 / np.sqrt(size / shape[0]) if len(shape) > 1 else wave * 0.3
    if "norm.w" in name:
        values = values + 1
    if faint and (name.startswith("stem.norm") or name.endswith(("gamma", "down.conv.w", "down.conv.b"))):
        values = values * 2e-3
    return torch.from_numpy(values.astype(np.float32))


def images() -> torch.Tensor:
    """Two pictures, 2 x 3 x 64 x 64."""
    count = 2 * 3 * INPUT_PX * INPUT_PX
    wave = np.sin(np.arange(count) * 0.37) + np.cos(np.arange(count) * 0.011)
    return torch.from_numpy(wave.reshape(2, 3, INPUT_PX, INPUT_PX).astype(np.float32))


def logits(w: Tensors, x: torch.Tensor, *, downsample_eps: float) -> torch.Tensor:
    """The network. mmcls 0.25: ``downsample_eps`` 1e-5; all others 1e-6; every other norm has 1e-6."""

    def norm(x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], w[f"{name}.w"], w[f"{name}.b"], eps).permute(0, 3, 1, 2)

    x = norm(F.conv2d(x, w["stem.conv.w"], w["stem.conv.b"], stride=4), "stem.norm", 1e-6)
    for s, depth in enumerate(DEPTHS):
        if s:
            x = norm(x, f"{s}.down.norm", downsample_eps)
            x = F.conv2d(x, w[f"{s}.down.conv.w"], w[f"{s}.down.conv.b"], stride=2)
        for b in range(depth):
            p, kept = f"{s}.{b}.", x
            x = F.conv2d(x, w[p + "dw.w"], w[p + "dw.b"], padding=3, groups=x.shape[1])
            x = norm(x, p + "norm", 1e-6).permute(0, 2, 3, 1)
            x = F.gelu(F.linear(x, w[p + "pw1.w"], w[p + "pw1.b"]))
            if p + "grn.w" in w:
                strength = x.norm(dim=(1, 2), keepdim=True)
                x = x + w[p + "grn.w"] * (x * strength / (strength.mean(-1, keepdim=True) + 1e-6)) + w[p + "grn.b"]
            x = F.linear(x, w[p + "pw2.w"], w[p + "pw2.b"])
            x = kept + (x * w.get(p + "gamma", torch.tensor(1.0))).permute(0, 3, 1, 2)
    pooled = F.layer_norm(x.mean((2, 3)), WIDTHS[3:], w["norm.w"], w["norm.b"], 1e-6)
    return F.linear(pooled, w["fc.w"], w["fc.b"])


def mmcls(w: Tensors) -> Tensors:
    """As mmcls 0.x and mmpretrain 1.x: ``ImageClassifier`` of ``ConvNeXt`` and ``LinearClsHead``."""
    named = {"stem.conv": "backbone.downsample_layers.0.0", "stem.norm": "backbone.downsample_layers.0.1"}
    named |= {"norm": "backbone.norm3", "fc": "head.fc"}
    for s, depth in enumerate(DEPTHS):
        named |= {
            f"{s}.down.norm": f"backbone.downsample_layers.{s}.0",
            f"{s}.down.conv": f"backbone.downsample_layers.{s}.1",
        }
        for b in range(depth):
            q = f"backbone.stages.{s}.{b}."
            named |= {f"{s}.{b}.dw": q + "depthwise_conv", f"{s}.{b}.norm": q + "norm", f"{s}.{b}.gamma": q + "gamma"}
            named |= {f"{s}.{b}.pw1": q + "pointwise_conv1", f"{s}.{b}.pw2": q + "pointwise_conv2"}
            named |= {f"{s}.{b}.grn.w": q + "grn.gamma", f"{s}.{b}.grn.b": q + "grn.beta"}
    return _renamed(w, named)


def mmcls_convolutions(w: Tensors) -> Tensors:
    """The same with ``linear_pw_conv=False``: pointwise weights are O x I x 1 x 1."""
    return {k: x[..., None, None] if "pointwise" in k and x.ndim == 2 else x for k, x in mmcls(w).items()}


def facebook(w: Tensors) -> Tensors:
    """facebookresearch/ConvNeXt, and ConvNeXt-V2 where there are response norms (1 x 1 x 1 x C there)."""
    named = {"stem.conv": "downsample_layers.0.0", "stem.norm": "downsample_layers.0.1", "norm": "norm", "fc": "head"}
    for s, depth in enumerate(DEPTHS):
        named |= {f"{s}.down.norm": f"downsample_layers.{s}.0", f"{s}.down.conv": f"downsample_layers.{s}.1"}
        for b in range(depth):
            q = f"stages.{s}.{b}."
            named |= {f"{s}.{b}.dw": q + "dwconv", f"{s}.{b}.norm": q + "norm", f"{s}.{b}.gamma": q + "gamma"}
            named |= {f"{s}.{b}.pw1": q + "pwconv1", f"{s}.{b}.pw2": q + "pwconv2"}
            named |= {f"{s}.{b}.grn.w": q + "grn.gamma", f"{s}.{b}.grn.b": q + "grn.beta"}
    return {k: x[None, None, None] if ".grn." in k else x for k, x in _renamed(w, named).items()}


def timm(w: Tensors) -> Tensors:
    """As timm itself."""
    named = {"stem.conv": "stem.0", "stem.norm": "stem.1", "norm": "head.norm", "fc": "head.fc"}
    for s, depth in enumerate(DEPTHS):
        named |= {f"{s}.down.norm": f"stages.{s}.downsample.0", f"{s}.down.conv": f"stages.{s}.downsample.1"}
        for b in range(depth):
            q = f"stages.{s}.blocks.{b}."
            named |= {f"{s}.{b}.dw": q + "conv_dw", f"{s}.{b}.norm": q + "norm", f"{s}.{b}.gamma": q + "gamma"}
            named |= {f"{s}.{b}.pw1": q + "mlp.fc1", f"{s}.{b}.pw2": q + "mlp.fc2", f"{s}.{b}.grn": q + "mlp.grn"}
    return _renamed(w, named)


def torchvision(w: Tensors) -> Tensors:
    """torchvision: stages are features 1, 3, 5, 7, downsampling 2, 4, 6; layer scales are C x 1 x 1."""
    named = {"stem.conv": "features.0.0", "stem.norm": "features.0.1", "norm": "classifier.0", "fc": "classifier.2"}
    for s, depth in enumerate(DEPTHS):
        named |= {f"{s}.down.norm": f"features.{2 * s}.0", f"{s}.down.conv": f"features.{2 * s}.1"}
        for b in range(depth):
            q = f"features.{2 * s + 1}.{b}."
            named |= {f"{s}.{b}.dw": q + "block.0", f"{s}.{b}.norm": q + "block.2", f"{s}.{b}.gamma": q + "layer_scale"}
            named |= {f"{s}.{b}.pw1": q + "block.3", f"{s}.{b}.pw2": q + "block.5"}
    return {k: x[:, None, None] if k.endswith("layer_scale") else x for k, x in _renamed(w, named).items()}


WRITERS: dict[str, Callable[[Tensors], Tensors]] = {
    "mmcls": mmcls,
    "mmcls-conv": mmcls_convolutions,
    "facebook": facebook,
    "timm": timm,
    "torchvision": torchvision,
}


def _renamed(w: Tensors, named: dict[str, str]) -> Tensors:
    found: Tensors = {}
    for name, tensor in w.items():
        if name in named:
            found[named[name]] = tensor
            continue
        start, _, end = name.rpartition(".")
        found[f"{named[start]}.{ {'w': 'weight', 'b': 'bias'}[end] }"] = tensor
    return found


def card_checkpoint(w: Tensors, names: list[str]) -> dict[str, Any]:
    """As the card's file is built: ``meta`` with the class names alone, and the state dict."""
    return {"meta": {"CLASSES": names}, "state_dict": mmcls(w)}
