"""What may go wrong on the way to the hub: one clear error each, no token where it does not belong, nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import urllib3

from bin_daemon.errors import BinError, ConfigError, ModelError, UnreachableError
from bin_daemon.model.hub import Hub, HubFile, pull
from bin_daemon.model.hub.client import FILE_BYTES_MAX
from bin_daemon.model.hub.download import fetch
from bin_daemon.model.hub.session import HubSession, patience
from tests.model.fake_hub import MODEL, REVISION, FakeHub, running

WEIGHTS = np.random.default_rng(6).bytes(300_000)
TOKEN = "ms-0123"  # noqa: S105 - of the hub below
FILE = HubFile("pytorch_model.pt", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's network needs is no part of a test."""
    for name in [x for x in os.environ if x.lower().endswith("_proxy") or x.startswith("MODELSCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[FakeHub]:
    """A hub with weights and a README."""
    with running(FakeHub({"pytorch_model.pt": WEIGHTS, "README.md": b"# no front matter\n"})) as hub:
        yield hub


def client(base: str, model: str = MODEL, revision: str = REVISION) -> Hub:
    """As the command makes it, but without pauses."""
    return Hub(model, revision, base, stall_s=2.0, backoff_s=0)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failing(hub: Hub, folder: Path) -> BinError:
    """The error of a pull, which leaves no weights."""
    with pytest.raises(BinError) as caught:
        pull(hub, folder)
    assert not (folder / "pytorch_model.pt").exists()
    assert caught.value.hint
    return caught.value


def test_an_unknown_model_is_told_as_such(server: FakeHub, tmp_path: Path) -> None:
    """404 for the model: its name, and what to check."""
    error = failing(client(server.base, model="iic/no-such"), tmp_path)
    assert isinstance(error, ModelError)
    assert "has no model iic/no-such" in str(error)


def test_an_unknown_revision_tells_the_known_ones(server: FakeHub, tmp_path: Path) -> None:
    """The hub has a list of them."""
    server.revisions = ("v1.0.2", "v1.0.1")
    error = failing(client(server.base, revision="v9"), tmp_path)
    assert "has no revision v9" in str(error)
    assert "v1.0.2, v1.0.1, master" in error.hint


def test_a_file_that_is_listed_but_gone(server: FakeHub, tmp_path: Path) -> None:
    """404 for one file."""
    with pytest.raises(ModelError, match=r"config\.json is listed, but not there"):
        fetch(client(server.base), HubFile("config.json", 5, "ab" * 32), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("token", "message"), [("", "asks for a token"), ("wrong", "refuses the token")])
def test_a_private_model_asks_for_the_token(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, message: str
) -> None:
    """401 without and with a token are two different faults."""
    server.token = TOKEN
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", token)
    error = failing(client(server.base), tmp_path)
    assert message in str(error)


def test_the_token_opens_and_stays_with_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirected to another host for the weights: neither header goes there."""
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    files = {"pytorch_model.pt": WEIGHTS}
    with running(FakeHub(files)) as store, running(FakeHub(files, token=TOKEN)) as hub:
        hub.store_base = store.base.replace("127.0.0.1", "localhost")
        pull(client(hub.base), tmp_path)
    assert (tmp_path / "pytorch_model.pt").read_bytes() == WEIGHTS
    assert all(x["Authorization"] == f"Bearer {TOKEN}" for _, x in hub.asked)
    assert len(store.asked) == 1
    assert TOKEN not in str(store.asked)


def test_a_redirect_is_resumed_too(tmp_path: Path) -> None:
    """The Range goes along to the other host."""
    files = {"pytorch_model.pt": WEIGHTS}
    with running(FakeHub(files)) as store, running(FakeHub(files, store_base=store.base)) as hub:
        store.cut_at = [10 << 14]
        pull(client(hub.base), tmp_path)
    assert store.ranges() == ["", f"bytes={10 << 14}-"]
    assert (tmp_path / "pytorch_model.pt").read_bytes() == WEIGHTS


def test_redirects_in_a_circle_end(server: FakeHub, tmp_path: Path) -> None:
    """Bounded, and told."""
    server.location = f"/api/v1/models/{MODEL}/repo?Revision={REVISION}&FilePath=pytorch_model.pt"
    assert "round in circles" in str(failing(client(server.base), tmp_path))


def test_the_token_does_not_travel_unencrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An http address that is not this machine: refused before anything is sent."""
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    with pytest.raises(ConfigError, match="unencrypted"):
        client("http://hub.example")


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "日本"])
def test_a_token_that_no_header_takes(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """A bad copy from a web page is one error, and is not repeated in it."""
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", token)
    with pytest.raises(ConfigError) as caught:
        client("https://hub.example")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "size", "sha256"),
    [
        ("../../etc/cron.d/x.pt", 9, "ab" * 32),
        ("/etc/x.pt", 9, "ab" * 32),
        ("a\\..\\x.pt", 9, "ab" * 32),
        ("a\nb.pt", 9, "ab" * 32),
        ("", 9, "ab" * 32),
        ("x.pt", -1, "ab" * 32),
        ("x.pt", FILE_BYTES_MAX + 1, "ab" * 32),
        ("x.pt", "9", "ab" * 32),
        ("x.pt", 1.5, "ab" * 32),
        ("x.pt", True, "ab" * 32),
        ("x.pt", None, "ab" * 32),
        ("x.pt", 9, "zz" * 32),
        ("x.pt", 9, "ab"),
    ],
)
def test_a_listing_with_an_absurd_entry_is_refused_whole(
    server: FakeHub, tmp_path: Path, path: str, size: object, sha256: str
) -> None:
    """Paths that lead out, sizes and digests that are none: nothing is downloaded at all."""
    server.listing["README.md"] = {"Path": path, "Size": size, "Sha256": sha256}
    assert isinstance(failing(client(server.base), tmp_path / "new"), ModelError)
    assert not (tmp_path / "new").exists()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please log in</html>",
        b'{"Code":200,"Data":{"Files":[{"Path":"pytor',
        b"",
        b"[]",
        b'{"Data":null}',
        b'{"Code":200,"Data":{"Files":{}},"Success":true}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_listing_that_is_none(server: FakeHub, tmp_path: Path, body: bytes) -> None:
    """A login page, half of an answer, other JSON: told as what it is."""
    server.raw_listing = body
    error = failing(client(server.base), tmp_path)
    assert "not a hub's answer (text/html)" in str(error)
    assert "login page" in error.hint


