"""The empty tray against its reference: what counts as moved, fogged or stained, and what is only light."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from bin_daemon.config import PlacementSettings
from bin_daemon.domain import Image
from bin_daemon.placement.drift import Change, Comparison, TrayReference
from bin_daemon.sensing.decode import to_grey8

SETTINGS = PlacementSettings(roi=(0.05, 0.05, 0.9, 0.9))
WIDTH, HEIGHT = 640, 480


def tray() -> Image:
    """A tray with a rim, some brushing and the camera's noise."""
    rng = np.random.default_rng(4)
    picture = np.full((HEIGHT, WIDTH), 60, np.float32)
    cv2.rectangle(picture, (60, 50), (580, 430), 140, -1)
    cv2.rectangle(picture, (60, 50), (580, 430), 190, 6)
    picture += cv2.GaussianBlur(rng.normal(0, 60, picture.shape).astype(np.float32), (0, 0), 6)
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def seen(picture: Image | np.ndarray) -> Change:
    """What the comparison makes of ``picture``."""
    reference = TrayReference(to_grey8(tray()), (WIDTH, HEIGHT), SETTINGS.roi, "2026-11-24T08:00:00+00:00")
    return Comparison(reference, SETTINGS).drift(to_grey8(np.clip(picture, 0, 255).astype(np.uint8))).change


def shifted(right: float, down: float) -> Image:
    """The tray, moved in the picture."""
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(tray(), matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), np.uint8)


@pytest.mark.parametrize("factor", [0.4, 0.7, 1.3])
def test_light_is_no_drift(factor: float) -> None:
    """A dimmer or brighter lamp changes nothing, nor does a lamp from the side."""
    slope = np.linspace(0.7, 1.2, WIDTH, dtype=np.float32)
    assert seen(tray() * factor) is Change.SAME
    assert seen(tray() * factor * slope) is Change.SAME


def test_tremble_is_no_drift() -> None:
    """A picture that is off by less than a cell of 8 pixels is the same."""
    assert seen(shifted(2, -2)) is Change.SAME


@pytest.mark.parametrize(("right", "down"), [(12, 0), (0, -16), (40, 30)])
def test_moved_camera_and_by_how_much(right: int, down: int) -> None:
    """A knocked camera is told with its shift in full-frame pixels, to within a cell."""
    reference = TrayReference(to_grey8(tray()), (WIDTH, HEIGHT), SETTINGS.roi, "")
    drift = Comparison(reference, SETTINGS).drift(to_grey8(shifted(right, down)))
    assert drift.change is Change.MOVED
    assert drift.shift_px == pytest.approx((right, down), abs=8)


def test_another_scene_is_told() -> None:
    """A camera that looks elsewhere, or is turned by 15 degrees, is not told as a stain."""
    rng = np.random.default_rng(1)
    other = cv2.resize(rng.integers(0, 255, (12, 16)).astype(np.uint8), (WIDTH, HEIGHT))
    turned = cv2.warpAffine(tray(), cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 15, 1), (WIDTH, HEIGHT))
    assert seen(np.asarray(other)) is Change.OTHER
    assert seen(np.asarray(turned)) is Change.OTHER


def test_fog_and_stain_are_told_apart() -> None:
    """A veil over everything is the lens; a dark patch is the tray."""
    foggy = cv2.GaussianBlur(tray(), (0, 0), 12) * 0.5 + 90
    stained = tray()
    cv2.circle(stained, (300, 240), 30, 40, -1)
    assert seen(np.asarray(foggy)) is Change.VEILED
    assert seen(stained) is Change.STAINED


def test_comparing_twice_says_the_same() -> None:
    """A comparison leaves its reference alone, whatever OpenCV does to its arguments."""
    reference = TrayReference(to_grey8(tray()), (WIDTH, HEIGHT), SETTINGS.roi, "")
    comparison = Comparison(reference, SETTINGS)
    first = comparison.drift(to_grey8(shifted(12, 0)))
    for _ in range(20):
        comparison.drift(reference.grey8)
    assert comparison.drift(to_grey8(shifted(12, 0))) == first


def test_nothing_is_said_without_relief() -> None:
    """A region as even as paper cannot tell where it is."""
    even = TrayReference(np.full((60, 80), 128, np.uint8), (WIDTH, HEIGHT), SETTINGS.roi, "")
    assert Comparison(even, SETTINGS).drift(to_grey8(tray())).change is Change.UNKNOWN


def test_reference_survives_the_disk() -> None:
    """What is written is what is read; a change of size or region is noticed."""
    before = TrayReference(to_grey8(tray()), (WIDTH, HEIGHT), SETTINGS.roi, "2026-11-24T08:00:00+00:00")
    after = TrayReference.from_bytes(before.to_bytes())
    assert np.array_equal(after.grey8, before.grey8)
    assert (after.size, after.roi, after.at) == (before.size, before.roi, before.at)
    assert after.fits(SETTINGS, (WIDTH, HEIGHT))
    assert not after.fits(SETTINGS, (1280, 720))
    assert not after.fits(PlacementSettings(), (WIDTH, HEIGHT))


GOOD = json.loads(TrayReference(to_grey8(tray()), (WIDTH, HEIGHT), SETTINGS.roi, "").to_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        json.dumps({**GOOD, "format": 2}).encode(),
        json.dumps({**GOOD, "grey8_png": "?"}).encode(),
        json.dumps({**GOOD, "grey8_png": "aGVsbG8="}).encode(),
        json.dumps({**GOOD, "grey8_png": ""}).encode(),
        json.dumps({**GOOD, "size": [64, 48]}).encode(),
        json.dumps({**GOOD, "size": [640]}).encode(),
        json.dumps({**GOOD, "roi": None}).encode(),
    ],
)
def test_damaged_reference_is_refused(data: bytes) -> None:
    """Anything else than a whole reference is a ValueError, so that the daemon starts without it."""
    with pytest.raises(ValueError, match=r"."):
        TrayReference.from_bytes(data)
