"""Downloads from the hub: whole, resumed, and never with a wrong byte under the file's name."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bin_daemon.errors import ModelError, UnreachableError
from bin_daemon.model.hub import Hub, HubFile, pull
from bin_daemon.model.hub.download import fetch, part_of
from tests.model.fake_hub import MODEL, REVISION, FakeHub, running

WEIGHTS = np.random.default_rng(5).bytes(1_000_003)
README = b"---\nlicense: Apache License 2.0\ntags:\n- vision\n---\n# A model\n"
FILES = {
    "pytorch_model.pt": WEIGHTS,
    "configuration.json": b'{"framework": "pytorch"}',
    "README.md": README,
    "classname.txt": "厨余垃圾-八宝粥\n".encode(),
    "resources/garbage.jpg": b"\xff\xd8" * 5000,
    "train.csv": b"image:FILE,category\n",
}
FILE = HubFile("pytorch_model.pt", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
HALF = 31 << 14
"""Bytes; whole pieces of what a client reads at once, for a broken connection takes the last one along."""


@pytest.fixture
def server() -> Iterator[FakeHub]:
    """The model's hub."""
    with running(FakeHub(dict(FILES))) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's network needs is no part of a test."""
    for name in [x for x in os.environ if x.lower().endswith("_proxy") or x.startswith("MODELSCOPE_")]:
        monkeypatch.delenv(name)


def client(server: FakeHub, revision: str = REVISION, model: str = MODEL, stall_s: float = 5.0) -> Hub:
    """As the command makes it, but without pauses."""
    return Hub(model, revision, server.base, stall_s=stall_s, backoff_s=0)


def parts(folder: Path) -> list[str]:
    """What is unfinished."""
    return [x.name for x in folder.glob("*.part")]


def test_only_what_an_import_needs_comes(server: FakeHub, tmp_path: Path) -> None:
    """Weights, configuration, class names and README; no pictures; source and licence for the bundle."""
    seen: dict[str, int] = {}
    pulled = pull(client(server), tmp_path / "new", lambda file, there: seen.update({file.path: there}))
    wanted = {"pytorch_model.pt", "configuration.json", "README.md", "classname.txt"}
    assert {x.name for x in (tmp_path / "new").iterdir()} == wanted
    assert all((tmp_path / "new" / x).read_bytes() == FILES[x] for x in wanted)
    assert seen == {x: len(FILES[x]) for x in wanted}
    assert pulled.weights == tmp_path / "new" / "pytorch_model.pt"
    assert pulled.licence == "Apache License 2.0"
    assert pulled.source == (
        f"{server.base}/models/{MODEL}, revision v1.0.2, sha256 {hashlib.sha256(WEIGHTS).hexdigest()}"
    )


def test_what_is_there_does_not_come_again(server: FakeHub, tmp_path: Path) -> None:
    """A second pull asks for the listing alone; a file that rotted meanwhile is fetched anew."""
    pull(client(server), tmp_path)
    server.asked.clear()
    pull(client(server), tmp_path)
    assert len(server.asked) == 1
    (tmp_path / "pytorch_model.pt").write_bytes(bytes(len(WEIGHTS)))
    pull(client(server), tmp_path)
    assert (tmp_path / "pytorch_model.pt").read_bytes() == WEIGHTS


def test_a_cut_connection_goes_on_at_that_byte(server: FakeHub, tmp_path: Path) -> None:
    """Cut three times in one call: each request begins where the last one ended, and no byte comes twice."""
    server.cut_at = [5 << 14, 6 << 14, HALF]
    assert fetch(client(server), FILE, tmp_path).read_bytes() == WEIGHTS
    assert server.ranges() == ["", f"bytes={5 << 14}-", f"bytes={6 << 14}-", f"bytes={HALF}-"]
    assert server.sent_bytes == len(WEIGHTS)


def test_a_body_cut_without_a_length_is_noticed(server: FakeHub, tmp_path: Path) -> None:
    """Where the server announces no length, the listing's size tells that the end came early."""
    server.announce_length = False
    server.cut_at = [HALF]
    assert fetch(client(server), FILE, tmp_path).read_bytes() == WEIGHTS
    assert server.ranges() == ["", f"bytes={HALF}-"]


def test_a_connection_that_stands_still_is_given_up_and_goes_on_later(server: FakeHub, tmp_path: Path) -> None:
    """Six tries without a byte: one error; what came stays under a name that says so; the next call goes on."""
    server.cut_at = [HALF] * 8
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:\d+: ") as caught:
        fetch(client(server), FILE, tmp_path)
    assert "goes on where it stopped" in caught.value.hint
    assert not (tmp_path / FILE.path).exists()
    assert [x.stat().st_size for x in tmp_path.iterdir()] == [HALF]
    assert parts(tmp_path) == [f"pytorch_model.pt.{FILE.sha256[:12]}.part"]
    server.cut_at.clear()
    server.asked.clear()
    assert fetch(client(server), FILE, tmp_path).read_bytes() == WEIGHTS
    assert server.ranges() == [f"bytes={HALF}-"]
    assert parts(tmp_path) == []


def test_silence_is_a_stall(server: FakeHub, tmp_path: Path) -> None:
    """No byte within the read timeout: another connection goes on."""
    server.stall_at = [HALF]
    assert fetch(client(server, stall_s=0.2), FILE, tmp_path).read_bytes() == WEIGHTS
    assert len(server.ranges()) == 2
    assert server.ranges()[1] != ""


