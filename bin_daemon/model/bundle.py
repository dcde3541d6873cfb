"""A model bundle: one folder with ``model.safetensors`` (weights, timm key names) and ``bundle.json`` (all else about them).

Everything in it is checked before it is used; each wrong thing is one `ModelError` that names file, place, value and mend.
An exported ``model.onnx`` lies beside them with its own sidecar (see `bin_daemon.model.onnx_file`), for it can be made again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.durable import sync, write_durably
from bin_daemon.model.familiarity import Familiarity
from bin_daemon.model.weights import check_finite, check_shapes, sha256_of, write_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METADATA_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT_VERSION = 1
MAX_METADATA_BYTES = 4 << 20
"""265 labels and their metrics need about 60 kB; anything beyond 4 MiB is not a bundle's metadata."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LabelInfo(_Part):
    """One output of the model; its index is its place in ``labels``."""

    label: str = Field(min_length=1, max_length=200)
    category: Category
    label265: int | None = Field(None, ge=0, le=264, description="Index in the 265-label taxonomy; null: none fits.")
    gloss: str = Field("", max_length=200, description="What the label means, in English.")
    similar: tuple[int, ...] = Field((), description="Indexes in the taxonomy that a picture of it might bear as well.")


INTERPOLATIONS: Mapping[str, tuple[str, ...]] = {
    "pil": ("bicubic", "bilinear", "box", "hamming", "lanczos"),
    "cv2": ("bilinear", "bicubic", "nearest", "area", "lanczos"),
}
"""What each backend can do, by mmcv's names for both of its own."""


class Preprocessing(_Part):
    """How a picture becomes the network's input; only what is implemented can be written here."""

    backend: Literal["pil", "cv2"] = Field(
        "pil", description="Whose resizing the model was trained with, to the bit: Pillow's or OpenCV's."
    )
    resize: Literal["short", "square"] = Field(
        "short", description="short: the short side becomes resize_px, the shape stays; square: both sides do."
    )
    resize_px: int = Field(256, ge=8, le=4096, description="Short side, or both, after resizing.")
    interpolation: Literal["bicubic", "bilinear", "nearest", "box", "hamming", "lanczos", "area"] = "bicubic"
    crop_px: int = Field(224, ge=8, le=4096, description="Side of the centre crop, the network's input.")
    colour: Literal["rgb", "bgr"] = Field("rgb", description="Order of the network's three input channels.")
    mean: tuple[float, float, float] = Field(
        (0.485, 0.456, 0.406), description="Of pixel values 0..1, in the order of `colour`."
    )
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @field_validator("std")
    @classmethod
    def _positive(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(std) <= 0:
            raise ValueError("each value must be above 0, for pixels are divided by it")
        return std

    @model_validator(mode="after")
    def _fits(self) -> Preprocessing:
        if self.crop_px > self.resize_px:
            raise ValueError(f"crop_px {self.crop_px} is larger than resize_px {self.resize_px}")
        if self.interpolation not in (known := INTERPOLATIONS[self.backend]):
            raise ValueError(f"backend {self.backend} has no {self.interpolation}, only {', '.join(known)}")
        return self


class BundleMetadata(_Part):
    """``bundle.json``. ``sha256`` maps each weight file to its digest; `write_bundle` fills it in."""

    format_version: Literal[1] = 1
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Goes into events and folder names.")
    name: str = Field("", max_length=200, description="For people; empty: the id.")
    architecture: ArchitectureInfo
    labels: tuple[LabelInfo, ...] = Field(min_length=2, max_length=10_000)
    preprocessing: Preprocessing = Preprocessing()
    temperature: float = Field(1.0, ge=0.01, le=100, description="Logits are divided by it.")
    familiarity: Familiarity | None = Field(None, description="How strange items are told; null: they are not.")
    source: str = Field("", description="Where the weights come from: address, revision, training data.")
    licence: str = Field("", description="Of the weights; 'unknown' where none is stated.")
    metrics: Mapping[str, JsonValue] = Field(default_factory=dict, description="What was measured, free form.")
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(timezone.utc))
    sha256: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[LabelInfo, ...]) -> tuple[LabelInfo, ...]:
        first: dict[str, int] = {}
        for index, info in enumerate(labels):
            if (earlier := first.setdefault(info.label, index)) != index:
                raise ValueError(f"label {info.label!r} stands at index {earlier} and again at {index}")
        return labels


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle on disk."""

    path: Path
    metadata: BundleMetadata

    @property
    def weights_path(self) -> Path:
        """The safetensors file."""
        return self.path / WEIGHTS_FILE

    @property
    def sha256(self) -> str:
        """Of the weights: two bundles with the same digest hold the same network."""
        return self.metadata.sha256[WEIGHTS_FILE]


def read_bundle(path: Path) -> Bundle:
    """Read and check the bundle in folder ``path``: metadata, digests, weight names and shapes; ModelError otherwise."""
    metadata = read_metadata(path)
    weights = path / WEIGHTS_FILE
    if WEIGHTS_FILE not in metadata.sha256:
        raise ModelError(
            f"{path / METADATA_FILE}: sha256 has no entry for {WEIGHTS_FILE}", hint="make the bundle again"
        )
    for name, wanted in metadata.sha256.items():
        _check_digest(path, name, wanted)
    check_shapes(weights, metadata.architecture, len(metadata.labels))
    return Bundle(path, metadata)


def read_metadata(path: Path) -> BundleMetadata:
    """Read and check ``bundle.json`` in folder ``path`` alone, without looking at the weights."""
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "no such folder"
        raise ModelError(f"model bundle {path}: {what}", hint=_NO_BUNDLE)
    if not (path / METADATA_FILE).exists():
        raise ModelError(f"model bundle {path}: no {METADATA_FILE} in it", hint=_NO_BUNDLE)
    return parse_metadata(path / METADATA_FILE)


def parse_metadata(file: Path) -> BundleMetadata:
    """Read and check one file of bundle metadata."""
    try:
        if file.stat().st_size > MAX_METADATA_BYTES:
            raise ModelError(f"{file}: larger than {MAX_METADATA_BYTES} bytes", hint="this is no bundle's metadata")
        return BundleMetadata.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{file}: {error.strerror}", hint="check that it exists and is readable by this user"
        ) from None
    except ValidationError as error:
        raise ModelError(_first_problem(file, error), hint="mend this entry, or make the bundle again") from None


def metadata_text(metadata: BundleMetadata) -> bytes:
    """``bundle.json``'s content: UTF-8, one value a line, for people and for diffs."""
    return json.dumps(metadata.model_dump(mode="json"), ensure_ascii=False, indent=1).encode() + b"\n"


