"""Resizing under the crop: Pillow's own pixels for every kernel and size, OpenCV's own for its backend, no thread woken."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from bin_daemon.model import kernels
from bin_daemon.model.bundle import INTERPOLATIONS, Preprocessing
from bin_daemon.model.picture import read_picture
from bin_daemon.model.resize import crop_from, plan

HOW = Preprocessing()
Pixels = NDArray[np.uint8]
CV2_CODES = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def _noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _chessboard(width: int, height: int) -> Pixels:
    """The hardest picture: all overshoot, and every other sum exactly between two grey levels."""
    squares = np.indices((height, width)).sum(axis=0) % 2 * 255
    return np.repeat(squares[:, :, np.newaxis], 3, axis=2).astype(np.uint8)


def _flat(level: int) -> Any:
    return lambda width, height: np.full((height, width, 3), level, np.uint8)


PICTURES = {"noise": _noise, "chessboard": _chessboard, "black": _flat(0), "white": _flat(255)}


def _pillow(pixels: Pixels, how: Preprocessing) -> Pixels:
    wanted = plan(pixels.shape[1], pixels.shape[0], how)
    resized = Image.fromarray(pixels).resize((wanted.width, wanted.height), Image.Resampling[how.interpolation.upper()])
    box = (wanted.left, wanted.top, wanted.left + how.crop_px, wanted.top + how.crop_px)
    return np.asarray(resized.crop(box))


@st.composite
def _ways(draw: st.DrawFn) -> Preprocessing:
    resize_px = draw(st.integers(8, 280))
    return Preprocessing(
        resize=draw(st.sampled_from(["short", "square"])),
        resize_px=resize_px,
        crop_px=max(8, resize_px - draw(st.integers(0, 40))),
        interpolation=draw(st.sampled_from(INTERPOLATIONS["pil"])),
    )


@given(
    how=_ways(),
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    picture=st.sampled_from(sorted(PICTURES)),
)
@example(HOW, (1280, 720), "noise")
@example(HOW, (300, 800), "noise")
@example(HOW, (3, 3), "chessboard")
@example(Preprocessing(interpolation="lanczos", resize="square"), (1, 700), "noise")
@settings(max_examples=60)
def test_pixels_are_pillows_own(how: Preprocessing, size: tuple[int, int], picture: str) -> None:
    """Any kernel, size, shrinking or growing, noise or extremes: resizing all of it with Pillow and cropping gives the same."""
    wanted = plan(*size, how)
    if wanted.width * wanted.height > 1 << 21:
        return  # Pillow would make a strip of hundreds of megabytes
    pixels = PICTURES[picture](*size)
    assert np.array_equal(crop_from(pixels, how), _pillow(pixels, how))


@pytest.mark.parametrize("size", [(600, 1), (1, 600)])
def test_strips_are_pillows_own_too(size: tuple[int, int]) -> None:
    """Sides as 1 : 600: we make only the crop, Pillow 153,600 x 256 pixels first; yet no pixel differs."""
    pixels = _noise(*size)
    assert np.array_equal(crop_from(pixels, HOW), _pillow(pixels, HOW))


def test_no_rounding_of_blas_reaches_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A BLAS that errs by the whole bound, up or down, changes nothing; without the integer sums it would."""
    pixels = _noise(640, 480)
    doubt = kernels.weights("bicubic", 640, 341, 58, 224).doubt
    matmul = np.matmul

    def erring(left: NDArray[Any], right: NDArray[Any], out: NDArray[Any]) -> None:
        matmul(left, right, out=out)
        out[:, ::2] += np.float32(doubt * 0.99)
        out[:, 1::2] -= np.float32(doubt * 0.99)

    monkeypatch.setattr(np, "matmul", erring)
    assert np.array_equal(crop_from(pixels, HOW), _pillow(pixels, HOW))
    monkeypatch.setattr(np, "flatnonzero", lambda _: np.empty(0, np.intp))
    assert not np.array_equal(crop_from(pixels, HOW), _pillow(pixels, HOW))


