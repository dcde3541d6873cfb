"""Commands from outside: strict models, one parser for MQTT and the control socket, a bounded queue between frames.

A command moves lids, so everything about it is suspect: size, syntax, age, repetition, rate. Each refusal has a code for
machines and a sentence for people; nothing here raises for bad input.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bin_daemon.domain import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_BYTES_MAX = 1024
"""The longest sensible command has some 200 bytes."""
DEPTH_MAX = 6
STALE_S = 120.0
"""A command older than this (by its UUIDv7 id) was meant for a moment that is gone; two minutes forgive a laptop's clock."""
FUTURE_S = 3600.0
"""An end further away than this means that one of the clocks is wrong, so that the end protects nothing."""
IDS_KEPT = 1024
"""More than can come within STALE_S at RATE_PER_S, so that a UUIDv7 cannot be pushed out of memory before it is stale."""
RATE_PER_S = 5.0
BURST = 20
"""A person clicks once a second; a burst is a script's start."""

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,64}$"
_WORD = re.compile(r"[A-Za-z_]{1,32}")
_ENVELOPE = {"id", "args", "expires_at"}
_PRESS = "PRESS"
"""What a dashboard's button sends when nobody told it otherwise."""


class Args(BaseModel):
    """Arguments of one command: nothing unknown, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NoArgs(Args):
    """``stop.clear``, ``snapshot`` and ``restart`` take none."""


class ModeArgs(Args):
    """``mode``: what the bin may do from now on."""

    mode: Mode
    for_s: float | None = Field(None, gt=0, le=86_400, description="manual and maintenance end after this long.")


class LidOpenArgs(Args):
    """``lid.open``: open one lid by hand; it shuts by itself."""

    lid: int = Field(ge=1, le=16, description="As printed on the bin.")
    hold_ms: int | None = Field(None, ge=200, le=10_000)


class LidCloseArgs(Args):
    """``lid.close``: shut one lid, or all."""

    lid: int | None = Field(None, ge=1, le=16)


class Envelope(BaseModel):
    """The full form of a command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    args: Any = None
    expires_at: AwareDatetime | None = Field(None, description="RFC 3339 with zone; not carried out later than this.")


COMMANDS: dict[str, type[Args]] = {
    "mode": ModeArgs,
    "lid.open": LidOpenArgs,
    "lid.close": LidCloseArgs,
    "stop.clear": NoArgs,
    "snapshot": NoArgs,
    "restart": NoArgs,
}
"""Every command there is."""


