"""The control socket: one JSON line each way, bad clients harm nobody."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.errors import DeviceError, UnreachableError
from bin_daemon.service.control import CLIENT_S, ControlSocket, ask
from bin_daemon.service.worker import Worker

BOUND_S = 5.0


def echo(request: dict[str, Any]) -> dict[str, Any]:
    """Answer with what was asked."""
    return {"ok": True, "asked": request}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A served control socket."""
    path = tmp_path / "run" / "control.sock"
    worker = Worker("control", ControlSocket(path, echo).session)
    worker.start()
    assert served(path, worker)
    yield path
    worker.stop()
    assert worker.join(BOUND_S)
    assert not path.exists()


def served(path: Path, worker: Worker) -> bool:
    """Whether somebody listens; the file is there a moment earlier."""
    for _ in range(500):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, contextlib.suppress(OSError):
            client.connect(str(path))
            return True
        worker.join(0.02)
    return False


def raw(path: Path, data: bytes) -> bytes:
    """What the socket answers to these bytes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(BOUND_S)
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.recv(65536)


def test_question_and_answer(path: Path) -> None:
    """A request reaches the handler whole and its answer comes back."""
    assert ask(path, {"name": "status", "n": 1}) == {"ok": True, "asked": {"name": "status", "n": 1}}
    assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("data", [b"not json\n", b"[1,2]\n", b"\xff\xfe\n", b'"x"\n', b"{" * 3000 + b"\n"])
def test_wrong_input_is_answered(path: Path, data: bytes) -> None:
    """Whatever is no JSON object gets a clear answer, and the next client is served."""
    assert b"bad_json" in raw(path, data)
    assert ask(path, {"name": "x"})["ok"]


def test_oversized_and_silent_clients_are_survived(path: Path) -> None:
    """64 kB without a line end, and a client that leaves without a word, cost nothing."""
    with contextlib.suppress(OSError):  # the server may hang up in the middle of our flood
        raw(path, b"x" * 65536)
    assert raw(path, b"") == b""
    assert ask(path, {"name": "x"})["ok"]


def test_a_dripping_client_is_dropped(path: Path) -> None:
    """One byte now and then must not hold the one thread: the watchdog would take that for a hang."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dripping:
        dripping.connect(str(path))
        dripping.settimeout(CLIENT_S / 5)
        began_t_s = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            while time.monotonic() - began_t_s < 2 * CLIENT_S:
                dripping.sendall(b" ")
                with contextlib.suppress(TimeoutError):
                    assert dripping.recv(1) == b""
                    break
        assert time.monotonic() - began_t_s < 1.5 * CLIENT_S
    assert ask(path, {"name": "x"})["ok"]


def test_nobody_there(tmp_path: Path) -> None:
    """A missing daemon is one clear error with a hint."""
    with pytest.raises(UnreachableError, match="no daemon answers") as caught:
        ask(tmp_path / "none.sock", {"name": "status"})
    assert "systemctl" in caught.value.hint


def test_unbindable_path_is_a_device_error(tmp_path: Path) -> None:
    """A runtime directory that is a file is told, not crashed on."""
    (tmp_path / "run").write_text("")
    with pytest.raises(DeviceError, match="control socket"), ControlSocket(tmp_path / "run" / "s", echo).session():
        pass
