"""Which networks a bundle may name: any ConvNeXt of timm, and EfficientNet-Lite0 for the stand-in.

An allow-list, because names and arguments come from a file: timm would otherwise fetch weights or build anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Argument = bool | int | float | str | tuple[int, ...]
"""What a keyword argument of the network may be."""

ALLOWED_ARGUMENTS = frozenset(
    {"depths", "dims", "kernel_sizes", "ls_init_value", "conv_mlp", "use_grn", "conv_bias", "patch_size", "stem_type"}
)


class ArchitectureInfo(BaseModel):
    """The network: timm's name, its arguments, and the LayerNorms whose eps is not timm's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^(convnext(v2)?_[a-z0-9_]+|tf_efficientnet_lite0)$", description="timm's model name.")
    kwargs: Mapping[str, Argument] = Field(
        default_factory=dict,
        description="Such as depths and dims. num_classes is the number of labels and not given here.",
    )
    norm_eps: Mapping[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict,
        description="Module name -> eps where it differs from timm's 1e-6: mmcls 0.25 has 1e-5 in the downsample norms.",
    )

    @field_validator("kwargs")
    @classmethod
    def _known(cls, kwargs: Mapping[str, Argument]) -> Mapping[str, Argument]:
        for name in kwargs:
            if name not in ALLOWED_ARGUMENTS:
                raise ValueError(f"{name!r} is not one of {', '.join(sorted(ALLOWED_ARGUMENTS))}")
        return kwargs

    @property
    def head_key(self) -> str:
        """The last layer's name in the state dict: its weight has one row for each label."""
        return "classifier" if self.name.startswith("tf_efficientnet") else "head.fc"
