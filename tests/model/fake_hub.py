"""A hub on loopback with ModelScope's endpoints, as its public client (modelscope-hub 0.5.1) asks them, and faults with names.

Small files come straight and ignore Range; weights are redirected to a store of another origin, which honours it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MODEL, REVISION = "iic/cv_convnext-base_image-classification_garbage", "v1.0.2"
NOT_THERE = {"Code": 10010205001, "Message": "model does not exist", "RequestId": "r-1", "Success": False}


@dataclass
class FakeHub:
    """What it serves, what goes wrong, and what was asked. ``base`` is its address once it runs."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = (REVISION,)
    base: str = ""
    store_base: str = ""
    """Where weights are redirected to; empty: they come straight, Range honoured."""
    token: str = ""
    """Asked for where set."""
    listing: dict[str, Any] = field(default_factory=dict)
    """Per path: keys of its entry that are told otherwise."""
    raw_listing: bytes | None = None
    statuses: list[int] = field(default_factory=list)
    """The next requests are answered with these."""
    cut_at: list[int] = field(default_factory=list)
    """The next downloads end after so many bytes of the file, though more were announced."""
    stall_at: list[int] = field(default_factory=list)
    """The next downloads fall silent after so many bytes of the file."""
    ignore_range: bool = False
    wrong_range: bool = False
    announce_length: bool = True
    location: str = ""
    """Where all downloads are redirected to, if anywhere."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path with query, and headers, of each request."""
    sent_bytes: int = 0
    on_bytes: Callable[[int], None] = lambda _: None
    closing: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str]:
        """The Range header of each download so far, '' where there was none."""
        return [
            headers.get("Range", "") for path, headers in self.asked if "FilePath=" in path or path.startswith("/lfs/")
        ]


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve until the block ends."""
    server = _Server(("127.0.0.1", 0), _handler(hub))
    hub.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news."""


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one class that closes over its hub
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

        def do_GET(self) -> None:
            """One request."""
            hub.asked.append((self.path, dict(self.headers)))
            url = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(url.query).items()}
            if hub.statuses and (status := hub.statuses.pop(0)) != 200:
                self.answer(status, b"<html>oops</html>", "text/html")
            elif hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self.answer(401, json.dumps(NOT_THERE | {"Code": 10010103009, "Message": "token"}).encode())
            elif url.path.startswith("/lfs/"):
                self.stream(next(x for x in hub.files.values() if hashlib.sha256(x).hexdigest() == url.path[5:]))
            elif url.path == f"/api/v1/models/{MODEL}/revisions":
                tags = [{"Revision": x, "CreatedAt": 1} for x in hub.revisions]
                branches = [{"Revision": "master", "CreatedAt": 1}]
                self.json(200, {"RevisionMap": {"Tags": tags, "Branches": branches}})
            elif not url.path.startswith(f"/api/v1/models/{MODEL}/repo"):
                self.answer(404, json.dumps(NOT_THERE).encode())
            elif query.get("Revision") not in hub.revisions:
                self.answer(404, json.dumps(NOT_THERE | {"Message": "revision not found"}).encode())
            elif url.path.endswith("/repo/files"):
                self.list()
            else:
                self.file(query["FilePath"])

        def list(self) -> None:
            """All files, as the hub tells them; folders too."""
            if hub.raw_listing is not None:
                self.answer(200, hub.raw_listing, "text/html")
                return
            entries = [
                {
                    "Name": path.rpartition("/")[2],
                    "Path": path,
                    "Type": "blob",
                    "Mode": "33188",
                    "Size": len(content),
                    "Sha256": hashlib.sha256(content).hexdigest(),
                    "Revision": "0123abcd",
                    "IsLFS": path.endswith(".pt"),
                    "CommittedDate": 1660000000,
                }
                | hub.listing.get(path, {})
                for path, content in hub.files.items()
            ]
            folders = sorted({path.partition("/")[0] for path in hub.files if "/" in path})
            trees = [{"Name": x, "Path": x, "Type": "tree", "Size": 0, "Sha256": ""} for x in folders]
            self.json(200, {"Files": [*trees, *entries], "IsVisual": 1, "LatestCommitter": None})

        def file(self, path: str) -> None:
            """Redirected or straight."""
            if path not in hub.files:
                self.answer(404, json.dumps(NOT_THERE | {"Message": "file not found"}).encode())
                return
            content = hub.files[path]
            location = hub.location or (
                f"{hub.store_base}/lfs/{hashlib.sha256(content).hexdigest()}?sign=secret"
                if hub.store_base and path.endswith(".pt")
                else ""
            )
            if location:
                self.send_response(302)
                self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.stream(content)

        def stream(self, content: bytes) -> None:
            """Bytes, from where Range says, as far as the faults let them."""
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = 0 if hub.ignore_range or not asked else int(asked[1])
            if start >= len(content) > 0:
                self.answer(416, b"")
                return
            self.send_response(206 if start else 200)
            if start:
                told = start + 1 if hub.wrong_range else start
                self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
            if hub.announce_length:
                self.send_header("Content-Length", str(len(content) - start))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            end = hub.cut_at.pop(0) if hub.cut_at else len(content)
            pause = hub.stall_at.pop(0) if hub.stall_at else None
            for offset in range(start, end, 1 << 14):
                piece = content[offset : min(offset + (1 << 14), end)]
                if pause is not None and offset >= pause:
                    hub.closing.wait()
                try:
                    self.wfile.write(piece)
                except OSError:
                    return
                hub.sent_bytes += len(piece)
                hub.on_bytes(offset + len(piece))
            if end < len(content) or not hub.announce_length:
                self.close_connection = True

        def json(self, status: int, data: object) -> None:
            """The hub's envelope."""
            body = {"Code": 200, "Data": data, "Message": "success", "RequestId": "r-1", "Success": True}
            self.answer(status, json.dumps(body).encode())

        def answer(self, status: int, body: bytes, kind: str = "application/json; charset=utf-8") -> None:
            """One whole answer."""
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
