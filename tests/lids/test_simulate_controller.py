"""`bin-daemon simulate-controller` seen by a stranger: bytes made by hand from the protocol's page, none of our own classes."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import pytest

SESSION = 0x1234
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


def frame(kind: int, payload: bytes, *, session: int = SESSION, seq: int = 0, retransmit: bool = False) -> bytes:
    """One frame on the wire, delimiter included."""
    body = struct.pack("<BBHH", kind, 0x10 | retransmit, session, seq) + payload
    return stuff(body + crc(body)) + b"\x00"


class Stranger:
    """A program that opens the port with plain system calls."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.left = b""
        self.heard: list[tuple[int, int, int, bytes]] = []

    def close(self) -> None:
        """Close the port."""
        os.close(self.fd)

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
                self.send(frame(0x03, struct.pack("<IH", 0, 0)))
                ping += 0.4
            if select.select([self.fd], [], [], 0.05)[0]:
                self._take(os.read(self.fd, 4096))
        raise AssertionError(f"no frame of type {kind:#x}; heard {self.heard}")

    def _take(self, data: bytes) -> None:
        *whole, self.left = (self.left + data).split(b"\x00")
        for wire in filter(None, whole):
            body = unstuff(wire)
            assert crc(body[:-2]) == body[-2:]
            kind, version, session, seq = struct.unpack_from("<BBHH", body)
            assert version >> 4 == 1
            self.heard.append((kind, session, seq, body[6:-2]))

    def hello(self, session: int = SESSION) -> bytes:
        """Shake hands; the HELLO_ACK's payload."""
        self.send(b"\x00" + frame(0x01, struct.pack("<BBH", 1, 0, 500), session=session))
        got_session, _, payload = self.wait_for(0x81)
        assert got_session == session
        return payload


def open_lid(seq: int, lid: int, action_id: int, hold_ms: int = 300) -> bytes:
    """The OPEN command's frame; ``lid`` counts from 0."""
    return frame(0x02, struct.pack("<BBIHH", 10, lid, action_id, hold_ms, 1500), seq=seq)


class Simulator:
    """The running command and what it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process, self._out = process, process.stdout
        self.port = self.line()["port"]

    def line(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """The next object that it prints."""
        assert select.select([self._out], [], [], timeout_s)[0], "printed nothing"
        got: dict[str, Any] = json.loads(self._out.readline())
        return got


def start(*arguments: str) -> subprocess.Popen[str]:
    """Run the command as a process of its own."""
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True, bufsize=1)


def finish(process: subprocess.Popen[str], with_signal: signal.Signals) -> int:
    """Signal it and wait; its exit status."""
    out: IO[str] | None = process.stdout
    process.send_signal(with_signal)
    try:
        return process.wait(5)
    finally:
        process.kill()
        process.wait()
        if out:
            out.close()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """`simulate-controller --json` with fast lids, ended by SIGTERM."""
    process = start("--json", "--travel-ms", "100")
    try:
        yield Simulator(process)
    finally:
        assert finish(process, signal.SIGTERM) == 0


def test_hello_is_answered_with_26_bytes(simulator: Simulator) -> None:
    """Handshake by hand: the answer has the documented length, major 1 and four lids."""
    stranger = Stranger(simulator.port)
    ack = stranger.hello()
    stranger.close()
    assert len(ack) == 26
    assert ack[0] == 1
    assert ack[20] == 4


def test_one_open_is_one_cycle_of_motions(simulator: Simulator) -> None:
    """OPEN lid 2 of the wire moves lid 3 of the bin once: opening, open, closing, closed, and events say so."""
    stranger = Stranger(simulator.port)
    stranger.hello()
    stranger.send(open_lid(1, 2, 77))
    assert stranger.wait_for(0x82)[2] == struct.pack("<BH", 0, 0)
    opened = stranger.wait_for(0x83, 3.0)[2]
    assert struct.unpack("<HBBIH", opened)[1:4] == (1, 2, 77)
    motions = [simulator.line() for _ in range(3)]
    stranger.wait_for(0x83, 3.0)
    motions.append(simulator.line())
    stranger.close()
    assert [m["motion"] for m in motions] == ["opening", "open", "closing", "closed"]
    assert {(m["lid"], m["action_id"]) for m in motions} == {(3, 77)}
    times = [m["t_s"] for m in motions]
    assert times == sorted(times)


def test_the_port_can_be_closed_and_opened_again(simulator: Simulator) -> None:
    """A second program gets the same clean line, and the same action id does not open again."""
    first = Stranger(simulator.port)
    first.hello()
    first.send(open_lid(1, 0, 5))
    assert first.wait_for(0x82)[2][0] == 0
    while simulator.line()["motion"] != "closed":
        pass
    first.close()
    second = Stranger(simulator.port)
    ack = second.hello(session=0x4321)
    assert struct.unpack_from("<I", ack, 22)[0] == 5
    second.send(frame(0x02, struct.pack("<BBIHH", 10, 0, 5, 300, 1500), session=0x4321, seq=1))
    assert second.wait_for(0x82)[2][0] == 1
    second.close()


def test_noise_before_a_frame_does_no_harm(simulator: Simulator) -> None:
    """Random bytes, an endless frame and a wrong CRC are dropped; the next good frame is heard."""
    stranger = Stranger(simulator.port)
    stranger.send(bytes(range(1, 256)) * 8)
    stranger.hello()
    good = bytearray(open_lid(1, 1, 9))
    good[4] ^= 0x40
    stranger.send(bytes(good))
    stranger.send(open_lid(1, 1, 10))
    assert stranger.wait_for(0x82)[2][0] == 0
    assert simulator.line()["action_id"] == 10
    stranger.close()


def test_sigint_ends_it_without_a_word() -> None:
    """Ctrl-C is a normal end: exit 0 and nothing on stderr."""
    process = start("--json")
    Simulator(process)
    assert finish(process, signal.SIGINT) == 0
