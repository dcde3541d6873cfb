"""The command line: one file per command group. What is heavy is imported by the command that needs it."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from bin_daemon.cli.calibrate import calibrate_app
from bin_daemon.cli.classify import classify
from bin_daemon.cli.config import config_app
from bin_daemon.cli.demo import demo
from bin_daemon.cli.evaluate import evaluate
from bin_daemon.cli.firmware import firmware_app
from bin_daemon.cli.lid import lid_app
from bin_daemon.cli.model import model_app
from bin_daemon.cli.replay import replay
from bin_daemon.cli.run import run
from bin_daemon.cli.simulate import simulate_controller
from bin_daemon.cli.status import status
from bin_daemon.cli.train import train

app = typer.Typer(
    name="bin-daemon",
    help="Controller daemon of a smart waste bin: sees an item, classifies it, opens the matching lid, tells MQTT.",
    epilog="Exit codes: 0 ok, 1 failed, 2 wrong usage, 69 hardware not there, 70 bug, 75 other end not reachable now, "
    "78 config or model invalid.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"bin-daemon {importlib.metadata.version('bin-daemon')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


ON_THE_BIN, WORKSHOP = "On the bin", "Workshop"
app.command(rich_help_panel=ON_THE_BIN)(run)
app.command(rich_help_panel=ON_THE_BIN)(status)
app.add_typer(lid_app, name="lid", rich_help_panel=ON_THE_BIN)
app.add_typer(calibrate_app, name="calibrate", rich_help_panel=ON_THE_BIN)
app.add_typer(config_app, name="config", rich_help_panel=ON_THE_BIN)
app.command(rich_help_panel=ON_THE_BIN)(classify)
app.add_typer(model_app, name="model", rich_help_panel=ON_THE_BIN)
app.add_typer(firmware_app, name="firmware", rich_help_panel=ON_THE_BIN)
app.command(rich_help_panel=WORKSHOP)(demo)
app.command(rich_help_panel=WORKSHOP)(replay)
app.command(rich_help_panel=WORKSHOP)(simulate_controller)
app.command(rich_help_panel=WORKSHOP)(train)
app.command(rich_help_panel=WORKSHOP)(evaluate)
