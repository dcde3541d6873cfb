"""Which file is meant: a checkpoint itself, or the one in a model's folder as ModelScope and others lay it out."""

from __future__ import annotations

from pathlib import Path

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import METADATA_FILE

KNOWN_NAMES = ("pytorch_model.pt", "checkpoints.pth", "model.safetensors", "pytorch_model.bin")
"""In this order. The first two are ModelScope's (`ModelFile.TORCH_MODEL_FILE`, then its fallback)."""
SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".bin", ".ckpt"})
PARTIAL_SUFFIXES = frozenset({".part", ".incomplete", ".partial", ".tmp", ".crdownload", ".aria2"})
"""Of files that a browser or a download tool has not finished."""
SHOWN = 5


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file at ``path`` or in the folder ``path``; ModelError when there is none, or no telling which."""
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.is_file():
            return _checked(path)
        exists = path.exists()
        link = path.is_symlink()
    except OSError as error:  # a loop of links, a name too long, no permission
        raise ModelError(f"{path}: {error.strerror}", hint=_GIVE) from None
    if link and not exists:
        raise ModelError(f"{path}: a link that leads nowhere ({path.readlink()})", hint=_GIVE)
    what = "neither a file nor a folder" if exists else "no such file or folder"
    raise ModelError(f"{path}: {what}", hint=_GIVE)


_GIVE = "give a checkpoint file (.pt, .pth, .bin, .safetensors) or the folder of a downloaded model"


def _checked(file: Path) -> Path:
    if file.suffix.lower() in PARTIAL_SUFFIXES:
        raise ModelError(f"{file}: a download that is not finished", hint="finish it, then import")
    if file.stat().st_size == 0:
        raise ModelError(f"{file}: the file is empty", hint="download it again")
    return file


def _in_folder(folder: Path) -> Path:
    if (folder / METADATA_FILE).exists():
        raise ModelError(
            f"{folder} is a bundle already", hint=f"`bin-daemon model activate {folder}` makes it the active model"
        )
    for name in KNOWN_NAMES:
        if (folder / name).is_file():
            return _checked(folder / name)
    files = sorted(x for x in folder.iterdir() if x.is_file())
    found = [x for x in files if x.suffix.lower() in SUFFIXES]
    if len(found) == 1:
        return _checked(found[0])
    if found:
        names = ", ".join(x.name for x in found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise ModelError(f"{folder}: {len(found)} checkpoints: {names}", hint="give the file that you mean")
    partial = [x for x in files if x.suffix.lower() in PARTIAL_SUFFIXES]
    if partial:
        _checked(partial[0])
    raise ModelError(f"{folder}: no checkpoint in it", hint=_GIVE)
