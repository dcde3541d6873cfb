"""Find both ends of a lid in slow steps. An end is where its switch closes, and a little beyond; without switches, where the
servo begins to strain. Nothing else may strain: the first stall on the way ends the search, and a person has to look.
"""

from __future__ import annotations

from bin_daemon.errors import DeviceError
from bin_daemon.technician.calibrate_steps import Steps
from firmware_protocol import limits as lim
from firmware_protocol.messages import Limits

COARSE_US = 20
FINE_US = 5
BEYOND_US = 20
"""So far beyond the point where the switch closes: it must still close when the hinge is cold or the servo worn."""
BACK_US = 15
"""So far back from where the servo began to strain."""


class EndSearch:
    """One search, from where the servo stands at ease; sets open and shut of the calibration's draft."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._cal = steps.cal
        self.reasons: list[str] = []
        self.warnings: list[str] = []

    def run(self) -> None:
        """Find them. Raises `DeviceError` with what to look at."""
        reading = self._cal.reading
        if not reading.has_switches and reading.current_ma is None:
            raise DeviceError(
                "this board measures neither switches nor current: the ends cannot be found without eyes",
                hint=f"calibrate by hand: bin-daemon lid calibrate {self._cal.lid}",
            )
        if reading.has_switches:
            self._by_switches()
        else:
            self._by_strain()
        draft = self._cal.draft
        travel_us = abs(draft.open_us - draft.closed_us)
        if travel_us < lim.CAL_TRAVEL_MIN_US:
            raise DeviceError(
                f"open ({draft.open_us} us) and shut ({draft.closed_us} us) are only {travel_us} us apart",
                hint="look what holds the lid; check both switches",
            )

    # ---- by switches ------------------------------------------------------------------------------------------------

    def _by_switches(self) -> None:
        """First the end that is nearer to shut; which end is which, the switches say."""
        steps, up = self._steps, self._cal.opens_by
        if steps.switches == Limits.CLOSED | Limits.OPEN:
            raise DeviceError("both limit switches are closed at once", hint="check the switches and their wires")
        near = steps.switches or self._sweep(-up)
        self._settle(near, -up)
        far = self._sweep(up)
        if far == near:
            raise DeviceError(f"both ends close the {_end(far)} switch", hint="check the switches and their wires")
        self._settle(far, up)

    def _sweep(self, direction: int) -> int:
        """Slow steps until a switch closes that the lid did not stand on; that switch."""
        cal, steps = self._cal, self._steps
        steps.tell(f"Looks for the end at {'longer' if direction > 0 else 'shorter'} pulses, from {cal.target_us} us.")
        left = steps.switches
        while True:
            went_on = steps.step(direction * COARSE_US)
            left &= steps.switches
            if closed := steps.switches & ~left:
                return closed
            if steps.strains:
                raise steps.held_up()
            if not went_on:
                raise DeviceError(
                    f"no switch closes up to {cal.target_us} us",
                    hint="check the switches and their wires, or put the horn on its shaft in another place",
                )

    def _settle(self, switch: int, direction: int) -> None:
        """The pulse at which that switch closes, to `FINE_US`, and then a little beyond; marks that end."""
        cal, steps = self._cal, self._steps
        while steps.switches & switch and steps.step(-direction * FINE_US):
            pass
        while not steps.switches & switch:
            if not steps.step(direction * FINE_US) or steps.strains:
                raise steps.held_up()
        edge_us = cal.target_us
        self._go_beyond(edge_us, direction)
        here_us = cal.mark_open() if switch == Limits.OPEN else cal.mark_closed()
        self.reasons.append(
            f"{_end(switch)}: {here_us} us. Its switch closes at {edge_us} us; {abs(here_us - edge_us)} us more, so that "
            "it still does when the hinge is cold."
        )
        steps.tell(f"The {_end(switch)} switch closes at {edge_us} us.")

    def _go_beyond(self, edge_us: int, direction: int) -> None:
        """A little further, unless the servo strains there: then back to where the switch had just closed."""
        cal, steps = self._cal, self._steps
        while abs(cal.target_us - edge_us) < BEYOND_US and steps.step(direction * FINE_US, may_stall=True):
            if steps.strains:
                break
        else:
            if cal.active:
                return
        if not cal.active:
            steps.begin_again()
        steps.to(edge_us)

    # ---- by current -------------------------------------------------------------------------------------------------

    def _by_strain(self) -> None:
        """Which end is open is taken from the stored values: nothing here can tell."""
        cal = self._cal
        for name, direction, mark in (
            ("shut", -cal.opens_by, cal.mark_closed),
            ("open", cal.opens_by, cal.mark_open),
        ):
            end_us = self._strain_end(name, direction)
            mark()
            self.reasons.append(f"{name}: {end_us} us. The servo strains a little further on; there is no switch.")
        self.warnings.append("This board has no limit switches: look yourself whether open is open and shut is shut.")

    def _strain_end(self, name: str, direction: int) -> int:
        cal, steps = self._cal, self._steps
        steps.tell(f"Looks for the {name} end, from {cal.target_us} us.")
        while not steps.strains and cal.active:
            if not steps.step(direction * COARSE_US, may_stall=True) and cal.active:
                raise DeviceError(f"nothing holds the servo up to {cal.target_us} us", hint="is the lid on its servo?")
        end_us = cal.target_us - direction * (COARSE_US + BACK_US)
        if not cal.active:
            steps.begin_again()
        steps.to(end_us)
        return end_us


def _end(switch: int) -> str:
    return "open" if switch == Limits.OPEN else "shut"
