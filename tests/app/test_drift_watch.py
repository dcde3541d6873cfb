"""The slow watch over the aim: when it looks, when it believes what it saw, and what it tells."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bin_daemon.app.drift import LOOK_S, REFERENCE, TIMES, DriftWatch
from bin_daemon.config import PlacementSettings
from bin_daemon.domain import Frame, Image
from bin_daemon.placement import State
from bin_daemon.placement.drift import TrayReference
from bin_daemon.technician import aim_background

SETTINGS = PlacementSettings()
SIZE = (640, 480)


def tray(shift: int = 0) -> Image:
    """A small grey picture with some relief, moved to the right by ``shift`` cells."""
    rng = np.random.default_rng(2)
    wide = cv2.GaussianBlur(rng.normal(120, 90, (60, 120)).astype(np.float32), (0, 0), 2)
    return np.clip(wide[:, 20 - shift : 100 - shift], 0, 255).astype(np.uint8)


def frame(t_s: float, grey8: Image, size: tuple[int, int] = SIZE) -> Frame:
    """A frame whose full picture nobody asks for."""
    return Frame(round(t_s * 5), t_s, *size, grey8, lambda: pytest.fail("decoded"))


@pytest.fixture
def watch(tmp_path: Path) -> DriftWatch:
    """With a reference in its state folder, as the command writes it."""
    reference = TrayReference(tray(), SIZE, SETTINGS.roi, "2026-11-24T08:00:00+00:00")
    assert aim_background.keep_background(tmp_path, reference).name == REFERENCE
    return DriftWatch(tmp_path, SETTINGS)


def show(watch: DriftWatch, grey8: Image, from_s: float, to_s: float, state: State = State.EMPTY) -> list[str]:
    """Five frames a second; the faults at the end."""
    for number in range(int(from_s * 5), int(to_s * 5)):
        watch.see(frame(number / 5, grey8), state)
    return [x.code for x in watch.faults()]


def test_moved_camera_becomes_a_fault_and_ends(watch: DriftWatch) -> None:
    """Told after some looks that agree, with the way it went; taken back when it has been put right for as long."""
    assert show(watch, tray(), 0, 100) == []
    assert show(watch, tray(5), 100, 100 + LOOK_S) == []
    assert show(watch, tray(5), 100 + LOOK_S, 100 + (TIMES + 1) * LOOK_S) == ["drift_camera_moved"]
    (fault,) = watch.faults()
    assert "right" in fault.text
    assert "calibrate background" in fault.fix
    assert show(watch, tray(), 300, 300 + (TIMES + 1) * LOOK_S) == []


@pytest.mark.parametrize("state", [x for x in State if x is not State.EMPTY])
def test_only_the_empty_tray_is_compared(watch: DriftWatch, state: State) -> None:
    """Whatever else goes on, nothing is looked at."""
    assert show(watch, tray(5), 0, 300, state) == []
    assert watch.confirmed is None


def test_items_in_between_do_not_hide_it(watch: DriftWatch) -> None:
    """A busy bin is looked at between its visitors."""
    codes: list[str] = []
    for visit in range(8):
        start = 30.0 * visit
        show(watch, np.zeros((60, 80), np.uint8), start, start + 10, State.MOVING)
        codes = show(watch, tray(5), start + 10, start + 30)
    assert codes == ["drift_camera_moved"]


def test_changed_region_or_size_ends_the_watch(tmp_path: Path, watch: DriftWatch) -> None:
    """A reference of another aim says nothing about this one."""
    other = DriftWatch(tmp_path, PlacementSettings(roi=(0.2, 0.2, 0.5, 0.5)))
    assert show(other, tray(5), 0, 200) == []
    for number in range(1000):
        watch.see(frame(number / 5, np.zeros((90, 160), np.uint8), (1280, 720)), State.EMPTY)
    assert list(watch.faults()) == []


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 100])
def test_no_reference_or_a_damaged_one(tmp_path: Path, content: bytes | None) -> None:
    """The bin starts and sorts without."""
    if content is not None:
        (tmp_path / REFERENCE).write_bytes(content)
    assert show(DriftWatch(tmp_path, SETTINGS), tray(5), 0, 200) == []
