"""Read a foreign ConvNeXt checkpoint: file, layout, names, sizes, eps, class names, preprocessing; one step after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.importing.class_names import class_names
from bin_daemon.model.importing.configuration import read_configuration
from bin_daemon.model.importing.layouts import find_layout, to_timm
from bin_daemon.model.importing.locate import find_checkpoint
from bin_daemon.model.importing.norm_eps import NormEps, choose_eps
from bin_daemon.model.importing.written_config import read_written_config
from bin_daemon.model.weights import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from bin_daemon.model.architecture import ArchitectureInfo
    from bin_daemon.model.bundle import Preprocessing


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is in a checkpoint, checked: every tensor of the architecture is there, in shape and finite."""

    file: Path
    sha256: str
    layout: str
    """mmcls (which mmpretrain shares), facebook, timm or torchvision."""
    architecture: ArchitectureInfo
    weights: dict[str, NDArray[np.generic]]
    """timm-named float32; may be views of the mapped file, so it must outlive them."""
    outputs: int
    """Rows of the last layer; 0 for a backbone without one."""
    class_names: tuple[str, ...] | None
    """The checkpoint's own, in index order; None where it has none."""
    norm_eps: NormEps
    preprocessing: Preprocessing | None
    """None where nothing beside or in the checkpoint says."""
    preprocessing_reason: str
    notes: tuple[str, ...] = ()
    """What a person should know of how it was read."""

    @property
    def source(self) -> str:
        """For a bundle's ``source``: file name, digest, layout and eps, without paths of this machine."""
        return f"{self.file.name} (sha256 {self.sha256[:16]}, {self.layout} layout, eps {self.norm_eps.family})"


def read_checkpoint(path: Path, *, norm_eps: str | None = None, card_preprocessing: bool = False) -> Checkpoint:
    """Read the checkpoint at ``path``: a file, or a folder that holds one.

    ``norm_eps`` names one of `FAMILIES` and overrides what the checkpoint's framework version says; ``card_preprocessing``
    passes over whatever is said of preprocessing, beside the checkpoint and in it.

    Raises:
        ModelError: Not there, damaged, not weights alone, no ConvNeXt, not whole, or not finite; with file and place.
        ConfigError: No such family of eps.
    """
    from bin_daemon.model.importing.reading import read_contents
    from bin_daemon.model.importing.sizes import fill_layer_scales, measure

    choose_eps("", {}, norm_eps)  # an unknown one is told before minutes of reading
    file = find_checkpoint(path)
    configured = None if card_preprocessing else read_configuration(file.parent)
    contents, place = read_contents(file), str(file)
    if configured is None and not card_preprocessing:
        configured = read_written_config(place, contents.meta)
    layout = find_layout(place, contents.tensors)
    eps = choose_eps(layout.name, contents.meta, norm_eps)
    weights = to_timm(place, layout, contents.tensors)
    filled = fill_layer_scales(weights)
    sizes = measure(place, weights)
    notes = [f"weights taken from {contents.found_in}"] if "ema" in contents.found_in else []
    notes += ["no layer scales in it: taken as 1"] if filled else []
    return Checkpoint(
        file=file,
        sha256=sha256_of(file),
        layout=layout.name,
        architecture=sizes.architecture(layout.name).model_copy(update={"norm_eps": dict(eps.by_norm)}),
        weights=_as_arrays(place, weights),
        outputs=sizes.outputs,
        class_names=class_names(place, contents.meta),
        norm_eps=eps,
        preprocessing=configured[0] if configured else None,
        preprocessing_reason=configured[1] if configured else _CARD[card_preprocessing],
        notes=tuple(notes),
    )


_CARD = {True: "the card's, as asked for", False: "nothing says: the card's"}


def _as_arrays(place: str, weights: dict[str, torch.Tensor]) -> dict[str, NDArray[np.generic]]:
    """float32 arrays, without a copy where they are that already; ModelError when one is not finite."""
    import torch

    arrays: dict[str, NDArray[np.generic]] = {}
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"{place}: {name} holds NaN or infinity", hint="take an earlier checkpoint: this training went astray"
            )
        arrays[name] = tensor.float().numpy()
    return arrays
