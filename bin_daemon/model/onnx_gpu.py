"""ONNX Runtime's providers for NVIDIA GPUs: which are installed, with which options, and whether they really took the network.

Source of options: onnxruntime.ai/docs/execution-providers, TensorRT and CUDA (all of them known since ONNX Runtime 1.16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnxruntime

from bin_daemon.errors import ModelError
from bin_daemon.model.engine_cache import cache_folder, clear, is_whole, seal
from bin_daemon.model.notes import warn
from bin_daemon.model.onnx_engine import CPU_PROVIDER, Provider, open_session
from bin_daemon.model.weights import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROVIDERS = {"onnx-tensorrt": "TensorrtExecutionProvider", "onnx-cuda": "CUDAExecutionProvider"}
"""Engine -> provider, best first."""
WORKSPACE_BYTES = 1 << 30
"""For TensorRT's trials while it builds; ConvNeXt's largest layers need far less, and an 8 GB Jetson has that much to spare."""
BUILD_TIMEOUT_S = 1800
"""A build takes minutes; a Jetson Orin Nano that also runs hot may need many."""


def available_providers() -> tuple[str, ...]:
    """What the installed ONNX Runtime was built with; that it loads, only a session shows."""
    return tuple(onnxruntime.get_available_providers())


def check_installed(kind: str) -> None:
    """ModelError that names what to install when the installed ONNX Runtime lacks the provider of ``kind``."""
    if PROVIDERS[kind] in available_providers():
        return
    has = ", ".join(x.removesuffix("ExecutionProvider") for x in available_providers())
    raise ModelError(
        f"engine {kind}: the installed ONNX Runtime {onnxruntime.__version__} has no {PROVIDERS[kind]} (it has {has})",
        hint="install onnxruntime-gpu in place of onnxruntime (Jetson: NVIDIA's wheel for your JetPack); "
        "or set model.engine = 'auto', which goes on without it",
    )


def cuda_options() -> dict[str, Any]:
    """For the CUDA provider: memory as asked for, as a Jetson's is shared with all else."""
    return {"device_id": 0, "arena_extend_strategy": "kSameAsRequested", "do_copy_in_default_stream": True}


def tensorrt_options(cache: Path) -> dict[str, Any]:
    """For the TensorRT provider: half precision with LayerNorm in single, and everything that was built kept in ``cache``."""
    return {
        "device_id": 0,
        "trt_max_workspace_size": WORKSPACE_BYTES,
        "trt_fp16_enable": True,
        "trt_layer_norm_fp32_fallback": True,  # half precision ends at 65,504: a sum of squares passes it
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
    }


def open_cuda(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session in single precision on the GPU; ModelError when the provider does not load."""
    return _open(file, threads, "onnx-cuda", [(PROVIDERS["onnx-cuda"], cuda_options()), CPU_PROVIDER])


def open_tensorrt(
    file: Path, threads: int, engines: Path, on_build: Callable[[float], None]
) -> onnxruntime.InferenceSession:
    """A session in half precision, from the cache under ``engines`` or built anew (``on_build`` is told before, with seconds).

    A cache that TensorRT does not take (another TensorRT, another GPU) is removed and built again, once.
    """
    folder = cache_folder(engines, *identity(file))
    was_built = is_whole(folder)
    try:
        return _built(file, threads, folder, on_build)
    except ModelError as error:
        clear(folder)
        if not was_built:
            raise
        warn("TensorRT did not take what it had built: building anew", folder=str(folder), reason=str(error))
    return _built(file, threads, cache_folder(engines, *identity(file)), on_build)


def identity(file: Path) -> tuple[str, ...]:
    """What a cache depends on: graph, weights, ONNX Runtime. Its file names tell the GPU, and TensorRT knows its own version."""
    weights = file.with_name(f"{file.name}.data")
    digests = [sha256_of(x) for x in (file, weights) if x.exists()]
    return (*digests, onnxruntime.__version__)


def _built(file: Path, threads: int, folder: Path, on_build: Callable[[float], None]) -> onnxruntime.InferenceSession:
    if not is_whole(folder):
        on_build(BUILD_TIMEOUT_S)
    providers: list[Provider] = [
        (PROVIDERS["onnx-tensorrt"], tensorrt_options(folder)),
        (PROVIDERS["onnx-cuda"], cuda_options()),  # for operators that this TensorRT does not know
        CPU_PROVIDER,
    ]
    session = _open(file, threads, "onnx-tensorrt", providers)
    seal(folder)
    return session


def _open(file: Path, threads: int, kind: str, providers: list[Provider]) -> onnxruntime.InferenceSession:
    session = open_session(file, threads, providers)
    if session.get_providers()[0] != PROVIDERS[kind]:  # a missing library is only logged, and the CPU takes over
        raise ModelError(
            f"engine {kind}: ONNX Runtime could not load {PROVIDERS[kind]}",
            hint="install the CUDA, cuDNN and TensorRT that this onnxruntime-gpu asks for, and check the driver with nvidia-smi",
        )
    return session
