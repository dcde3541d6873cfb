"""The file that remembers calibrations: ``conf.d/50-calibration.toml`` beside the main config file, a table for each lid.

It is read as any other drop-in. Written, it keeps every other word: tables of other lids, comments, keys that a person put there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from bin_daemon.config import load
from bin_daemon.errors import ConfigError
from bin_daemon.lids.calibration import values_of
from bin_daemon.model.durable import replace_durably, sync

if TYPE_CHECKING:
    from bin_daemon.config import CalibrationSettings
    from firmware_protocol.messages import Calibration

NAME = Path("conf.d") / "50-calibration.toml"
HEAD = """Written by `bin-daemon lid calibrate N`; pulses in microseconds, current in milliamperes.
uid is the controller board on which a lid was measured: another board is given these values by the daemon,
the same board keeps its own when they are newer."""
MODE = 0o644
"""Not secret: the daemon's own user reads it."""


def calibration_file(main: Path | None) -> Path:
    """Where it belongs. Raises `ConfigError` when there is no main config file to lie beside."""
    if main is None:
        raise ConfigError(
            "there is no config file, so the values cannot be remembered on this computer",
            hint="copy a sample from configs/ to /etc/bin-daemon/bin.toml first",
        )
    return main.parent / NAME


def why_not_writable(file: Path) -> str:
    """Empty when this user may write ``file``, else what is wrong; so that one knows before the work."""
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        return f"{file} may not be changed by this user"
    folder = file.parent if file.parent.exists() else file.parent.parent
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written by this user"


def remember(file: Path, lid: int, values: CalibrationSettings, before: Calibration | None = None) -> None:
    """Write one lid's table durably, all or nothing. Raises `ConfigError` when the file cannot be read as TOML or written."""
    try:
        old = file.read_text("utf-8-sig")
    except FileNotFoundError:
        old = ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: cannot be read: {error}", hint="mend it, or move it away and store again"
        ) from error
    was = {} if before is None else values_of(before)
    _replace(file, _with_table(file, old, lid, values.model_dump(), was))


def overridden(main: Path, lid: int, values: CalibrationSettings) -> str:
    """Another layer that has the last word on this lid (a later drop-in, a variable), or empty. Raises `ConfigError`."""
    loaded = load(main)
    if loaded.settings.calibration.get(lid) == values:
        return ""
    places = {place for key, place in loaded.origins.items() if key.startswith(f"calibration.{lid}.")}
    return ", ".join(sorted(x for x in places if NAME.name not in x)) or "another setting"


def _with_table(file: Path, old: str, lid: int, values: dict[str, Any], before: dict[str, int]) -> str:
    try:
        document = tomlkit.parse(old)
        if not old.strip():
            for line in HEAD.splitlines():
                document.add(tomlkit.comment(line))
            document.add(tomlkit.nl())
        calibration = document.get("calibration")
        if calibration is None:
            calibration = document["calibration"] = tomlkit.table(is_super_table=True)
        is_inline = isinstance(calibration, InlineTable)
        if str(lid) not in calibration:
            calibration[str(lid)] = tomlkit.inline_table() if is_inline else tomlkit.table()
        table = calibration[str(lid)]
        for name, value in values.items():
            item = tomlkit.item(value)
            if before.get(name, value) != value and not isinstance(table, InlineTable):
                item.comment(f"before: {before[name]}")
            table[name] = item
        text = tomlkit.dumps(document)
        _check(tomlkit.parse(old).unwrap(), tomlkit.parse(text).unwrap(), str(lid), values)
    except (TOMLKitError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{file}: the table [calibration.{lid}] does not fit in: {error}",
            hint="mend the file (bin-daemon config check says where), or move it away and store again",
        ) from error
    return text


def _check(old: dict[str, Any], new: dict[str, Any], lid: str, values: dict[str, Any]) -> None:
    """Nothing else may have changed. Raises TypeError."""
    tables = old.setdefault("calibration", {})
    tables[lid] = {**tables.get(lid, {}), **values}
    if new != old:
        raise TypeError("other keys would change")


def _replace(file: Path, text: str) -> None:
    """A link stays a link, a file that was there keeps its rights."""
    try:
        made = not file.parent.exists()
        file.parent.mkdir(exist_ok=True)
        mode = file.stat().st_mode & 0o777 if file.exists() else MODE
        replace_durably(file.resolve(), text.encode(), mode=mode)
        if made:
            sync(file.parent.parent)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written: {error.strerror}",
            hint="run the command with sudo; is the disk full or read-only?",
        ) from error
