"""What counts as a fault that somebody should see, read off the parts after every turn; each with one sentence that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bin_daemon.config import Settings
from bin_daemon.domain import Fault, LidPosition, LidsState, Sight
from bin_daemon.lids.calibration import Source
from bin_daemon.lids.detail import LidDetail
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
LIFTED_S = 3.0
"""A lid that is bumped swings back by itself."""
NOT_SHUT_S = 30.0
"""On top of its hold: both travels, and three reversals of 2 s each, take less."""


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
                f"Free lid {lid.lid} and look at its switches, then command stop.clear and lid.close, or switch the controller "
                "off and on.",
            )
        if lid.full_frac is not None and lid.full_frac >= full_frac:
            yield Fault(
                f"lid_{lid.lid}_full", "warning", f"Compartment {lid.lid} is {lid.full_frac:.0%} full.", "Empty it."
            )


def switch_faults(lids: LidsState, details: Mapping[int, LidDetail]) -> Iterator[Fault]:
    """Shut switches that did not let go when their lid was to open; gone by itself once one is seen to."""
    for lid, detail in details.items():
        if lids.connected and detail.shut_switch_held:
            yield Fault(
                f"lid_{lid}_shut_switch",
                "error",
                f"Lid {lid} was to open and its shut switch stayed pressed: the switch is stuck, or the lid did not move.",
                f"Look at lid {lid}: when it is lifted by hand, bin-daemon lid list must not say 'shut' any more; mend the "
                f"switch or the servo, then run: bin-daemon lid clear; bin-daemon lid close {lid}",
            )


def calibration_faults(details: Mapping[int, LidDetail]) -> Iterator[Fault]:
    """Where controller and config do not agree on a lid's ends, and nobody but a person can say which is right."""
    texts: dict[str, str] = {
        Source.DIFFERS: "has other values in the controller than in the config: calibrated elsewhere, or the controller's "
        "memory was damaged; the controller's count",
        Source.FAILED: "could not be given the config's values: the controller does not keep them",
    }
    for lid, detail in details.items():
        if text := texts.get(detail.calibration):
            yield Fault(
                f"lid_{lid}_calibration",
                "warning",
                f"Lid {lid} {text}.",
                f"Stop the service, then run: bin-daemon lid calibrate {lid}",
            )


class ShutWatch:
    """Lids that should be shut and are not: the controller or the policy then refuses every item, and nobody else says why.

    Pure: told state and time. Without a controller nothing is known, and all waiting begins anew.
    """

    def __init__(self, settings: Settings) -> None:
        hold_ms = {x.lid: x.hold_ms or settings.policy.hold_ms for x in settings.lids}
        self._longest_s = {lid: NOT_SHUT_S + ms / 1000 for lid, ms in hold_ms.items()}
        self._lifted_t_s: dict[int, float] = {}
        self._not_shut_t_s: dict[int, float] = {}

    def update(self, lids: LidsState, details: Mapping[int, LidDetail], now_s: float) -> Iterator[Fault]:
        """What has lasted too long by now; it is gone by itself once the lid is shut."""
        shown = lids.lids.values() if lids.connected else ()
        lifted = {x.lid for x in shown if x.position is LidPosition.CLOSED and _off_its_switch(details.get(x.lid))}
        not_shut = {x.lid for x in shown if x.position not in {LidPosition.CLOSED, LidPosition.FAULT}}
        self._lifted_t_s = {x: self._lifted_t_s.get(x, now_s) for x in lifted}
        self._not_shut_t_s = {x: self._not_shut_t_s.get(x, now_s) for x in not_shut}
        for lid, since_s in self._lifted_t_s.items():
            if now_s - since_s >= LIFTED_S:
                yield _lifted(lid, details[lid].switches)
        for lid, since_s in self._not_shut_t_s.items():
            longest_s = self._longest_s.get(lid, NOT_SHUT_S)
            if now_s - since_s > longest_s:
                yield _not_shut(lid, longest_s, stopped=lids.stopped)


def _off_its_switch(detail: LidDetail | None) -> bool:
    """The controller calls it closed, its switches do not: the same report holds both, and by it every OPEN is refused."""
    return detail is not None and detail.phase == "closed" and detail.switches not in {None, "shut"}


def _lifted(lid: int, switches: str | None) -> Fault:
    seen = "both its switches are pressed" if switches == "both" else "it is not on its closed switch"
    return Fault(
        f"lid_{lid}_lifted",
        "error",
        f"Lid {lid} was shut, but {seen}: the controller refuses to open it (BUSY).",
        f"Take away what lifts lid {lid} and lay it down on its switch; if bin-daemon lid list does not say 'shut' then, "
        "check the switches and their cable.",
    )


def _not_shut(lid: int, longest_s: float, *, stopped: bool) -> Fault:
    clear = "clear the stop when all is safe: bin-daemon lid clear; then run: " if stopped else "then run: "
    return Fault(
        f"lid_{lid}_not_shut",
        "error",
        f"Lid {lid} has not been shut for more than {longest_s:g} s: the bin refuses all items.",
        f"See bin-daemon lid list; look for what holds lid {lid}, {clear}bin-daemon lid close {lid}",
    )
