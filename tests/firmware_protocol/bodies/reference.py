"""The reference controller in Python as a body."""

from __future__ import annotations

from firmware_protocol import messages as m
from firmware_protocol.hal import LidMotion, Motion
from firmware_protocol.messages import ResetCause
from firmware_protocol.reference import ReferenceController
from tests.firmware_protocol.bodies.body import ALL_NEEDS, Fitting, Inputs, LidInputs, Pulse, Seen


class ReferenceBody:
    """`ReferenceController` on a board that is what the tests say; it is its own HAL."""

    name = "reference"
    can = ALL_NEEDS - {"pins", "hang"}
    answer_ms = 0
    boot_ms = 10
    used_actions = 0

    def __init__(self, fitting: Fitting | None = None) -> None:
        self.fitting = fitting or Fitting()
        self.seen = Seen()
        self.inputs = Inputs()
        self.t_ms = 0
        self._now_ms = self.fitting.now_ms
        self._pulses: dict[int, int | None] = {}
        self._cals: dict[int, m.Calibration] = {}
        self.controller: ReferenceController | None = None

    # ---- the body ---------------------------------------------------------------------------------------------------

    def reset(self, cause: ResetCause) -> None:
        """The first one builds it."""
        if self.controller:
            self.controller.reset(cause, self._now_ms)
        else:
            fitting = self.fitting
            self.controller = ReferenceController(
                self, now_ms=self._now_ms, lids=fitting.lids, cause=cause, caps=fitting.caps, on_motion=self._moved
            )

    def step(self, ms: float, rx: bytes = b"") -> bytes:
        """Whole milliseconds."""
        assert self.controller
        self.t_ms += round(ms)
        self._now_ms += round(ms)
        if rx:
            self.controller.receive(rx, self._now_ms)
        if ms:
            self.controller.tick(self._now_ms)
        return self.controller.take_output()

    def set_inputs(self, inputs: Inputs) -> None:
        """Kept as it is: later changes are seen, too."""
        self.inputs = inputs

    def pulse_us(self, lid: int) -> float | None:
        """As last set."""
        return self._pulses.get(lid)

    def damage_calibration(self, cal: m.Calibration) -> None:
        """As if stored."""
        self._cals[cal.lid] = cal

    def spoil_memory(self) -> None:
        """Other ids under the old CRC."""
        assert self.controller
        self.controller.survivor.actions = [98]

    def close(self) -> None:
        """Nothing to end."""

    def _moved(self, motion: LidMotion) -> None:
        self.seen.motions.append((motion.lid, list(Motion).index(motion.motion), motion.action_id))

    # ---- the HAL ----------------------------------------------------------------------------------------------------

    def set_pulse_us(self, lid: int, pulse_us: int | None) -> None:
        """Noted."""
        self._pulses[lid] = pulse_us
        self.seen.pulses.append(Pulse(self.t_ms, lid, pulse_us))

    def _lid(self, lid: int) -> LidInputs:
        return self.inputs.lids[lid]

    def limits(self, lid: int) -> int | None:
        """As set."""
        return self._lid(lid).limits

    def current_ma(self, lid: int) -> int | None:
        """As set."""
        return self._lid(lid).current_ma

    def fill_mm(self, lid: int) -> int | None:
        """As set."""
        return self._lid(lid).fill_mm

    def pinch(self) -> int | None:
        """As set."""
        return self.inputs.pinch

    def vin_mv(self) -> int | None:
        """As set."""
        return self.inputs.vin_mv

    def vservo_mv(self) -> int | None:
        """As set."""
        return self.inputs.vservo_mv

    def temp_c(self) -> int | None:
        """As set."""
        return self.inputs.temp_c

    def stop_pressed(self) -> bool:
        """As set."""
        return self.inputs.stop

    def indicate(self, pattern: int, duration_ms: int) -> None:
        """Noted."""
        self.seen.shown.append((pattern, duration_ms))

    def load_cal(self, lid: int) -> m.Calibration | None:
        """What `save_cal` or a fault left."""
        return self._cals.get(lid)

    def save_cal(self, cal: m.Calibration) -> None:
        """Noted and kept."""
        self._cals[cal.lid] = cal
        self.seen.saved.append(cal)

    def restart(self, bootloader: bool) -> None:  # noqa: FBT001  # as the Hal has it
        """Noted."""
        self.seen.restarts.append(bootloader)
