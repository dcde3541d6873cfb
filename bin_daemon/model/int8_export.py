"""Make ``model.int8.onnx``: 8-bit weights for the matrix products, activations quantised as they come; kept only if it passes.

Only products are worth it: they are 95 % of a ConvNeXt's arithmetic. The last one stays exact, for it decides and costs nothing.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.agreement import compare
from bin_daemon.model.cores import use_of_cpu
from bin_daemon.model.engine import Engine, open_engine
from bin_daemon.model.int8_file import (
    INT8_DATA_FILE,
    INT8_FILE,
    INT8_SIDECAR_FILE,
    Int8Info,
    decision_id,
    needs_reduced_range,
)
from bin_daemon.model.onnx_engine import OnnxEngine, open_session
from bin_daemon.model.onnx_file import architecture_id, ensure_onnx
from bin_daemon.model.put import digests, putting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.photos import Photo

PRODUCTS = ("MatMul", "Gemm")
MIN_PRODUCTS = 4
"""Fewer means a network of convolutions, which dynamic quantisation makes slower."""


def export_int8(
    bundle: Bundle, photos: Sequence[Photo], threads: int = 0, advance: Callable[[], None] = lambda: None
) -> Int8Info:
    """Quantise, compare with the exact engine on ``photos``, and put file and sidecar into the bundle when it passes.

    ModelError otherwise, naming what was measured; the bundle then stays as it was.
    """
    source = ensure_onnx(bundle)
    cpu = use_of_cpu(threads)
    with putting(bundle.path) as (folder, put):
        count, reduced = quantise(source, folder / INT8_FILE)
        session = open_session(folder / INT8_FILE, cpu.threads)
        candidate: Engine = OnnxEngine(session, cpu, "onnx int8")
        agreement = compare(bundle, open_engine(bundle, "onnx", threads), candidate, photos, advance)
        if reason := agreement.refused_because:
            raise ModelError(f"int8 refused: {reason}", hint="stay with engine onnx; nothing was written")
        info = Int8Info(
            architecture_id=architecture_id(bundle),
            sha256=digests(folder, (INT8_DATA_FILE, INT8_FILE)),
            decision_id=decision_id(bundle),
            quantizer=_version(),
            matrix_products=count,
            per_channel=True,
            reduce_range=reduced,
            agreement=agreement,
        )
        put(folder, (INT8_DATA_FILE, INT8_FILE), INT8_SIDECAR_FILE, info)
    return info


def quantise(source: Path, target: Path) -> tuple[int, bool]:
    """Write ``target`` (weights beside it); the number of products with 8-bit weights, and whether those have but 7 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(source), load_external_data=False).graph
    products = [x.name for x in graph.node if x.op_type in PRODUCTS]
    if len(products) < MIN_PRODUCTS:
        raise ModelError(
            f"{source}: int8 is of no use: {len(products)} matrix products, all else are convolutions",
            hint="use engine onnx",
        )
    reduced = needs_reduced_range()
    with _quiet():
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_exclude=[products[-1], f"{products[-1]}_MatMul"],  # a Gemm becomes a MatMul of that name first
            per_channel=True,
            reduce_range=reduced,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
    return len(products) - 1, reduced


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises on the root logger to prepare the graph, which helps static quantisation only."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(before)


def _version() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__} quantize_dynamic"
