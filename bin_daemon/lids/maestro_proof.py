"""Before a Maestro may open anything it must prove its dead-man: left in silence, it shuts every lid.

Nothing on the serial line tells how a Maestro is set up (its settings belong to the Maestro Control Center), so the only way to
know is to let it happen, at every start: shut the lids, see that Go Home leaves them shut, take their pulses away, be silent,
and look whether the serial time-out has sent each channel to its closed pulse. "Ignore" and "Off" (4.b) leave a channel without
pulses, a time-out that is off (5.a) leaves the error register clear.

What cannot be seen from here: "Never sleep" (5.a). Without it a Maestro that has USB power alone stops when the USB is suspended,
as by a computer that crashed, and its time-out with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.lids.maestro_bytes import OFF, QUARTERS, SCRIPT_ERRORS, Errors, names
from bin_daemon.lids.maestro_core import SETTLE_S, TRAVEL_SLACK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bin_daemon.lids.maestro_line import MaestroLine
    from bin_daemon.lids.maestro_servo import Servo

SILENCE_SLACK_S = 0.2
"""Beyond the time-out: the host's sleep, the line, and the Maestro's own clock."""
LOOK_S = 0.02
"""One servo frame."""
SHORT_S = 0.3
"""A time-out that runs out by then would run out between two turns, again and again."""
CREEP = 1
"""Lowest speed, 25 us in a second: what a lid does in `HOME_S` nobody sees."""
HOME_S = 0.1
"""After Go Home: a channel that leaves its closed pulse has done so by then."""
CONTROL_CENTER = "in the Maestro Control Center, Channel Settings"


def prove(
    line: MaestroLine,
    servos: Sequence[Servo],
    timeout_s: float,
    *,
    clock: Callable[[], float],
    wait: Callable[[float], None],
) -> None:
    """Shut all lids and see the dead-man work; afterwards every channel sends its closed pulse. Takes ``timeout_s`` + 1 s, and
    the lids' travel where they stood open; ``wait`` lets so many seconds pass. Raises `DeviceError` that names the wrong setting.
    """
    line.forget_input()
    line.errors()  # an earlier host's, or of a command that our opening cut short
    if line.script_runs():
        raise DeviceError(
            f"{line.url}: a script runs on the Maestro and may move lids by itself",
            hint='in the Maestro Control Center, Script, untick "Run script on startup", then switch the Maestro off and on',
        )
    for servo in servos:
        line.set_speed(servo.channel, servo.speed)
        line.set_acceleration(servo.channel, 0)
        line.set_target(servo.channel, servo.closed_q)
    _check_clear(line)
    _await_shut(line, servos, clock, wait)
    _try_home(line, servos, wait)
    for servo in servos:
        line.set_target(servo.channel, OFF)
    _check_clear(line)
    _check_off(line, servos)
    wait(SHORT_S)
    _check_clear(line)
    wait(timeout_s + SILENCE_SLACK_S)
    _check_timeout(line, timeout_s)
    for servo in servos:
        _check_home(line, servo, line.position(servo.channel))
    line.counts.clear()  # what is counted from now on is trouble


def _check_clear(line: MaestroLine) -> None:
    if errors := line.errors():
        hint = "check the cable and its length; over USB this should not happen"
        if errors & SCRIPT_ERRORS:
            hint = "erase the script in the Maestro Control Center"
        if errors & Errors.TIMEOUT:
            hint = "in the Maestro Control Center, Serial Settings, set Timeout to controller.maestro.timeout_s"
        raise DeviceError(f"{line.url}: the Maestro reports {', '.join(names(errors))}", hint=hint)


def _await_shut(
    line: MaestroLine, servos: Sequence[Servo], clock: Callable[[], float], wait: Callable[[float], None]
) -> None:
    """Lids that stood open travel at their own speed. Where a pulse was off, the Maestro jumps: that lid had been shut."""
    end = clock() + max(servo.travel_s for servo in servos) + TRAVEL_SLACK_S
    moved = False
    while True:
        wait(LOOK_S)
        positions = {servo.lid: line.position(servo.channel) for servo in servos}
        away = [servo for servo in servos if positions[servo.lid] != servo.closed_q]
        if not away:
            break
        if clock() > end:
            position = positions[away[0].lid]
            raise DeviceError(
                f"{line.url}: told to shut, channel {away[0].channel} (lid {away[0].lid}) stays at {position / QUARTERS:g} us",
                hint=f"{CONTROL_CENTER}, set the mode of channel {away[0].channel} to Servo, and Min and Max so that both "
                "pulses of its calibration lie between them",
            )
        moved = True
    if moved:  # the servo may lag behind its pulse
        wait(SETTLE_S)


def _try_home(line: MaestroLine, servos: Sequence[Servo], wait: Callable[[float], None]) -> None:
    """A home that is not shut must not open its lid: the channel creeps toward it (4.b: at its speed), and is called back."""
    for servo in servos:
        line.set_speed(servo.channel, CREEP)
    line.go_home()
    wait(HOME_S)
    positions = {servo.lid: line.position(servo.channel) for servo in servos}
    for servo in servos:
        line.set_target(servo.channel, servo.closed_q)
        line.set_speed(servo.channel, servo.speed)
    for servo in servos:
        _check_home(line, servo, positions[servo.lid])
    _check_clear(line)


def _check_off(line: MaestroLine, servos: Sequence[Servo]) -> None:
    """A channel that is no servo output keeps a position of its own."""
    for servo in servos:
        if (position := line.position(servo.channel)) != OFF:
            raise DeviceError(
                f"{line.url}: channel {servo.channel} (lid {servo.lid}) cannot be switched off, it stays at {position}",
                hint=f"{CONTROL_CENTER}, set the mode of channel {servo.channel} to Servo",
            )


def _check_timeout(line: MaestroLine, timeout_s: float) -> None:
    errors = line.errors()
    if not errors & Errors.TIMEOUT:
        raise DeviceError(
            f"{line.url}: after {timeout_s:g} s of silence the Maestro has not sent its channels home: without this no lid "
            "may open",
            hint=f"in the Maestro Control Center, Serial Settings, set Timeout to {timeout_s:.2f} s (0.00 switches it off)",
        )


def _check_home(line: MaestroLine, servo: Servo, position: int) -> None:
    if position == servo.closed_q:
        return
    seen = f"goes away from {servo.closed_q / QUARTERS:g} us" if position else "sends no pulse"
    raise DeviceError(
        f"{line.url}: sent home, channel {servo.channel} (lid {servo.lid}) {seen}: a dead host would leave that lid open",
        hint=f'{CONTROL_CENTER}, set "On startup or error" of channel {servo.channel} to "Go to" '
        f"{servo.closed_q / QUARTERS:g}, and Min and Max so that it lies between them",
    )
