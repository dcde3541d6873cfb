"""What lamp and buzzer tell the person at the bin: for each item its outcome, and in between what keeps all items out.

Nothing here opens, moves or waits for anything. A standing signal is sent for a few seconds at a time and again before they are
over, so that the lamp of a bin whose host has died does not go on telling yesterday's news.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MappingProxyType

from bin_daemon.config.settings import SignalsSettings
from bin_daemon.domain import Decision, LidPosition, LidReport, LidsState, Mode, Outcome, Pattern, Reason, Sight, Signal
from bin_daemon.policy import MODE_REFUSES_ITEMS

STANDING_MS = 5000
RENEW_S = 2.0
"""A turn of the line that takes 3 s (a slow model) leaves no gap."""
LASTS_S = 1.5
"""What keeps items out, and its end, count once they have lasted for so long; a stop counts at once."""

_REFUSED = MappingProxyType(
    {
        "STOPPED": Reason.STOPPED,
        "FAULT_LATCHED": Reason.LID_FAULT,
        "LOW_VOLTAGE": Reason.LOW_VOLTAGE,
        "BUSY": Reason.LID_NOT_CLOSED,
        "RATE_LIMIT": Reason.COOLDOWN,
        "NOT_STARTED": Reason.TOO_LATE,
    }
)
"""The controller's own word for a refusal, as the policy would have put it."""
_ENDED = MappingProxyType(
    {
        Outcome.REFUSED: Reason.LID_UNREPORTED,
        Outcome.NO_REPLY: Reason.NOT_CONNECTED,
        Outcome.OBSTRUCTED: Reason.LID_FAULT,
        Outcome.FAULT: Reason.LID_FAULT,
    }
)


def standing_reason(mode: Mode, sight: Sight, lids: LidsState, full_frac: float) -> Reason | None:
    """Why the bin takes no item at all, or (lid_fault) needs somebody's hand; None when it is ready. What is worst comes first.

    Without a connection nothing can be shown: the controller does that by itself.
    """
    levels = [x.full_frac for x in lids.lids.values()]
    wrong = {
        Reason.STOPPED: lids.stopped,
        Reason.LOW_VOLTAGE: not lids.voltage_ok,
        Reason.SIGHT: sight not in {Sight.OK, Sight.UNKNOWN},
        Reason.LID_FAULT: any(x.position is LidPosition.FAULT for x in lids.lids.values()),
        MODE_REFUSES_ITEMS.get(mode): mode in MODE_REFUSES_ITEMS,
        Reason.FULL: bool(levels) and all(x is not None and x >= full_frac for x in levels),
    }
    return next((reason for reason, holds in wrong.items() if holds), None) if lids.connected else None


def ended_reason(report: LidReport) -> Reason | None:
    """What went wrong with a lid that had been told to open, in the policy's words; None when nothing did."""
    if report.outcome is Outcome.REFUSED:
        return _REFUSED.get(report.code, _ENDED[Outcome.REFUSED])
    return _ENDED.get(report.outcome)


class Lamp:
    """One lamp. Main thread only; `pattern` may be read from any. ``full_frac`` is `PolicySettings.full_frac`."""

    def __init__(
        self, signals: SignalsSettings, full_frac: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._signals = signals
        self._full_frac = full_frac
        self._clock = clock
        self._item: Signal | None = None
        """Of the last item, not yet shown."""
        self._item_end_t_s = float("-inf")
        self._reason: Reason | None = None
        """What keeps all items out, by what has lasted for a while."""
        self._doubt_t_s: float | None = None
        self._standing = Pattern.OFF
        self._renew_t_s = float("-inf")
        self._shown: tuple[Pattern, float] = (Pattern.OFF, float("-inf"))

    @property
    def pattern(self) -> Pattern:
        """What is shown now, as far as this end knows."""
        pattern, end_t_s = self._shown
        return pattern if self._clock() < end_t_s else Pattern.OFF

    def decided(self, decision: Decision) -> None:
        """An item was judged."""
        self._tell(Reason(decision.reason))

    def ended(self, report: LidReport) -> None:
        """A lid was told to open, and this came of it: accepted must not stay lit when it did not."""
        if reason := ended_reason(report):
            self._tell(reason)

    def due(self, mode: Mode, sight: Sight, lids: LidsState) -> Signal | None:
        """What to send now, None mostly: the last item's signal for its time, then what keeps all items out."""
        now_s = self._clock()
        if not lids.connected:
            self._forget()
            return None
        self._settle(standing_reason(mode, sight, lids, self._full_frac), now_s)
        if self._item:
            signal, self._item = self._item, None
            self._item_end_t_s = now_s + signal.duration_ms / 1000
            self._standing = Pattern.OFF
            return self._show(signal, now_s)
        if now_s < self._item_end_t_s:
            return None
        return self._stand(self._signals.show[self._reason] if self._reason else Pattern.OFF, now_s)

    def _settle(self, found: Reason | None, now_s: float) -> None:
        """A hand before the lens or a sensor that trembles at its limit must not make the buzzer stutter."""
        if found is self._reason:
            self._doubt_t_s = None
            return
        self._doubt_t_s = now_s if self._doubt_t_s is None else self._doubt_t_s
        if found is Reason.STOPPED or now_s - self._doubt_t_s >= LASTS_S:
            self._reason, self._doubt_t_s = found, None

    def _stand(self, pattern: Pattern, now_s: float) -> Signal | None:
        if pattern is self._standing and (pattern is Pattern.OFF or now_s < self._renew_t_s):
            return None
        self._standing, self._renew_t_s = pattern, now_s + RENEW_S
        return self._show(Signal(pattern, 0 if pattern is Pattern.OFF else STANDING_MS), now_s)

    def _show(self, signal: Signal, now_s: float) -> Signal:
        self._shown = (signal.pattern, now_s + signal.duration_ms / 1000)
        return signal

    def _tell(self, reason: Reason) -> None:
        pattern = self._signals.show[reason]
        self._item = None if pattern is Pattern.OFF else Signal(pattern, self._signals.duration_ms[pattern])

    def _forget(self) -> None:
        """Nothing can be told now; in the next session all is told afresh."""
        self._item = self._reason = self._doubt_t_s = None
        self._standing, self._shown = Pattern.OFF, (Pattern.OFF, float("-inf"))
        self._item_end_t_s = float("-inf")
