"""The ONNX Runtime engine: the fastest on a CPU (1.11 x the machine's own sgemm bound), and no torch in the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from bin_daemon.errors import ModelError
from bin_daemon.model.heap import keep_large_blocks_apart
from bin_daemon.model.onnx_file import INPUT_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ERRORS_ONLY = 3


class OnnxEngine:
    """An exported network (a file that `bin_daemon.model.onnx_file.checked_onnx` gave) on ``threads`` CPU threads."""

    def __init__(self, file: Path, threads: int) -> None:
        self._session = open_session(file, threads)
        self.name = f"onnx cpu x{threads}"

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `bin_daemon.model.engine.Engine`; the export has batch size 1, for a CPU gains nothing from more."""
        return np.concatenate([run_one(self._session, image[np.newaxis]) for image in batch])


def open_session(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load an ONNX file on the CPU; ModelError when ONNX Runtime refuses it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # Spinning threads burn a core that camera and serial line need: 4 x better medians under load without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    keep_large_blocks_apart()
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
        raise ModelError(f"{file}: ONNX Runtime cannot load it: {error}", hint="export the bundle again") from None


def run_one(session: onnxruntime.InferenceSession, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 1 x 3 x S x S -> float32 1 x labels."""
    try:
        return np.asarray(session.run(None, {INPUT_NAME: image})[0], np.float32)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
        raise ModelError(f"ONNX Runtime: {error}", hint="verify the model bundle, then export it again") from None
