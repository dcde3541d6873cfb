"""`bin-daemon status`: ask the running daemon over its control socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bin_daemon.cli.print_json import print_json


def status(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The running daemon's config file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show what the running daemon says about itself; exit 1 when it has a fault of severity error."""
    from bin_daemon.config import load_settings
    from bin_daemon.errors import UnreachableError
    from bin_daemon.service.control import ask

    settings = load_settings(config)
    answer = ask(settings.service.runtime_dir / "control.sock", {"name": "status"})
    if not answer.get("ok"):
        raise UnreachableError(
            f"the daemon answered: {answer.get('error')}", hint="Look at its log: journalctl -u bin-daemon"
        )
    data = answer["data"]
    if as_json:
        print_json(data)
    else:
        _show(data)
    if any(fault["severity"] == "error" for fault in data["state"]["faults"]):
        raise typer.Exit(1)


def _show(data: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    info, state, health = data["info"], data["state"], data["health"]
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("bin", f"{info['name']}, version {info['version']}"),
        ("mode", state["mode"]),
        ("camera", _camera(state, health)),
        ("controller", _controller(info) if state["controller"] else "not connected"),
        ("stop", _stop(state) if state["controller"] else "not known"),
        ("lamp", _lamp(data)),
        ("model", info["model"].get("name", "?")),
        ("broker", _broker(health["mqtt"])),
        ("outbox", f"{health['mqtt']['outbox']} waiting, {health['mqtt']['dropped']} lost"),
    ):
        facts.add_row(f"[bold]{name}[/]", escape(str(value)))
    console.print(facts)
    lids = Table("lid", "category", "position", "full")
    for lid in state["lids"]:
        full = "" if lid["full_frac"] is None else f"{lid['full_frac']:.0%}"
        lids.add_row(str(lid["lid"]), str(lid["category"]), lid["position"], full)
    console.print(lids)
    for fault in state["faults"]:
        colour = "red" if fault["severity"] == "error" else "yellow"
        console.print(
            f"[{colour}]{fault['severity'].upper()} {fault['code']}[/]: {escape(fault['text'])}\n"
            f"  mend: {escape(fault['fix'])}",
            highlight=False,
        )
    if not state["faults"]:
        console.print("[green]no faults[/]")


def _stop(state: dict[str, Any]) -> str:
    if state["stop_pressed"]:
        return "the switch is pressed"
    return "latched until stop.clear" if state["stopped"] else "none"


def _lamp(data: dict[str, Any]) -> str:
    """What the person at the bin sees."""
    if not data["state"]["controller"]:
        return "not known"
    return {None: "this controller has none", "off": "dark"}.get(data["lamp"], str(data["lamp"]))


def _camera(state: dict[str, Any], health: dict[str, Any]) -> str:
    fps, looked = health["fps"], health.get("looked_fps")
    idle = f" ({looked} looked at)" if looked is not None and looked < fps else ""
    return f"{state['sight']}, {fps} frames/s{idle}, last frame {health['frame_age_ms']} ms ago"


def _controller(info: dict[str, Any]) -> str:
    if "unconfirmed" in info["capabilities"]:
        return f"{info['firmware']}; reduced: positions are what was sent, no lid, jam or finger is sensed"
    return str(info["firmware"])


def _broker(mqtt: dict[str, Any]) -> str:
    if "kind" not in mqtt:
        return "none: mqtt.host is empty, events wait in the journal"
    return "connected" if mqtt["connected"] else "not connected"
