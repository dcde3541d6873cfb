"""A network of one layer in ONNX: it judges by colour, runs in the product's own engine, and needs no torch to be made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import Bundle, BundleMetadata, LabelInfo, Preprocessing
from bin_daemon.model.classify import Classifier
from bin_daemon.model.cores import Cpu
from bin_daemon.model.onnx_engine import OnnxEngine, open_session
from bin_daemon.model.onnx_file import INPUT_NAME

SIDE_PX = 64
OPSET, IR_VERSION = 17, 8
SURE = 20.0
"""Added to one category, so that every item opens a lid."""


def make_classifier(folder: Path) -> Classifier:
    """The product's classifier over that network, which is written to ``folder``."""
    labels = tuple(LabelInfo(label=x.value, category=x) for x in Category)
    metadata = BundleMetadata(
        id="played",
        architecture=ArchitectureInfo(name="convnext_atto"),
        labels=labels,
        preprocessing=Preprocessing(resize_px=SIDE_PX, crop_px=SIDE_PX),
    )
    file = folder / "played.onnx"
    _write(file, len(labels))
    return Classifier(OnnxEngine(open_session(file, 1), Cpu(1), "onnx cpu x1"), Bundle(folder, metadata))


def _write(file: Path, labels: int) -> None:
    weight = np.random.default_rng(1).normal(size=(3, labels)).astype(np.float32)
    bias = np.array([SURE, *[0.0] * (labels - 1)], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", [INPUT_NAME], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "played",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [1, 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, labels])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, str(file))
