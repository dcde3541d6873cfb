"""The slow watch over the aim: every while, an empty tray is held against the picture that `calibrate background` took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bin_daemon.domain import Fault
from bin_daemon.placement import State
from bin_daemon.placement.drift import Change, Comparison, Drift, TrayReference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bin_daemon.config import PlacementSettings
    from bin_daemon.domain import Frame

REFERENCE = "tray.json"
"""In the state folder; `bin-daemon calibrate background` writes it."""
LOOK_S = 20.0
"""From look to look: what drifts, drifts over hours, and one look costs some milliseconds."""
REST_S = 3.0
"""The tray must have been empty for so long: nothing is still rolling out of sight, no lid swings in the picture."""
TIMES = 3
"""So many looks in a row must say the same: breath on the lens is gone by then, and one odd picture alarms nobody."""
AIM = "Aim the camera as it was, or run bin-daemon calibrate roi and then calibrate background."


class DriftWatch:
    """Looks at frames of the empty tray; `faults` tells what has lasted. Without a reference it does nothing."""

    def __init__(self, state_dir: Path, settings: PlacementSettings) -> None:
        self._settings = settings
        self._reference = _read(state_dir / REFERENCE)
        self._comparison: Comparison | None = None
        self._empty_t_s: float | None = None
        self._looked_t_s = float("-inf")
        self._last: Drift | None = None
        self._same = 0
        self.confirmed: Drift | None = None
        """What was seen often enough; None before."""

    def see(self, frame: Frame, state: State) -> None:
        """Each frame of the line, with what the detector believes of the tray."""
        if self._reference is None:
            return
        if state is not State.EMPTY:
            self._empty_t_s = None
            return
        if self._empty_t_s is None:
            self._empty_t_s = frame.t_s
        if frame.t_s - self._empty_t_s < REST_S or frame.t_s - self._looked_t_s < LOOK_S:
            return
        self._looked_t_s = frame.t_s
        if not self._reference.fits(self._settings, (frame.width, frame.height)):
            structlog.get_logger().warning(
                "the picture's size or placement.roi was changed since the empty tray was taken; nothing watches the aim",
                mend="bin-daemon calibrate background",
                taken=self._reference.at,
            )
            self._reference = self.confirmed = None
            return
        if self._comparison is None:
            self._comparison = Comparison(self._reference, self._settings)
        self._weigh(self._comparison.drift(frame.grey8))

    def faults(self) -> Iterator[Fault]:
        """At most one: what is worst hides the rest."""
        drift = self.confirmed
        if drift is None:
            return
        if drift.change is Change.MOVED:
            right, down = drift.shift_px
            text = f"The tray is not where it was when the bin was aimed: shifted by {_way(right, down)}."
            yield Fault("drift_camera_moved", "warning", text, AIM)
        elif drift.change is Change.OTHER:
            yield Fault("drift_camera_moved", "warning", "The camera does not show the tray it was aimed at.", AIM)
        elif drift.change is Change.VEILED:
            text = f"The lens is fogged or dirty: {drift.clarity:.0%} of the tray's texture is left."
            yield Fault("drift_lens_fogged", "warning", text, "Clean the lens; let it dry and warm up.")
        elif drift.change is Change.STAINED:
            text = f"The tray does not look as it did: marks on {drift.stain_frac:.1%} of it."
            fix = (
                "Clean the tray, or see whether the camera was turned; if all is well: bin-daemon calibrate background."
            )
            yield Fault("drift_tray_stained", "warning", text, fix)

    def _weigh(self, drift: Drift) -> None:
        self._same = self._same + 1 if self._last is not None and self._last.change is drift.change else 1
        self._last = drift
        if self._same >= TIMES:
            self.confirmed = drift


def _way(right: float, down: float) -> str:
    across = f"{abs(right):.0f} pixels {'right' if right > 0 else 'left'}"
    along = f"{abs(down):.0f} pixels {'down' if down > 0 else 'up'}"
    return " and ".join(text for text, by in ((across, right), (along, down)) if abs(by) >= 1)


def _read(file: Path) -> TrayReference | None:
    """None where none was taken, or it cannot be read: the bin sorts without."""
    try:
        return TrayReference.from_bytes(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        structlog.get_logger().warning(
            "the empty tray's picture cannot be read; nothing watches the aim", why=str(error)
        )
        return None
