"""Tensors and metadata out of a checkpoint file: torch's zip and legacy formats with ``weights_only``, and safetensors.

Large files are mapped, not read: importing 351 MB of weights must not need several copies of them.
"""

from __future__ import annotations

import argparse
import contextlib
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.importing.archive import AGAIN, check_zip, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where the weights lie in a training checkpoint. The averaged ones first, as timm's own loader takes them."""
PREFIXES = ("module.", "cls_model.", "_orig_mod.", "model.")
"""Of data-parallel wrappers, ModelScope's model class, torch.compile and Lightning."""
NO_WEIGHTS = re.compile(r"ema_|n_averaged$|.*num_batches_tracked$")
"""mmcv keeps its averaged copy as ``ema_*`` beside the names; at the end of an epoch the names hold the averages already."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file holds."""

    tensors: dict[str, torch.Tensor]
    """The file's own key names, wrappers and prefixes taken off."""
    meta: Mapping[str, Any]
    """The checkpoint's ``meta`` (mmcls, mmpretrain); empty where there is none."""
    found_in: str
    """Which entry of the checkpoint the weights come from; empty: it is nothing but weights."""


def read_contents(file: Path) -> Contents:
    """Read a checkpoint. ModelError tells what is wrong with it and where; nothing in it is executed."""
    kind = kind_of(file)
    if kind == "safetensors":
        return Contents(_plain(file, _read_safetensors(file)), {}, "")
    if kind == "zip":
        check_zip(file)
    loaded = _torch_load(file, mapped=kind == "zip")
    weights, found_in = _weights_in(file, loaded)
    meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    return Contents(_plain(file, weights), meta if isinstance(meta, Mapping) else {}, found_in)


def _read_safetensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{file}: not a readable safetensors file ({error})", hint=AGAIN) from None


def _torch_load(file: Path, *, mapped: bool) -> Any:
    try:
        with warnings.catch_warnings(), _namespace_allowed():
            warnings.simplefilter("ignore")  # of old storage classes; what counts is checked here
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _wants_more(file, error) from None
    except MemoryError:
        raise ModelError(f"{file}: claims more memory than this machine has", hint=AGAIN) from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes the unpickler raise nearly everything
        if re.search(r"Unsupported (?:class|global)", str(error)):
            raise _wants_more(file, error) from None
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{file}: damaged or cut off: {first}", hint=AGAIN) from None


@contextlib.contextmanager
def _namespace_allowed() -> Iterator[None]:
    """Facebook's code and timm save their options as ``argparse.Namespace``: a bag of values that runs nothing."""
    allow = getattr(torch.serialization, "safe_globals", None)  # torch 2.5 and newer
    with allow([argparse.Namespace]) if allow else contextlib.nullcontext():
        yield


def _wants_more(file: Path, error: Exception) -> ModelError:
    """Refused by ``weights_only``: name what the pickle wanted to call, in whatever words this torch says so."""
    text = str(error)
    found = re.search(r"\bGLOBAL `?([A-Za-z_][\w.]*)|Unsupported class ([A-Za-z_][\w.]*)", text)
    if not found:
        said = text.rpartition("WeightsUnpickler error:")[2].strip().splitlines() or [type(error).__name__]
        return ModelError(f"{file}: damaged, or more than weights: {said[0]}", hint=AGAIN)
    return ModelError(
        f"{file}: refused: besides weights it wants {found[1] or found[2]}, which could run a program",
        hint="where it was made and is trusted, save the weights alone: "
        "c = torch.load(FILE, weights_only=False); "
        'torch.save({"meta": {"CLASSES": [...]}, "state_dict": c["state_dict"]}, NEW)',
    )


def _weights_in(file: Path, loaded: Any) -> tuple[Mapping[str, Any], str]:
    """The entry with the weights, and its name."""
    if not isinstance(loaded, Mapping):
        raise ModelError(
            f"{file}: holds a {type(loaded).__name__}, not a state dict", hint="save model.state_dict() instead"
        )
    for name in WRAPPERS:
        if isinstance(inner := loaded.get(name), Mapping) and inner:
            return inner, name
    if not any(isinstance(x, torch.Tensor) for x in loaded.values()):
        keys = ", ".join(str(x) for x in list(loaded)[:8]) or "nothing"
        raise ModelError(
            f"{file}: no weights in it (found: {keys})", hint=f"wanted one of {', '.join(WRAPPERS)}, or plain tensors"
        )
    return loaded, ""


def _plain(file: Path, weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Dense float tensors under their bare names; ModelError for any other and for more than the file can hold."""
    tensors = {str(name): x for name, x in weights.items() if isinstance(x, torch.Tensor)}
    tensors = {name: x for name, x in _without_prefixes(tensors).items() if not NO_WEIGHTS.match(name)}
    if not tensors:
        raise ModelError(f"{file}: not one tensor in it", hint="save model.state_dict() instead")
    for name, x in tensors.items():
        if x.layout is not torch.strided or x.is_quantized or x.is_meta or not x.is_floating_point():
            raise ModelError(
                f"{file}: {name} is {x.dtype} {x.layout}, not a plain floating-point tensor",
                hint="import the weights from before they were quantised or pruned",
            )
    claimed, size = sum(x.numel() * x.element_size() for x in tensors.values()), file.stat().st_size
    if claimed > size:
        raise ModelError(
            f"{file}: tensors of {claimed} bytes in a file of {size}",
            hint="do not use this file: it may be made to fill the memory",
        )
    return {name: x.detach() for name, x in tensors.items()}


def _without_prefixes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take off wrappers' prefixes as long as every tensor but the averaged copies bears one."""
    while True:
        names = [x for x in tensors if not NO_WEIGHTS.match(x)]
        prefix = next((p for p in PREFIXES if names and all(x.startswith(p) for x in names)), None)
        if prefix is None:
            return tensors
        tensors = {name.removeprefix(prefix): x for name, x in tensors.items()}
