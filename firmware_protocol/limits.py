"""The device's own limits: no host can widen them. All in ms, us, mV or mA; the C core has the same names."""

from __future__ import annotations

TICKS = 0x100000000
"""The clock is an unsigned 32-bit counter of milliseconds."""

HOST_SILENCE_MS = 2000
"""Dead-man: this long without a valid frame of the session and the lids are shut."""
STAGGER_MS = 300
"""Between the end of one lid's motion and the start of another's: servo currents must not add up."""
REST_MS = 1000
"""Between two motions of one lid."""
OPENS_MAX = 20
OPENS_WINDOW_MS = 60_000
HOLD_MIN_MS = 1000
"""Not below REST_MS: the lid could not shut sooner anyway."""
HOLD_MAX_MS = 10_000
JOGGED_MS = REST_MS + STAGGER_MS
"""This long after its jog a lid is still taken to stand where its last pulse left it."""
REVERSED_HOLD_MS = 2000
"""A lid that backed away waits this long before it tries to shut again."""
HALTED_HOLD_MS = 2000
"""A lid halted while it was shutting waits this long."""
REVERSALS_MAX = 3
"""The third reversal in a row still backs away, then the lid's fault is latched."""
JAM_MS = 80
"""Current above the stall limit for this long is a jam."""
INRUSH_MS = 150
"""The current at the start of a motion says nothing."""
SETTLE_MS = 250
"""Without a limit switch that can be believed a lid counts as arrived this long after the last step of its pulse."""
RAN_ON_MS = 1000
"""A lid that is shut by its switch at a reset is homed if it leaves that switch within this time: it was on its way open."""
TRAVEL_SLACK_MS = 1000
"""Beyond the time that the slew limit needs; then the motion counts as jammed."""
DETACH_MS = 300
"""A shut lid's servo is held this long, then its signal is taken away."""
STEP_MS = 20
"""The slew limit works in steps of one servo frame."""
VIN_MIN_MV = 4500
VSERVO_MIN_MV = 4600
"""Below, nothing opens: a sagging supply resets the controller with the lid in mid-air."""
CALIBRATING_MS = 30_000
"""Calibration ends by itself this long after the last JOG."""
PULSE_MIN_US = 500
PULSE_MAX_US = 2500
CAL_TRAVEL_MIN_US = 100
JAM_MAX_MA = 5000

EVENT_RING = 8
EVENT_REPEAT_MS = 200
REPEATS_PER_TICK = 2
"""Events said again in one tick: more would be too much for a small board's 1 ms."""
TELEMETRY_MOVING_MS = 100
TELEMETRY_MIN_MS = 50
TELEMETRY_MAX_MS = 10_000
ACTION_RING = 8
"""Action ids remembered over a reset; the host has one command in flight, so older ones cannot come again."""


def since(now_ms: int, then_ms: int) -> int:
    """Milliseconds from ``then_ms`` to ``now_ms`` on the wrapping clock; right for spans below 49 days."""
    return (now_ms - then_ms) % TICKS
