"""Which lid may open: the host's judgement. Pure, deny by default, and every answer says why.

One request runs down four steps, and the first that objects gives the one reason:

1. *May anything open?* Mode, sight (items only), controller, stop, supply, no lid about to move.
2. *What is it?* (items) The category with the least expected cost, if the item looks like anything the model knows and
   probability and lead suffice, else unsure.
3. *Which lid?* The emptiest sound lid of that category. When none is left, other takes it (`policy.when_full`), but never
   takes hazardous or unsure items: those stay on the tray.
4. *Now?* The cool-down between two openings.

Only `_open` builds a `LidCommand`. The device holds its own limits (`may_open()` in the firmware); nothing here replaces them.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bin_daemon.config.settings import HOLD_MS_MAX, HOLD_MS_MIN, LidSettings, PolicySettings
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    ItemRequest,
    LidCommand,
    LidPosition,
    LidsState,
    LidState,
    ManualRequest,
    Mode,
    Reason,
    Sight,
)

__all__ = ["DEFAULT_COST", "MODE_REFUSES_ITEMS", "Policy", "Reason", "action_id", "full_cost"]


DEFAULT_COST: Mapping[Category, Mapping[Category, float]] = {
    # cost[TRUE][SORTED]. 1 is the loss of a good thing into other; half as much again when it also spoils compost or
    # recyclables; 2 in the hazardous bin, whose every kilogram is treated by hand. A battery in food spoils the compost and
    # may burn; among recyclables it is at least picked out by hand; other goes to a controlled incinerator.
    Category.RECYCLABLE: {Category.KITCHEN: 1.5, Category.HAZARDOUS: 2.0, Category.OTHER: 1.0},
    Category.KITCHEN: {Category.RECYCLABLE: 1.5, Category.HAZARDOUS: 2.0, Category.OTHER: 1.0},
    Category.HAZARDOUS: {Category.RECYCLABLE: 6.0, Category.KITCHEN: 10.0, Category.OTHER: 5.0},
    Category.OTHER: {Category.RECYCLABLE: 1.5, Category.KITCHEN: 1.5, Category.HAZARDOUS: 2.0},
}
"""Judgement, not measurement: a site that knows its own prices sets policy.cost."""

SUM_TOLERANCE = 0.02
"""Half-precision engines round each of 265 labels; a sum further from 1 is a broken model."""

MODE_REFUSES_ITEMS = {
    Mode.PAUSED: Reason.PAUSED,
    Mode.MANUAL: Reason.MANUAL_MODE,
    Mode.MAINTENANCE: Reason.MAINTENANCE,
}
_AT_REST = frozenset({LidPosition.CLOSED, LidPosition.FAULT})  # a latched lid does not move


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What an item is: ``category`` is None when unsure, then ``reason`` is one of UNSURE_*."""

    category: Category | None
    reason: Reason
    text: str


_SEVERAL = _Judgement(None, Reason.MULTI_ITEM, "unsure: several items lie on the tray")
_Refusal = tuple[Reason, str]


def full_cost(settings: PolicySettings) -> dict[Category, dict[Category, float]]:
    """cost[TRUE][SORTED] for all pairs: the site's own price, else the built-in one; to be right costs nothing."""
    return {
        true: {to: 0.0 if to is true else settings.cost.get(true, {}).get(to, row[to]) for to in Category}
        for true, row in DEFAULT_COST.items()
    }


