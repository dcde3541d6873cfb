"""A bench board at a serial port, in real time. Its lids move: nothing and nobody may be at them."""

from __future__ import annotations

import time

import serial

from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.messages import Frame, ResetCause
from tests.firmware_protocol.bodies.body import ALL_NEEDS, Inputs, Pulse, Seen

REBOOT_SESSION = 0xFEED
BOOT_S = 12.0
"""A board whose bootloader waits for a programmer takes a while."""


class PortBody:
    """Only what a host can see: bytes, and the pulses that telemetry tells (so not finer than its period)."""

    name = "port"
    can = ALL_NEEDS & frozenset[str]()
    answer_ms = 60
    boot_ms = 100

    def __init__(self, port: str) -> None:
        self.seen = Seen()
        self._port = serial.serial_for_url(port, 115200, timeout=0, write_timeout=2)
        self._start_t_s = self._t_s = time.monotonic()
        self._decoder = Decoder()
        self._pulses: dict[int, float | None] = {}

    def reset(self, cause: ResetCause) -> None:  # all that can be asked for
        """REBOOT, until the board answers again. All its lids are then shut by itself."""
        self._port.reset_input_buffer()
        self._send(m.Hello(m.PROTO_MAJOR, 0, 0), 0)
        self._await(m.HelloAck, 2.0)
        self._send(m.Reboot(), 1)
        self._await(m.Result, 2.0)
        self._await(m.Boot, BOOT_S)
        self._t_s = time.monotonic()

    def _send(self, message: m.Message, seq: int) -> None:
        self._port.write(b"\x00" + encode(Frame(REBOOT_SESSION, seq, message).to_body()))

    def _await(self, kind: type[m.Message], timeout_s: float) -> None:
        decoder, end_t_s = Decoder(), time.monotonic() + timeout_s
        while time.monotonic() < end_t_s:
            for body in decoder.feed(self._port.read(4096)):
                if isinstance(Frame.from_body(body).message, kind):
                    return
            time.sleep(0.002)
        raise AssertionError(f"the board sent no {kind.__name__} within {timeout_s:g} s")

    def step(self, ms: float, rx: bytes = b"") -> bytes:
        """As long as it takes; a test that computed for long makes the next steps shorter."""
        if rx:
            self._port.write(rx)
        self._t_s = max(self._t_s + ms / 1000, time.monotonic() - 0.05)
        time.sleep(max(0.0, self._t_s - time.monotonic()))
        tx: bytes = self._port.read(4096)
        for body in self._decoder.feed(tx):
            message = Frame.from_body(body).message
            if isinstance(message, m.Telemetry):
                self._note(message)
        return tx

    def _note(self, told: m.Telemetry) -> None:
        t_ms = (time.monotonic() - self._start_t_s) * 1000
        for lid, slot in enumerate(told.slots):
            if self._pulses.get(lid) != slot.pos_us:
                self._pulses[lid] = slot.pos_us
                self.seen.pulses.append(Pulse(t_ms, lid, slot.pos_us))

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
