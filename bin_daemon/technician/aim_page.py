"""One page to drag the region on, served from the bin to one browser: on loopback, or to a laptop beside the bin.

Whoever has the link may save one region, once; the link holds a fresh secret and dies with the program. Nothing is loaded
from elsewhere.
"""

from __future__ import annotations

import hmac
import html
import json
import secrets
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bin_daemon.errors import BinError, ConfigError
from bin_daemon.technician.roi import check_roi

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.roi import Roi

LOOPBACK = "127.0.0.1"
MOST_BYTES = 4096
"""Of a request's body: four numbers are far less."""
SOCKET_S = 10.0
"""A browser that says nothing for so long is let go."""
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


class AimPage:
    """Serves ``jpeg`` with the present region and takes one new region. Use as a context; `wait` ends with the saving."""

    def __init__(
        self, jpeg: bytes, roi: Roi, save: Callable[[Roi], str], *, address: str = LOOPBACK, port: int = 0
    ) -> None:
        """``save`` stores a region and says so, or raises a `BinError`, which the page shows. Raises `ConfigError`."""
        self.jpeg, self.roi, self._save = jpeg, roi, save
        self.token = secrets.token_urlsafe(18)
        self._lock = threading.Lock()
        self._done = threading.Event()
        self.said = ""
        try:
            self._server = _server(address, port, self)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen on {address}, port {port}: {error}",
                hint="give --listen an address of this computer (ip address lists them), and a --port that is free",
            ) from error
        self._address = address
        self._thread = threading.Thread(target=self._server.serve_forever, name="aim-page", daemon=True)

    @property
    def url(self) -> str:
        """The link to open, secret included."""
        host = socket.gethostname() if self._address in {"0.0.0.0", "::"} else self._address  # noqa: S104 - compared only
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._server.server_address[1]}/?token={self.token}"

    def __enter__(self) -> AimPage:  # noqa: PYI034 - typing.Self is not in Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, timeout_s: float) -> bool:
        """True when a region was saved in time."""
        return self._done.wait(timeout_s)

    def take(self, body: bytes) -> tuple[HTTPStatus, str]:
        """Save what the browser sent; the answer for it."""
        try:
            numbers = [float(x) for x in json.loads(body)["roi"]]
            x, y, width, height = numbers
        except (ValueError, TypeError, KeyError, RecursionError):
            return HTTPStatus.BAD_REQUEST, "Four numbers are wanted."
        with self._lock:
            if self._done.is_set():
                return HTTPStatus.GONE, "A region was saved already; start the program again for another."
            try:
                self.said = self._save(check_roi((x, y, width, height)))
            except BinError as error:
                return HTTPStatus.BAD_REQUEST, f"{error}. {error.hint}"
            return HTTPStatus.OK, self.said

    def finish(self) -> None:
        """The answer is on its way: `wait` may end."""
        self._done.set()


class _Handler(BaseHTTPRequestHandler):
    """One request; `page` is set by the server's own subclass."""

    page: AimPage
    timeout = SOCKET_S
    server_version, sys_version = "bin-daemon", ""

    def do_GET(self) -> None:
        """The page, or its picture."""
        path = self._path_with_token()
        if path == "/":
            text = files("bin_daemon.technician").joinpath("aim.html").read_text("utf-8")
            roi = html.escape(json.dumps(self.page.roi), quote=True)
            self._answer(
                HTTPStatus.OK,
                "text/html; charset=utf-8",
                text.replace("<html ", f'<html data-roi="{roi}" ', 1).encode(),
            )
        elif path == "/picture":
            self._answer(HTTPStatus.OK, "image/jpeg", self.page.jpeg)
        elif path is not None:
            self._say(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def do_POST(self) -> None:
        """A region to save."""
        path = self._path_with_token()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        if path != "/save" or not length.isdecimal() or int(length) > MOST_BYTES:
            self._say(HTTPStatus.BAD_REQUEST, "Four numbers are wanted.")
            return
        status, said = self.page.take(self.rfile.read(int(length)))
        try:
            self._say(status, said)
        finally:
            if status is HTTPStatus.OK:
                self.page.finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the terminal is for the technician, and the link holds a secret."""

    def _path_with_token(self) -> str | None:
        """The path when the secret is right, else None and a refusal is sent."""
        try:
            url = urlsplit(self.path)
        except ValueError:
            url = urlsplit("")
        given = parse_qs(url.query).get("token", [""])[0]
        if hmac.compare_digest(given.encode(), self.page.token.encode()):
            return url.path
        self._say(HTTPStatus.FORBIDDEN, "Open the whole link that bin-daemon printed.")
        return None

    def _say(self, status: HTTPStatus, said: str) -> None:
        self._answer(status, "application/json", json.dumps({"said": said}).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no matter."""


def _server(address: str, port: int, page: AimPage) -> _Server:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server_class = type("_AimServer", (_Server,), {"address_family": family})
    handler = type("_AimHandler", (_Handler,), {"page": page})
    server = server_class((address, port), handler)
    assert isinstance(server, _Server)  # noqa: S101 - made just here
    return server