class Policy:
    """The rules of one bin. ``decide`` has no memory: the same question always gets the same answer."""

    def __init__(self, settings: PolicySettings, lids: Sequence[LidSettings]) -> None:
        self._settings = settings
        self._lids = tuple(lids)
        self._cost = full_cost(settings)

    def decide(self, request: ItemRequest | ManualRequest, lids: LidsState, now_s: float) -> Decision:
        """Which lid opens, if any; ``now_s`` is on the same monotonic clock as `LidState.closed_t_s`. Never raises."""
        if isinstance(request, ManualRequest):
            return self._decide_manual(request, lids, now_s)
        return self._decide_item(request, lids, now_s)

    def _decide_manual(self, request: ManualRequest, lids: LidsState, now_s: float) -> Decision:
        if request.mode is Mode.MAINTENANCE and not request.local:
            return _refuse(Reason.MAINTENANCE, "hands may be inside: only the bin's own control socket may open a lid")
        if refusal := _line_refuses(lids):
            return _refuse(*refusal)
        lid = next((x for x in self._lids if x.lid == request.lid), None)
        if lid is None:
            return _refuse(Reason.NO_LID, f"no lid {request.lid} is configured")
        # A full compartment may be opened by hand: that is how it gets emptied.
        if refusal := _lid_refuses(lid.lid, lids) or self._cooldown_refuses(lids, now_s):
            return _refuse(*refusal)
        judgement = _Judgement(None, Reason.MANUAL, f"lid {lid.lid} by hand")
        return self._open(request.id, lid, judgement, request.hold_ms)

    def _decide_item(self, request: ItemRequest, lids: LidsState, now_s: float) -> Decision:
        if request.sight is not Sight.OK:
            return _refuse(Reason.SIGHT, f"the camera's picture cannot be trusted: {request.sight.value}")
        if not request.verdict.seen:  # doubt about a thing goes to unsure_category; here nothing was seen at all
            return _refuse(Reason.SIGHT, f"no picture of the item could be read: {request.verdict.reason}")
        judgement = self._judge(request) if request.items == 1 else _SEVERAL
        limit_ms = self._settings.decide_within_ms
        if not request.age_ms <= limit_ms:  # NaN is late, too
            text = f"the verdict came {request.age_ms:.0f} ms after the item, more than {limit_ms:.0f}"
            return _refuse(Reason.TOO_LATE, text, judgement)
        if request.mode is not Mode.AUTO:
            return _refuse(MODE_REFUSES_ITEMS[request.mode], f"mode is {request.mode.value}", judgement)
        wanted = judgement.category or self._settings.unsure_category
        several = judgement is _SEVERAL and self._settings.multi_item == "refuse"
        if wanted is None or several:
            text = "take them off and place one at a time" if several else "unsure items stay on the tray"
            return _refuse(judgement.reason, text, judgement)
        return self._place(request.id, judgement, wanted, lids, now_s)

    def _place(
        self, request_id: str, judgement: _Judgement, wanted: Category, lids: LidsState, now_s: float
    ) -> Decision:
        if refusal := _line_refuses(lids):
            return _refuse(*refusal, judgement)
        lid, why_not = self._sound_lid(wanted, lids)
        if lid is None and self._may_divert(judgement):
            judgement = _Judgement(judgement.category, Reason.DIVERTED, f"{judgement.text}; {why_not[1]}: to other")
            lid, why_not = self._sound_lid(Category.OTHER, lids)
        if lid is None:
            return _refuse(*why_not, judgement)
        if refusal := self._cooldown_refuses(lids, now_s):
            return _refuse(*refusal, judgement)
        return self._open(request_id, lid, judgement)

    def _judge(self, request: ItemRequest) -> _Judgement:
        """Familiar at all? Then least expected cost first; then its probability and its lead must suffice."""
        verdict = request.verdict
        if verdict.category is None:
            return _Judgement(None, Reason.UNSURE_MODEL, f"unsure: {verdict.reason or 'the model could not say'}")
        probs = {c: float(verdict.category_probs.get(c, 0.0)) for c in Category}
        if not _is_distribution(probs):
            shown = ", ".join(f"{c.value} {p:g}" for c, p in probs.items())
            return _Judgement(None, Reason.UNSURE_INVALID, f"unsure: these are no probabilities: {shown}")
        if strange := self._strange(verdict):
            return _Judgement(None, Reason.UNSURE_UNFAMILIAR, f"unsure: {strange}")
        best = min(Category, key=lambda to: (self._expected_cost(to, probs), -probs[to]))
        seen = f"{best.value} {probs[best]:.2f} at expected cost {self._expected_cost(best, probs):.2f}"
        least = self._settings.min_probability.get(best, 1.0)
        if probs[best] < least:
            return _Judgement(None, Reason.UNSURE_PROBABILITY, f"unsure: {seen}, needs {least:.2f}")
        rival = max(self._rivals(best), key=probs.__getitem__, default=None)
        if rival is not None and probs[best] - probs[rival] < self._settings.min_margin:
            lead = f"leads {rival.value} {probs[rival]:.2f} by less than {self._settings.min_margin:.2f}"
            return _Judgement(None, Reason.UNSURE_MARGIN, f"unsure: {seen} {lead}")
        return _Judgement(best, Reason.SORTED, seen)

    def _strange(self, verdict: Classification) -> str:
        """Why the item counts as unlike anything known; empty when it does not, or the model cannot tell."""
        least = self._settings.min_familiarity
        if verdict.familiarity is None or (verdict.familiar if least is None else verdict.familiarity >= least):
            return ""
        needs = "" if least is None else f", needs {least:.3f}"
        return f"looks like nothing the model knows: familiarity {verdict.familiarity:.3f}{needs}"

    def _expected_cost(self, to: Category, probs: Mapping[Category, float]) -> float:
        return sum(probs[true] * self._cost[true][to] for true in Category)

    def _rivals(self, best: Category) -> list[Category]:
        """The categories over which a lead is asked: all but those whose mistake in this direction is the cheaper one.

        So the cautious choice (hazardous over food) needs no lead and may even win over a more probable category, while
        the bold one (food over hazardous) needs the full margin.
        """
        return [c for c in Category if c is not best and self._cost[c][best] >= self._cost[best][c]]

    def _sound_lid(self, category: Category, lids: LidsState) -> tuple[LidSettings | None, _Refusal]:
        """The emptiest lid of ``category`` without fault, or why there is none (the first lid's reason)."""
        own = [x for x in self._lids if x.category is category]
        refusals = [_lid_refuses(x.lid, lids) or self._full_refuses(lids.lids[x.lid]) for x in own]
        sound = [x for x, refusal in zip(own, refusals, strict=True) if refusal is None]
        if sound:
            return min(sound, key=lambda x: lids.lids[x.lid].full_frac or 0.0), (Reason.SORTED, "")
        first = next((x for x in refusals if x is not None), None)
        return None, first or (Reason.NO_LID, f"no lid is configured for {category.value}")

    def _may_divert(self, judgement: _Judgement) -> bool:
        fits = judgement.category not in (None, Category.HAZARDOUS, Category.OTHER)
        return fits and self._settings.when_full == "other"

    def _full_refuses(self, lid: LidState) -> _Refusal | None:
        if lid.full_frac is None or lid.full_frac < self._settings.full_frac:
            return None  # a NaN counts as full
        return Reason.FULL, f"lid {lid.lid} is {lid.full_frac:.0%} full"

    def _cooldown_refuses(self, lids: LidsState, now_s: float) -> _Refusal | None:
        ended = [x.closed_t_s for x in lids.lids.values() if x.closed_t_s is not None]
        rest_s = self._settings.cooldown_ms / 1000
        if all(now_s - t >= rest_s for t in ended):  # false for a NaN
            return None
        return Reason.COOLDOWN, f"{now_s - max(ended):.2f} s since the last motion, needs {rest_s:.2f} s"

    def _open(self, request_id: str, lid: LidSettings, why: _Judgement, hold_ms: int | None = None) -> Decision:
        wanted_ms = hold_ms or lid.hold_ms or self._settings.hold_ms
        command = LidCommand(
            lid=lid.lid,
            category=None if why.reason is Reason.MANUAL else lid.category,
            hold_ms=min(max(wanted_ms, HOLD_MS_MIN), HOLD_MS_MAX),
            start_within_ms=self._settings.start_within_ms,
            action_id=action_id(request_id),
        )
        unsure = why.category is None and why.reason is not Reason.MANUAL
        text = f"{why.text}: lid {lid.lid} opens for {command.hold_ms} ms"
        return Decision(why.reason.value, text, command, why.category, unsure)


