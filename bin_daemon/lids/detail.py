"""What a technician wants to know of one lid, beyond what the line needs: pulse, switches, current, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bin_daemon.lids.calibration import values_of
from firmware_protocol.messages import LidPhase, Limits

if TYPE_CHECKING:
    from bin_daemon.config.settings import CalibrationSettings
    from firmware_protocol.messages import Calibration, LidTelemetry

SWITCHES = {
    None: None,
    Limits(0): "none",
    Limits.CLOSED: "shut",
    Limits.OPEN: "open",
    Limits.CLOSED | Limits.OPEN: "both",
}


@dataclass(frozen=True, slots=True)
class LidDetail:
    """One lid at its last report. None = not measured, not reported, or the servo has no signal."""

    calibration: str
    """Where its calibration comes from, in words."""
    phase: str | None = None
    """The controller's own word."""
    pulse_us: int | None = None
    switches: str | None = None
    """"shut", "open", "both" or "none": the switches it stands on."""
    current_ma: int | None = None
    fill_mm: int | None = None
    open_us: int | None = None
    closed_us: int | None = None
    speed_us_per_20ms: int | None = None
    jam_ma: int | None = None
    shut_switch_held: bool = False
    """At its last opening the shut switch did not let go."""


def lid_detail(
    slot: LidTelemetry | None,
    values: Calibration | CalibrationSettings | None,
    source: str,
    *,
    shut_switch_held: bool = False,
) -> LidDetail:
    """From telemetry and the calibration in force, either of which may not be known yet."""
    known: dict[str, Any] = {"shut_switch_held": shut_switch_held, **(values_of(values) if values else {})}
    if slot is None:
        return LidDetail(source, **known)
    return LidDetail(
        source,
        phase=_phase(slot.state),
        pulse_us=slot.pos_us,
        switches=SWITCHES.get(slot.limits if slot.limits is None else Limits(slot.limits & 3)),
        current_ma=slot.current_ma,
        fill_mm=slot.fill_mm,
        **known,
    )


def _phase(state: int) -> str:
    """Its name; a newer controller's unknown one as its number."""
    try:
        return LidPhase(state).name.lower()
    except ValueError:
        return f"phase {state}"
