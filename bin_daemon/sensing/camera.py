"""A camera by its source: scheme or dotted path, one place that knows them all."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from bin_daemon.domain import Frame, Image
from bin_daemon.errors import BinError, ConfigError, DeviceError
from bin_daemon.sensing.frozen import FrozenCheck
from bin_daemon.sensing.gate import AskPace, Gate, alert

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bin_daemon.config.settings import CameraSettings

ReadFrame = Callable[[], Frame]
"""Blocks until the next frame; raises DeviceError when the camera is gone, hung or frozen, EndOfFrames when a clip is over."""


class Camera(Protocol):
    """A source of frames that can be opened again after it failed."""

    def open(self) -> AbstractContextManager[ReadFrame]:
        """Take the device; leaving the context gives it back. Raises DeviceError when it is not there."""


def open_camera(settings: CameraSettings, pace: AskPace = alert) -> Camera:
    """The camera that ``settings.source`` names; nothing is opened yet.

    Args:
        settings: ``source`` is ``v4l2:DEVICE``, ``file:CLIP``, ``dir:FOLDER`` or ``package.module:Class``, a class that is
            constructed with these settings. ``sim:`` is built where simulator and controller meet.
        pace: asked by the camera's thread at each frame; while it says idle, only ``settings.idle_fps`` frames a second are
            decoded and handed on, and those that look like news.

    Raises:
        ConfigError: unknown scheme, missing clip or folder, or a dotted path that cannot be imported.
    """
    from bin_daemon.sensing.clip import ClipCamera
    from bin_daemon.sensing.folder import FolderCamera
    from bin_daemon.sensing.v4l2 import V4l2Camera

    scheme, colon, rest = settings.source.partition(":")
    if not colon or not rest:
        raise _unknown(settings.source)
    if scheme == "v4l2":
        return V4l2Camera(settings, rest, pace)
    if scheme == "file":
        return ClipCamera(settings, rest, pace)
    if scheme == "dir":
        return FolderCamera(settings, rest, pace)
    if "." in scheme:
        return _dotted(scheme, rest, settings, pace)
    raise _unknown(settings.source)


def _unknown(source: str) -> ConfigError:
    return ConfigError(
        f"camera.source: {source!r} names no known camera",
        hint="use v4l2:/dev/v4l/by-id/..., file:CLIP, dir:FOLDER, sim:WORLD or package.module:Class",
    )


def _dotted(module: str, name: str, settings: CameraSettings, pace: AskPace) -> Camera:
    try:
        factory = getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is somebody else's, and may fail in any way
        raise ConfigError(
            f"camera.source: {module}:{name} cannot be imported: {error}",
            hint="install the package that holds it into the daemon's environment, or mend the name",
        ) from error
    try:
        made: object = factory(settings)
    except BinError:
        raise
    except Exception as error:  # so may its class
        raise ConfigError(
            f"camera.source: {module}:{name} cannot be made: {type(error).__name__}: {error}",
            hint="its class is called with the camera's settings and must not open the device yet",
        ) from error
    if not callable(getattr(made, "open", None)):
        raise ConfigError(
            f"camera.source: {module}:{name} has no open()",
            hint="its class needs open() -> context manager of a function that returns the next Frame",
        )
    return _Checked(cast("Camera", made), FrozenCheck(settings.frozen_frames, f"{module}:{name}"), Gate(settings, pace))


class _Checked:
    """A camera of somebody else's making: here it is watched for freezing, and what an idle line does not need is dropped."""

    def __init__(self, camera: Camera, frozen: FrozenCheck, gate: Gate) -> None:
        self._camera = camera
        self._frozen = frozen
        self._gate = gate

    @contextmanager
    def open(self) -> Iterator[ReadFrame]:
        """Open it; ``read`` raises DeviceError also for one and the same picture again and again."""
        with self._camera.open() as read:

            def read_checked() -> Frame:
                frame = self._wanted(read)
                return replace(frame, decode=lambda: _decoded(frame))

            yield read_checked

    def _wanted(self, read: ReadFrame) -> Frame:
        while True:
            frame = read()
            self._frozen.see(frame.grey8, frame.grey8)
            if self._gate.opens(frame.t_s):
                return frame


def _decoded(frame: Frame) -> Image:
    try:
        return frame.decode()
    except BinError:
        raise
    except Exception as error:
        raise DeviceError(
            f"frame {frame.seq} cannot be decoded: {type(error).__name__}: {error}", hint="mend the camera's decode()"
        ) from error
