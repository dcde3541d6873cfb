"""``python -m bin_daemon.model.export BUNDLE``: write ``model.onnx`` into a bundle and check that it agrees with torch.

LayerNormalization and Gelu stay whole (opset 20): a decomposed LayerNorm wrecks fp16 accuracy in TensorRT.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.layers.config import set_exportable

from bin_daemon.errors import BinError, ModelError
from bin_daemon.model.bundle import Bundle, read_bundle, sync_folder, write_durably
from bin_daemon.model.network import load_network
from bin_daemon.model.onnx_engine import open_session, run_one
from bin_daemon.model.onnx_file import (
    DATA_FILE,
    INPUT_NAME,
    ONNX_FILE,
    OUTPUT_NAME,
    SIDECAR_FILE,
    OnnxInfo,
    architecture_id,
)
from bin_daemon.model.weights import sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXPORTERS = (("torchscript", 20), ("dynamo", 20), ("torchscript", 17))
"""Tried in this order. Both give the same graph; torchscript takes 2 s where dynamo takes 12 (Lite0), but torch will drop it some
day. Opset 20 is the first with Gelu; torch before 2.5 ends at 17, the first with LayerNormalization."""
ONE_FILE_BYTES = 1_500_000_000
"""A protobuf holds at most 2 GB; larger networks keep their weights in a second file."""
RELATIVE_TOLERANCE = 1e-3
"""Of the largest logit. Measured agreement is about 1e-6; a wrong operator gives 1e-1 and more."""


def export(bundle: Bundle) -> OnnxInfo:
    """Export, compare logits with torch, then put file and sidecar into the bundle; ModelError leaves it as it was."""
    set_exportable(True)
    network = load_network(bundle)
    size = bundle.metadata.preprocessing.crop_px
    try:
        with tempfile.TemporaryDirectory(prefix=".export.", dir=bundle.path) as folder:
            made, difference, opset, exporter = _export_somehow(network, size, Path(folder))
            names = [name for name in (DATA_FILE, ONNX_FILE) if (made / name).exists()]
            info = OnnxInfo(
                architecture_id=architecture_id(bundle),
                sha256={name: sha256_of(made / name) for name in names},
                opset=opset,
                exporter=f"torch {torch.__version__} {exporter}",
                max_logit_difference=difference,
            )
            write_durably(made / SIDECAR_FILE, info.model_dump_json(indent=1).encode() + b"\n")
            _put_in_place(made, bundle.path, [*names, SIDECAR_FILE])
    except OSError as error:
        raise ModelError(
            f"cannot export {bundle.path}: {error.strerror}", hint="check free space and permissions"
        ) from None
    return info


def _put_in_place(source: Path, target: Path, names: list[str]) -> None:
    """Rename each file; the sidecar comes last, so that a power cut in between shows as a digest that differs."""
    for name in names:
        descriptor = os.open(source / name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        (source / name).replace(target / name)
    sync_folder(target)


def _export_somehow(network: torch.nn.Module, size: int, folder: Path) -> tuple[Path, float, int, str]:
    """The first exporter whose file agrees with torch: its folder, largest difference, opset, name. ModelError when none does."""
    refused: list[str] = []
    for exporter, opset in EXPORTERS:
        target = folder / f"{exporter}-{opset}"
        target.mkdir()
        try:
            _write_onnx(network, size, target / ONNX_FILE, exporter, opset)
            return target, _compare(network, size, target / ONNX_FILE), opset, exporter
        except OSError:
            raise  # a full disk: the next one would meet it too
        except Exception as error:  # noqa: BLE001 - exporters raise whatever the failing operator leads to
            refused.append(f"{exporter} opset {opset}: {(str(error) or type(error).__name__).splitlines()[0]}")
    raise ModelError(
        f"torch {torch.__version__} cannot export: {'; '.join(refused)}", hint="try another version of torch"
    )


def _write_onnx(network: torch.nn.Module, size: int, file: Path, exporter: str, opset: int) -> None:
    large = sum(x.numel() * x.element_size() for x in network.parameters()) > ONE_FILE_BYTES
    arguments: dict[str, Any] = {"input_names": [INPUT_NAME], "output_names": [OUTPUT_NAME], "opset_version": opset}
    if exporter == "dynamo":
        arguments |= {"dynamo": True, "external_data": large, "verbose": False}
    elif large:
        raise ValueError("weights do not fit one file")
    elif "dynamo" in inspect.signature(torch.onnx.export).parameters:  # torch 2.5 and newer
        arguments["dynamo"] = False
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # the exporters warn about themselves; the comparison is what counts
        torch.onnx.export(network, (torch.zeros(1, 3, size, size),), str(file), **arguments)


def _compare(network: torch.nn.Module, size: int, file: Path) -> float:
    """Largest logit difference between torch and ONNX Runtime on two fixed pictures; ModelError when they disagree."""
    session = open_session(file, max(1, torch.get_num_threads()))
    largest = 0.0
    for image in _check_images(size):
        with torch.inference_mode():
            wanted = network(torch.from_numpy(image)).numpy()
        difference = float(np.abs(run_one(session, image) - wanted).max())
        if not difference <= RELATIVE_TOLERANCE * max(1.0, float(np.abs(wanted).max())):  # so that NaN fails too
            raise ModelError(
                f"ONNX and torch differ by {difference:.3g} in a logit", hint="try another version of torch"
            )
        largest = max(largest, difference)
    return largest


def _check_images(size: int) -> list[NDArray[np.float32]]:
    """Noise and a smooth ramp: features of high and of little variance."""
    random = np.random.default_rng(0)
    ramp = np.linspace(-2, 2, size, dtype=np.float32)
    noise = random.standard_normal((1, 3, size, size)).astype(np.float32)
    return [noise, np.broadcast_to(ramp, noise.shape).copy()]


def main() -> int:
    """For `bin_daemon.model.onnx_file.run_module`: one line 'message | hint' on stderr when it fails."""
    try:
        export(read_bundle(Path(sys.argv[1])))
    except BinError as error:
        print(f"{error} | {error.hint}", file=sys.stderr)  # noqa: T201 - the parent reads it
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