_NO_BUNDLE = f"give the folder of a bundle (with {METADATA_FILE} in it)"


def write_bundle(path: Path, metadata: BundleMetadata, weights: Mapping[str, NDArray[np.generic]]) -> Bundle:
    """Write a bundle to ``path`` (replaced when it is a bundle already) and read it back checked.

    ``weights`` are timm-named arrays. Written whole into a temporary folder beside, synced, then renamed: a power cut
    leaves the old bundle or the new one, never half of one.
    """
    check_replaceable(path)
    check_finite(path / WEIGHTS_FILE, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        write_weights(temporary / WEIGHTS_FILE, weights)
        filled = metadata.model_copy(update={"sha256": {WEIGHTS_FILE: sha256_of(temporary / WEIGHTS_FILE)}})
        write_durably(temporary / METADATA_FILE, metadata_text(filled))
        read_bundle(temporary)
        temporary.chmod(0o755)
        _swap(temporary, path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}", hint="check free space and permissions") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle(path, filled)


def _swap(new: Path, path: Path) -> None:
    """Put ``new`` in the place of ``path``; a folder cannot be renamed over a full one, so the old steps aside."""
    sync(new)
    if path.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(aside)
        new.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        new.rename(path)
    sync(path.parent)


def check_replaceable(path: Path) -> None:
    """ModelError when `write_bundle` would have to overwrite something that is no bundle."""
    if path.exists() and not (path / METADATA_FILE).exists() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(f"{path} exists and is no model bundle", hint="name a new or empty folder")


def _check_digest(path: Path, name: str, wanted: str) -> None:
    file = path / name
    if Path(name).name != name:
        raise ModelError(
            f"{path / METADATA_FILE}: sha256 names {name!r}, not a file of the bundle", hint="name files only"
        )
    found = sha256_of(file)
    if found != wanted.lower():
        raise ModelError(
            f"{file}: sha256 is {found[:16]}..., {METADATA_FILE} says {wanted[:16]}...: the file was damaged or exchanged",
            hint="copy or make the bundle again",
        )


def _first_problem(file: Path, error: ValidationError) -> str:
    """File, place, value and rule of the first thing wrong, and how many more there are."""
    problems = error.errors(include_url=False)
    first: dict[str, Any] = dict(problems[0])
    place = ".".join(str(x) for x in first["loc"]) or "the file"
    value = "" if first["type"] in {"missing", "json_invalid"} else f" (found {str(first['input'])[:80]!r})"
    more = f"; {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{file}: {place}: {first['msg']}{value}{more}"
