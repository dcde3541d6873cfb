"""The torch engine: fp16 and channels_last on a CUDA GPU, else fp32 on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.network import load_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.model.bundle import Bundle


class TorchEngine:
    """A bundle's network in torch. ``threads`` counts CPU threads and is set for the whole process, as torch has it."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        torch.set_num_threads(threads)
        cuda = torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self._dtype = torch.float16 if cuda else torch.float32
        network = load_network(bundle).to(device=self._device, dtype=self._dtype)
        self._network = network.to(memory_format=torch.channels_last)
        self.name = f"torch {torch.cuda.get_device_name()} fp16" if cuda else f"torch cpu x{threads}"

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `bin_daemon.model.engine.Engine`."""
        try:
            with torch.inference_mode():
                images = torch.from_numpy(batch).to(device=self._device, dtype=self._dtype)
                found = self._network(images.contiguous(memory_format=torch.channels_last))
                return np.asarray(found.float().cpu().numpy(), np.float32)
        except RuntimeError as error:  # out of memory, a lost GPU
            raise ModelError(
                f"torch on {self._device}: {error}", hint="if it persists, set model.engine = 'onnx'"
            ) from None
