"""A body in a process of its own, see c/lockstep.h."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import tempfile
from typing import IO

from firmware_protocol import messages as m
from firmware_protocol.messages import ResetCause
from tests.firmware_protocol.bodies.body import STUCK_US, Fitting, Inputs, LidInputs, Pulse, Seen

RECORD = struct.Struct("<BQH")
LIDS = 16
STUCK = 0x7FFFFFFF
SIXTEENTHS = 16
NOWHERE = LidInputs(None, None, None)


class LockstepBody:
    """Starts the process and speaks to it. ``name`` and ``can`` are given by those who know what runs in it."""

    name = ""
    can: frozenset[str] = frozenset()
    answer_ms = 0
    boot_ms = 10
    used_actions = 0

    def __init__(self, command: list[str], fitting: Fitting) -> None:
        self.seen = Seen()
        self.noise = 1
        """Seed of what a power-on leaves in the RAM."""
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process lives
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, bufsize=-1
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        self._pulses: dict[int, float | None] = {}
        self._put("C", struct.pack("<BII", fitting.lids, int(fitting.caps), fitting.now_ms))
        self.set_inputs(Inputs())

    def _put(self, op: str, payload: bytes) -> None:
        try:
            self._to.write(op.encode() + struct.pack("<I", len(payload)) + payload)
        except OSError:
            self._fail()

    def reset(self, cause: ResetCause) -> None:
        """All servo signals stop at once; what the controller says first comes with the next step."""
        self._put("R", struct.pack("<BI", cause, self.noise))
        self.noise += 2

    def set_inputs(self, inputs: Inputs) -> None:
        """All sensors at once."""
        packed = struct.pack(
            "<HBHHbB",
            inputs.pinch or 0,
            inputs.pinch is not None,
            _u16(inputs.vin_mv),
            _u16(inputs.vservo_mv),
            -128 if inputs.temp_c is None else inputs.temp_c,
            inputs.stop,
        )
        for lid in [*inputs.lids, *[NOWHERE] * (LIDS - len(inputs.lids))]:
            limits = 0xFF if lid.limits is None else lid.limits
            packed += struct.pack("<BHH", limits, _u16(lid.current_ma), _u16(lid.fill_mm))
        self._put("I", packed)

    def step(self, ms: float, rx: bytes = b"") -> bytes:
        """One request and its answer."""
        self._put("S", struct.pack("<I", round(ms * 1000)) + rx)
        try:
            self._to.flush()
        except OSError:
            self._fail()
        head = self._from.read(4)
        if len(head) < 4:
            self._fail()
        (size,) = struct.unpack("<I", head)
        records = self._from.read(size)
        if len(records) < size:
            self._fail()
        return self._read(records)

    def _read(self, records: bytes) -> bytes:
        tx = b""
        at = 0
        while at < len(records):
            tag, t_us, size = RECORD.unpack_from(records, at)
            at += RECORD.size
            body = records[at : at + size]
            at += size
            if tag == ord("T"):
                tx += body
                self.told(body, t_us / 1000)
            else:
                self._note(chr(tag), t_us / 1000, body)
        return tx

    def told(self, data: bytes, t_ms: float) -> None:
        """Bytes that left at this time; for those who measure."""

    def _note(self, tag: str, t_ms: float, body: bytes) -> None:
        seen = self.seen
        if tag == "P":
            lid, sixteenths = struct.unpack("<BI", body)
            pulse = STUCK_US if sixteenths == STUCK else sixteenths / SIXTEENTHS or None
            self._pulses[lid] = pulse
            seen.pulses.append(Pulse(t_ms, lid, pulse))
        elif tag == "M":
            seen.motions.append(struct.unpack("<BBI", body))
        elif tag == "C":
            seen.saved.append(m.Calibration(*struct.unpack("<BHHBH", body)))
        elif tag == "L":
            seen.shown.append(struct.unpack("<BH", body))
        elif tag == "G":
            seen.lamps.append((t_ms, body[0]))
        elif tag == "B":
            seen.restarts.append(bool(body[0]))
        elif tag == "R":
            seen.resets.append((t_ms, body[0]))
        else:
            raise AssertionError(f"{self.name}: a record {tag!r}")

    def pulse_us(self, lid: int) -> float | None:
        """As last told."""
        return self._pulses.get(lid)

    def damage_calibration(self, cal: m.Calibration) -> None:
        """As if stored."""
        body = struct.pack("<HHBH", cal.open_us, cal.closed_us, cal.speed_us_per_20ms, cal.jam_ma)
        self._put("E", struct.pack("<H", cal.lid) + body)

    def spoil_memory(self) -> None:
        """Noise where it was."""
        self._put("N", struct.pack("<I", self.noise))

    def close(self) -> None:
        """End of input ends it; it must have had nothing to complain of."""
        self._to.close()
        status = self._process.wait(20)
        self._from.close()
        complaints = self._said()
        assert status == 0, f"{self.name} ended with {status}: {complaints}"
        assert not complaints, f"{self.name}: {complaints}"

    def _said(self) -> str:
        if self._complaints.closed:
            return ""
        self._complaints.seek(0)
        text = self._complaints.read().decode(errors="replace")
        self._complaints.close()
        return text

    def _fail(self) -> None:
        self._process.kill()
        self._process.wait(20)
        with contextlib.suppress(OSError):  # what could not be written any more
            self._to.close()
        self._from.close()
        raise AssertionError(f"{self.name} died: {self._said()}")


def _u16(value: int | None) -> int:
    return 0xFFFF if value is None else value
