"""The option ``--config`` of every command that reads the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file; default /etc/bin-daemon/bin.toml where it exists."),
]
