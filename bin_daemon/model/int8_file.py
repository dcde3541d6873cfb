"""``model.int8.onnx`` and its sidecar ``model.int8.onnx.json``: 8-bit weights, and that they passed on pictures."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.agreement import Agreement
from bin_daemon.model.onnx_file import ExportInfo, check_files, read_sidecar

if TYPE_CHECKING:
    from bin_daemon.model.bundle import Bundle

INT8_FILE = "model.int8.onnx"
INT8_SIDECAR_FILE = "model.int8.onnx.json"
INT8_DATA_FILE = "model.int8.onnx.data"
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
"""As Linux names them: without, x86 adds two 8-bit products in 16 bits, where they overflow unless weights have but 7 bits."""


class Int8Info(ExportInfo):
    """The sidecar: how it was made, and what it was measured to be worth."""

    decision_id: str
    """Digest of all that turns logits into a category: what was measured holds for no other."""
    quantizer: str
    matrix_products: int
    """How many of the network's got 8-bit weights."""
    per_channel: bool
    reduce_range: bool
    """7-bit weights: exact on every CPU."""
    agreement: Agreement


def checked_int8(bundle: Bundle) -> Path:
    """The file, after digest, origin and measured agreement were checked; ModelError with the mend otherwise."""
    hint = f"bin-daemon model export {bundle.path} --engine onnx-int8 --pictures DIR makes it; or use engine onnx"
    info = read_sidecar(bundle, INT8_SIDECAR_FILE, Int8Info, "not exported to int8 yet", hint)
    if reason := info.agreement.refused_because:
        raise ModelError(f"{bundle.path / INT8_FILE}: did not pass: {reason}", hint=hint)
    if info.decision_id != decision_id(bundle):
        raise ModelError(
            f"{bundle.path / INT8_FILE}: measured with other labels, temperature or preprocessing than bundle.json's",
            hint=hint,
        )
    if not info.reduce_range and needs_reduced_range():
        raise ModelError(f"{bundle.path / INT8_FILE}: made for a CPU with VNNI, which this one lacks", hint=hint)
    check_files(bundle, INT8_FILE, INT8_SIDECAR_FILE, info, hint)
    return bundle.path / INT8_FILE


def decision_id(bundle: Bundle) -> str:
    """Digest that changes whenever the same logits could mean another category, or the same picture give other logits."""
    metadata = bundle.metadata
    labels = ",".join(x.category.value for x in metadata.labels)
    parts = (labels, repr(metadata.temperature), metadata.preprocessing.model_dump_json(exclude_defaults=True))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def needs_reduced_range(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU adds products of 8-bit numbers without overflow only when the weights have 7 bits."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return False
    try:
        return VNNI_FLAGS.isdisjoint(cpuinfo.read_text("utf-8").split())
    except OSError:
        return True
