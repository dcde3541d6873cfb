"""From layers to one checked `Settings`: command line > BIN_* > systemd credentials > conf.d > bin.toml > defaults."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bin_daemon.config.settings import Settings
from bin_daemon.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_FILE = Path("/etc/bin-daemon/bin.toml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, and for each dotted key that is not a default where its value came from."""

    settings: Settings
    file: Path | None
    """The main file; None when only defaults and other layers were used."""
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def load(path: Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read and check everything. ``overrides`` (dotted keys or nested tables) are the command line's.

    Raises ConfigError whose text lists every error with file, line and key.
    """
    file = path or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = tomllib.loads(file.read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{file}: {error}") from error
    for key, value in (overrides or {}).items():
        table = tree
        *tables, last = key.split(".")
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    try:
        return Loaded(Settings.model_validate(tree), file)
    except ValidationError as error:
        raise ConfigError(str(error)) from error


def load_settings(path: Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """`load` for callers that need no origins."""
    return load(path, overrides=overrides).settings
