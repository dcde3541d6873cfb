"""What an engine is, and which one runs here; decided without importing torch (2 s and 655 MB)."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.model.bundle import Bundle

GPU_SIGNS = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu/igpu0", "dev/dxg")
"""Device nodes of NVIDIA cards, of Jetson (older and newer JetPack), and of WSL 2."""


class Engine(Protocol):
    """Runs one network."""

    @property
    def name(self) -> str:
        """Engine and device, for logs: such as 'onnx cpu x3'."""

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 N x 3 x S x S -> float32 N x labels; ModelError when it cannot run."""


def open_engine(
    bundle: Bundle, kind: str = "auto", threads: int = 0, *, on_export: Callable[[float], None] | None = None
) -> Engine:
    """Load the bundle's network: ``kind`` is auto, torch or onnx; ``threads`` 0 means cores - 1.

    onnx needs ``model.onnx`` and never imports torch. With ``on_export`` a missing or damaged one is made in a process of its
    own; it is told before, with the longest time that may take, seconds.
    """
    count = threads or default_threads()
    if wants_torch(kind):
        from bin_daemon.model.torch_engine import TorchEngine

        return TorchEngine(bundle, count)
    from bin_daemon.model.onnx_engine import OnnxEngine
    from bin_daemon.model.onnx_file import checked_onnx, ensure_onnx

    return OnnxEngine(ensure_onnx(bundle, on_export) if on_export else checked_onnx(bundle), count)


def wants_torch(kind: str) -> bool:
    """Whether ``kind`` (auto, torch or onnx) means torch on this machine."""
    return kind == "torch" or (kind == "auto" and has_gpu() and torch_can_use_gpu())


def default_threads() -> int:
    """Cores that this process may use, less one for camera, serial line and MQTT; at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether the kernel shows an NVIDIA GPU."""
    return any((root / sign).exists() for sign in GPU_SIGNS)


def torch_can_use_gpu() -> bool:
    """Whether the installed torch was built with CUDA, as far as its version says ('2.3.0+cpu' was not)."""
    try:
        return "+cpu" not in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