def test_a_listing_without_end_is_cut_off(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr("bin_daemon.model.hub.client.LISTING_BYTES_MAX", 1000)
    server.raw_listing = b" " * 2_000_000
    assert "larger than" in str(failing(client(server.base), tmp_path))


def test_a_hub_that_says_no_with_status_200(server: FakeHub, tmp_path: Path) -> None:
    """Its own words are told."""
    server.raw_listing = json.dumps({"Code": 500, "Success": False, "Message": "under repair"}).encode()
    assert "under repair" in str(failing(client(server.base), tmp_path))


def test_a_hub_that_stays_broken(server: FakeHub, tmp_path: Path) -> None:
    """503 again and again: six tries, then one error that says to come again."""
    server.statuses = [503] * 20
    error = failing(client(server.base), tmp_path)
    assert isinstance(error, UnreachableError)
    assert "503" in str(error)
    assert len(server.asked) == 7


def test_nobody_listens(tmp_path: Path) -> None:
    """Refused: where, and how a bin without a network gets its model."""
    port = free_port()
    error = failing(client(f"http://127.0.0.1:{port}"), tmp_path)
    assert isinstance(error, UnreachableError)
    assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error)
    assert "--download-only" in error.hint


def test_no_dns(tmp_path: Path) -> None:
    """A name that no resolver knows (RFC 6761 keeps .invalid so)."""
    error = failing(client("https://hub.invalid"), tmp_path)
    assert "hub.invalid: no such name, or no DNS here" in str(error)


@pytest.mark.parametrize("endpoint", ["ftp://hub", "hub.example", "", "https://", "file:///etc"])
def test_an_address_that_is_none(endpoint: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ModelError, match="no address of a hub"):
        client(endpoint)


@pytest.mark.parametrize("model", ["", "one", "a/b/c", "../x", "a/..", "a/b?x=1", "a b/c"])
def test_a_model_id_that_is_none(model: str) -> None:
    """It goes into an address and a folder's name."""
    with pytest.raises(ModelError, match="is no model of a hub"):
        client("https://hub.example", model=model)


@pytest.mark.parametrize("revision", ["", "..", "a/../b", "-x", "a b", "v1\n"])
def test_a_revision_that_is_none(revision: str) -> None:
    """As above."""
    with pytest.raises(ModelError, match="is no revision"):
        client("https://hub.example", revision=revision)


