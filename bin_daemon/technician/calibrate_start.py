"""The first pulse of a calibration. Nobody knows where a servo stands before it has a signal: the lid may jerk or swing.

It begins at the pulse that last kept the lid shut. On a board that was never calibrated this may press the lid against its rim:
then further open, each time after the controller has let go and shut the lid; no other stall is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from firmware_protocol.messages import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.calibrate_steps import Steps

START_US = 100
STARTS = 8
"""Tries to find a first pulse at which the servo is at ease."""
SWING_S = 0.8
"""So long a lid may swing at its first pulse."""


def start(steps: Steps, confirm: Callable[[str], bool]) -> None:
    """Give the servo its signal, in a calibration that has begun. ``confirm`` puts a question. Raises `DeviceError`."""
    if not _ease_in(steps):
        _turn_round(steps, confirm)
        if not _ease_in(steps):
            raise DeviceError(
                "this lid stands open at both its pulses",
                hint="check which switch is which, and that the lid is on its servo",
            )


def _ease_in(steps: Steps) -> bool:
    """False when the lid stands open at the pulse that should keep it shut."""
    cal = steps.cal
    first_us = cal.start_us
    for attempt in range(STARTS):
        pulse_us = first_us + attempt * START_US * cal.opens_by
        steps.to(pulse_us, may_stall=True)
        cal.run(SWING_S)
        if cal.active and not steps.strains:
            steps.tell(f"Begins at {cal.target_us} us.")
            return True
        steps.only_a_stall("at the start")
        if steps.switches == Limits.OPEN:
            return False
        steps.tell(f"At {pulse_us} us the servo presses against something. Tries further open.")
        if not cal.active:
            steps.begin_again()
    raise DeviceError(
        f"no pulse near {first_us} us leaves the servo at ease",
        hint="look what holds the lid, or put the horn on its shaft one tooth further; then start again",
    )


def _turn_round(steps: Steps, confirm: Callable[[str], bool]) -> None:
    """Until the controller knows which way is open, it cannot shut the lid."""
    cal = steps.cal
    way = "shorter" if cal.opens_by > 0 else "longer"
    if not confirm(
        f"This servo is mounted the other way round: {way} pulses open it. Tell the controller, so that it can shut the lid?"
    ):
        raise DeviceError(
            "the controller opens this lid when it means to shut it", hint="say yes, or turn the servo round"
        )
    cal.turn_round()
    cal.store()
    steps.tell("Stored open and shut the other way round.")
    if not cal.active:
        steps.begin_again()
