"""Curves for TensorBoard, where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bin_daemon.errors import ConfigError


class Board:
    """Writes numbers by name and step; without a writer, nowhere."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    def add(self, step: int, values: dict[str, float]) -> None:
        """Numbers of one step."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


@contextmanager
def open_board(folder: Path | None, step: int) -> Iterator[Board]:
    """TensorBoard's event files in ``folder``, going on after ``step``; None: none. ConfigError without the train extra."""
    if folder is None:
        yield Board()
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard: tensorboard is not installed", hint="pip install 'bin-daemon[train]'"
        ) from None
    writer = SummaryWriter(str(folder), purge_step=step + 1)
    try:
        yield Board(writer)
    finally:
        writer.close()
