"""Look at a bundle closely: every byte, every tensor, one run on the daemon's engine, and its export against torch.

`bin_daemon.model.bundle.read_bundle` is what the daemon does at each start; this is for a technician with a doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.config.settings import ModelSettings
from bin_daemon.errors import BinError, ModelError
from bin_daemon.model.bundle import Bundle, read_bundle
from bin_daemon.model.engine import needs_onnx, open_engine
from bin_daemon.model.int8_file import INT8_FILE, INT8_SIDECAR_FILE, Int8Info, checked_int8
from bin_daemon.model.onnx_file import ONNX_FILE, SIDECAR_FILE, checked_onnx, read_sidecar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RELATIVE_TOLERANCE = 1e-3
"""Of the largest logit, as at export: a wrong operator gives 1e-1 and more."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``ok`` is None where it does not apply."""

    name: str
    ok: bool | None
    text: str
    hint: str = ""


def verify(path: Path, state_dir: Path | None = None, settings: ModelSettings | None = None) -> Iterator[Check]:
    """Look at the bundle in folder ``path``, one check after the other, as each is done; the first bad one is the last.

    ``settings`` say on which engine it runs, ``state_dir`` where that engine keeps what it built. The bundle is not written
    to: a missing export is told, not made.
    """
    try:
        look = _Look(read_bundle(path), state_dir, settings or ModelSettings())
    except BinError as error:
        yield Check("files", ok=False, text=str(error), hint=error.hint)
        return
    steps: tuple[Callable[[_Look], str | None], ...] = (_files, _weights, _onnx, _int8, _inference, _agreement)
    for step in steps:
        name = step.__name__.lstrip("_")
        try:
            text = step(look)
        except BinError as error:
            yield Check(name, ok=False, text=str(error), hint=error.hint)
            return
        yield Check(name, ok=None if text is None else True, text=text or "not exported: nothing to look at")


@dataclass
class _Look:
    """What one check leaves for the next."""

    bundle: Bundle
    state_dir: Path | None
    use: ModelSettings
    exact: NDArray[np.float32] | None = None
    """Logits of torch on the CPU."""

    @property
    def is_exported(self) -> bool:
        return any((self.bundle.path / name).exists() for name in (ONNX_FILE, SIDECAR_FILE))


def _files(look: _Look) -> str:
    metadata = look.bundle.metadata
    return f"{len(metadata.labels)} labels; sha256 of {', '.join(metadata.sha256)} right"


def _weights(look: _Look) -> str:
    """Each tensor has the name and shape that the architecture wants, and finite values; torch on the CPU runs it."""
    import torch

    from bin_daemon.model.network import load_network

    network = load_network(look.bundle)
    count = sum(x.numel() for x in network.parameters())
    with torch.inference_mode():
        look.exact = _checked(look.bundle, network(torch.from_numpy(_images(look.bundle))).numpy(), "torch cpu")
    return f"{len(network.state_dict())} tensors, {count:,} parameters: names and shapes right, all finite"


def _onnx(look: _Look) -> str | None:
    if not look.is_exported:
        return None
    return f"{checked_onnx(look.bundle).name}: made from these weights, sha256 right"


def _int8(look: _Look) -> str | None:
    """Besides digest and origin, what was measured when it was made: whether that was good enough."""
    if not any((look.bundle.path / name).exists() for name in (INT8_FILE, INT8_SIDECAR_FILE)):
        return None
    file = checked_int8(look.bundle)
    measured = read_sidecar(look.bundle, INT8_SIDECAR_FILE, Int8Info, "gone", "export it again").agreement
    return (
        f"{file.name}: made from these weights, sha256 right; same category as the exact one on "
        f"{measured.same_category:.1%} of {measured.pictures} pictures"
    )


def _inference(look: _Look) -> str | None:
    kind = look.use.engine
    if kind != "onnx-int8" and needs_onnx(kind) and not look.is_exported:
        return None
    opened = open_engine(look.bundle, kind, look.use.threads, cores=look.use.cores, state_dir=look.state_dir)
    _checked(look.bundle, opened.logits(_images(look.bundle)), opened.name)
    return f"runs on {opened.name}: finite logits"


def _agreement(look: _Look) -> str | None:
    import numpy as np

    if not look.is_exported or look.exact is None:
        return None
    found = open_engine(look.bundle, "onnx", look.use.threads).logits(_images(look.bundle))
    difference = float(np.abs(found - look.exact).max())
    if not difference <= RELATIVE_TOLERANCE * max(1.0, float(np.abs(look.exact).max())):  # so that NaN fails too
        raise ModelError(
            f"{look.bundle.path}: ONNX and torch differ by {difference:.3g} in a logit",
            hint=f"bin-daemon model export {look.bundle.path} exports it again",
        )
    return f"ONNX and torch differ by at most {difference:.2g} in a logit"


def _images(bundle: Bundle) -> NDArray[np.float32]:
    """Noise and a smooth ramp: features of high and of little variance."""
    import numpy as np

    side = bundle.metadata.preprocessing.crop_px
    noise = np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
    ramp = np.broadcast_to(np.linspace(-2, 2, side, dtype=np.float32), noise.shape)
    return np.concatenate([noise, ramp])


def _checked(bundle: Bundle, logits: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    import numpy as np

    if logits.shape != (2, len(bundle.metadata.labels)) or not np.isfinite(logits).all():
        raise ModelError(
            f"{bundle.path}: {logits.shape[-1]} logits for {len(bundle.metadata.labels)} labels, "
            f"or some that are not finite, on {name}",
            hint="make the bundle again",
        )
    return logits
