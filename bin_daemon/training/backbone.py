"""The frozen part of a network: pictures in, features out; in ONNX Runtime, 1.7 times as fast as eager torch on a CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.model.export import export_network
from bin_daemon.model.onnx_engine import open_session, run_one

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.training.start import Start


class Backbone:
    """Features of a start's network, without its last layer."""

    def __init__(self, start: Start, threads: int) -> None:
        network = start.network(2, seed=0)
        network.reset_classifier(0)  # type: ignore[operator] # every timm model has it
        self._network = network.eval()
        with tempfile.TemporaryDirectory() as folder:
            made = export_network(self._network, start.preprocessing.crop_px, Path(folder))
            self._session = open_session(made.file, threads)

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """N x 3 x S x S -> N x D, what the last layer sees."""
        return np.concatenate([run_one(self._session, image[np.newaxis]) for image in batch])

    def with_head(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32], head_key: str
    ) -> dict[str, NDArray[np.generic]]:
        """All weights of the whole network, timm-named, with this last layer."""
        state: dict[str, NDArray[np.generic]] = {k: v.numpy() for k, v in self._network.state_dict().items()}
        return {**state, f"{head_key}.weight": weight, f"{head_key}.bias": bias}