def action_id(request_id: str) -> int:
    """The controller's name for one request, 1..2**32 - 1: the random low bits of its UUID, or of a hash of any other text."""
    try:
        number = uuid.UUID(request_id).int
    except ValueError:
        number = int.from_bytes(hashlib.sha256(request_id.encode()).digest(), "big")
    return (number & 0xFFFFFFFF) or 1


def _is_distribution(probs: Mapping[Category, float]) -> bool:
    return (
        all(0 <= p <= 1 + SUM_TOLERANCE for p in probs.values()) and abs(math.fsum(probs.values()) - 1) <= SUM_TOLERANCE
    )


def _line_refuses(lids: LidsState) -> _Refusal | None:
    """What forbids any lid to open."""
    if not lids.connected:
        return Reason.NOT_CONNECTED, "the lid controller does not answer"
    if lids.stopped:
        return Reason.STOPPED, "a stop is in force"
    if not lids.voltage_ok:
        return Reason.LOW_VOLTAGE, "the supply voltage is too low to move a lid"
    moving = [f"lid {x.lid} is {x.position.value}" for x in lids.lids.values() if x.position not in _AT_REST]
    return (Reason.LID_NOT_CLOSED, ", ".join(moving)) if moving else None


def _lid_refuses(lid: int, lids: LidsState) -> _Refusal | None:
    """What forbids this one lid to open."""
    state = lids.lids.get(lid)
    if state is None:
        return Reason.LID_UNREPORTED, f"the controller does not tell of lid {lid}"
    return (Reason.LID_FAULT, f"lid {lid} is in fault") if state.position is LidPosition.FAULT else None


def _refuse(reason: Reason, text: str, judgement: _Judgement | None = None) -> Decision:
    if judgement is None:
        return Decision(reason.value, f"{text}: all lids stay shut", None)
    seen = f"{judgement.text}; {text}: all lids stay shut"
    return Decision(reason.value, seen, None, judgement.category, judgement.category is None)
