"""`bin-daemon lid calibrate`: everything around the calibration of one lid, so that it ends with the lid shut."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.errors import ConfigError, DeviceError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from bin_daemon.cli.lid_lines import Script
    from bin_daemon.cli.lid_screen import Screen
    from bin_daemon.config import Loaded
    from bin_daemon.technician.calibrate_desk import Desk


def calibrate(
    lid: Annotated[int, typer.Argument(min=1, max=16, help="Number printed on the bin.")],
    config: ConfigFile = None,
    port: Annotated[str | None, typer.Option(help="Another port than the config's controller.port.")] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Find both ends by itself, propose all values, ask before storing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --auto: store without asking.")] = False,
) -> None:
    """Teach a lid where open and shut are: move its servo in small steps, watch switches and current, store the values.

    Stop the service first: sudo systemctl stop bin-daemon. In a terminal it takes single keys, from a pipe one command a
    line ("help" lists them). The lid is shut at the end; when this program dies or falls silent, by the controller itself.
    """
    from bin_daemon.config import load

    loaded = load(config)
    _check(loaded, port)
    with _ends_in_good_order():
        saved = _calibrate(loaded, lid, port or loaded.settings.controller.port, auto=auto, yes=yes)
    if not saved:
        print("Nothing was stored.")


def _check(loaded: Loaded, port: str | None) -> None:
    """What can be known before the port is opened. Raises `ConfigError`, `DeviceError`."""
    from bin_daemon.service.control import ask

    settings = loaded.settings
    if settings.controller.kind != "smartbin":
        raise ConfigError(
            f"a {settings.controller.kind} controller cannot be calibrated over its line: it stores and reports nothing",
            hint="find the pulses with its maker's program and write a table [calibration.N] into the config",
        )
    if port is None:
        with contextlib.suppress(UnreachableError):
            ask(settings.service.runtime_dir / "control.sock", {"name": "status"}, timeout_s=2.0)
            raise DeviceError(
                "the service runs and has the controller",
                hint="stop it first: sudo systemctl stop bin-daemon; afterwards: sudo systemctl start bin-daemon",
            )


@contextmanager
def _ends_in_good_order() -> Iterator[None]:
    """SIGTERM, Ctrl-Z and a terminal that hangs up end the program as Ctrl-C does: with the lid shut."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _calibrate(loaded: Loaded, lid: int, port: str, *, auto: bool, yes: bool) -> bool:
    """True when something was stored."""
    from bin_daemon.cli.lid_lines import Script
    from bin_daemon.cli.lid_screen import Screen
    from bin_daemon.sim import register_serial
    from bin_daemon.technician.calibrate import LidCalibration
    from bin_daemon.technician.calibrate_desk import Desk
    from bin_daemon.technician.link import opened_link

    register_serial()
    print(f"Asks the controller on {port} ...", flush=True)
    with opened_link(port, loaded.settings.controller.baud) as link:
        ack = link.hello()
        cal = LidCalibration(link, ack, lid, clock=time.monotonic)
        board = f"board {ack.uid.hex()}, firmware {ack.fw_major}.{ack.fw_minor}.{ack.fw_patch}"
        category = next((f" ({x.category.value})" for x in loaded.settings.lids if x.lid == lid), "")
        title = f"Lid {lid}{category} on {board}"
        on_screen = not auto and sys.stdin.isatty() and sys.stdout.isatty()
        front: Screen | Script = Screen(title) if on_screen else Script()
        desk = Desk(cal, loaded.file, front.say if isinstance(front, Screen) else print, front.confirm)
        if not on_screen:
            print(title)
        for note in desk.notes(loaded.settings.calibration.get(lid)):
            desk.say(note)
        with _shut_at_the_end(desk):
            if auto:
                assert isinstance(front, Script)  # noqa: S101 - chosen above
                _auto(desk, front, yes=yes)
            else:
                front.run(desk)
        return desk.stored


@contextmanager
def _shut_at_the_end(desk: Desk) -> Iterator[None]:
    """However it ends. The lid first, words after: a dead terminal must not stand in between."""
    try:
        yield
    except (EOFError, OSError):  # a terminal that was closed can neither be read nor written
        _end(desk)
        raise DeviceError("the terminal is gone", hint="start again") from None
    except KeyboardInterrupt:
        _end(desk)
        raise typer.Exit(130) from None
    except BaseException:
        _end(desk)
        raise
    else:
        _end(desk)


def _end(desk: Desk) -> None:
    told = "The line is broken: the controller shuts the lid by itself. Look at it."
    with contextlib.suppress(DeviceError):
        told = desk.end()
    with contextlib.suppress(OSError):
        print(told, flush=True)


def _auto(desk: Desk, script: Script, *, yes: bool) -> None:
    """Find, show old and new, ask, store, try what was stored."""
    from rich.console import Console
    from rich.table import Table

    script.attach(desk)
    found = desk.cal.wait_for_rest(lambda x: print(x.text))
    if found and found.clear and (yes or script.confirm(f"{found.text} Clear it? Nothing moves by that.")):
        print(desk.clear())
    if not yes and not script.confirm("Hands off the lid: it moves to both ends. Begin?"):
        return
    print(desk.begin())
    print(desk.auto())
    table = Table("", "before", "found")
    for row in desk.table():
        table.add_row(*row)
    Console(highlight=False).print(table)
    if not yes and not script.confirm("Store these values?"):
        return
    print(desk.store())
    print("Tries what is stored now.")
    print(desk.try_out())
