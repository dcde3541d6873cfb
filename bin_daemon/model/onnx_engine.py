"""The ONNX Runtime engine: the fastest on a CPU (its matrix products run at sgemm's speed), and no torch in the process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from bin_daemon.errors import ModelError
from bin_daemon.model.heap import keep_large_blocks_apart
from bin_daemon.model.onnx_file import INPUT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bin_daemon.model.cores import Cpu

ERRORS_ONLY = 3
CPU_PROVIDER = "CPUExecutionProvider"
Provider = str | tuple[str, dict[str, Any]]


class OnnxEngine:
    """An open session, run on the cores of ``cpu``; ``name`` says what it is."""

    def __init__(self, session: onnxruntime.InferenceSession, cpu: Cpu, name: str) -> None:
        self._session = session
        self._cpu = cpu
        self._run = onnxruntime.RunOptions()
        self.name = name

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `bin_daemon.model.engine.Engine`.

        The export has batch size 1 and the images go one by one: measured on a CPU, three at once took 4 % longer and twice the
        memory for what lies between the layers.
        """
        run = self._run = onnxruntime.RunOptions()
        with self._cpu.bound():
            return np.concatenate([run_one(self._session, image[np.newaxis], run) for image in batch])

    def stop_run(self) -> None:
        """See `bin_daemon.model.engine.Stoppable`: ONNX Runtime looks between two nodes of the graph."""
        self._run.terminate = True


def open_session(
    file: Path, threads: int, providers: Sequence[Provider] = (CPU_PROVIDER,)
) -> onnxruntime.InferenceSession:
    """Load an ONNX file; ModelError when ONNX Runtime refuses it. The first provider that can takes each part of the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # Spinning threads burn a core that camera and serial line need: 4 x better medians under load without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    keep_large_blocks_apart()
    try:
        # Without ONNX Runtime's own fall-back, which says "Falling back" on stdout and goes on with another provider.
        return onnxruntime.InferenceSession(str(file), options, providers=list(providers), enable_fallback=False)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
        raise ModelError(f"{file}: ONNX Runtime cannot load it: {error}", hint="export the bundle again") from None


def open_checked(file: Path, threads: int, check: Callable[[], object]) -> onnxruntime.InferenceSession:
    """As `open_session`, while ``check`` reads the file on another core: each takes a third of a second for ConvNeXt-Base.

    What ``check`` raises comes before what ONNX Runtime says of a file that is not what it should be.
    """
    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(check)
        try:
            session = open_session(file, threads)
        finally:
            checked.result()
    return session


def run_one(
    session: onnxruntime.InferenceSession, image: NDArray[np.float32], run: onnxruntime.RunOptions | None = None
) -> NDArray[np.float32]:
    """float32 1 x 3 x S x S -> float32 1 x labels."""
    try:
        return np.asarray(session.run(None, {INPUT_NAME: image}, run)[0], np.float32)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
        raise ModelError(f"ONNX Runtime: {error}", hint="verify the model bundle, then export it again") from None
