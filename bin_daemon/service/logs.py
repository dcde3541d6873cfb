"""Logging: coloured lines for a person in a terminal, one JSON object a line under systemd; always on stderr."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import IO, Any, BinaryIO, TextIO, cast

import orjson
import structlog

from bin_daemon.service.systemd import under_systemd

_SECRET = re.compile(r"pass(word|phrase)?$|secret|token|credential", re.IGNORECASE)


def setup_logs(level: str = "info", style: str = "auto") -> None:
    """Route structlog to stderr. ``style`` is human, json, or auto (human in a terminal, JSON under systemd)."""
    as_json = style == "json" or (style == "auto" and (under_systemd() or not sys.stderr.isatty()))
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    factory: Any
    if as_json:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]
        factory = structlog.BytesLoggerFactory(cast("BinaryIO", _Unfailing(sys.stderr.buffer)))
    else:
        processors += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        factory = structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(sys.stderr)))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


class _Unfailing:
    """A stream whose failure (full disk, reader gone) costs the line, never the daemon: whoever logs expects no error."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, line: Any) -> None:
        """Write, or let it be."""
        with contextlib.suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        """Flush, or let it be."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the value of every key that looks like a secret."""
    for key in event:
        if _SECRET.search(key):
            event[key] = "***"
    return event


def _dumps(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
