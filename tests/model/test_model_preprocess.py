"""Preprocessing: equal to timm's and to mmcv's arithmetic; the item fills the crop; wrong arrays are refused."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import Preprocessing
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import ITEM_MARGIN, crop_window, prepare_array, prepare_picture

HOW = Preprocessing()
SIZES = [(1280, 720), (480, 640), (256, 256), (256, 400), (300, 256), (224, 224), (31, 977), (7, 5)]


def _photo(width: int, height: int) -> Image.Image:
    """Smooth colours with noise on them, seeded."""
    random = np.random.default_rng(width * 10_000 + height)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noise = random.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_equal_to_timms_transform(size: tuple[int, int]) -> None:
    """Timm's create_transform(bicubic, crop_pct 0.875) gives the same tensor up to float rounding: 4.8e-7 was measured."""
    from timm.data.transforms_factory import create_transform

    transform = create_transform(
        224, interpolation="bicubic", crop_pct=0.875, mean=HOW.mean, std=HOW.std, is_training=False
    )
    picture = _photo(*size)
    wanted = transform(picture).numpy()[np.newaxis]
    assert np.abs(prepare_picture(picture, HOW) - wanted).max() < 1e-6


def test_bits_equal_to_mmcvs_normalisation() -> None:
    """Mmcls keeps mean and std (0..255) as float32, mmcv subtracts and multiplies through cv2: no bit differs."""
    picture = _photo(256, 256)
    crop = np.asarray(picture.crop((16, 16, 240, 240))).astype(np.float32)
    mean = np.array([[123.675, 116.28, 103.53]], np.float32).astype(np.float64)
    std = np.array([[58.395, 57.12, 57.375]], np.float32).astype(np.float64)
    wanted = cv2.multiply(cv2.subtract(crop, mean), 1 / std).transpose(2, 0, 1)[np.newaxis]
    found = prepare_picture(picture, HOW)
    assert found.dtype == np.float32
    assert np.array_equal(found, wanted)


def test_a_frame_and_its_file_become_the_same_input(tmp_path: Path) -> None:
    """Blue and red are not swapped: a BGR array and the PNG of it agree bit for bit."""
    picture = _photo(320, 240)
    picture.save(tmp_path / "item.png")
    bgr = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
    assert np.array_equal(prepare_array(bgr, HOW), prepare_picture(read_picture(tmp_path / "item.png"), HOW))
    assert not np.array_equal(prepare_array(bgr, HOW), prepare_array(bgr[:, :, ::-1], HOW))


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (60_000, 2)])
def test_a_strip_one_pixel_wide_becomes_an_input(size: tuple[int, int]) -> None:
    """No gigabytes, no error: a finite tensor of the right shape."""
    found = prepare_picture(Image.new("RGB", size, (200, 100, 50)), HOW)
    assert found.shape == (1, 3, 224, 224)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_an_array_of_another_kind_is_refused(array: NDArray[np.generic]) -> None:
    """One channel in three dimensions, BGRA, empty and float arrays: the error says what came and what is wanted."""
    with pytest.raises(ModelError, match=r"wanted uint8 H x W x 3") as caught:
        prepare_array(cast("NDArray[np.uint8]", array), HOW)
    assert str(array.dtype) in str(caught.value)


def test_a_grey_array_is_three_equal_channels() -> None:
    """H x W, as ModelScope's pipeline takes it: the same input as the grey picture turned to colour."""
    grey = np.asarray(_photo(320, 240).convert("L"))
    assert np.array_equal(prepare_array(grey, HOW), prepare_array(np.dstack([grey] * 3), HOW))


def test_channels_follow_the_networks_order() -> None:
    """A network that wants BGR gets blue first, with mean and std in that order."""
    picture, mean, std = _photo(320, 240), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    rgb = prepare_picture(picture, Preprocessing(mean=mean, std=std))
    bgr = prepare_picture(picture, Preprocessing(colour="bgr", mean=mean[::-1], std=std[::-1]))
    assert np.array_equal(bgr, rgb[:, ::-1])
    frame = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
    assert np.array_equal(prepare_array(frame, Preprocessing(colour="bgr", mean=mean[::-1], std=std[::-1])), bgr)


@given(
    frame=st.tuples(st.integers(8, 3000), st.integers(8, 3000)),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_window_lies_in_the_frame_and_holds_the_item(
    frame: tuple[int, int], corner: tuple[float, float], size: tuple[float, float]
) -> None:
    """For any box in any frame: inside the frame, around the item, square unless the frame is too small."""
    x, y = int(corner[0] * (frame[0] - 1)), int(corner[1] * (frame[1] - 1))
    width, height = max(1, int(size[0] * (frame[0] - x))), max(1, int(size[1] * (frame[1] - y)))
    left, top, out_width, out_height = crop_window((x, y, width, height), frame, HOW)
    assert left >= 0
    assert top >= 0
    assert left + out_width <= frame[0]
    assert top + out_height <= frame[1]
    assert left <= x
    assert top <= y
    assert left + out_width >= x + width
    assert top + out_height >= y + height
    assert out_width == out_height or out_width == frame[0] or out_height == frame[1]


def test_the_item_fills_the_networks_crop() -> None:
    """After resize and centre crop the box's long side spans 1/ITEM_MARGIN of the input, whatever its size in the frame."""
    bgr = np.zeros((720, 1280, 3), np.uint8)
    box = (500, 200, 300, 240)
    bgr[200:440, 500:800] = 255
    seen = prepare_array(bgr, HOW, box)[0, 0] > 0
    columns = seen.any(axis=0).sum()
    assert columns == pytest.approx(224 / ITEM_MARGIN, abs=2)


def test_a_tiny_item_is_not_blown_up_without_end() -> None:
    """A box of 4 pixels gets a window of half the network's input, not a blur of 4 pixels."""
    assert crop_window((100, 100, 4, 4), (640, 480), HOW)[2:] == (112, 112)
