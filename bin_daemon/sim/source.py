"""The simulated camera's source text: ``sim:WORLD?seed=7&items=12&photos=auto``."""

from __future__ import annotations

import difflib
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bin_daemon.errors import ConfigError

SCHEME = "sim"


class SimSource(BaseModel):
    """What the text after ``sim:`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world: str = Field("bin", description="Meets the controller of the same name, sim://WORLD.")
    seed: int = Field(0, ge=0, le=2**63 - 1)
    items: int = Field(12, ge=0, le=100_000, description="So many items are thrown in; then the tray stays empty.")
    photos: str = Field("auto", description="auto, stamps, drawn, or a folder of photographs.")
    cache: str = Field("", description="Where the fetched stamps are; empty: this user's cache folder.")
    width: int | None = Field(None, ge=64, le=7680, description="In place of camera.width.")
    height: int | None = Field(None, ge=64, le=4320, description="In place of camera.height.")
    tray: Literal["", "steel", "plastic", "paint"] = Field(
        "", description="What the plate is made of; empty: drawn from the seed."
    )
    patience_s: float = Field(
        6.0, ge=0.1, le=3600, description="People take an item back when no lid opened for this long."
    )


def parse_source(source: str) -> SimSource:
    """Read ``sim:WORLD?name=value&...``; raises `ConfigError` that names the parameter and the nearest valid one."""
    scheme, _, rest = source.partition(":")
    if scheme != SCHEME:
        raise ConfigError(
            f"camera.source {source!r} is no simulated camera.", hint="It begins with sim:, as in sim:bin?seed=7."
        )
    world, _, query = rest.partition("?")
    try:
        values = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError as err:
        raise ConfigError(f"camera.source {source!r}: {err}.", hint="Write name=value, joined by &.") from err
    if "world" in values:
        raise ConfigError(
            f"camera.source {source!r}: there is no parameter 'world'.", hint="The world's name comes before the ?."
        )
    try:
        return SimSource.model_validate({"world": world.strip("/") or "bin", **values})
    except ValidationError as err:
        first = err.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"camera.source {source!r}: there is no parameter {name!r}.", hint=_nearest(name)
            ) from err
        raise ConfigError(
            f"camera.source {source!r}: {name}={values[name]} is not usable.", hint=first["msg"] + "."
        ) from err


def write_source(world: str, **values: str | float) -> str:
    """The text that `parse_source` reads back: folders with spaces, & or % are quoted."""
    return f"{SCHEME}:{world}?{urlencode(values)}" if values else f"{SCHEME}:{world}"


def _nearest(name: str) -> str:
    valid = [field for field in SimSource.model_fields if field != "world"]
    known = "Known are " + ", ".join(valid) + "."
    near = difflib.get_close_matches(name, valid, n=1)
    return f"Did you mean {near[0]}? {known}" if near else known
