"""`bin-daemon run`: the daemon itself, in the foreground; systemd starts exactly this."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile


def run(
    config: ConfigFile = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one setting, e.g. --set camera.fps=10."),
    ] = None,
) -> None:
    """Run the bin until SIGTERM or Ctrl-C."""
    import faulthandler

    import structlog

    from bin_daemon.app import serve
    from bin_daemon.config import load
    from bin_daemon.service.logs import setup_logs

    faulthandler.enable()
    loaded = load(config, overrides=parse_overrides(set_ or []))
    setup_logs(loaded.settings.log.level, loaded.settings.log.format)
    for warning in loaded.warnings:
        structlog.get_logger().warning("config", warning=warning)
    raise typer.Exit(serve(loaded))


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words as a dict of dotted keys; a value is TOML where it can be read as such, else a string."""
    overrides = {}
    for item in items:
        key, separator, value = item.partition("=")
        if not separator or not key.strip():
            raise typer.BadParameter(f"--set {item}: write KEY=VALUE, e.g. camera.fps=10")
        overrides[key.strip()] = _toml_value(value.strip())
    return overrides


def _toml_value(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
