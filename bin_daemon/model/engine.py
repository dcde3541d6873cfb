"""What an engine is, and which one runs here; decided without importing torch (2 s and 655 MB)."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, get_args, runtime_checkable

from bin_daemon.config.settings import EngineKind
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.cores import Cpu, use_of_cpu
from bin_daemon.model.notes import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.model.bundle import Bundle

KINDS: tuple[str, ...] = get_args(EngineKind)
GPU_SIGNS = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu/igpu0", "dev/dxg")
"""Device nodes of NVIDIA cards, of Jetson (older and newer JetPack), and of WSL 2."""


class Engine(Protocol):
    """Runs one network."""

    @property
    def name(self) -> str:
        """Engine and device, for logs: such as 'onnx cpu x3'."""

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 N x 3 x S x S -> float32 N x labels; ModelError when it cannot run."""


@runtime_checkable
class Stoppable(Protocol):
    """An engine whose run can be cut short."""

    def stop_run(self) -> None:
        """From another thread: the `Engine.logits` that is going on raises ModelError within milliseconds."""


def open_engine(
    bundle: Bundle,
    kind: str = "auto",
    threads: int = 0,
    *,
    cores: Sequence[int] = (),
    state_dir: Path | None = None,
    on_export: Callable[[float], None] | None = None,
) -> Engine:
    """Load the bundle's network; ``kind`` is one of `KINDS`, ``threads`` and ``cores`` as `use_of_cpu` takes them.

    - ``torch``: on the GPU in half precision where torch sees one, else on the CPU.
    - ``onnx``: ONNX Runtime on the CPU, from ``model.onnx``; never imports torch.
    - ``onnx-int8``: the same from ``model.int8.onnx``, which only `bin-daemon model export` makes, after it passed.
    - ``onnx-cuda``, ``onnx-tensorrt``: ONNX Runtime on an NVIDIA GPU. TensorRT keeps what it built in ``state_dir/engines``
      (without ``state_dir``: in the user's cache folder).
    - ``auto``: the first of onnx-tensorrt, onnx-cuda, torch that is installed for a GPU and opens, else onnx. Never int8: it
      changes answers, and not every CPU runs it faster, so that a person has to choose it.

    With ``on_export`` a missing or damaged ``model.onnx`` is made in a process of its own; it is told before anything slow, with
    the longest time that may take, seconds. Raises ModelError, and ConfigError for an unknown kind or a core that is not there.
    """
    if kind not in KINDS:
        raise ConfigError(f"engine {kind!r}: there is no such engine", hint=f"one of {', '.join(KINDS)}")
    opener = _Opener(bundle, use_of_cpu(threads, cores), state_dir, on_export)
    if kind != "auto":
        return opener.open(kind)
    *better, last = candidates()
    for name in better:
        try:
            return opener.open(name, must_be_gpu=True)
        except ModelError as error:  # noqa: PERF203 - four at most
            warn(f"engine {name} cannot be used here, trying the next", reason=str(error), mend=error.hint)
    return opener.open(last)


def candidates() -> tuple[str, ...]:
    """What ``auto`` tries, best first. Says so when there is a GPU that nothing installed can use."""
    if not has_gpu():
        return ("onnx",)
    from bin_daemon.model.onnx_gpu import PROVIDERS, available_providers

    installed = available_providers()
    found = [kind for kind, provider in PROVIDERS.items() if provider in installed]
    if torch_can_use_gpu():
        found.append("torch")
    if not found:
        warn(
            "there is an NVIDIA GPU that nothing installed can use: the CPU judges",
            mend="install onnxruntime-gpu in place of onnxruntime, or a torch built with CUDA",
        )
    return (*found, "onnx")


def needs_onnx(kind: str) -> bool:
    """Whether ``kind`` runs ``model.onnx`` or what is made from it, on this machine."""
    return kind != "torch" and not (kind == "auto" and candidates()[0] == "torch")


class _Opener:
    """Opens one kind of engine; heavy imports happen only for the one that is asked for."""

    def __init__(
        self, bundle: Bundle, cpu: Cpu, state_dir: Path | None, on_export: Callable[[float], None] | None
    ) -> None:
        self._bundle = bundle
        self._cpu = cpu
        self._state_dir = state_dir
        self._on_export = on_export

    def open(self, kind: str, *, must_be_gpu: bool = False) -> Engine:
        with self._cpu.bound():
            if kind == "torch":
                return self._torch(must_be_gpu=must_be_gpu)
            if kind == "onnx":
                return self._onnx_cpu()
            if kind == "onnx-int8":
                return self._int8()
            return self._onnx_gpu(kind)

    def _torch(self, *, must_be_gpu: bool) -> Engine:
        let_threads_sleep()
        from bin_daemon.model.torch_engine import open_torch

        return open_torch(self._bundle, self._cpu, must_be_gpu=must_be_gpu)

    def _onnx_cpu(self) -> Engine:
        from bin_daemon.model.onnx_engine import OnnxEngine, open_checked, open_session
        from bin_daemon.model.onnx_file import ONNX_FILE, checked_onnx, ensure_onnx

        cpu = self._cpu
        try:
            session = open_checked(self._bundle.path / ONNX_FILE, cpu.threads, lambda: checked_onnx(self._bundle))
        except ModelError:
            if self._on_export is None:
                raise
            session = open_session(ensure_onnx(self._bundle, self._on_export), cpu.threads)
        return OnnxEngine(session, cpu, f"onnx cpu x{cpu.threads}")

    def _int8(self) -> Engine:
        from bin_daemon.model.int8_file import INT8_FILE, checked_int8
        from bin_daemon.model.onnx_engine import OnnxEngine, open_checked

        cpu = self._cpu
        session = open_checked(self._bundle.path / INT8_FILE, cpu.threads, lambda: checked_int8(self._bundle))
        return OnnxEngine(session, cpu, f"onnx int8 cpu x{cpu.threads}")

    def _onnx_gpu(self, kind: str) -> Engine:
        from bin_daemon.model.engine_cache import engines_dir
        from bin_daemon.model.guard import GuardedEngine
        from bin_daemon.model.onnx_engine import OnnxEngine
        from bin_daemon.model.onnx_gpu import check_installed, open_cuda, open_tensorrt

        check_installed(kind)
        file = self._onnx_file()
        if kind == "onnx-cuda":
            return OnnxEngine(open_cuda(file, self._cpu.threads), self._cpu, "onnx cuda")
        session = open_tensorrt(
            file, self._cpu.threads, engines_dir(self._state_dir), self._on_export or (lambda _longest_s: None)
        )
        return GuardedEngine(OnnxEngine(session, self._cpu, "onnx tensorrt fp16"), lambda: self.open("onnx-cuda"))

    def _onnx_file(self) -> Path:
        from bin_daemon.model.onnx_file import checked_onnx, ensure_onnx

        return ensure_onnx(self._bundle, self._on_export) if self._on_export else checked_onnx(self._bundle)


def let_threads_sleep() -> None:
    """Torch's OpenMP threads sleep between two layers instead of spinning; only of use before torch is first imported.

    Spinning threads burn the core that camera and serial line need, and wait for each other when a core is taken from them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # GNU's, in torch's own wheels
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel's


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether the kernel shows an NVIDIA GPU."""
    return any((root / sign).exists() for sign in GPU_SIGNS)


def torch_can_use_gpu() -> bool:
    """Whether the installed torch was built with CUDA, as far as its version says ('2.3.0+cpu' was not)."""
    try:
        return "+cpu" not in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
