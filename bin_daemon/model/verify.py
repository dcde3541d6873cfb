"""Look at a bundle closely: every byte, every tensor, one run on the daemon's engine, and its export against torch.

`bin_daemon.model.bundle.read_bundle` is what the daemon does at each start; this is for a technician with a doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.errors import BinError, ModelError
from bin_daemon.model.bundle import Bundle, read_bundle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.model.engine import Engine

RELATIVE_TOLERANCE = 1e-3
"""Of the largest logit, as at export: a wrong operator gives 1e-1 and more."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``ok`` is None where it does not apply."""

    name: str
    ok: bool | None
    text: str
    hint: str = ""


def verify(path: Path, *, engine: str = "auto", threads: int = 0) -> Iterator[Check]:
    """Look at the bundle in folder ``path``, one check after the other, as each is done; the first bad one is the last.

    ``engine`` and ``threads`` are those of the settings. Nothing is written: a missing export is told, not made.
    """
    bundle: Bundle | None = None

    def files() -> str:
        nonlocal bundle
        bundle = read_bundle(path)
        return f"{len(bundle.metadata.labels)} labels; sha256 of {', '.join(bundle.metadata.sha256)} right"

    steps: list[tuple[str, Callable[[], str | None]]] = [
        ("files", files),
        ("weights", lambda: _weights(_there(bundle))),
        ("export", lambda: _export(_there(bundle))),
        ("inference", lambda: _inference(_there(bundle), engine, threads)),
        ("agreement", lambda: _agreement(_there(bundle))),
    ]
    for name, step in steps:
        try:
            text = step()
        except BinError as error:
            yield Check(name, ok=False, text=str(error), hint=error.hint)
            return
        yield Check(name, ok=None if text is None else True, text=text or "not exported to ONNX: nothing to compare")


def _there(bundle: Bundle | None) -> Bundle:
    assert bundle  # noqa: S101 - the first step gave it, or the rest is not reached
    return bundle


def _weights(bundle: Bundle) -> str:
    """Each tensor has the name and shape that the architecture wants, and finite values."""
    from bin_daemon.model.network import load_network

    network = load_network(bundle)
    count = sum(x.numel() for x in network.parameters())
    return f"{len(network.state_dict())} tensors, {count:,} parameters: names and shapes right, all finite"


def _is_exported(bundle: Bundle) -> bool:
    from bin_daemon.model.onnx_file import ONNX_FILE, SIDECAR_FILE

    return any((bundle.path / name).exists() for name in (ONNX_FILE, SIDECAR_FILE))


def _export(bundle: Bundle) -> str | None:
    from bin_daemon.model.onnx_file import checked_onnx

    if not _is_exported(bundle):
        return None
    return f"{checked_onnx(bundle).name}: made from these weights, sha256 right"


def _inference(bundle: Bundle, kind: str, threads: int) -> str | None:
    from bin_daemon.model.engine import needs_onnx, open_engine

    if needs_onnx(kind) and not _is_exported(bundle):
        return None
    opened = open_engine(bundle, kind, threads)
    _logits(bundle, opened)
    return f"one run on {opened.name}: finite logits"


def _agreement(bundle: Bundle) -> str | None:
    import numpy as np

    from bin_daemon.model.engine import open_engine

    if not _is_exported(bundle):
        return None
    wanted, found = (_logits(bundle, open_engine(bundle, kind)) for kind in ("torch", "onnx"))
    difference = float(np.abs(found - wanted).max())
    if difference > RELATIVE_TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise ModelError(
            f"{bundle.path}: ONNX and torch differ by {difference:.3g} in a logit",
            hint=f"python -m bin_daemon.model.export {bundle.path} exports it again",
        )
    return f"ONNX and torch differ by at most {difference:.2g} in a logit"


def _logits(bundle: Bundle, opened: Engine) -> NDArray[np.float32]:
    """On noise and on a smooth ramp: features of high and of little variance. ModelError unless all are finite."""
    import numpy as np

    side = bundle.metadata.preprocessing.crop_px
    noise = np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
    ramp = np.broadcast_to(np.linspace(-2, 2, side, dtype=np.float32), noise.shape)
    logits = opened.logits(np.concatenate([noise, ramp]))
    if logits.shape != (2, len(bundle.metadata.labels)) or not np.isfinite(logits).all():
        raise ModelError(
            f"{bundle.path}: {logits.shape[-1]} logits, or some that are not finite, on {opened.name}",
            hint="make the bundle again",
        )
    return logits
