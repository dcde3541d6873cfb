"""Slow steps of a servo that is watched from here: what strains, what a stall means, how to go on after one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.technician.calibrate_state import ENDED_SILENTLY
from firmware_protocol import limits as lim

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.calibrate import LidCalibration

EVENT_S = 0.5
"""An event that got lost is repeated by then."""
STRAIN = 2.5
"""A servo that draws this many times its running current is held back."""
STRAIN_MIN_MA = 150
STRAIN_UNKNOWN_MA = 900
"""Taken for straining before the running current is known, as by the firmware's default jam limit."""


class Steps:
    """Moves of one lid in calibration. ``tell`` gets sentences for the person; what must end the search is a `DeviceError`."""

    def __init__(self, cal: LidCalibration, tell: Callable[[str], None]) -> None:
        self.cal = cal
        self.tell = tell
        self.running_ma: int | None = None
        """Highest current of an unhindered way, once it is known."""

    @property
    def switches(self) -> int:
        """`Limits` bits; 0 also where there are none."""
        return self.cal.reading.limits or 0

    @property
    def strains(self) -> bool:
        """Whether the servo is held back now."""
        current_ma = self.cal.reading.current_ma
        if current_ma is None:
            return False
        if self.running_ma is None:
            return current_ma > (self.cal.stored.jam_ma or STRAIN_UNKNOWN_MA)
        return current_ma > max(STRAIN_MIN_MA, STRAIN * self.running_ma)

    def to(self, pulse_us: int, *, may_stall: bool = False) -> bool:
        """Go there and wait for the servo; False where the controller's range ends or, if that is allowed, it stalled."""
        cal = self.cal
        cal.touch()
        said = cal.jog(pulse_us)
        if said and cal.active and cal.target_us not in (lim.PULSE_MIN_US, lim.PULSE_MAX_US):
            raise DeviceError(said, hint="mend that, then start again")
        cal.arrive()
        if not cal.active:
            self.only_a_stall(f"at {cal.place_us} us")
            if not may_stall:
                raise self.held_up()
        return not said and cal.active

    def step(self, by_us: int, *, may_stall: bool = False) -> bool:
        """The same, from the last order, in pulses."""
        return self.to(self.cal.target_us + by_us, may_stall=may_stall)

    def begin_again(self) -> None:
        """After a stall: wait until the controller has shut the lid, and enter calibration where it stands."""
        found = self.cal.wait_for_rest(lambda x: self.tell(x.text))
        if found:
            raise DeviceError(found.text, hint=found.hint)
        self.cal.begin()

    def only_a_stall(self, where: str) -> None:
        """Any other end of calibration is the end of the search, also one whose cause got lost on the line."""
        if self.cal.ending is ENDED_SILENTLY:
            self.cal.run(EVENT_S)
        ending = self.cal.ending
        if ending and ending.code != "stall":
            raise DeviceError(f"{where}: {ending.text}", hint=ending.hint)

    def held_up(self) -> DeviceError:
        """A stall where no end should be."""
        return DeviceError(
            f"the servo is held up at {self.cal.place_us} us and no switch says that this is an end",
            hint="look what is in the way or blocks the hinge, and whether the switch is reached; then start again",
        )
