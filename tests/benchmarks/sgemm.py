"""``python -m tests.benchmarks.sgemm DEPTHS DIMS``: the network's matrix products by numpy's BLAS, served as a contestant.

What is left out (depth-wise convolutions, norms, GELU) an engine has to do on top. BLAS takes its threads from the environment.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

SIDE_PX = 224
STEM_PX, STEM_INPUTS = 4, 48
"""Patches of 4 x 4 pixels in 3 colours."""


def shapes(depths: list[int], dims: list[int]) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of every product: stem and downsampling as products too, and two in each block."""
    found = []
    side = SIDE_PX // STEM_PX
    inputs = STEM_INPUTS
    for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
        rows = (side >> stage) ** 2
        found.append((rows, inputs, dim))
        found += [(rows, dim, 4 * dim), (rows, 4 * dim, dim)] * depth
        inputs = 4 * dim
    return found


def main(depths: list[int], dims: list[int]) -> None:
    """Serve until stdin ends. Each product has weights of its own, for so the network reads its memory."""
    products = [
        (np.full((m, k), 0.5, np.float32), np.full((k, n), 0.5, np.float32), np.empty((m, n), np.float32))
        for m, k, n in shapes(depths, dims)
    ]
    print(0, flush=True)  # noqa: T201
    for _ in sys.stdin:
        began = time.perf_counter()
        for a, b, out in products:
            np.matmul(a, b, out=out)
        print((time.perf_counter() - began) * 1000, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
