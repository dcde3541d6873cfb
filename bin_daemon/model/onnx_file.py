"""``model.onnx`` beside the weights, and its sidecar ``model.onnx.json``: from which weights, by what, and how well it agrees.

An export can always be made again from the weights, so a missing, old or damaged one is mended by exporting.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bin_daemon.errors import ModelError
from bin_daemon.model.agreement import Agreement
from bin_daemon.model.weights import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

ONNX_FILE = "model.onnx"
SIDECAR_FILE = "model.onnx.json"
DATA_FILE = "model.onnx.data"
"""The weights, in a file of their own: ONNX Runtime maps it into memory instead of parsing it, which halves its loading time."""
INPUT_NAME = "image"
OUTPUT_NAME = "logits"
EXPORT_TIMEOUT_S = 1800
"""ConvNeXt-Base takes under a minute on two cores; a Jetson Nano is 20 times slower."""
WHOLE_GELU_OPSET = 20
"""The first with Gelu; before, it is taken apart. LayerNormalization is whole from 17 on."""


class ExportInfo(BaseModel):
    """What the sidecar of any exported file says."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format_version: Literal[1] = 1
    architecture_id: str
    """Digest of all that shapes the graph: weights, architecture and input size."""
    sha256: dict[str, str]
    """Of the exported file, and of its weights where they lie beside it."""


class OnnxInfo(ExportInfo):
    """The sidecar of ``model.onnx``."""

    opset: int
    exporter: str
    max_logit_difference: float
    """Largest difference to torch's logits on the check pictures."""
    agreement: Agreement | None = None
    """With torch on photographs, where some were given."""


Info = TypeVar("Info", bound=ExportInfo)


def checked_onnx(bundle: Bundle) -> Path:
    """The exported file, after its digest and origin were checked; ModelError with the mend otherwise."""
    hint = f"bin-daemon model export {bundle.path} exports it again"
    info = read_sidecar(bundle, SIDECAR_FILE, OnnxInfo, "not exported to ONNX yet", hint)
    check_files(bundle, ONNX_FILE, SIDECAR_FILE, info, hint)
    return bundle.path / ONNX_FILE


def read_sidecar(bundle: Bundle, name: str, kind: type[Info], missing: str, hint: str) -> Info:
    """One sidecar of the bundle; ModelError (``missing`` says what it means that there is none) with ``hint`` otherwise."""
    try:
        return kind.model_validate_json((bundle.path / name).read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{bundle.path}: {missing}", hint=hint) from None
    except OSError as error:
        raise ModelError(f"{bundle.path / name}: {error.strerror}", hint=hint) from None
    except ValidationError as error:
        raise ModelError(f"{bundle.path / name}: damaged: {error.errors()[0]['msg']}", hint=hint) from None


def check_files(bundle: Bundle, graph: str, sidecar: str, info: ExportInfo, hint: str) -> None:
    """Whether ``graph`` and its weights are those that the sidecar tells of, made from this bundle; ModelError otherwise."""
    if info.architecture_id != architecture_id(bundle):
        raise ModelError(f"{bundle.path / graph}: exported from other weights or settings than the bundle's", hint=hint)
    for name in sorted({graph, *info.sha256}):
        wanted = info.sha256.get(name)
        if name not in {graph, f"{graph}.data"} or _digest(bundle.path / name, hint) != wanted:
            raise ModelError(f"{bundle.path / name}: sha256 differs from {sidecar}: damaged or exchanged", hint=hint)


def _digest(file: Path, hint: str) -> str:
    try:
        return sha256_of(file)
    except ModelError as error:
        raise ModelError(str(error), hint=hint) from None


def architecture_id(bundle: Bundle) -> str:
    """Digest that changes whenever the graph would: weights, architecture, input size."""
    metadata = bundle.metadata
    parts = (bundle.sha256, metadata.architecture.model_dump_json(), str(metadata.preprocessing.crop_px))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ensure_onnx(bundle: Bundle, on_export: Callable[[float], None] = lambda _longest_s: None) -> Path:
    """`checked_onnx`, exporting first where that is needed: torch runs in a process of its own and leaves nothing behind."""
    with contextlib.suppress(ModelError):
        return checked_onnx(bundle)
    on_export(EXPORT_TIMEOUT_S)
    run_module("bin_daemon.model.export", str(bundle.path))
    return checked_onnx(bundle)


def run_module(module: str, *arguments: str) -> None:
    """Run ``python -m module`` in a process of its own; its last line on stderr becomes the ModelError when it fails."""
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own module with our own interpreter
            command, capture_output=True, text=True, timeout=EXPORT_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{module} took more than {EXPORT_TIMEOUT_S} s", hint="use a faster machine, copy the bundle"
        ) from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        message, _, hint = lines[-1].partition(" | ")
        raise ModelError(message, hint=hint or "see `python -m " + " ".join((module, *arguments)) + "`")
