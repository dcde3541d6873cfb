"""The mode in force: who may change it, when it ends by itself, and that it outlives the daemon.

A bin that was told to keep shut must keep shut when the daemon is started anew, for hands may still be inside. So every mode
but ``auto`` stands in a small file. After a restart a timed mode runs its whole time again: the clock of a bin without network
may be wrong, and longer is the safe side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bin_daemon.domain import Mode
from bin_daemon.pipeline import Pipeline


class _Standing(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode
    for_s: float | None = Field(None, gt=0)
    local: bool = False
    """Set through the control socket, by somebody at the bin."""


_AUTO = _Standing(mode=Mode.AUTO)


class StandingMode:
    """Owns ``pipeline.mode``; main thread only. ``file`` need not exist; a disk that refuses costs only the memory of it."""

    def __init__(self, pipeline: Pipeline, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pipeline = pipeline
        self._file = file
        self._clock = clock
        self._log = structlog.get_logger()
        self._ends_t_s: float | None = None
        self._standing = self._read()
        self._enter(self._standing)
        if self._standing is not _AUTO:
            self._log.warning("mode of an earlier run stands", mode=self._standing.mode.value)

    def change(self, mode: Mode, for_s: float | None, *, local: bool) -> str:
        """Enter ``mode``, for ``for_s`` seconds or until the next change; empty, or why not."""
        if self._standing.mode is Mode.MAINTENANCE and self._standing.local and not local:
            return "Maintenance was set at the bin itself, hands may be inside: it is ended there, or ends by its time."
        self._enter(_Standing(mode=mode, for_s=for_s, local=local))
        self._write()
        return ""

    def end_when_due(self) -> None:
        """Back to ``auto`` when the time is up."""
        if self._ends_t_s is not None and self._clock() >= self._ends_t_s:
            self._enter(_AUTO)
            self._write()

    def _enter(self, standing: _Standing) -> None:
        self._standing = standing
        self._pipeline.mode = standing.mode
        self._ends_t_s = None if standing.for_s is None else self._clock() + standing.for_s

    def _read(self) -> _Standing:
        try:
            return _Standing.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _AUTO
        except (OSError, ValidationError) as error:
            self._log.warning(
                "mode of an earlier run cannot be read, so it is auto", file=str(self._file), why=str(error)
            )
            return _AUTO

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        try:
            if self._standing.mode is Mode.AUTO:
                self._file.unlink(missing_ok=True)
                return
            with fresh.open("w", encoding="utf-8") as stream:
                stream.write(self._standing.model_dump_json())
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._file)
        except OSError as error:
            self._log.warning("mode will not outlive a restart", file=str(self._file), why=str(error))
