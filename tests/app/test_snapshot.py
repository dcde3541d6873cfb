"""What a snapshot shows, and what it never shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import simplejpeg

from bin_daemon.app.commands import Commands
from bin_daemon.app.parts import Parts
from bin_daemon.config import PlacementSettings, PrivacySettings, Settings
from bin_daemon.domain import Frame, Mode
from bin_daemon.events import Command, CommandQueue
from bin_daemon.events.command_queue import Answer
from bin_daemon.events.commands import NoArgs
from bin_daemon.pipeline import Pipeline


def snapshot(roi: tuple[float, float, float, float]) -> tuple[Answer, list[bytes]]:
    """Take one of a frame whose left half is black and whose right half is white."""
    bgr = np.zeros((80, 160, 3), np.uint8)
    bgr[:, 80:] = 255
    frame = Frame(1, 0.0, 160, 80, np.zeros((10, 20), np.uint8), lambda: bgr)
    queue, answers, sent = CommandQueue(), list[Answer](), list[bytes]()
    line = cast("Pipeline", SimpleNamespace(mode=Mode.AUTO))
    settings = Settings(placement=PlacementSettings(roi=roi), privacy=PrivacySettings(publish_images=True))

    def send(jpeg: bytes) -> bool:
        sent.append(jpeg)
        return True

    given: dict[str, Any] = {"newest": lambda: frame, "send_image": send, "restart": lambda: None}
    commands = Commands(settings, cast("Parts", SimpleNamespace(commands=queue)), line, **given)
    queue.put(Command("snapshot", NoArgs()), answers.append)
    commands.run_waiting()
    return answers[0], sent


@pytest.mark.parametrize(
    ("roi", "size"), [((0.5, 0.25, 0.5, 0.5), (80, 40)), ((0.9999, 0.9999, 0.0001, 0.0001), (1, 1))]
)
def test_a_snapshot_shows_the_tray_alone(roi: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    """Faces and addresses beside the region of interest never leave the bin."""
    answer, (jpeg,) = snapshot(roi)
    assert answer.data
    assert (answer.data["width"], answer.data["height"]) == size
    picture = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
    assert picture.shape == (size[1], size[0], 3)
    assert picture.min() > 250