@dataclass(frozen=True, slots=True)
class Command:
    """One valid command. ``local`` is True when it came through the control socket."""

    name: str
    args: Args
    id: str | None = None
    local: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: ``code`` for machines, ``message`` for people."""

    code: str
    message: str
    id: str | None = None


class _RefusedError(ValueError):
    def __init__(self, code: str, message: str, command_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.id = command_id


def parse(name: str, payload: bytes, *, retain: bool, now_utc: datetime, local: bool = False) -> Command | Refusal:
    """One command from its bytes.

    ``payload`` is ``{"id"?, "args"?, "expires_at"?}``, or the bare arguments: an object, a single value (``2`` for lid.open,
    ``auto`` or ``"auto"`` for mode), or nothing. Refusal codes: unknown_command, retained, too_large, not_json,
    duplicate_key, not_finite, too_deep, bad_envelope, bad_args, stale, bad_expiry.
    """
    try:
        return _parse(name, payload, retain=retain, now_utc=now_utc, local=local)
    except _RefusedError as refused:
        return Refusal(refused.code, str(refused), refused.id)


def _parse(name: str, payload: bytes, *, retain: bool, now_utc: datetime, local: bool) -> Command:
    model = COMMANDS.get(name)
    if model is None:
        raise _RefusedError("unknown_command", f"No such command; there are {', '.join(COMMANDS)}.")
    if retain:
        raise _RefusedError("retained", "Retained commands are never carried out: send it without the retain flag.")
    if len(payload) > COMMAND_BYTES_MAX:
        raise _RefusedError("too_large", f"A command has at most {COMMAND_BYTES_MAX} bytes.")
    envelope = _envelope(_value(payload), model)
    _check_age(envelope, now_utc)
    try:
        args = model.model_validate_json(json.dumps(_named(envelope.args, model)))
    except ValidationError as error:
        raise _RefusedError("bad_args", _first(error), envelope.id) from None
    return Command(name, args, envelope.id, local, envelope.expires_at)


class CommandGate:
    """`parse`, plus memory: ids that were seen, and the rate. One per source of commands, used by one thread.

    ``now_utc`` is the wall clock, ``clock`` the monotonic one of the rate limit.
    """

    def __init__(
        self,
        *,
        local: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now_utc: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._local = local
        self._clock = clock
        self._now_utc = now_utc
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._tokens = float(BURST)
        self._filled_t_s = clock()

    def admit(self, name: str, payload: bytes, *, retain: bool = False) -> Command | Refusal:
        """As `parse`; further codes: rate_limited, replayed."""
        if not self._local and not self._token():
            return Refusal("rate_limited", f"More than {RATE_PER_S:g} commands a second; slow down.")
        result = parse(name, payload, retain=retain, now_utc=self._now_utc(), local=self._local)
        if isinstance(result, Refusal) or result.id is None:
            return result
        if result.id in self._seen:
            self._seen.move_to_end(result.id)
            return Refusal("replayed", "A command with this id was already taken.", result.id)
        self._seen[result.id] = None
        if len(self._seen) > IDS_KEPT:
            self._seen.popitem(last=False)
        return result

    def _token(self) -> bool:
        now_s = self._clock()
        self._tokens = min(BURST, self._tokens + (now_s - self._filled_t_s) * RATE_PER_S)
        self._filled_t_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _value(payload: bytes) -> Any:
    """The JSON value; a bare word stands for itself, nothing for None."""
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise _RefusedError("not_json", "A command is UTF-8 text.") from None
    if not text:
        return None
    if _WORD.fullmatch(text) and text not in {"true", "false", "null", "NaN", "Infinity"}:
        return text
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except _RefusedError:
        raise
    except RecursionError:
        raise _RefusedError("too_deep", f"A command nests at most {DEPTH_MAX} levels.") from None
    except ValueError as error:
        raise _RefusedError("not_json", f"Not JSON: {str(error)[:80]}") from None
    if _depth(value) > DEPTH_MAX:
        raise _RefusedError("too_deep", f"A command nests at most {DEPTH_MAX} levels.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("duplicate_key", "A key stands twice in one object.")
    return found


def _no_constant(word: str) -> Any:
    raise _RefusedError("not_finite", f"{word} is not a number a bin can use.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError("not_finite", f"{text[:20]} is too large a number.")
    return value


def _depth(value: Any, level: int = 1) -> int:
    if level > DEPTH_MAX:
        return level
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(x, level + 1) for x in inner), default=level)


def _envelope(value: Any, model: type[Args]) -> Envelope:
    if isinstance(value, dict) and _ENVELOPE & value.keys() and not value.keys() <= model.model_fields.keys():
        try:
            return Envelope.model_validate_json(json.dumps(value))
        except ValidationError as error:
            raise _RefusedError("bad_envelope", _first(error)) from None
    return Envelope(args=value)


def _named(value: Any, model: type[Args]) -> Any:
    """Bare arguments under their names."""
    if value is None or (value == _PRESS and not model.model_fields):
        return {}
    if isinstance(value, (str, int)) and model.model_fields:
        return {next(iter(model.model_fields)): value}
    return value


def _check_age(envelope: Envelope, now_utc: datetime) -> None:
    far = timedelta(seconds=FUTURE_S)
    ends, made = envelope.expires_at, _made_at(envelope.id)
    if ends is not None and ends <= now_utc:
        raise _RefusedError("stale", f"The command expired at {ends.isoformat()}.", envelope.id)
    if made is not None and now_utc - made > timedelta(seconds=STALE_S):
        raise _RefusedError("stale", f"The command was made at {made.isoformat(timespec='seconds')}.", envelope.id)
    if any(at is not None and at - now_utc > far for at in (ends, made)):
        text = f"The command's end or id lies more than {FUTURE_S:g} s ahead: check both clocks."
        raise _RefusedError("bad_expiry", text, envelope.id)


def _made_at(command_id: str | None) -> datetime | None:
    """When a UUIDv7 was made (RFC 9562: the first 48 bits are unix milliseconds); None for other ids."""
    digits = (command_id or "").replace("-", "")
    if not re.fullmatch(r"[0-9a-fA-F]{12}7[0-9a-fA-F]{19}", digits):
        return None
    try:
        return datetime.fromtimestamp(int(digits[:12], 16) / 1000, tz=timezone.utc)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=timezone.utc)


def _first(error: ValidationError) -> str:
    """The first fault, without echoing what was sent."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(x) for x in found["loc"]) or "the command"
    return f"{where[:80]}: {found['msg'][:160]}"
