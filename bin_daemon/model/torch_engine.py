"""The torch engine: half precision and channels_last on a CUDA GPU, else single precision on the CPU."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.cuda_graph import captured
from bin_daemon.model.guard import GuardedEngine
from bin_daemon.model.network import load_network
from bin_daemon.model.precision import norms_in_single_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.cores import Cpu
    from bin_daemon.model.engine import Engine


def open_torch(bundle: Bundle, cpu: Cpu, *, must_be_gpu: bool = False) -> Engine:
    """The bundle's network on the GPU, guarded against overflow, else on the CPU; ModelError where there must be one."""
    if torch.cuda.is_available():
        half = TorchEngine(bundle, cpu, "cuda", torch.float16)
        return GuardedEngine(half, lambda: TorchEngine(bundle, cpu, "cuda"))
    if must_be_gpu:
        raise ModelError(
            f"torch {torch.__version__} sees no CUDA GPU",
            hint="install a torch built for this driver (see nvidia-smi), or set model.engine = 'onnx'",
        )
    return TorchEngine(bundle, cpu)


class TorchEngine:
    """A bundle's network in torch. ``cpu.threads`` is set for the whole process, as torch has it.

    On a GPU a single image runs as a captured graph where that works: its 300 kernels are then started by one call.
    """

    def __init__(self, bundle: Bundle, cpu: Cpu, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        torch.set_num_threads(cpu.threads)
        self._cpu = cpu
        self._device = torch.device(device)
        self._dtype = dtype
        where = torch.cuda.get_device_name() if device == "cuda" else f"cpu x{cpu.threads}"
        self.name = f"torch {where}" + (" fp16" if dtype is torch.float16 else "")
        side_px = bundle.metadata.preprocessing.crop_px
        network = load_network(bundle)
        with _as_model_error(self._device):
            network = network.to(self._device, dtype).to(memory_format=torch.channels_last)
            if dtype is torch.float16:
                norms_in_single_precision(network)
            self._network = network
            self._for_one = network
            if device == "cuda":
                self._for_one = captured(network, self._ready(torch.zeros(1, 3, side_px, side_px)))

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `bin_daemon.model.engine.Engine`."""
        with _as_model_error(self._device), self._cpu.bound(), torch.inference_mode():
            images = self._ready(torch.from_numpy(batch))
            found = (self._for_one if len(batch) == 1 else self._network)(images)
            return np.asarray(found.float().cpu().numpy(), np.float32)

    def _ready(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(device=self._device, dtype=self._dtype).contiguous(memory_format=torch.channels_last)


@contextmanager
def _as_model_error(device: torch.device) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # out of memory, a lost GPU
        raise ModelError(f"torch on {device}: {error}", hint="if it persists, set model.engine = 'onnx'") from None
