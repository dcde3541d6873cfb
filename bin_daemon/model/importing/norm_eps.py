"""Which eps each LayerNorm of a checkpoint was trained with: the same weights with another eps are another network.

timm, Facebook's code, torchvision and mmpretrain have 1e-6 everywhere. mmcls up to 1.0.0rc4 built its three downsampling norms
without the norm config, hence with PyTorch's 1e-5 (``LayerNorm2d(self.channels[i - 1])``); 1.0.0rc5 put that right. On features
of little variance the difference is 8e-3 in a logit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FAMILIES: Mapping[str, Mapping[str, float]] = {
    "mmcls0": {f"stages.{stage}.downsample.0": 1e-5 for stage in (1, 2, 3)},
    "mmpretrain1": {},
}
"""By name: timm's module name -> eps, where it is not timm's own. mmpretrain1 stands for all that have it everywhere."""


@dataclass(frozen=True, slots=True)
class NormEps:
    """The choice and why."""

    family: str
    reason: str

    @property
    def by_norm(self) -> Mapping[str, float]:
        """For `ArchitectureInfo.norm_eps`."""
        return FAMILIES[self.family]


def choose_eps(layout: str, meta: Mapping[str, Any], asked: str | None) -> NormEps:
    """By what was asked, else by the framework's version in the checkpoint, else mmcls 0.x for the layout that it shares.

    ConfigError for a family that does not exist.
    """
    if asked is not None:
        if asked not in FAMILIES:
            raise ConfigError(f"--eps {asked!r} is not known", hint=f"one of {', '.join(FAMILIES)}")
        return NormEps(asked, "as asked for")
    if layout != "mmcls":
        return NormEps("mmpretrain1", f"{layout} has the same in every norm")
    return _by_version(meta)


def _by_version(meta: Mapping[str, Any]) -> NormEps:
    if version := _text(meta, "mmpretrain_version"):
        return NormEps("mmpretrain1", f"written by mmpretrain {version}")
    if version := _text(meta, "mmcls_version"):
        return NormEps("mmcls0" if _before_rc5(version) else "mmpretrain1", f"written by mmcls {version}")
    if version := _text(meta, "mmengine_version"):
        return NormEps("mmpretrain1", f"written with mmengine {version}, which mmpretrain stands on")
    if version := _text(meta, "mmcv_version"):
        return NormEps("mmcls0" if version.startswith("1.") else "mmpretrain1", f"written with mmcv {version}")
    return NormEps("mmcls0", "no framework version in the checkpoint: taken for mmcls 0.x")


def _before_rc5(version: str) -> bool:
    """True for 0.x and 1.0.0rc0 to 1.0.0rc4."""
    return version.startswith("0.") or bool(re.match(r"1\.0\.0rc[0-4](\D|$)", version))


def _text(meta: Mapping[str, Any], key: str) -> str:
    value = meta.get(key)
    return value.strip() if isinstance(value, str) else ""
