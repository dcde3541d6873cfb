"""A Maestro, its lids and our side of the line under one virtual clock: nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import serial

from bin_daemon.config.settings import CalibrationSettings
from bin_daemon.domain import LidCommand, LidPosition, LidReport
from bin_daemon.lids.ledger import Ledger
from bin_daemon.lids.maestro import MOVING_TURN_S, REST_TURN_S
from bin_daemon.lids.maestro_bytes import Dialect
from bin_daemon.lids.maestro_core import MaestroCore
from bin_daemon.lids.maestro_line import MaestroLine
from bin_daemon.lids.maestro_proof import prove
from bin_daemon.lids.maestro_servo import servo
from bin_daemon.lids.maestro_session import MaestroSession
from bin_daemon.sim.maestro import MaestroOptions, SimulatedMaestro
from bin_daemon.sim.world import LidMotion, World

CALIBRATION = CalibrationSettings(open_us=2000, closed_us=1000, speed_us_per_20ms=100)
COMPACT = Dialect()
BYTE_S = 0.0001
"""115200 baud."""
READ_TIMEOUT_S = 0.25
TICK_S = 0.02


class VirtualPort:
    """What `MaestroLine` needs of a serial.Serial. A read that comes up short costs its time-out."""

    def __init__(self, bench: MaestroBench) -> None:
        self._bench = bench
        self.bytes = bytearray()
        self.written = bytearray()
        self.plugged = True

    def write(self, data: bytes) -> int:
        """To the Maestro."""
        if not self.plugged:
            raise serial.SerialException("write failed: [Errno 5] Input/output error")
        self.written += data
        self._bench.now_s += BYTE_S * len(data)
        self._bench.device._exchange(bytes(data))
        return len(data)

    def read(self, size: int) -> bytes:
        """From it."""
        if not self.plugged:
            raise serial.SerialException("device disconnected")
        if len(self.bytes) < size:
            self._bench.let_pass(READ_TIMEOUT_S)
        self._bench.now_s += BYTE_S * size
        data = bytes(self.bytes[:size])
        del self.bytes[:size]
        return data

    def reset_input_buffer(self) -> None:
        """Forget."""
        self.bytes.clear()


class MaestroBench:
    """One Maestro with lids that follow in time."""

    def __init__(
        self, *, calibration: CalibrationSettings = CALIBRATION, dialect: Dialect = COMPACT, **options: Any
    ) -> None:
        self.now_s = 1000.0
        self.motions: list[LidMotion] = []
        world = World("virtual")
        world.listen(self.motions.append)
        self.options = MaestroOptions(**{"travel_ms": 100.0, **options})
        self.device = SimulatedMaestro(world, self.options, clock=lambda: self.now_s)
        self.port = VirtualPort(self)
        self.device._deliver = lambda data: self.port.bytes.extend(data or b"")
        self.ledger = Ledger()
        self.reports: list[LidReport] = []
        self.line = MaestroLine(cast("serial.Serial", self.port), "virtual", dialect)
        self.servos = [servo(n, n - 1, calibration) for n in range(1, self.options.lids + 1)]
        stop = self.options.stop_channel
        self._stop_channel = None if stop < 0 else stop
        self.core = MaestroCore(self.servos, self.ledger, frozenset({"unconfirmed"}))
        self._session: MaestroSession | None = None

    @property
    def session(self) -> MaestroSession:
        """After `prove`."""
        assert self._session
        return self._session

    def prove(self) -> MaestroBench:
        """As at every start."""
        prove(
            self.line,
            self.servos,
            self.options.timeout_ms / 1000 or 2.0,
            clock=lambda: self.now_s,
            wait=self.let_pass,
        )
        self._session = MaestroSession(self.line, self.core, self._stop_channel, clock=lambda: self.now_s)
        return self

    def let_pass(self, seconds: float) -> None:
        """Time without us: the host sleeps or is dead."""
        end = self.now_s + seconds
        while self.now_s < end:
            self.now_s = min(end, self.now_s + TICK_S)
            self.device._tick()

    def turn(self) -> bool:
        """One turn, and the wait that the worker makes before the next."""
        well = self.session.turn()
        self.ledger.expire(self.now_s)
        self.reports += self.ledger.take()
        self.let_pass(REST_TURN_S if self.core.at_rest else MOVING_TURN_S)
        return well

    def run(self, seconds: float) -> None:
        """Turn for so long."""
        end = self.now_s + seconds
        while self.now_s < end:
            self.turn()

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Turn until it holds."""
        end = self.now_s + seconds
        while not condition():
            assert self.now_s < end, "did not happen in time"
            self.turn()

    def open(self, lid: int, action_id: int, hold_ms: int = 1000, start_within_ms: int = 1500) -> None:
        """Ask for one opening."""
        command = LidCommand(lid, None, hold_ms, start_within_ms, action_id)
        self.ledger.begin(command, self.now_s)
        self.core.ask_open(command, self.now_s)
        self.turn()

    def report(self, action_id: int) -> LidReport:
        """The one report of that action."""
        self.until(lambda: any(x.action_id == action_id for x in self.reports))
        (found,) = [x for x in self.reports if x.action_id == action_id]
        return found

    def position(self, lid: int) -> LidPosition:
        """As the state says."""
        return self.core.state.lids[lid].position

    def opens(self) -> dict[int, int]:
        """How often each lid left its rim."""
        return dict(self.device.opens)
