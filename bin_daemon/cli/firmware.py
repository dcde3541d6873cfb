"""`bin-daemon firmware info|flash|verify|rollback`: the controller's firmware, for a technician at the bin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from bin_daemon.config import Settings
    from bin_daemon.technician.firmware import Flasher
    from bin_daemon.technician.firmware_image import Image
    from bin_daemon.technician.firmware_store import FirmwareStore, Kept

firmware_app = typer.Typer(no_args_is_help=True, help="See, flash, verify and take back the controller's firmware.")

Port = Annotated[
    str | None,
    typer.Option("--port", metavar="DEVICE", help="The controller's port; default: controller.port of the config."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Recover = Annotated[
    bool,
    typer.Option(
        "--recover", help="Go on although the controller does not answer: blank, or its last flashing was cut off."
    ),
]
HandsAway = Annotated[
    bool,
    typer.Option("--hands-away", help="With --recover: no hand is near the lids, which cannot be asked. For scripts."),
]
ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="The image, an Intel HEX file.")]
OptionalImage = Annotated[
    Path | None, typer.Argument(metavar="[IMAGE]", help="The image, an Intel HEX file.", show_default=False)
]


@firmware_app.command()
def info(
    image_file: OptionalImage = None,
    *,
    port: Port = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object on stdout.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show what runs on the controller, what IMAGE holds, and which is older. Opening the port may restart the controller."""
    from bin_daemon.cli import firmware_show as show
    from bin_daemon.config import load_settings
    from bin_daemon.technician.firmware_gate import Controller
    from bin_daemon.technician.firmware_image import read_image
    from bin_daemon.technician.firmware_store import FirmwareStore
    from bin_daemon.technician.link import opened_link

    settings = load_settings(config)
    image = read_image(image_file) if image_file else None
    manifest = FirmwareStore(settings.service.state_dir).manifest()
    if image and not as_json:
        show.show_facts(f"image {image_file}", show.image_rows(image))
    url = _port(settings, port)
    with opened_link(url, settings.controller.baud) as link:
        controller = Controller(link.hello())
    identity = image.identity if image else None
    if image:
        words = show.compared(identity, controller.identity) if identity else ""
    else:
        words = show.compared_with_host(controller.identity)
    if as_json:
        kept = manifest.model_dump(mode="json", exclude={"format_version"})
        print_json(
            {
                "port": url,
                "controller": show.controller_dict(controller),
                "image": show.image_dict(image),
                "kept": kept,
                "compared": words,
            }
        )
        return
    show.show_facts(f"controller on {url}", show.controller_rows(controller))
    if rows := list(show.store_rows(manifest)):
        show.show_facts("kept here", iter(rows))
    if words:
        print(words)


@firmware_app.command()
def flash(
    image_file: ImageFile,
    *,
    port: Port = None,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Also flash the same version again, or an older one.")] = False,
    recover: Recover = False,
    hands_away: HandsAway = False,
    config: ConfigFile = None,
) -> None:
    """Put IMAGE on the controller. The service must be stopped, all lids shut; what was there before is kept for rollback.

    The calibration of the lids stays. Afterwards the flash is read back and compared, and HELLO must tell IMAGE's version.
    """
    from bin_daemon.config import load_settings
    from bin_daemon.technician.firmware_image import read_image

    image = read_image(image_file)
    settings = load_settings(config)
    with _flasher(settings, port, yes=yes, hands_away=hands_away) as flasher:
        _flash(flasher, image, str(image_file), force=force, recover=recover, ask=not yes)


@firmware_app.command()
def verify(image_file: OptionalImage = None, *, port: Port = None, config: ConfigFile = None) -> None:
    """Compare what the controller's flash holds with IMAGE, or with what was flashed last. Exit 1 when it differs.

    The controller restarts; nothing is written. The service must be stopped, all lids shut.
    """
    from bin_daemon.config import load_settings
    from bin_daemon.technician.firmware_image import read_image
    from bin_daemon.technician.firmware_store import FirmwareStore

    settings = load_settings(config)
    image = read_image(image_file) if image_file else _last_image(FirmwareStore(settings.service.state_dir))
    with _flasher(settings, port, yes=True, hands_away=False) as flasher:
        if not flasher.verify(image):
            print("the controller's flash DIFFERS from this image")
            raise typer.Exit(1)
    print(f"verified: {len(image.data)} bytes, SHA-256 {image.sha256}")


