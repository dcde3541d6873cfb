"""Clips as files: an AVI of JPEG pictures and the truth beside it, so that anybody's detector can be scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.domain import Image
    from bin_daemon.sim.suite.truth import Clip

TRUTH_FILE = "truth.jsonl"


def write_clip(clip: Clip, folder: Path) -> Path:
    """Write ``clip`` as NAME.avi (Motion JPEG) and add its truth to truth.jsonl in ``folder``; returns the video's path.

    A file has no times of its own, so a lost frame shows the picture before once more: frame n is at n / fps seconds. Raises
    `ConfigError` when the folder cannot be written.
    """
    path = folder / f"{clip.name}.avi"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TRUTH_FILE).open("a", encoding="utf-8") as truth:
            truth.write(clip.truth_lines())
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error}).", hint="Give a folder on a disk with room that you may write to."
        ) from error
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(path), fourcc, clip.fps, clip.size)
    if not video.isOpened():
        raise ConfigError(f"{path}: OpenCV cannot write this video.", hint="Give a folder on a disk with room.")
    try:
        written, last = 0, None
        for frame in clip.frames:
            last = _written_until(video, written, frame.seq, last)
            last = frame.bgr()
            video.write(last)
            written = frame.seq + 1
    finally:
        video.release()
    return path


def _written_until(video: cv2.VideoWriter, written: int, seq: int, last: Image | None) -> Image | None:
    """Repeat the picture before for each lost frame."""
    for _ in range(written, seq):
        if last is not None:
            video.write(last)
    return last
