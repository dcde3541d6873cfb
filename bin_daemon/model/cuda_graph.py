"""A network's kernels captured once and replayed by one call: at batch 1 a GPU waits for Python, not for arithmetic."""

from __future__ import annotations

import torch

from bin_daemon.model.notes import warn

WARM_UP_RUNS = 3
"""As torch's documentation has it: libraries make their workspaces, and choose their algorithms, before the capture."""


def captured(network: torch.nn.Module, example: torch.Tensor) -> torch.nn.Module:
    """``network`` for inputs like ``example`` as a CUDA graph; where it cannot be captured itself, with a warning."""
    try:
        return CapturedNetwork(network, example)
    except RuntimeError as error:  # an operator that cannot be captured, too little memory
        warn("no CUDA graph for this network: its kernels are started one by one", reason=str(error).splitlines()[0])
        return network


class CapturedNetwork(torch.nn.Module):
    """Answers for one input shape. What it returns is overwritten by the next call: read it before.

    Source: pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    def __init__(self, network: torch.nn.Module, example: torch.Tensor) -> None:
        super().__init__()
        with torch.inference_mode():
            self._image = example.clone(memory_format=torch.preserve_format)
            beside: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UP_RUNS):
                    network(self._image)
            torch.cuda.current_stream().wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._logits: torch.Tensor = network(self._image)
        self._network = network  # its weights lie where the graph looks for them

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The same shape, type and memory format as the example."""
        self._image.copy_(images)
        self._graph.replay()
        return self._logits
