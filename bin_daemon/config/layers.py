"""The layers of a configuration, each a tree of values that knows where they were written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bin_daemon.config.complaints import Complaint, nearest, source_excerpt
from bin_daemon.config.keys import is_secret, known_keys, may_be_secret, value_at
from bin_daemon.config.positions import KeyPath, Position, key_positions
from bin_daemon.config.toml import TOMLDecodeError, parse_toml

if TYPE_CHECKING:
    from pydantic_settings import EnvSettingsSource

ENV_PREFIX = "BIN_"
ENV_RESERVED = frozenset({"BIN_CONFIG", "BIN_TEST_DATA"})
"""Variables of ours that are no settings."""

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WORLD_READABLE = 0o004


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values: a file, one variable, one credential, or the command line."""

    name: str
    tree: dict[str, Any]
    text: str = ""
    positions: Mapping[KeyPath, Position] = field(default_factory=dict)

    def has(self, path: KeyPath) -> bool:
        """Whether this layer sets ``path``."""
        return value_at(self.tree, path) is not None

    def place(self, path: KeyPath, *, column: bool = False) -> str:
        """``bin.toml:8`` (or ``:8:1``), ``env BIN_MQTT__PORT``, ``credential mqtt.password`` or ``command line``."""
        position = self.positions.get(path)
        if position is None:
            return self.name
        return f"{self.name}:{position.line}" + (f":{position.column}" if column else "")

    def excerpt(self, path: KeyPath) -> str:
        """The source line with carets under the key; empty where there is no text."""
        position = self.positions.get(path)
        return source_excerpt(self.text, position, hide_value=may_be_secret(path)) if position else ""


def file_layers(main: Path, found: list[Complaint]) -> list[Layer]:
    """The main file and ``conf.d/*.toml`` beside it, sorted by name; what cannot be read goes to ``found``."""
    drop_ins = sorted((main.parent / "conf.d").glob("*.toml"))
    layers = [_file_layer(path, found) for path in (main, *drop_ins)]
    return [x for x in layers if x is not None]