def test_a_server_that_ignores_range_starts_again(server: FakeHub, tmp_path: Path) -> None:
    """The whole comes with status 200: the part is overwritten, not continued."""
    part_of(tmp_path / FILE.path, FILE).write_bytes(WEIGHTS[:HALF])
    server.ignore_range = True
    assert fetch(client(server), FILE, tmp_path).read_bytes() == WEIGHTS
    assert server.sent_bytes == len(WEIGHTS)


def test_a_server_that_answers_another_range_is_not_believed(server: FakeHub, tmp_path: Path) -> None:
    """206 from another byte on: begun again, without Range."""
    part_of(tmp_path / FILE.path, FILE).write_bytes(WEIGHTS[:HALF])
    server.wrong_range = True
    assert fetch(client(server), FILE, tmp_path).read_bytes() == WEIGHTS
    assert server.ranges() == [f"bytes={HALF}-", ""]


@pytest.mark.parametrize("content", [bytes(HALF), WEIGHTS + b"more", bytes(len(WEIGHTS))])
def test_a_spoilt_part_is_found_out(server: FakeHub, tmp_path: Path, content: bytes) -> None:
    """Zeros that a power cut left, a part too long, a part that only looks whole: fetched anew, once."""
    part_of(tmp_path / FILE.path, FILE).write_bytes(content)
    assert fetch(client(server), FILE, tmp_path).read_bytes() == WEIGHTS
    assert parts(tmp_path) == []


def test_another_content_never_continues_a_part(server: FakeHub, tmp_path: Path) -> None:
    """The hub's file changed between two calls: the old part does not mix with it."""
    server.cut_at = [HALF] * 8
    with pytest.raises(UnreachableError):
        fetch(client(server), FILE, tmp_path)
    server.cut_at.clear()
    server.asked.clear()
    server.files["pytorch_model.pt"] = WEIGHTS[::-1]
    changed = next(x for x in client(server).files() if x.path == FILE.path)
    assert fetch(client(server), changed, tmp_path).read_bytes() == WEIGHTS[::-1]
    assert server.ranges() == [""]


def test_a_wrong_digest_leaves_nothing(server: FakeHub, tmp_path: Path) -> None:
    """One error with the file and the listing's digest; neither file nor part stays."""
    server.listing["pytorch_model.pt"] = {"Sha256": "ab" * 32}
    with pytest.raises(ModelError, match=r"pytorch_model\.pt: sha256 is not what .* \(abab") as caught:
        pull(client(server), tmp_path)
    assert caught.value.hint
    assert not list(tmp_path.glob("pytorch_model.pt*"))


@pytest.mark.parametrize("size", [len(WEIGHTS) - 1, len(WEIGHTS) + 1])
@pytest.mark.parametrize("announced", [True, False])
def test_another_size_than_listed_is_refused(server: FakeHub, tmp_path: Path, size: int, *, announced: bool) -> None:
    """As a login page in between has it: told with both sizes, at once where the server announces it."""
    server.listing["pytorch_model.pt"] = {"Size": size}
    server.announce_length = announced
    taken: list[int] = []
    kind = UnreachableError if size > len(WEIGHTS) and not announced else ModelError  # or it only ended early
    with pytest.raises(kind) as caught:
        pull(client(server), tmp_path, lambda file, there: taken.append(there) if file.path == FILE.path else None)
    assert not (tmp_path / "pytorch_model.pt").exists()
    if kind is ModelError:
        assert f"says {size}" in str(caught.value)
        assert not parts(tmp_path)
    if announced:
        assert not taken


def test_an_empty_file_is_a_file(server: FakeHub, tmp_path: Path) -> None:
    """Nothing to receive is no reason to wait for it."""
    server.files["LICENSE"] = b""
    pull(client(server), tmp_path)
    assert (tmp_path / "LICENSE").read_bytes() == b""


def test_passing_faults_of_the_server_are_waited_out(server: FakeHub, tmp_path: Path) -> None:
    """502, 503 and 429 before the listing and before a file."""
    server.statuses = [502, 503, 200, 429, 500]
    pull(client(server), tmp_path)
    assert (tmp_path / "pytorch_model.pt").read_bytes() == WEIGHTS


def test_a_killed_download_goes_on(server: FakeHub, tmp_path: Path) -> None:
    """Kill -9 in the middle: no finished name; the next call takes what came and asks for the rest alone."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom bin_daemon.model.hub import Hub, pull\n"
        "def told(file, there):\n"
        f"    if file.path == 'pytorch_model.pt' and there >= {HALF}:\n"
        "        os.kill(os.getpid(), 9)\n"
        f"pull(Hub({MODEL!r}, {REVISION!r}, {server.base!r}, backoff_s=0), Path(sys.argv[1]), told)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "pytorch_model.pt").exists()
    (part,) = parts(tmp_path)
    came = (tmp_path / part).stat().st_size
    assert 0 < came < len(WEIGHTS)
    server.asked.clear()
    pull(client(server), tmp_path)
    assert server.ranges() == [f"bytes={came}-"]
    assert (tmp_path / "pytorch_model.pt").read_bytes() == WEIGHTS
