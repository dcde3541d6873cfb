"""Aiming the bin: a picture from its camera, and what is learnt from it: the tray's region and how the empty tray looks."""

from __future__ import annotations

import contextlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tomlkit
from tomlkit.exceptions import TOMLKitError

from bin_daemon.config import load
from bin_daemon.errors import ConfigError, DeviceError, UnreachableError
from bin_daemon.model.durable import sync
from bin_daemon.sensing import open_camera
from bin_daemon.sensing.clip import picture_frame
from bin_daemon.service.control import ask

if TYPE_CHECKING:
    from bin_daemon.config import Settings
    from bin_daemon.domain import Frame
    from bin_daemon.sensing import Camera
    from bin_daemon.technician.roi import Roi

NAME = Path("conf.d") / "40-aim.toml"
HEAD = "Written by `bin-daemon calibrate roi`: the tray, as x, y, width, height in fractions of the picture."
MODE = 0o644
"""Not secret: the daemon's own user reads it."""
EXPOSURE_S = 1.5
"""So long a camera may look for its exposure."""
LEAST_FRAMES = 5


def check_service_is_stopped(settings: Settings) -> None:
    """Raises `DeviceError`: a camera serves one program at a time."""
    with contextlib.suppress(UnreachableError):
        ask(settings.service.runtime_dir / "control.sock", {"name": "status"}, timeout_s=2.0)
        raise DeviceError(
            "the service runs and has the camera",
            hint="stop it first: sudo systemctl stop bin-daemon; afterwards: sudo systemctl start bin-daemon",
        )


def camera_frames(settings: Settings, seconds: float = EXPOSURE_S) -> list[Frame]:
    """The camera's frames of the last third of ``seconds``, at least three. Raises `ConfigError`, `DeviceError`."""
    frames: list[Frame] = []
    with _camera(settings).open() as read:
        first = read()
        while len(frames) < LEAST_FRAMES or frames[-1].t_s - first.t_s < seconds:
            frames.append(read())
            if len(frames) > LEAST_FRAMES and frames[0].t_s < frames[-1].t_s - seconds / 3:
                del frames[0]
        frames[-1].bgr()  # decoded while the camera is open
    return frames


def picture_file(path: Path) -> Frame:
    """A picture as a frame. Raises `ConfigError`."""
    import cv2

    try:
        data = np.frombuffer(path.expanduser().read_bytes(), np.uint8)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="give a picture that the bin's camera took") from error
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise ConfigError(f"{path}: no picture, or a damaged one", hint="give a JPEG or PNG of the bin's camera")
    return picture_frame(0, 0.0, np.asarray(bgr, np.uint8))


def main_file(main: Path | None) -> Path:
    """The config file that the region is stored beside. Raises `ConfigError` when there is none."""
    if main is None:
        raise ConfigError(
            "there is no config file, so the region cannot be remembered",
            hint="copy a sample from configs/ to /etc/bin-daemon/bin.toml first",
        )
    return main


def remember_roi(main: Path, roi: Roi) -> str:
    """Write the region beside ``main``, durably, every other word kept; what to tell. Raises `ConfigError`."""
    file = main.parent / NAME
    try:
        old = file.read_text("utf-8-sig")
    except FileNotFoundError:
        old = ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}", hint="mend it, or move it away and save again") from error
    replace_durably(file, _with_roi(file, old, roi).encode(), MODE)
    loaded = load(main)
    said = f"Saved to {file}: roi = [{', '.join(f'{x:g}' for x in roi)}]."
    if not np.allclose(loaded.settings.placement.roi, roi):
        by = ", ".join(sorted({x for key, x in loaded.origins.items() if key.startswith("placement.roi")}))
        return f"{said} But another setting has the last word: {by or 'unknown'}."
    return f"{said} It counts from the next start: sudo systemctl start bin-daemon"


def replace_durably(file: Path, content: bytes, mode: int) -> None:
    """All or nothing, whatever is cut off: under another name first, synced, then renamed. Raises `ConfigError`."""
    fresh: Path | None = None
    try:
        file.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".aim", delete=False) as out:
            fresh = Path(out.name)
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        fresh.chmod(file.stat().st_mode & 0o777 if file.exists() else mode)
        fresh.replace(file.resolve())
        sync(file.parent)
    except OSError as error:
        if fresh:
            with suppress(OSError):
                fresh.unlink()
        raise ConfigError(
            f"{file}: cannot be written: {error.strerror}",
            hint="run the command with sudo; is the disk full or read-only?",
        ) from error


def _with_roi(file: Path, old: str, roi: Roi) -> str:
    try:
        document = tomlkit.parse(old)
        if not old.strip():
            document.add(tomlkit.comment(HEAD))
            document.add(tomlkit.nl())
        if "placement" not in document:
            document["placement"] = tomlkit.table()
        document["placement"]["roi"] = list(roi)
        text = tomlkit.dumps(document)
        want = tomlkit.parse(old).unwrap()
        want.setdefault("placement", {})["roi"] = list(roi)
        if tomlkit.parse(text).unwrap() != want:
            raise TypeError("other keys would change")
    except (TOMLKitError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{file}: placement.roi does not fit in: {error}",
            hint="mend the file (bin-daemon config check says where), or move it away and save again",
        ) from error
    return text


def _camera(settings: Settings) -> Camera:
    if settings.camera.source.startswith("sim:"):
        from bin_daemon.sim.camera import SimCamera

        return SimCamera(settings.camera)
    return open_camera(settings.camera)
