"""From layers to one checked `Settings`: command line > BIN_* > systemd credentials > conf.d > bin.toml > defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bin_daemon.config.checks import cross_check, leaves
from bin_daemon.config.complaints import Complaint, raise_all
from bin_daemon.config.explain import complain, complaint
from bin_daemon.config.keys import path_text
from bin_daemon.config.layers import Layer, credential_layers, env_layers, file_layers, merge, override_layers, setter
from bin_daemon.config.settings import Settings
from bin_daemon.errors import ConfigError

DEFAULT_FILE = Path("/etc/bin-daemon/bin.toml")
FILE_VARIABLE = "BIN_CONFIG"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, and where they came from."""

    settings: Settings
    file: Path | None
    """The main file; None when there is none and defaults are used."""
    files: tuple[str, ...] = ()
    """Every file read, in the order of growing precedence."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """``camera.width`` -> ``bin.toml:4``, for each value that is not a default."""
    warnings: tuple[str, ...] = ()
    """Not wrong, but most likely not meant."""


def load(path: Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read and check everything.

    ``path`` falls back to $BIN_CONFIG, then to /etc/bin-daemon/bin.toml where that exists, then to defaults alone.
    ``overrides`` are the command line's, with dotted keys. Raises ConfigError whose text lists every error with its place.
    """
    found: list[Complaint] = []
    warnings: list[str] = []
    file = _main_file(path)
    layers = file_layers(file, found) if file else []
    files = tuple(x.name for x in layers)
    layers += credential_layers(found, warnings)
    layers += env_layers(found, warnings)
    layers += override_layers(overrides or {})
    try:
        settings = Settings.model_validate(merge(layers))
    except ValidationError as error:
        found += [complaint(x, layers) for x in error.errors(include_url=False)]
        settings = None
    if settings is not None:
        for finding in cross_check(settings):
            said = complain(finding.path, finding.text, layers)
            if finding.is_error:
                found.append(said)
            else:
                warnings.append(f"{said.place}: {said.text}")
    raise_all(found)
    if settings is None:  # pragma: no cover - raise_all has raised
        raise ConfigError("the configuration is wrong")
    return Loaded(settings, file, files, _origins(settings, layers), tuple(warnings))


def load_settings(path: Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """`load` for callers that need no origins."""
    return load(path, overrides=overrides).settings


def _main_file(path: Path | None) -> Path | None:
    named = os.environ.get(FILE_VARIABLE)
    if path is None and not named:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    file = path or Path(str(named))
    if not _is_file(file):
        place = str(file) if path else f"env {FILE_VARIABLE}: {file}"
        seen = "is a folder, not a file" if os.path.isdir(file) else "no such file"  # noqa: PTH112 - Path's raises for a long name
        raise ConfigError(
            f"{place}: {seen}", hint="samples to copy from are in configs/; without a file the defaults are used"
        )
    return file


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name longer than any file's
        return False


def _origins(settings: Settings, layers: Sequence[Layer]) -> dict[str, str]:
    origins = {}
    for path, _ in leaves(settings.model_dump()):
        set_by = setter(layers, path)
        if set_by and set_by[1] == path:
            origins[path_text(path)] = set_by[0].place(path)
    return origins
