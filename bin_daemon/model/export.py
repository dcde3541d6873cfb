"""``python -m bin_daemon.model.export BUNDLE``: write ``model.onnx`` into a bundle and check that it agrees with torch.

LayerNormalization and Gelu stay whole (opset 20): a decomposed LayerNorm wrecks fp16 accuracy in TensorRT.
"""

from __future__ import annotations

import contextlib
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

OPSET = 20
"""The first with Gelu; LayerNormalization came with 17."""
OPSET_OF_OLD_TORCH = 17
DYNAMO_SINCE = (2, 9)
"""torch's new exporter is the default since; before, the TorchScript one is the dependable one."""
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
            opset, exporter = _write_onnx(network, size, Path(folder) / ONNX_FILE)
            difference = _compare(network, size, Path(folder) / ONNX_FILE)
            names = [name for name in (DATA_FILE, ONNX_FILE) if (Path(folder) / name).exists()]
            info = OnnxInfo(
                architecture_id=architecture_id(bundle),
                sha256={name: sha256_of(Path(folder) / name) for name in names},
                opset=opset,
                exporter=exporter,
                max_logit_difference=difference,
            )
            write_durably(Path(folder) / SIDECAR_FILE, info.model_dump_json(indent=1).encode() + b"\n")
            _put_in_place(Path(folder), bundle.path, [*names, SIDECAR_FILE])
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


def _write_onnx(network: torch.nn.Module, size: int, file: Path) -> tuple[int, str]:
    """Returns the opset and the exporter's name."""
    version = tuple(int(x) for x in torch.__version__.split("+", maxsplit=1)[0].split(".")[:2])
    weight_bytes = sum(x.numel() * x.element_size() for x in network.parameters())
    image = torch.zeros(1, 3, size, size)
    names: dict[str, Any] = {"input_names": [INPUT_NAME], "output_names": [OUTPUT_NAME]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # the exporters warn about themselves; the comparison below is what counts
        if version >= DYNAMO_SINCE:
            external = weight_bytes > ONE_FILE_BYTES
            torch.onnx.export(
                network,
                (image,),
                str(file),
                dynamo=True,
                opset_version=OPSET,
                external_data=external,
                verbose=False,
                **names,
            )
            return OPSET, f"torch {torch.__version__} dynamo"
        torch.onnx.export(network, (image,), str(file), opset_version=OPSET_OF_OLD_TORCH, **names)
        return OPSET_OF_OLD_TORCH, f"torch {torch.__version__} torchscript"


def _compare(network: torch.nn.Module, size: int, file: Path) -> float:
    """Largest logit difference between torch and ONNX Runtime on four fixed pictures; ModelError when they disagree."""
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
    """Noise, flat, and two smooth ramps: features of high and of no variance."""
    random = np.random.default_rng(0)
    ramp = np.linspace(-2, 2, size, dtype=np.float32)
    flat = np.zeros((1, 3, size, size), np.float32)
    noise = random.standard_normal((1, 3, size, size)).astype(np.float32)
    return [noise, flat, flat + ramp, flat + ramp[:, np.newaxis]]


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
