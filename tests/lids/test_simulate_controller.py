"""`bin-daemon simulate-controller` seen by a stranger: bytes made by hand from the protocol's page, none of our own classes."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest

NONCES = itertools.count(0x1234)
"""Each program takes another session: the same one again would be the same conversation."""
SCRIPT = "from bin_daemon.cli.simulate import simulate_controller; import typer; typer.run(simulate_controller)"


def stuff(body: bytes) -> bytes:
    """COBS as its paper has it: each zero replaced by the distance to the next one."""
    out = bytearray()
    for block in body.split(b"\x00"):
        assert len(block) < 254
        out += bytes([len(block) + 1]) + block
    return bytes(out)


def unstuff(data: bytes) -> bytes:
    """The reverse, for blocks shorter than 254."""
    out, at = bytearray(), 0
    while at < len(data):
        length = data[at]
        out += data[at + 1 : at + length] + b"\x00"
        at += length
    return bytes(out[:-1])


def crc(data: bytes) -> bytes:
    """CRC-16/GENIBUS bit by bit, big endian."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ 0x1021 if value & 0x8000 else value << 1
            value &= 0xFFFF
    return (value ^ 0xFFFF).to_bytes(2, "big")


def frame(kind: int, payload: bytes, session: int, *, seq: int = 0) -> bytes:
    """One frame on the wire, delimiter included."""
    body = struct.pack("<BBHH", kind, 0x10, session, seq) + payload
    return stuff(body + crc(body)) + b"\x00"


class Stranger:
    """A program that opens the port with plain system calls."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.session = next(NONCES)
        self.left = b""
        self.heard: list[tuple[int, int, int, bytes]] = []

    def close(self) -> None:
        """Close the port; twice does no harm."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def send(self, data: bytes) -> None:
        """Write as it is."""
        os.write(self.fd, data)

    def wait_for(self, kind: int, timeout_s: float = 2.0) -> tuple[int, int, bytes]:
        """The next frame of that type: session, seq, payload. PINGs meanwhile, as a living host does."""
        end, ping = time.monotonic() + timeout_s, time.monotonic() + 0.4
        while time.monotonic() < end:
            for at, (got, session, seq, payload) in enumerate(self.heard):
                if got == kind:
                    del self.heard[at]
                    return session, seq, payload
            if time.monotonic() > ping:
                self.send(frame(0x03, struct.pack("<IH", 0, 0), self.session))
                ping += 0.4
            if select.select([self.fd], [], [], 0.05)[0]:
                self._take(os.read(self.fd, 4096))
        raise AssertionError(f"no frame of type {kind:#x}; heard {self.heard}")

    def wait_for_event(self, kind: int) -> tuple[int, int, int, int, int]:
        """The next event of that kind; events that nobody acknowledges come again and again."""
        while True:
            event: tuple[int, int, int, int, int] = struct.unpack("<HBBIH", self.wait_for(0x83, 3.0)[2])
            if event[1] == kind:
                return event

    def _take(self, data: bytes) -> None:
        *whole, self.left = (self.left + data).split(b"\x00")
        for wire in filter(None, whole):
            body = unstuff(wire)
            assert crc(body[:-2]) == body[-2:]
            kind, version, session, seq = struct.unpack_from("<BBHH", body)
            assert version >> 4 == 1
            self.heard.append((kind, session, seq, body[6:-2]))

    def hello(self) -> bytes:
        """Shake hands; the HELLO_ACK's payload."""
        self.send(b"\x00" + frame(0x01, struct.pack("<BBH", 1, 0, 500), self.session))
        session, _, payload = self.wait_for(0x81)
        assert session == self.session
        return payload

    def open_lid(self, seq: int, lid: int, action_id: int) -> bytes:
        """The OPEN command's frame; ``lid`` counts from 0."""
        return frame(0x02, struct.pack("<BBIHH", 10, lid, action_id, 300, 1500), self.session, seq=seq)


