"""``python -m bin_daemon.model.export BUNDLE``: write ``model.onnx`` into a bundle and check that it agrees with torch.

LayerNormalization and Gelu stay whole (opset 20): a decomposed LayerNorm wrecks fp16 accuracy in TensorRT.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.layers.config import set_exportable

from bin_daemon.errors import BinError, ModelError
from bin_daemon.model.agreement import Agreement, compare
from bin_daemon.model.bundle import Bundle, read_bundle
from bin_daemon.model.cores import use_of_cpu
from bin_daemon.model.network import load_network
from bin_daemon.model.onnx_engine import OnnxEngine, open_session, run_one
from bin_daemon.model.onnx_file import (
    DATA_FILE,
    INPUT_NAME,
    ONNX_FILE,
    OUTPUT_NAME,
    SIDECAR_FILE,
    OnnxInfo,
    architecture_id,
)
from bin_daemon.model.put import digests, putting
from bin_daemon.model.torch_engine import TorchEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bin_daemon.model.photos import Photo

EXPORTERS = (("torchscript", 20), ("dynamo", 20), ("torchscript", 17))
"""Tried in this order. Both give the same graph; torchscript takes 2 s where dynamo takes 12 (Lite0), but torch will drop it some
day. Opset 20 is the first with Gelu; torch before 2.5 ends at 17, the first with LayerNormalization."""
ONE_FILE_BYTES = 1_500_000_000
"""A protobuf holds at most 2 GB; for larger networks an exporter has to keep the weights apart by itself."""
SMALL_TENSOR_BYTES = 1024
"""Smaller ones stay in the graph, where ONNX Runtime looks at them while it optimises."""
RELATIVE_TOLERANCE = 1e-3
"""Of the largest logit. Measured agreement is about 1e-6; a wrong operator gives 1e-1 and more."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A checked ONNX file: ``file`` (its weights beside it), opset, exporter, largest difference to torch's output."""

    file: Path
    opset: int
    exporter: str
    max_difference: float


def export(bundle: Bundle, photos: Sequence[Photo] = (), advance: Callable[[], None] = lambda: None) -> OnnxInfo:
    """Export, compare logits with torch, then put file and sidecar into the bundle; ModelError leaves it as it was.

    With ``photos`` it is compared on these too, and refused when it does not agree; ``advance`` is called after each.
    """
    network = load_network(bundle)
    with putting(bundle.path) as (folder, put):
        made = export_network(network, bundle.metadata.preprocessing.crop_px, folder)
        agreement = _compare_on(bundle, made.file, photos, advance) if photos else None
        info = OnnxInfo(
            architecture_id=architecture_id(bundle),
            sha256=digests(made.file.parent, (DATA_FILE, ONNX_FILE)),
            opset=made.opset,
            exporter=made.exporter,
            max_logit_difference=made.max_difference,
            agreement=agreement,
        )
        put(made.file.parent, (DATA_FILE, ONNX_FILE), SIDECAR_FILE, info)
    return info


def export_network(network: torch.nn.Module, side_px: int, folder: Path) -> Exported:
    """Export any network (float32 1 x 3 x S x S, ``image`` -> ``logits``) into ``folder``, with the first exporter that agrees.

    ``network`` is in eval mode and built by timm or torch. Raises ModelError when no exporter's file agrees with torch, OSError
    when the folder cannot be written.
    """
    set_exportable(True)
    refused: list[str] = []
    for exporter, opset in EXPORTERS:
        target = folder / f"{exporter}-{opset}"
        target.mkdir()
        try:
            _write_onnx(network, side_px, target / ONNX_FILE, exporter, opset)
            difference = _compare(network, side_px, target / ONNX_FILE)
        except OSError:
            raise  # a full disk: the next one would meet it too
        except Exception as error:  # noqa: BLE001 - exporters raise whatever the failing operator leads to
            refused.append(f"{exporter} opset {opset}: {(str(error) or type(error).__name__).splitlines()[0]}")
        else:
            return Exported(target / ONNX_FILE, opset, f"torch {torch.__version__} {exporter}", difference)
    raise ModelError(
        f"torch {torch.__version__} cannot export: {'; '.join(refused)}", hint="try another version of torch"
    )


def _compare_on(bundle: Bundle, file: Path, photos: Sequence[Photo], advance: Callable[[], None]) -> Agreement:
    cpu = use_of_cpu()
    session = open_session(file, cpu.threads)
    found = compare(bundle, TorchEngine(bundle, cpu), OnnxEngine(session, cpu, "onnx"), photos, advance)
    if reason := found.refused_because:
        raise ModelError(f"export refused: {reason}", hint="try another version of torch; nothing was written")
    return found


def _write_onnx(network: torch.nn.Module, side_px: int, file: Path, exporter: str, opset: int) -> None:
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
        torch.onnx.export(network, (torch.zeros(1, 3, side_px, side_px),), str(file), **arguments)
    if not large:
        keep_weights_apart(file)


def keep_weights_apart(file: Path) -> None:
    """Move the weights of a one-file graph into ``FILE.data`` beside it, readable to all like the graph."""
    import onnx

    onnx.save_model(
        onnx.load(str(file)),
        str(file),
        save_as_external_data=True,
        location=f"{file.name}.data",
        size_threshold=SMALL_TENSOR_BYTES,
    )


def _compare(network: torch.nn.Module, side_px: int, file: Path) -> float:
    """Largest difference between torch's and ONNX Runtime's output on two fixed pictures; ModelError when they disagree."""
    session = open_session(file, max(1, torch.get_num_threads()))
    largest = 0.0
    for image in check_images(side_px):
        with torch.inference_mode():
            wanted = network(torch.from_numpy(image)).numpy()
        difference = float(np.abs(run_one(session, image) - wanted).max())
        if not difference <= RELATIVE_TOLERANCE * max(1.0, float(np.abs(wanted).max())):  # so that NaN fails too
            raise ModelError(
                f"ONNX and torch differ by {difference:.3g} in a logit", hint="try another version of torch"
            )
        largest = max(largest, difference)
    return largest


def check_images(side_px: int) -> list[NDArray[np.float32]]:
    """Noise and a smooth ramp: features of high and of little variance."""
    random = np.random.default_rng(0)
    ramp = np.linspace(-2, 2, side_px, dtype=np.float32)
    noise = random.standard_normal((1, 3, side_px, side_px)).astype(np.float32)
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
