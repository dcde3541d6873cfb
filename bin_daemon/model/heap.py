"""Ask glibc to give large blocks their own pages, so that what loading a network frees goes back to the system."""

from __future__ import annotations

import ctypes

LARGE_BYTES = 4 << 20
"""More than a 720p picture (2.8 MB), whose pages are better kept; a ConvNeXt-Base has 96 % of its weights in such blocks."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_large_blocks_apart() -> bool:
    """Fix malloc's threshold for blocks of their own at `LARGE_BYTES`; False where the C library has no such thing.

    Left alone, glibc raises it to the largest block that was ever freed. The weights of the ONNX file and their repacked
    copies then share the heap, and the former leave holes: 685 MB in place of 390 after loading ConvNeXt-Base.
    Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES))
