"""``bin-daemon lid``: the lids, through the running daemon; and their calibration while it is stopped."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.lid_calibrate import calibrate
from bin_daemon.cli.print_json import print_json
from bin_daemon.errors import BinError, DeviceError, UnreachableError

lid_app = typer.Typer(no_args_is_help=True, help="List, open, shut, stop and calibrate the lids.")
lid_app.command()(calibrate)

Number = Annotated[int, typer.Argument(min=1, max=16, help="Number printed on the bin.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
UNKNOWN = "?"


class RefusedError(BinError):
    """The daemon said no, and why."""


@lid_app.command("list")
def list_lids(config: ConfigFile = None, as_json: Json = False) -> None:
    """Show each lid: position, pulse, switches, current, fill, and where its calibration comes from."""
    data = _ask(config, "lids")
    if as_json:
        print_json(data)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("lid", "takes", "position", "pulse", "switch", "current", "full")
    for lid in data["lids"]:
        table.add_row(
            str(lid["lid"]),
            str(lid["category"]),
            lid["position"],
            "off" if lid.get("phase") and lid["pulse_us"] is None else _with(lid.get("pulse_us"), " us"),
            (lid.get("switches") or UNKNOWN) + (" (stuck?)" if lid.get("shut_switch_held") else ""),
            _with(lid.get("current_ma"), " mA"),
            _full(lid),
        )
    console.print(table)
    calibrations = Table("lid", "open", "shut", "speed", "jam limit", "calibration")
    for lid in data["lids"]:
        pulses = (_with(lid.get(key), " us") for key in ("open_us", "closed_us"))
        speed, jam = _with(lid.get("speed_us_per_20ms"), ""), _with(lid.get("jam_ma"), " mA")
        calibrations.add_row(str(lid["lid"]), *pulses, speed, jam, str(lid.get("calibration", UNKNOWN)))
    console.print(calibrations)
    if not data["controller"]:
        console.print("The controller does not answer: nothing is known now. See: bin-daemon status")
    elif data["stopped"]:
        console.print("A stop is pressed or latched: nothing moves. When safe: bin-daemon lid clear")


@lid_app.command("open")
def open_lid(lid: Number, config: ConfigFile = None, as_json: Json = False) -> None:
    """Open a lid by hand; it shuts by itself. The same rules decide as for everybody."""
    data = _ask(config, "lid.open", {"lid": lid})
    if as_json:
        print_json(data)
    else:
        print(f"Lid {data['lid']} opens, and shuts after {data['hold_ms'] / 1000:g} s.")


@lid_app.command("close")
def close_lid(lid: Number, config: ConfigFile = None, as_json: Json = False) -> None:
    """Shut a lid now."""
    data = _ask(config, "lid.close", {"lid": lid})
    if as_json:
        print_json(data)
    if not data["accepted"][str(lid)]:
        raise DeviceError(
            f"the controller does not shut lid {lid}",
            hint="a stop or a fault is latched: look at it, then bin-daemon lid clear",
        )
    if not as_json:
        print(f"Lid {lid} shuts.")


@lid_app.command()
def stop(config: ConfigFile = None, as_json: Json = False) -> None:
    """Halt every lid where it stands, until `lid clear`. This is no emergency stop: that is the red switch at the bin."""
    data = _ask(config, "lid.stop")
    if as_json:
        print_json(data)
    if not data["stopped"]:
        raise DeviceError(
            "the controller does not answer, the stop did NOT reach it; without a host it shuts its lids by itself",
            hint="in danger use the red switch, or cut the supply",
        )
    if not as_json:
        print("All lids are stopped. Nothing moves until: bin-daemon lid clear")
        if data.get("unconfirmed"):
            print(MAESTRO_STOP)


@lid_app.command()
def clear(config: ConfigFile = None, as_json: Json = False) -> None:
    """Clear a stop and latched faults, once the red switch is released. Nothing moves by that."""
    data = _ask(config, "stop.clear")
    if as_json:
        print_json(data)
    else:
        print("Cleared. Nothing has moved; shut what stands open: bin-daemon lid close N")


def _ask(config: Any, name: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
    """The daemon's answer. Raises `UnreachableError` without a daemon, `RefusedError` with its own words."""
    from bin_daemon.config import load_settings
    from bin_daemon.service.control import ask

    request = {"name": name} if args is None else {"name": name, "args": args}
    answer = ask(load_settings(config).service.runtime_dir / "control.sock", request, timeout_s=10.0)
    if answer.get("ok"):
        return dict(answer["data"])
    error = answer.get("error") or {}
    code, message = error.get("code", "?"), error.get("message", "no reason given")
    if code in {"not_connected", "no_answer"}:
        raise UnreachableError(message, hint="bin-daemon status says what is wrong")
    raise RefusedError(message, hint=HINTS.get(code, ""))


MAESTRO_STOP = (
    "This controller is a Maestro: when the daemon ends or the line fails, it sends all lids home, whatever is stopped.\n"
    "Before hands go in: cut the servos' power."
)
HINTS = {
    "unknown_command": "The running daemon is older than this command: sudo systemctl restart bin-daemon",
    "stopped": "When all is safe: bin-daemon lid clear",
    "no_lid": "bin-daemon lid list shows which there are",
}


def _with(value: int | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value}{unit}"


def _full(lid: dict[str, Any]) -> str:
    if lid["full_frac"] is not None:
        return f"{lid['full_frac']:.0%}"
    return UNKNOWN if lid.get("fill_mm") is None else f"{lid['fill_mm']} mm"