def test_older_pillow_has_one_order_of_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Pillow 13 the width always comes first; a tall picture shows the difference."""
    pixels, how = _noise(300, 800), HOW
    wanted = plan(300, 800, how)
    across_first = (
        Image.fromarray(pixels)
        .resize((wanted.width, 800), Image.Resampling.BICUBIC)
        .resize((wanted.width, wanted.height), Image.Resampling.BICUBIC)
        .crop((wanted.left, wanted.top, wanted.left + how.crop_px, wanted.top + how.crop_px))
    )
    monkeypatch.setattr("bin_daemon.model.resize._knows_down_first", lambda: False)
    assert np.array_equal(crop_from(pixels, how), np.asarray(across_first))


def test_products_stay_below_the_size_that_wakes_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenBLAS starts spinning threads above 2^18 multiplications; a 1080p frame is done in smaller products."""
    done: list[int] = []
    matmul = np.matmul

    def watched(left: NDArray[Any], right: NDArray[Any], out: NDArray[Any]) -> None:
        done.append(left.size * right.shape[1])
        matmul(left, right, out=out)

    monkeypatch.setattr(np, "matmul", watched)
    crop_from(_noise(1920, 1080), HOW)
    assert len(done) > 56
    assert max(done) <= 1 << 18


def test_weights_say_what_they_need() -> None:
    """Each output's taps sum to one (22 bits), and the stretch of source pixels lies in the picture."""
    for kernel in INTERPOLATIONS["pil"]:
        found = kernels.weights(kernel, 720, 256, 16, 224)
        assert np.abs(found.taps.sum(axis=1) - kernels.ONE).max() <= found.taps.shape[1]
        assert 0 <= found.first < found.last <= 720
        assert found.pixels.max() < found.last - found.first
        assert found.doubt < 0.01


@pytest.mark.parametrize("interpolation", INTERPOLATIONS["cv2"])
@pytest.mark.parametrize("size", [(640, 480), (300, 500), (100, 80)])
def test_opencvs_backend_is_opencv(interpolation: Any, size: tuple[int, int]) -> None:
    """As mmcv.imresize with backend cv2: cv2.resize of the whole, then the crop."""
    how = Preprocessing(backend="cv2", interpolation=interpolation)
    pixels, wanted = _noise(*size), plan(*size, how)
    resized = cv2.resize(pixels, (wanted.width, wanted.height), interpolation=CV2_CODES[interpolation])
    crop = resized[wanted.top : wanted.top + how.crop_px, wanted.left : wanted.left + how.crop_px]
    assert np.array_equal(crop_from(pixels, how), crop)


@pytest.mark.parametrize("upright", [True, False])
def test_opencvs_backend_cuts_a_strip_before_it_grows(*, upright: bool) -> None:
    """70,000 pixels by one would become 4.6 gigapixels; the middle is enough."""
    strip = np.zeros((70_000, 1, 3), np.uint8)
    strip[34_990:35_010] = 200
    pixels = strip if upright else strip.transpose(1, 0, 2)
    assert (crop_from(pixels, Preprocessing(backend="cv2", interpolation="bilinear")) == 200).all()


def test_a_square_takes_both_sides_to_the_same_length() -> None:
    """Mmcls's Resize(size=224): the shape is not kept, and nothing is cropped."""
    how = Preprocessing(resize="square", resize_px=224, crop_px=224)
    assert plan(640, 480, how) == (224, 224, 0, 0)
    pixels = _noise(640, 480)
    assert np.array_equal(crop_from(pixels, how), _pillow(pixels, how))


def test_a_fitting_picture_is_only_cropped() -> None:
    """A short side of 256 stays as it is, pixel for pixel, whatever the backend."""
    pixels = _noise(300, 256)
    for how in (HOW, Preprocessing(backend="cv2", interpolation="area")):
        assert np.array_equal(crop_from(pixels, how), pixels[16:240, 38:262])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backend": "cv2", "interpolation": "box"}, "backend cv2 has no box, only bilinear"),
        ({"interpolation": "area"}, "backend pil has no area, only bicubic"),
        ({"interpolation": "nearest"}, "backend pil has no nearest"),
        ({"crop_px": 257}, "crop_px 257 is larger than resize_px 256"),
        ({"colour": "gray"}, "'rgb' or 'bgr'"),
        ({"resize": "long"}, "'short' or 'square'"),
    ],
)
def test_only_what_is_implemented_can_be_written(wrong: dict[str, Any], message: str) -> None:
    """A bundle that asks for another resizing is refused when it is made or read, not when a picture comes."""
    with pytest.raises(ValidationError, match=message):
        Preprocessing(**wrong)


@pytest.mark.real_photos
def test_on_real_photographs_too() -> None:
    """Fifty test photographs, twice as large so that they shrink: Pillow's pixels, hence the same labels."""
    folder = Path(os.environ.get("BIN_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
    manifest = folder / "waste_images" / "MANIFEST.csv"
    if not manifest.exists():
        pytest.skip("no shared photographs")
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][::8][:50]
    for row in rows:
        photo = read_picture(manifest.parent / row["file"])
        pixels = np.asarray(photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.BILINEAR))
        assert np.array_equal(crop_from(pixels, HOW), _pillow(pixels, HOW)), row["file"]
