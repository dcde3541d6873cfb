"""A bench board at a serial port, in real time. Its lids move: nothing and nobody may be at them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import serial

from bin_daemon.lids.waking import wait_until_awake
from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.messages import Frame, ResetCause
from tests.firmware_protocol.bodies.body import ALL_NEEDS, Inputs, Pulse, Seen

REBOOT_SESSION = 0xFEED
HELLO_S = 0.25
HELLOS = 60
BOOT_S = 12.0
"""A board whose bootloader waits for a programmer takes a while."""


def _rests(told: m.Message) -> bool:
    """Telemetry says that every lid is shut and without a signal."""
    assert isinstance(told, m.Telemetry)
    return all(x.state in (m.LidPhase.CLOSED, m.LidPhase.ABSENT) and x.pos_us is None for x in told.slots)


class PortBody:
    """Only what a host can see: bytes, and the pulses that telemetry tells (so not finer than its period)."""

    name = "port"
    can = ALL_NEEDS & frozenset[str]()
    answer_ms = 200
    """USB, its driver and this machine may take their time; a host of the bin would ask again after 60 ms."""
    boot_ms = 100

    def __init__(self, port: str) -> None:
        self.seen = Seen()
        self.used_actions = secrets.randbelow(2**16) << 15
        """The board remembers ids over a REBOOT: each test takes others."""
        self._port = serial.serial_for_url(port, 115200, timeout=0.05, write_timeout=2, exclusive=True)
        wait_until_awake(self._port, port)  # a HELLO too early would hold an Arduino in its bootloader
        self._port.timeout = 0
        self._t_ms = 0.0
        self._decoder = Decoder()
        self._pulses: dict[int, float | None] = {}

    def reset(self, cause: ResetCause) -> None:  # all that can be asked for
        """REBOOT, until the board answers again. All its lids are then shut by itself."""
        self._port.reset_input_buffer()
        for _ in range(HELLOS):  # opening the port may have reset it just now
            self._send(m.Hello(m.PROTO_MAJOR, 0, 0), 0)
            if self._hears(m.HelloAck, HELLO_S):
                break
        self._send(m.Reboot(), 1)
        assert self._hears(m.Boot, BOOT_S), f"no board at {self._port.name} said BOOT within {BOOT_S:g} s of a REBOOT"
        for _ in range(HELLOS):
            self._send(m.Hello(m.PROTO_MAJOR, 0, 100), 0)
            if self._hears(m.Telemetry, HELLO_S, _rests):
                return
        raise AssertionError(f"the lids at {self._port.name} do not come to rest on their closed switches")

    def _send(self, message: m.Message, seq: int) -> None:
        self._port.write(b"\x00" + encode(Frame(REBOOT_SESSION, seq, message).to_body()))

    def _hears(
        self, kind: type[m.Message], timeout_s: float, fits: Callable[[m.Message], bool] = lambda _: True
    ) -> bool:
        decoder, end_t_s = Decoder(), time.monotonic() + timeout_s
        while time.monotonic() < end_t_s:
            for body in decoder.feed(self._port.read(4096)):
                message = Frame.from_body(body).message
                if isinstance(message, kind) and fits(message):
                    return True
            time.sleep(0.002)
        return False

    def step(self, ms: float, rx: bytes = b"") -> bytes:
        """At least as long as it says."""
        if rx:
            self._port.write(rx)
        self._t_ms += ms
        time.sleep(ms / 1000)
        tx: bytes = self._port.read(4096)
        for body in self._decoder.feed(tx):
            message = Frame.from_body(body).message
            if isinstance(message, m.Telemetry):
                self._note(message)
        return tx

    def _note(self, told: m.Telemetry) -> None:
        for lid, slot in enumerate(told.slots):
            if self._pulses.get(lid) != slot.pos_us:
                self._pulses[lid] = slot.pos_us
                self.seen.pulses.append(Pulse(self._t_ms, lid, slot.pos_us))

    def set_inputs(self, inputs: Inputs) -> None:
        """It has its own."""

    def pulse_us(self, lid: int) -> float | None:
        """As telemetry told last."""
        return self._pulses.get(lid)

    def damage_calibration(self, cal: m.Calibration) -> None:
        """Never on a board that somebody owns."""
        raise AssertionError("not on a bench board")

    def spoil_memory(self) -> None:
        """Never on a board that somebody owns."""
        raise AssertionError("not on a bench board")

    def close(self) -> None:
        """The dead-man shuts what is open."""
        self._port.close()