def test_the_disk_is_looked_at_first(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room for download and bundle: told with the numbers before a byte of weights comes."""
    usage = type("Usage", (), {"free": 256 * 2**20 + 2 * len(WEIGHTS)})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    pull(client(server.base), tmp_path / "fits", copies=0)
    server.asked.clear()
    with pytest.raises(ModelError, match=r"MB are free, .* MB are needed") as caught:
        pull(client(server.base), tmp_path / "new", copies=2)
    assert "model remove" in caught.value.hint
    assert server.ranges() == []


def test_a_disk_that_fills_up_is_given_back(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while writing: one error, and the part goes, for the daemon's journal lies on the same disk."""
    real = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        stream = real(path, mode, *rest, **more)
        if path.name.endswith(".part") and "w" in mode:
            written = stream.write

            def write(chunk: bytes) -> int:
                if stream.tell() > 100_000:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return int(written(chunk))

            return _Disk(stream, write)
        return stream

    monkeypatch.setattr(Path, "open", full)
    error = failing(client(server.base), tmp_path)
    assert "No space left on device" in str(error)
    assert isinstance(error, ModelError)
    assert not list(tmp_path.glob("*.part"))


class _Disk:
    """A file whose writes are someone else's."""

    def __init__(self, stream: Any, write: Callable[[bytes], int]) -> None:
        self._stream, self.write = stream, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def test_a_real_limit_of_the_kernel(server: FakeHub, tmp_path: Path) -> None:
    """RLIMIT_FSIZE in a process of its own: the kernel refuses to let the file grow; same error, nothing left."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom bin_daemon.model.hub import Hub, pull\n"
        "from bin_daemon.errors import ModelError\n"
        f"try:\n    pull(Hub({MODEL!r}, {REVISION!r}, {server.base!r}, backoff_s=0), Path(sys.argv[1]))\n"
        "except ModelError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert "File too large" in done.stdout
    assert not list(tmp_path.glob("*.pt*"))


def test_a_folder_that_cannot_be_made(server: FakeHub, tmp_path: Path) -> None:
    """A file in the way: one error with its path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file/new"):
        pull(client(server.base), tmp_path / "file" / "new")


def test_two_pulls_of_one_model(server: FakeHub, tmp_path: Path) -> None:
    """The second is told to wait, and disturbs nothing."""
    seen: list[str] = []

    def during(*_: object) -> None:
        if not seen:
            seen.append("once")
            with pytest.raises(UnreachableError, match="another bin-daemon model command"):
                pull(client(server.base), tmp_path)

    pull(client(server.base), tmp_path, during)
    assert seen


@contextmanager
def proxy(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A forward proxy for plain http; what it was asked for. ``status`` other than 200: it refuses."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

        def do_GET(self) -> None:
            """Ask the server that the absolute address names."""
            asked.append(self.path)
            if status != 200:
                self.send_error(status)
                return
            url = urlsplit(self.path)
            with socket.create_connection((url.hostname, url.port or 80)) as onward:
                wanted = f"{url.path}?{url.query}" if url.query else url.path
                lines = [f"GET {wanted} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers.items() if k != "Connection")]
                lines.append("Connection: close")
                onward.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
                onward.settimeout(5)
                while chunk := onward.recv(1 << 16):
                    self.wfile.write(chunk)
            self.close_connection = True

        def do_CONNECT(self) -> None:
            """Tunnels are refused."""
            asked.append(self.path)
            self.send_error(status if status != 200 else 403)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_proxy_is_used(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY from the environment: every request goes through it."""
    with proxy() as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        pull(client(server.base), tmp_path)
    assert (tmp_path / "pytorch_model.pt").read_bytes() == WEIGHTS
    assert len(asked) == 3
    assert all(x.startswith(f"{server.base}/api/v1/models/{MODEL}/repo") for x in asked)


def test_a_proxy_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """407 for the tunnel: the proxy is named as the cause, and the variable to look at."""
    with proxy(407) as (address, asked):
        monkeypatch.setenv("https_proxy", address)
        error = failing(client("https://hub.example"), tmp_path)
    assert "the proxy on the way to hub.example failed" in str(error)
    assert "407" in str(error)
    assert "https_proxy" in error.hint
    assert asked


def test_a_proxy_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong HTTPS_PROXY is told as such, without the password that may stand in it."""
    monkeypatch.setenv("https_proxy", f"http://user:hidden@127.0.0.1:{free_port()}")
    error = failing(client("https://hub.example"), tmp_path)
    assert "the proxy" in str(error)
    assert "hidden" not in str(error) + error.hint


def test_tls_that_fails(server: FakeHub, tmp_path: Path) -> None:
    """Something else than TLS answers at the https port: told as such, with the clock and the company's authority as causes."""
    error = failing(client(server.base.replace("http:", "https:")), tmp_path)
    assert "TLS failed" in str(error)
    assert "clock" in error.hint


@pytest.mark.parametrize(
    ("location", "followed"),
    [("http://other.example/x", False), ("//other.example/x", True), ("https://other.example/x", True), ("/x", True)],
)
def test_encryption_is_never_left(location: str, *, followed: bool) -> None:
    """A redirect from https to http is an attack or a mistake."""
    answer = requests.Response()
    answer.url, answer.status_code = "https://hub.example/api?sign=secret", 302
    answer.headers["location"] = location
    session = HubSession(patience(0))
    if followed:
        assert session.get_redirect_target(answer) == location
        return
    with pytest.raises(ModelError, match=r"hub\.example sends us on to other\.example without encryption") as caught:
        session.get_redirect_target(answer)
    assert "secret" not in str(caught.value)


def test_a_servers_wish_to_wait_is_bounded() -> None:
    """Retry-After: 5 is obeyed, a day is not."""
    for told, wanted in (("5", 5), ("86400", 60)):
        assert patience(0).get_retry_after(urllib3.HTTPResponse(headers={"Retry-After": told}, status=429)) == wanted
