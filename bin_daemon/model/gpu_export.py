"""Build what TensorRT needs ahead of the first start, and see how half precision agrees with single on pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.agreement import Agreement, compare
from bin_daemon.model.engine import open_engine
from bin_daemon.model.engine_cache import cache_folder, clear, engines_dir
from bin_daemon.model.onnx_file import ensure_onnx
from bin_daemon.model.onnx_gpu import check_installed, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.photos import Photo


def export_tensorrt(
    bundle: Bundle,
    state_dir: Path,
    photos: Sequence[Photo],
    advance: Callable[[], None] = lambda: None,
    on_build: Callable[[float], None] = lambda _longest_s: None,
) -> tuple[Path, Agreement | None]:
    """Build into the state directory's cache; its folder, and how it agrees with the CPU where there are photos.

    ModelError when it does not agree well enough; the cache is then removed.
    """
    check_installed("onnx-tensorrt")
    file = ensure_onnx(bundle)
    engine = open_engine(bundle, "onnx-tensorrt", state_dir=state_dir, on_export=on_build)
    folder = cache_folder(engines_dir(state_dir), *identity(file))
    if not photos:
        return folder, None
    agreement = compare(bundle, open_engine(bundle, "onnx"), engine, photos, advance)
    if reason := agreement.refused_because:
        clear(folder)
        raise ModelError(f"tensorrt refused: {reason}", hint="use engine onnx-cuda, which computes in single precision")
    return folder, agreement
