"""The control socket: a unix socket on which local commands reach the running daemon, one JSON object a line each way.

The socket only moves bytes: what a command means, and whether it may run, is the handler's business. A request is
``{"name": ..., ...}``; the answer is whatever the handler returns.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from bin_daemon.errors import DeviceError, UnreachableError

MAX_LINE = 4096
"""A command is far smaller; more is a mistake or an attack."""
ACCEPT_S = 0.25
CLIENT_S = 2.0
"""A client that has not said all after this long is dropped: there is one thread for all, and its silence stops the watchdog."""

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlSocket:
    """Serves one client at a time; meant for a `Worker`."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[], None]]:
        """Listen; each step waits at most 0.25 s for a client and serves it. Raises DeviceError when the path cannot be bound."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as server:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.unlink(missing_ok=True)  # left over from a kill -9; the lock file keeps a second daemon away
                server.bind(str(self._path))
                os.chmod(self._path, 0o660)  # noqa: PTH101 - the group's members may command the bin
                server.listen(4)
            except OSError as error:
                raise DeviceError(
                    f"control socket {self._path}: {error.strerror}",
                    hint="Make service.runtime_dir writable for the daemon.",
                ) from error
            server.settimeout(ACCEPT_S)
            try:
                yield lambda: self._serve(server)
            finally:
                self._path.unlink(missing_ok=True)

    def _serve(self, server: socket.socket) -> None:
        try:
            client, _ = server.accept()
        except TimeoutError:
            return
        with client:
            try:
                line = _read_line(client, CLIENT_S)
                client.settimeout(CLIENT_S)
                if line:
                    client.sendall(orjson.dumps(self._answer(line), default=str) + b"\n")
            except OSError:
                return  # the client went away; it alone is the loser

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return {"ok": False, "error": {"code": "bad_json", "message": str(error)}}
        if not isinstance(request, dict):
            return {"ok": False, "error": {"code": "bad_json", "message": "a JSON object is expected"}}
        return self._handler(request)


def ask(path: Path, request: dict[str, Any], *, timeout_s: float = 5.0) -> dict[str, Any]:
    """Send one request to the daemon behind ``path`` and return its answer; UnreachableError when nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        try:
            client.connect(str(path))
            client.sendall(orjson.dumps(request) + b"\n")
            answer = orjson.loads(_read_line(client, timeout_s, limit=1 << 20))
        except (OSError, orjson.JSONDecodeError) as error:
            raise UnreachableError(
                f"no daemon answers at {path}: {error}", hint="Is it running? systemctl status bin-daemon"
            ) from error
    return dict(answer)


def _read_line(client: socket.socket, timeout_s: float, limit: int = MAX_LINE) -> bytes:
    """Bytes up to the line's end, within ``timeout_s`` altogether: one byte now and then must not hold the thread."""
    data, end_t_s = b"", time.monotonic() + timeout_s
    while not data.endswith(b"\n") and len(data) <= limit:
        client.settimeout(max(0.001, end_t_s - time.monotonic()))
        chunk = client.recv(4096)
        if not chunk:
            break
        data += chunk
    return data if len(data) <= limit else b'"line too long"'
