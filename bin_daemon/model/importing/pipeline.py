"""A list of mmcls or mmpretrain test transforms as our `Preprocessing`; what we cannot do is refused, never guessed.

Meaning and defaults are those of mmcls 0.25 ``datasets/pipelines/transforms.py`` and of mmpretrain's and mmcv 2's transforms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import Preprocessing

NOTHING_TO_DO = frozenset({"LoadImageFromFile", "ImageToTensor", "ToTensor", "Collect", "PackInputs", "PackClsInputs"})
BACKENDS = {"pillow": "pil", "cv2": "cv2"}
LEVELS = 255
"""mmcls counts pixels 0..255, a bundle 0..1."""


def read_pipeline(place: str, steps: Any, normalise: Mapping[str, Any] | None = None) -> Preprocessing:
    """The transforms in ``steps``; ``place`` is file and key, for errors.

    ``normalise`` is mmpretrain's ``data_preprocessor`` (mean, std, to_rgb), which stands outside of the list. ModelError names
    the first step, key and value that is not understood or not implemented.
    """
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ModelError(f"{place}: not a list of transforms", hint=_MEND)
    values: dict[str, Any] = {}
    for index, step in enumerate(steps):
        where = f"{place}[{index}]"
        if not isinstance(step, Mapping) or not isinstance(step.get("type"), str):
            raise ModelError(f"{where}: a transform without a type", hint=_MEND)
        values |= _step(where, step)
    if normalise is not None:
        values |= _normalise(f"{place}: data_preprocessor", normalise)
    return _checked(place, values)


_MEND = "mend it, or give --card-preprocessing: short side 256, crop 224, as the model's card says"


def _step(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    kind = step["type"].rpartition(".")[2]
    if kind in NOTHING_TO_DO:
        return {}
    if kind == "Resize":
        return _resize(where, step)
    if kind == "ResizeEdge":
        _only(where, step, {"edge": "short"})
        return {"resize": "short", "resize_px": step.get("scale"), **_method(where, step)}
    if kind == "CenterCrop":
        _only(where, step, {"efficientnet_style": False})
        return {"crop_px": _one(where, "crop_size", step.get("crop_size"))}
    if kind == "Normalize":
        return _normalise(where, step)
    raise ModelError(f"{where}: type: {kind!r} is not implemented", hint=_MEND)


def _resize(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    """mmcls: (short side, -1) keeps the shape, a number or an equal pair squeezes to a square."""
    size = step.get("size", step.get("scale"))
    if isinstance(size, Sequence) and len(size) == 2 and size[1] == -1:  # noqa: PLR2004 - a pair
        _only(where, step, {"adaptive_side": "short"})
        return {"resize": "short", "resize_px": size[0], **_method(where, step)}
    return {"resize": "square", "resize_px": _one(where, "size", size), **_method(where, step)}


def _method(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    backend = step.get("backend", "cv2")
    if backend not in BACKENDS:
        raise ModelError(f"{where}: backend: {backend!r} is not implemented", hint=_MEND)
    return {"backend": BACKENDS[backend], "interpolation": step.get("interpolation", "bilinear")}


def _normalise(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"colour": "rgb" if step.get("to_rgb", True) else "bgr"}
    for key in ("mean", "std"):
        numbers = step.get(key)
        if (
            not isinstance(numbers, Sequence)
            or len(numbers) != 3  # noqa: PLR2004 - colours
            or not all(isinstance(x, (int, float)) for x in numbers)
        ):
            raise ModelError(f"{where}: {key}: {numbers!r} is not three numbers", hint=_MEND)
        values[key] = tuple(round(x / LEVELS, 12) for x in numbers)  # 0.224, not 0.22399999999999998
    return values


def _one(where: str, key: str, size: Any) -> Any:
    """A side in pixels that may be given as an equal pair."""
    if isinstance(size, Sequence) and len(size) == 2 and size[0] == size[1]:  # noqa: PLR2004 - a pair
        return size[0]
    if isinstance(size, int):
        return size
    raise ModelError(f"{where}: {key}: {size!r} is not implemented", hint=_MEND)


def _only(where: str, step: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if step.get(key, value) != value:
            raise ModelError(f"{where}: {key}: {step[key]!r} is not implemented", hint=_MEND)


def _checked(place: str, values: dict[str, Any]) -> Preprocessing:
    for key, kind in (("resize_px", "Resize"), ("mean", "Normalize")):
        if key not in values:
            raise ModelError(f"{place}: no {kind} in it", hint=_MEND)
    if "crop_px" not in values:
        if values["resize"] != "square":
            raise ModelError(f"{place}: no CenterCrop in it", hint=_MEND)
        values["crop_px"] = values["resize_px"]
    try:
        return Preprocessing.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(x) for x in first["loc"])
        value = f": {first['input']!r}" if key else ""
        raise ModelError(f"{place}: {key}{value}: {first['msg']}", hint=_MEND) from None
