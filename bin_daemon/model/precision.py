"""Half precision for a network, but for the layers that it wrecks."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.grn import GlobalResponseNorm

NORMS = (torch.nn.LayerNorm, GlobalResponseNorm)
"""timm's LayerNorms are torch's too. Both kinds sum squares, which pass half precision's 65,504 from values of 256 on."""


def norms_in_single_precision(network: torch.nn.Module) -> None:
    """Let every norm of a half-precision network compute in single precision, from and to half; in place."""
    for module in network.modules():
        if isinstance(module, NORMS):
            module.float()
            module.register_forward_pre_hook(_to_single)
            module.register_forward_hook(_to_half)


def _to_single(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(x.float() for x in arguments)


def _to_half(_: torch.nn.Module, __: Any, found: torch.Tensor) -> torch.Tensor:
    return found.half()