def _file_layer(path: Path, found: list[Complaint]) -> Layer | None:
    try:
        # utf-8-sig: editors on Windows put a byte order mark first, which TOML does not know.
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        tree = parse_toml(text)
    except OSError as error:
        found.append(Complaint(str(path), f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found.append(
            Complaint(f"{path}:{line}", f"not UTF-8 (byte 0x{error.object[error.start]:02x}); save the file as UTF-8")
        )
    except TOMLDecodeError as error:
        found.append(_syntax_complaint(path, text, str(error)))
    except RecursionError:
        found.append(Complaint(str(path), "nested too deeply"))
    else:
        layer = Layer(str(path), tree, text, key_positions(text))
        found.extend(_open_secrets(path, layer))
        return layer
    return None


def _syntax_complaint(path: Path, text: str, message: str) -> Complaint:
    where = _AT.search(message)
    lines = text.split("\n")
    line, column = (int(where[1]), int(where[2])) if where and where[1] else (len(lines), len(lines[-1]) + 1)
    said = _AT.sub("", message)
    advice = {
        "Invalid value": "text needs quotes, numbers and true/false do not",
        "Cannot overwrite a value": "this key is set twice in one table",
        "Expected '=' after a key in a key/value pair": 'write key = value, not "key: value"',
        "Unescaped '\\' in a string": "use 'single quotes' around text with backslashes",
    }.get(said)
    said = said[:1].lower() + said[1:] + (f": {advice}" if advice else "")
    return Complaint(f"{path}:{line}:{column}", f"not TOML: {said}", source_excerpt(text, Position(line, column, 1)))


def _open_secrets(path: Path, layer: Layer) -> Iterable[Complaint]:
    if not path.stat().st_mode & _WORLD_READABLE:
        return
    for key in (k for k in known_keys() if is_secret(k)):
        if value_at(layer.tree, key):
            text = f"{'.'.join(map(str, key))}: everybody on this machine can read this file; run: chmod o-r {path}"
            yield Complaint(layer.place(key, column=True), text)


def credential_layers(found: list[Complaint], warnings: list[str]) -> list[Layer]:
    """Files of $CREDENTIALS_DIRECTORY named by a dotted key (``mqtt.password``). Files that are no setting are left alone."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    names = {".".join(map(str, key)): key for key in known_keys()}
    layers = []
    for file in sorted(Path(folder).iterdir()) if folder and Path(folder).is_dir() else ():
        place = f"credential {file.name}"
        if file.name not in names:
            if "." in file.name and (near := nearest(file.name, names)):
                warnings.append(f'{place}: no such setting. Did you mean "{near}"?')
            continue
        # systemd shows 0440 for a file that an access list opens to the service alone, so only "others" can be judged.
        if file.stat().st_mode & _WORLD_READABLE:
            found.append(Complaint(place, f"everybody on this machine can read it; run: chmod 400 {file}"))
            continue
        layers.append(Layer(place, _nest(names[file.name], file.read_text("utf-8").rstrip("\r\n"))))
    return layers


def env_layers(found: list[Complaint], warnings: list[str]) -> list[Layer]:
    """One layer per ``BIN_*`` variable, the general before the particular (BIN_MQTT before BIN_MQTT__PORT)."""
    names = [x for x in sorted(os.environ, key=lambda x: (x.count("__"), x)) if x.upper().startswith(ENV_PREFIX)]
    names = [x for x in names if x.upper() not in ENV_RESERVED]
    if not names:
        return []
    known = {ENV_PREFIX + "__".join(map(str, key)).upper(): key for key in known_keys()}
    source = _env_source()
    layers = []
    for name in names:
        tree = _read_variable(source, name, found)
        if tree is None:
            continue
        if not tree:
            _unknown_variable(name, known, found, warnings)
            continue
        key = known.get(name.upper())
        if key and is_secret(key):
            warnings.append(
                f"env {name}: a password here shows in /proc; a systemd credential named {'.'.join(map(str, key))} does not"
            )
        layers.append(Layer(f"env {name}", tree))
    return layers


def _env_source() -> EnvSettingsSource:
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    from bin_daemon.config.settings import Settings

    class _Environment(BaseSettings, Settings):
        model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    return EnvSettingsSource(_Environment)


def _read_variable(source: EnvSettingsSource, name: str, found: list[Complaint]) -> dict[str, Any] | None:
    """The tree of one variable alone, so that its errors carry its name; {} when it names no setting."""
    from pydantic_settings.exceptions import SettingsError

    source.env_vars = {name.lower(): os.environ[name]}
    try:
        return source()
    except SettingsError:
        found.append(Complaint(f"env {name}", "not JSON; lists and tables are written as in JSON here"))
        return None


def _unknown_variable(name: str, known: Mapping[str, KeyPath], found: list[Complaint], warnings: list[str]) -> None:
    """An error where it is plainly meant for us; else a warning, for BIN_ is a common prefix."""
    run_together = {x.replace("_", ""): x for x in known}
    near = run_together.get(name.upper().replace("_", "")) or nearest(name.upper(), known, cutoff=0.85)
    if near:
        found.append(Complaint(f"env {name}", f'no such setting. Did you mean "{near}"?'))
    elif "__" in name:
        found.append(Complaint(f"env {name}", "no such setting; config schema lists them all"))
    else:
        warnings.append(f"env {name}: not a setting of ours, ignored")


def override_layers(overrides: Mapping[str, Any]) -> list[Layer]:
    """The command line's values: dotted keys or nested tables."""
    return [Layer("command line", _nest(tuple(key.split(".")), value)) for key, value in overrides.items()]


def _nest(path: KeyPath, value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    tree: dict[str, Any] = value
    return tree


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """Later layers win; tables merge key by key, lists are replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_into(merged, layer.tree)
    return merged


def _merge_into(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            below = tree.get(key)
            tree[key] = dict(below) if isinstance(below, dict) else {}
            _merge_into(tree[key], value)
        else:
            tree[key] = value


def setter(layers: Iterable[Layer], path: KeyPath) -> tuple[Layer, KeyPath] | None:
    """The layer that has the last word on ``path``, or on the nearest table above it that any layer names."""
    ordered = list(layers)[::-1]
    for length in range(len(path), 0, -1):
        for layer in ordered:
            if layer.has(path[:length]):
                return layer, path[:length]
    return None