class Simulator:
    """The running command and what it printed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        self.process, self._out, self._printed = process, process.stdout.fileno(), b""
        self.port = self.line(60.0)["port"]

    def until(self, motion: str, action_id: int) -> list[dict[str, Any]]:
        """The motions of that action, up to this one."""
        got: list[dict[str, Any]] = []
        while not got or got[-1]["motion"] != motion:
            if (line := self.line())["action_id"] == action_id:
                got.append(line)
        return got

    def line(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """The next object that it prints."""
        while b"\n" not in self._printed:
            assert select.select([self._out], [], [], timeout_s)[0], "printed nothing"
            self._printed += os.read(self._out, 4096)
        text, self._printed = self._printed.split(b"\n", 1)
        got: dict[str, Any] = json.loads(text)
        return got


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Run the command as a process of its own."""
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> int:
    """Signal it and wait; its exit status."""
    out: IO[bytes] | None = process.stdout
    process.send_signal(with_signal)
    try:
        return process.wait(20)
    finally:
        process.kill()
        process.wait()
        if out:
            out.close()


@pytest.fixture(scope="module")
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two of them, started together: imports take longer than all the rest."""
    both = [start("--json", "--travel-ms", "100"), start("--json")]
    yield both
    assert [finish(process, signal.SIGTERM) for process in both] == [0, 0]


@pytest.fixture(scope="module")
def simulator(processes: list[subprocess.Popen[bytes]]) -> Simulator:
    """`simulate-controller --json` with fast lids, ended by SIGTERM after the last test."""
    return Simulator(processes[0])


Connect = Callable[[], Stranger]


@pytest.fixture
def connect(simulator: Simulator) -> Iterator[Connect]:
    """Opens the port; all that a test opened is closed at its end."""
    opened: list[Stranger] = []

    def begin() -> Stranger:
        opened.append(Stranger(simulator.port))
        return opened[-1]

    yield begin
    for stranger in opened:
        stranger.close()


def test_hello_is_answered_with_26_bytes(connect: Connect) -> None:
    """Handshake by hand: the answer has the documented length, major 1 and four lids."""
    stranger = connect()
    ack = stranger.hello()
    assert len(ack) == 26
    assert ack[0] == 1
    assert ack[20] == 4


def test_one_open_is_one_cycle_of_motions(simulator: Simulator, connect: Connect) -> None:
    """OPEN lid 2 of the wire moves lid 3 of the bin once: opening, open, closing, closed, and events say so."""
    stranger = connect()
    stranger.hello()
    stranger.send(stranger.open_lid(1, 2, 77))
    assert stranger.wait_for(0x82)[2] == struct.pack("<BH", 0, 0)
    assert stranger.wait_for_event(1)[2:4] == (2, 77)
    assert stranger.wait_for_event(2)[2:4] == (2, 77)
    motions = simulator.until("closed", 77)
    assert [m["motion"] for m in motions] == ["opening", "open", "closing", "closed"]
    assert {(m["lid"], m["action_id"]) for m in motions} == {(3, 77)}
    times = [m["t_s"] for m in motions]
    assert times == sorted(times)


def test_the_port_can_be_closed_and_opened_again(simulator: Simulator, connect: Connect) -> None:
    """A second program gets the same clean line, and the same action id does not open again."""
    first = connect()
    first.hello()
    first.send(first.open_lid(1, 0, 5))
    assert first.wait_for(0x82)[2][0] == 0
    simulator.until("closed", 5)
    first.close()
    second = connect()
    ack = second.hello()
    assert struct.unpack_from("<I", ack, 22)[0] == 5
    second.send(second.open_lid(1, 0, 5))
    assert second.wait_for(0x82)[2][0] == 1


def test_noise_before_a_frame_does_no_harm(simulator: Simulator, connect: Connect) -> None:
    """Random bytes, an endless frame and a wrong CRC are dropped; the next good frame is heard."""
    stranger = connect()
    stranger.send(bytes(range(1, 256)) * 8)
    stranger.hello()
    good = bytearray(stranger.open_lid(1, 1, 9))
    good[4] ^= 0x40
    stranger.send(bytes(good))
    stranger.send(stranger.open_lid(1, 1, 10))
    assert stranger.wait_for(0x82)[2][0] == 0
    assert simulator.until("opening", 10)[0]["lid"] == 2


def test_sigint_ends_it_without_a_word(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ctrl-C is a normal end: exit 0."""
    Simulator(processes[1])
    processes[1].send_signal(signal.SIGINT)
    assert processes[1].wait(20) == 0
