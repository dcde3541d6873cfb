"""What counts as a fault that somebody should see, read off the parts after every turn; each with one sentence that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bin_daemon.domain import Fault, LidPosition, LidsState, Sight
from bin_daemon.service import WorkerStatus

CAMERA_LOST = "camera_lost"
_DEVICES = {
    "camera": (CAMERA_LOST, "error"),
    "lids": ("controller_lost", "error"),
    "control": ("control_socket_lost", "warning"),
}
_SIGHTS = {
    Sight.TOO_DARK: ("it is too dark to see the tray", "Switch the tray light on; check its cable."),
    Sight.TOO_BRIGHT: ("the picture is overexposed", "Shade the tray or lower the camera's exposure."),
    Sight.COVERED: ("the lens is covered", "Clean the lens; take away what covers it."),
}
_CONDITIONS = {
    "not_cleared": (
        "an item is still on the tray after its lid shut",
        "Take the item off the tray; check that the tray tips.",
    ),
    "hand_present": (
        "something reaches over the tray's edge and stays there; no item counts meanwhile",
        "Take away what hangs over the edge; if it belongs there, set placement.roi to the tray alone.",
    ),
    "at_edge": (
        "a thing lies half over the tray's edge; it is not sorted",
        "Push it wholly onto the tray, or take it away.",
    ),
    "lens_dirty": (
        "the camera sees the tray blurred or through a veil",
        "Wipe the lens; if it fogs again, air the housing.",
    ),
    "camera_moved": (
        "the camera sees another view than before; it was learnt as the empty tray",
        "Check where the camera looks; set placement.roi to the tray again.",
    ),
}


def device_faults(workers: Iterable[WorkerStatus], now_s: float, camera_silent_s: float) -> Iterator[Fault]:
    """One fault for each device that cannot be reached now; a camera whose read does not come back for so long is one."""
    for worker in workers:
        if worker.failing and worker.name in _DEVICES:
            code, severity = _DEVICES[worker.name]
            yield Fault(code, severity, worker.failing, worker.hint)
        elif worker.name == "camera" and now_s - worker.beat_t_s > camera_silent_s:
            text = f"The camera hangs: no answer for {camera_silent_s:g} s."
            yield Fault(
                CAMERA_LOST, "error", text, "Replug the camera; the watchdog restarts a daemon that hangs in it."
            )


def sight_faults(sight: Sight, conditions: Iterable[str]) -> Iterator[Fault]:
    """What is wrong with the picture or the tray."""
    if sight in _SIGHTS:
        text, fix = _SIGHTS[sight]
        yield Fault(f"sight_{sight.value}", "error", f"All lids stay shut: {text}.", fix)
    for condition in sorted(conditions):
        if condition in _CONDITIONS:
            text, fix = _CONDITIONS[condition]
            yield Fault(condition, "warning", text[0].upper() + text[1:] + ".", fix)


def lid_faults(lids: LidsState, full_frac: float) -> Iterator[Fault]:
    """What the controller reports."""
    if not lids.connected:
        return  # what was last heard is no longer known; controller_lost says so
    if lids.stopped:
        yield Fault(
            "stopped",
            "error",
            "No lid moves: the stop switch is pressed or latched.",
            "Release the stop switch, then command stop.clear and lid.close.",
        )
    if not lids.voltage_ok:
        yield Fault(
            "low_voltage", "error", "All lids stay shut: the servo supply is low.", "Check battery and power supply."
        )
    for lid in lids.lids.values():
        if lid.position is LidPosition.FAULT:
            yield Fault(
                f"lid_{lid.lid}_fault",
                "error",
                f"Lid {lid.lid} is in fault.",
                f"Free lid {lid.lid}, then command stop.clear and lid.close, or switch the controller off and on.",
            )
        if lid.full_frac is not None and lid.full_frac >= full_frac:
            yield Fault(
                f"lid_{lid.lid}_full", "warning", f"Compartment {lid.lid} is {lid.full_frac:.0%} full.", "Empty it."
            )
