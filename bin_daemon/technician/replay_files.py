"""The annotated video and the picture strips beside it; both whole whenever they are closed, also early."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bin_daemon.domain import Image
    from bin_daemon.technician.replay import Thought

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP90"}
MOST_FPS = 60.0
LONGEST_STILL_S = 2.0
"""A gap in the clip is shown as a still picture of at most this length."""

OFFSETS_S = (-0.8, -0.4, 0.0, 0.4, 1.0)
"""The pictures of a strip's row, from the decision; -0.4 s is about where an item comes to rest."""
THUMB_WIDTH = 320
PAGE_ROWS = 40
"""Rows of one strip; then another is begun, so that memory and the picture stay small."""
GAP, BAR = 4, 22
"""Pixels between pictures, and of the bar with the titles above a row."""


class Video:
    """An annotated video at a constant rate, in step with the clip's own time."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        """Raises `ConfigError` when it cannot be written."""
        self.path, self._fps = path, min(fps, MOST_FPS)
        codec = CODECS.get(path.suffix.lower())
        if codec is None:
            raise ConfigError(f"{path}: no video of this name", hint=f"end the name in one of {', '.join(CODECS)}")
        check_folder(path)
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), self._fps, size)
        if not self._writer.isOpened():
            raise ConfigError(
                f"{path}: OpenCV cannot write this video", hint="give --out another name, or a disk with room"
            )
        self._written, self._left_out_s, self._last_t_s = 0, 0.0, 0.0

    def add(self, picture: Image, t_s: float) -> None:
        """Show ``picture`` from ``t_s`` on; those that follow too fast for the video's rate are left out."""
        self._left_out_s += max(0.0, t_s - self._last_t_s - LONGEST_STILL_S)
        self._last_t_s = t_s
        due = round((t_s - self._left_out_s) * self._fps) + 1
        while self._written < due:
            self._writer.write(picture)
            self._written += 1

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


class Strips:
    """A row of pictures around each outcome, so many to a page: ``path``, then NAME-2.png and so on."""

    def __init__(self, path: Path) -> None:
        check_folder(path)
        self._path = path
        self._past: deque[tuple[float, Image]] = deque()
        self._open: list[tuple[float, list[Image], str]] = []
        self._page: list[Image] = []
        self.written: list[Path] = []

    def add(self, picture: Image, thought: Thought) -> None:
        """Take in the annotated picture of ``thought``."""
        t_s = thought.frame.t_s
        height = max(1, round(picture.shape[0] * THUMB_WIDTH / picture.shape[1]))
        small = np.asarray(cv2.resize(picture, (THUMB_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
        for told_t_s, row, _ in self._open:
            if t_s >= told_t_s + OFFSETS_S[len(row)]:
                row.append(small)
        self._remember(t_s, small)
        if thought.outcomes:  # several at once share a row: its title names them all
            before = [self._at(t_s + offset) for offset in OFFSETS_S if offset < 0]
            self._open.append((t_s, [*before, small], _title(thought)))
        while self._open and len(self._open[0][1]) == len(OFFSETS_S):
            _, row, title = self._open.pop(0)
            self._finish(row, title)

    def close(self) -> None:
        """Write what is there, rows of outcomes near the end too."""
        for _, row, title in self._open:
            self._finish([*row, *[np.zeros_like(row[0])] * (len(OFFSETS_S) - len(row))], title)
        self._open = []
        self._write_page()

    def _remember(self, t_s: float, small: Image) -> None:
        """Ten pictures a second are plenty to choose from."""
        if not self._past or t_s - self._past[-1][0] >= 0.1:  # noqa: PLR2004 - as the docstring says
            self._past.append((t_s, small))
        while self._past and t_s - self._past[0][0] > -OFFSETS_S[0] + 0.2:
            self._past.popleft()

    def _at(self, t_s: float) -> Image:
        """The remembered picture nearest to ``t_s``."""
        return min(self._past, key=lambda x: abs(x[0] - t_s))[1]

    def _finish(self, row: list[Image], title: str) -> None:
        pictures = np.hstack([cv2.copyMakeBorder(x, 0, 0, GAP, 0, cv2.BORDER_CONSTANT) for x in row])
        bar = np.zeros((BAR, pictures.shape[1], 3), np.uint8)
        for number, offset in enumerate(OFFSETS_S):
            text = title if offset == 0 else f"{offset:+.1f} s"
            at = (number * (THUMB_WIDTH + GAP) + GAP, BAR - 7)
            cv2.putText(bar, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        self._page.append(np.vstack((bar, pictures)))
        if len(self._page) == PAGE_ROWS:
            self._write_page()

    def _write_page(self) -> None:
        if not self._page:
            return
        number = len(self.written) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        _, data = cv2.imencode(".png", np.vstack(self._page))
        self._page = []
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            raise ConfigError(
                f"{path}: cannot be written: {error.strerror}", hint="give --out another folder"
            ) from error
        self.written.append(path)


def _title(thought: Thought) -> str:
    kinds = ", ".join(x.kind.value for x in thought.outcomes)
    return f"{kinds}  {thought.frame.t_s:.2f} s  #{thought.frame.seq}"


class Files:
    """Video and strips of one replay."""

    def __init__(self, video: Path, fps: float, size: tuple[int, int]) -> None:
        self.strips = Strips(video.with_suffix(".png"))
        self.video = Video(video, fps, size)

    def add(self, picture: Image, thought: Thought) -> None:
        """One more annotated picture."""
        self.video.add(picture, thought.frame.t_s)
        self.strips.add(picture, thought)


@contextmanager
def open_files(video: Path, fps: float, size: tuple[int, int]) -> Iterator[Files]:
    """``video`` and the strips beside it; finished when the context is left, whatever ended it. Raises `ConfigError`."""
    files = Files(video, fps, size)
    try:
        yield files
    finally:
        files.video.close()
        files.strips.close()


def check_folder(path: Path) -> None:
    """Raises `ConfigError` when there is no folder for ``path``."""
    if not path.parent.is_dir() or path.is_dir():
        seen = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ConfigError(f"{path}: {seen}", hint="give --out the name of a video file in a folder that exists")
