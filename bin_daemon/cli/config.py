"""``bin-daemon config``: check a file, show what counts and why, print the schema."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from bin_daemon.config import Loaded, load
from bin_daemon.config.checks import leaves
from bin_daemon.config.keys import path_text
from bin_daemon.config.schema import schema_text
from bin_daemon.errors import ConfigError

config_app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")

File = Annotated[
    Path | None,
    typer.Argument(help="Config file; without it: $BIN_CONFIG, then /etc/bin-daemon/bin.toml, then the defaults."),
]
Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON object on stdout.")]

HIDDEN = "********"


@config_app.command()
def check(file: File = None, as_json: Json = False) -> None:
    """Check a config file with everything that is layered over it. Exit 0 when it is right, 78 when it is not."""
    try:
        loaded = load(file)
    except ConfigError as error:
        if as_json:
            print(json.dumps({"ok": False, "errors": str(error)}, ensure_ascii=False))
        else:
            typer.echo(f"{error}\n{error.hint}".rstrip(), err=True)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print(json.dumps({"ok": True, "files": loaded.files, "warnings": loaded.warnings}, ensure_ascii=False))
        return
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    print(f"ok: {summary(loaded)}")


@config_app.command()
def show(
    file: File = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    as_json: Json = False,
) -> None:
    """Print every value that counts, secrets masked."""
    try:
        loaded = load(file)
    except ConfigError as error:
        typer.echo(f"{error}\n{error.hint}".rstrip(), err=True)
        raise typer.Exit(error.exit_code) from None
    values = {path_text(path): _plain(value) for path, value in leaves(loaded.settings.model_dump())}
    if values["policy.unsure_category"] is None:
        values["policy.unsure_category"] = "none"  # as it is written in the file
    if as_json:
        shown = (
            {k: {"value": v, "origin": loaded.origins.get(k, "default")} for k, v in values.items()}
            if origin
            else values
        )
        print(json.dumps(shown, ensure_ascii=False))
        return
    lines = {
        k: f"{k} = {json.dumps(v, ensure_ascii=False)}" if v is not None else f"{k} (not set)"
        for k, v in values.items()
    }
    width = min(max(map(len, lines.values())), 60)
    for key, line in lines.items():
        print(f"{line:{width}}  # {loaded.origins.get(key, 'default')}" if origin else line)


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of the config file, for editors."""
    print(schema_text(), end="")


def summary(loaded: Loaded) -> str:
    """One line that tells a technician which bin this is."""
    s = loaded.settings
    files = ", ".join(loaded.files) or "defaults (no config file)"
    lids = ", ".join(f"{x.lid} {x.category.value}" for x in s.lids)
    broker = f"{s.mqtt.host}:{s.mqtt.port}{' with TLS' if s.mqtt.tls else ''}" if s.mqtt.host else "none"
    return f"{files}: bin {s.bin.id}; camera {s.camera.source}; controller {s.controller.port}; lids {lids}; broker {broker}"


def _plain(value: Any) -> Any:
    """A value as it is written in TOML; nothing prints a secret."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return str(value) if isinstance(value, Path) else value