@firmware_app.command()
def rollback(
    *,
    port: Port = None,
    yes: Yes = False,
    recover: Recover = False,
    hands_away: HandsAway = False,
    config: ConfigFile = None,
) -> None:
    """Put back what was on the controller before the last flash. Doing it again returns to the newer one."""
    from bin_daemon.config import load_settings
    from bin_daemon.technician.firmware import previous_image
    from bin_daemon.technician.firmware_store import FirmwareStore

    settings = load_settings(config)
    previous_image(FirmwareStore(settings.service.state_dir))  # or say so, before the port is opened
    with _flasher(settings, port, yes=yes, hands_away=hands_away) as flasher:
        _roll_back(flasher, recover=recover)


def _roll_back(flasher: Flasher, *, recover: bool) -> None:
    from bin_daemon.technician.firmware import previous_image

    image, kept = previous_image(flasher.store)
    _flash(flasher, image, f"the previous firmware {kept.words}", force=True, recover=recover, ask=False)


def _flash(flasher: Flasher, image: Image, name: str, *, force: bool, recover: bool, ask: bool) -> None:
    """Flash; when it fails half-way and somebody is there, offer the way back."""
    from bin_daemon.technician.firmware import FlashError

    try:
        controller = flasher.flash(image, name, force=force, recover=recover)
    except FlashError as error:
        if not ask or error.previous is None:
            raise
        typer.echo(f"bin-daemon: {error}\n  mend: {error.hint}", err=True)
        if not typer.confirm(f"Go back to {error.previous.words} now?"):
            raise typer.Exit(error.exit_code) from None
        _roll_back(flasher, recover=True)
        return
    if controller is None:
        print("nothing was touched")
        raise typer.Exit(1)
    print(f"flashed and verified: the controller runs {controller.identity.words}, SHA-256 {image.sha256}")
    if flasher.store.manifest().previous:
        print("the firmware before it is kept: bin-daemon firmware rollback takes it back")
    print("start the service again: sudo systemctl start bin-daemon")


@contextmanager
def _flasher(settings: Settings, port: str | None, *, yes: bool, hands_away: bool) -> Iterator[Flasher]:
    from bin_daemon.cli.firmware_person import Technician
    from bin_daemon.errors import ConfigError
    from bin_daemon.technician.avrdude import Avrdude
    from bin_daemon.technician.firmware import Flasher
    from bin_daemon.technician.firmware_store import FirmwareStore
    from bin_daemon.technician.link import opened_link

    url = _port(settings, port)
    if "://" in url:
        raise ConfigError(
            f"{url}: only a controller on a serial port can be flashed",
            hint="give its device: --port /dev/serial/by-id/...",
        )
    person = Technician(yes=yes, hands_away=hands_away)
    with opened_link(url, settings.controller.baud) as link:
        avrdude = Avrdude(url, person.progress, lock=link.port.fileno())
        yield Flasher(link, avrdude, FirmwareStore(settings.service.state_dir), person)


def _port(settings: Settings, port: str | None) -> str:
    from bin_daemon.errors import ConfigError
    from bin_daemon.sim import register_serial

    if settings.controller.kind == "maestro":
        raise ConfigError(
            "controller.kind is maestro: a Pololu Maestro has a firmware of its own",
            hint="Pololu's Maestro Control Center updates it; bin-daemon's firmware is for controller.kind smartbin",
        )
    register_serial()  # sim:// too answers HELLO
    return port or settings.controller.port


def _last_image(store: FirmwareStore) -> Image:
    """Of the last flashing, also of one that was cut off: avrdude may have finished it."""
    from bin_daemon.errors import ConfigError

    manifest = store.manifest()
    last: Kept | None = manifest.unfinished or manifest.flashed
    if last is None:
        raise ConfigError(
            f"{store.folder}: nothing was flashed from here", hint="name the image: bin-daemon firmware verify IMAGE"
        )
    return store.image(last)
