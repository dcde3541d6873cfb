"""`bin-daemon calibrate`: where the tray is in the picture, and how it looks when empty. Lids: `bin-daemon lid calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from bin_daemon.config import Loaded
    from bin_daemon.domain import Frame
    from bin_daemon.technician.roi import Roi

calibrate_app = typer.Typer(
    no_args_is_help=True, help="Aim the camera: the tray's region, and the empty tray's picture."
)

PAGE_S = 1800.0
"""So long the page waits for a region: a technician may have to climb down first."""
JPEG_QUALITY = 90

Picture = Annotated[Path | None, typer.Option(help="Use this picture of the bin's camera instead of taking one.")]


@calibrate_app.command()
def roi(
    *,
    config: ConfigFile = None,
    region: Annotated[
        str | None, typer.Option("--roi", metavar="X,Y,W,H", help="The region: fractions of the picture, or pixels.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Drag it on a picture in a browser.")] = False,
    listen: Annotated[
        str, typer.Option(help="With --browser: this bin's address, for a browser on another computer.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --browser: 0 takes a free one.")] = 0,
    picture: Picture = None,
) -> None:
    """Say where the tray is: only there things count. Stored in conf.d/40-aim.toml beside the config file.

    Without options it asks in the terminal. The camera serves one program at a time: sudo systemctl stop bin-daemon first.
    """
    from bin_daemon.config import load
    from bin_daemon.technician.aim import main_file, remember_roi
    from bin_daemon.technician.roi import parse_roi

    loaded = load(config)
    main = main_file(loaded.file)
    if browser:
        print(_by_browser(loaded, main, _frame(loaded, picture), listen, port))
        return
    now = ",".join(f"{x:g}" for x in loaded.settings.placement.roi)
    if region is None:
        print(f"The region is {now}: x, y, width, height as fractions of the picture; in pixels where one is above 1.")
        region = typer.prompt("Region", default=now)
    print(remember_roi(main, parse_roi(region, _size(loaded, region, picture))))


@calibrate_app.command()
def background(
    *,
    config: ConfigFile = None,
    picture: Picture = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Keep it though something seems to lie on the tray.")
    ] = False,
) -> None:
    """Take the empty tray's picture, so that the daemon tells when camera, lens or tray have changed since.

    Aim the region first (calibrate roi) and clean the lens. The camera serves one program at a time: stop the service first.
    """
    from datetime import datetime, timezone

    from bin_daemon.config import load_settings
    from bin_daemon.technician.aim import camera_frames, check_service_is_stopped, picture_file
    from bin_daemon.technician.aim_background import keep_background, take_background, thing_on

    settings = load_settings(config)
    if picture is None:
        check_service_is_stopped(settings)
        print("Hands off the tray ...", flush=True)
        frames = camera_frames(settings)
    else:
        frames = [picture_file(picture)]
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    reference = take_background(frames, settings.placement, at)
    if not anyway and (box := thing_on(reference, settings.placement)):
        raise ConfigError(
            "something seems to lie on the tray at x {}, y {} ({} x {} pixels)".format(*box),
            hint="take it off and try again; if that is the tray itself: --anyway",
        )
    print(f"Saved to {keep_background(settings.service.state_dir, reference)}. It counts from the next start.")


def _by_browser(loaded: Loaded, main: Path, frame: Frame, listen: str, port: int) -> str:
    """Serve the page until a region is saved; what to tell."""
    import cv2

    from bin_daemon.technician.aim import remember_roi
    from bin_daemon.technician.aim_page import LOOPBACK, AimPage

    _, jpeg = cv2.imencode(".jpg", frame.bgr(), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])

    def save(roi: Roi) -> str:
        return remember_roi(main, roi)

    with AimPage(jpeg.tobytes(), loaded.settings.placement.roi, save, address=listen, port=port) as page:
        print(f"Open this link and drag the region; Ctrl-C ends without saving:\n{page.url}", flush=True)
        if listen != LOOPBACK:
            print("Whoever is in this network can read along: do it where you trust it.", flush=True)
        try:
            saved = page.wait(PAGE_S)
        except KeyboardInterrupt:
            print("Nothing was saved.")
            raise typer.Exit(130) from None
        if not saved:
            raise ConfigError("nothing was saved in half an hour", hint="start again when you are at the browser")
        return page.said


def _frame(loaded: Loaded, picture: Path | None) -> Frame:
    from bin_daemon.technician.aim import camera_frames, check_service_is_stopped, picture_file

    if picture:
        return picture_file(picture)
    check_service_is_stopped(loaded.settings)
    print("Takes a picture ...", flush=True)
    return camera_frames(loaded.settings)[-1]


def _size(loaded: Loaded, region: str, picture: Path | None) -> tuple[int, int]:
    """Of the picture, which only pixels need."""
    from bin_daemon.technician.roi import is_in_pixels

    if not is_in_pixels(region):
        return 1, 1
    frame = _frame(loaded, picture)
    return frame.width, frame.height
