"""The frozen part of a network: pictures in, features out; in ONNX Runtime, 1.7 times as fast as eager torch on a CPU."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.onnx_engine import open_session, run_one
from bin_daemon.model.onnx_file import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from bin_daemon.training.start import Start

OPSET = 20
"""As the model's own export: the first with Gelu."""
DYNAMO_SINCE = (2, 9)
TOLERANCE = 1e-3
"""Largest difference to torch, as a share of the largest feature; measured about 1e-6."""


class Backbone:
    """Features of a start's network, without its last layer."""

    def __init__(self, start: Start, threads: int) -> None:
        network = start.network(2, seed=0)
        network.reset_classifier(0)  # type: ignore[operator] # every timm model has it
        self._network = network.eval()
        self._session: InferenceSession | None = None
        if _has_dynamo_exporter():
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "backbone.onnx"
                _export(self._network, start.preprocessing.crop_px, file)
                self._session = open_session(file, threads)
            self._check(start.preprocessing.crop_px)

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """N x 3 x S x S -> N x D, what the last layer sees."""
        if self._session is None:
            return self._eager(batch)
        session = self._session
        return np.concatenate([run_one(session, image[np.newaxis]) for image in batch])

    def with_head(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32], head_key: str
    ) -> dict[str, NDArray[np.generic]]:
        """All weights of the whole network, timm-named, with this last layer."""
        state: dict[str, NDArray[np.generic]] = {k: v.numpy() for k, v in self._network.state_dict().items()}
        return {**state, f"{head_key}.weight": weight, f"{head_key}.bias": bias}

    def _eager(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(batch)).numpy(), np.float32)

    def _check(self, side_px: int) -> None:
        image = np.random.default_rng(0).standard_normal((1, 3, side_px, side_px)).astype(np.float32)
        wanted = self._eager(image)
        difference = float(np.abs(self.features(image) - wanted).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise ModelError(
                f"ONNX and torch differ by {difference:.3g} in a feature", hint="try another version of torch"
            )


def _has_dynamo_exporter() -> bool:
    """Older torch (JetPack's) exports by tracing alone: there the features come from eager torch, slower and the same."""
    return tuple(int(x) for x in torch.__version__.split("+")[0].split(".")[:2]) >= DYNAMO_SINCE


def _export(network: torch.nn.Module, side_px: int, file: Path) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # the exporter warns about itself; the comparison is what counts
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, side_px, side_px),),
            str(file),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
