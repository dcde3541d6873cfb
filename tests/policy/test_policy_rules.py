"""Each rule of the policy, one table at a time."""

from __future__ import annotations

import math
import uuid
from dataclasses import replace
from typing import Literal

import pytest

from bin_daemon.config import LidSettings, PolicySettings
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    ItemRequest,
    LidPosition,
    LidsState,
    LidState,
    ManualRequest,
    Mode,
    Sight,
)
from bin_daemon.policy import DEFAULT_COST, Policy, Reason, action_id, full_cost

RECYCLABLE, KITCHEN, HAZARDOUS, OTHER = Category
ID = "0193a5b0-1234-7abc-8def-0123456789ab"
LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, start=1))
SHUT = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})


def verdict(*probs: float, category: Category | None = KITCHEN, reason: str = "") -> Classification:
    """A classification with these probabilities of recyclable, kitchen, hazardous and other."""
    return Classification(category, dict(zip(Category, probs, strict=True)), (), 0.0, 1.0, "m", 1.0, 0.0, reason)


def item(*probs: float, mode: Mode = Mode.AUTO, sight: Sight = Sight.OK) -> ItemRequest:
    """An item with these probabilities."""
    return ItemRequest(ID, verdict(*probs), mode, sight)


def ask(
    request: ItemRequest | ManualRequest,
    state: LidsState = SHUT,
    *,
    settings: PolicySettings | None = None,
    lids: tuple[LidSettings, ...] = LIDS,
    now_s: float = 100.0,
) -> Decision:
    """One decision of a bin that is in order but for what the test says."""
    return Policy(settings or PolicySettings(), lids).decide(request, state, now_s)


def opened(decision: Decision) -> int | None:
    """The number of the lid that opens."""
    return decision.command.lid if decision.command else None


def with_lid(lid: int, **changes: object) -> LidsState:
    """All lids shut, one of them changed."""
    return replace(SHUT, lids={**SHUT.lids, lid: replace(SHUT.lids[lid], **changes)})  # type: ignore[arg-type]


SURE = {
    RECYCLABLE: (0.97, 0.01, 0.01, 0.01),
    KITCHEN: (0.01, 0.97, 0.01, 0.01),
    HAZARDOUS: (0.01, 0.01, 0.97, 0.01),
    OTHER: (0.01, 0.01, 0.01, 0.97),
}


@pytest.mark.parametrize("category", Category)
def test_a_sure_item_opens_its_own_lid(category: Category) -> None:
    """Category, lid, hold time and start limit of the command come from the settings."""
    decision = ask(item(*SURE[category]))
    assert decision.command is not None
    assert decision.command.lid == list(Category).index(category) + 1
    assert (decision.command.category, decision.category, decision.unsure) == (category, category, False)
    assert (decision.command.hold_ms, decision.command.start_within_ms) == (2500, 1500)
    assert decision.reason == Reason.SORTED.value
    assert "0.97" in decision.text


@pytest.mark.parametrize(
    ("probs", "expected", "why"),
    [
        ((0.10, 0.80, 0.05, 0.05), KITCHEN, Reason.SORTED),
        # cost of kitchen: 10 x 0.17 + ... beats its own probability: a battery in food is dear
        ((0.05, 0.75, 0.18, 0.02), None, Reason.UNSURE_PROBABILITY),
        # just sure enough, and just not
        ((0.55, 0.25, 0.00, 0.20), RECYCLABLE, Reason.SORTED),
        ((0.54, 0.26, 0.00, 0.20), None, Reason.UNSURE_PROBABILITY),
        ((0.25, 0.00, 0.50, 0.25), HAZARDOUS, Reason.SORTED),
        ((0.26, 0.00, 0.49, 0.25), None, Reason.UNSURE_PROBABILITY),
        # other wins with less than half, and over a more probable kitchen: the cheaper mistake
        ((0.05, 0.48, 0.01, 0.46), OTHER, Reason.SORTED),
        ((0.30, 0.25, 0.00, 0.45), OTHER, Reason.SORTED),
    ],
)
def test_least_expected_cost_and_thresholds(probs: tuple[float, ...], expected: Category | None, why: Reason) -> None:
    """The cheapest category is chosen, and only if its own probability suffices."""
    decision = ask(item(*probs))
    assert (decision.category, decision.reason) == (expected, why.value)
    assert opened(decision) == (4 if expected is None else list(Category).index(expected) + 1)


def test_margin_is_asked_over_equally_costly_rivals() -> None:
    """Recyclable against kitchen costs the same both ways, so the lead must be min_margin; exactly the margin suffices."""
    settings = PolicySettings(min_margin=0.25, min_probability={RECYCLABLE: 0.1})
    assert ask(item(0.5, 0.25, 0.0, 0.25), settings=settings).reason == Reason.SORTED.value
    decision = ask(item(0.5, 0.3, 0.0, 0.2), settings=settings)
    assert (decision.reason, decision.unsure, decision.category) == (Reason.UNSURE_MARGIN.value, True, None)
    assert "kitchen 0.30" in decision.text


def test_margin_is_not_asked_in_the_cautious_direction() -> None:
    """Hazardous needs no lead over food; food needs the whole lead over hazardous."""
    settings = PolicySettings(min_margin=0.4, min_probability={HAZARDOUS: 0.3, KITCHEN: 0.1})
    assert ask(item(0.0, 0.6, 0.4, 0.0), settings=settings).category is HAZARDOUS
    flat = {HAZARDOUS: {KITCHEN: 1.2}, KITCHEN: {HAZARDOUS: 1.0}}
    bold = settings.model_copy(update={"cost": flat})
    assert ask(item(0.0, 0.65, 0.35, 0.0), settings=bold).reason == Reason.UNSURE_MARGIN.value


def test_no_margin_at_all_when_every_rival_is_the_cheaper_mistake() -> None:
    """A category that is always the cautious choice has no rival to lead."""
    cost = {c: {OTHER: 0.0} for c in Category if c is not OTHER}
    settings = PolicySettings(cost=cost, min_margin=0.9, min_probability={OTHER: 0.0})
    assert ask(item(0.3, 0.3, 0.3, 0.1), settings=settings).category is OTHER


def test_a_cost_cell_of_the_site_replaces_the_built_in_one_only_there() -> None:
    """Making a battery in food cheap lets food win again; the other cells stay."""
    probs = (0.05, 0.75, 0.18, 0.02)
    assert ask(item(*probs)).unsure
    cheap = PolicySettings(cost={HAZARDOUS: {KITCHEN: 1.0}})
    assert ask(item(*probs), settings=cheap).category is KITCHEN
    assert ask(item(0.70, 0.02, 0.26, 0.02), settings=cheap).unsure


def test_built_in_prices_are_what_the_readme_argues() -> None:
    """cost[TRUE][SORTED]: changing one changes what lands where, so it is done on purpose; to be right costs nothing."""
    prices = {true: [row.get(to, 0.0) for to in Category] for true, row in DEFAULT_COST.items()}
    assert prices == {
        RECYCLABLE: [0.0, 1.5, 2.0, 1.0],
        KITCHEN: [1.5, 0.0, 2.0, 1.0],
        HAZARDOUS: [6.0, 10.0, 0.0, 5.0],
        OTHER: [1.5, 1.5, 2.0, 0.0],
    }
    assert full_cost(PolicySettings(cost={KITCHEN: {KITCHEN: 3.0}}))[KITCHEN][KITCHEN] == 0.0


def test_a_category_without_threshold_must_be_certain() -> None:
    """A site whose min_probability leaves one out has not thought of it."""
    settings = PolicySettings(min_probability={}).model_copy(update={"min_probability": {}})
    assert ask(item(0.0, 1.0, 0.0, 0.0), settings=settings).category is KITCHEN
    assert ask(item(0.0, 0.999, 0.001, 0.0), settings=settings).reason == Reason.UNSURE_PROBABILITY.value


def test_a_tie_in_cost_goes_to_the_more_probable() -> None:
    """With a matrix of zeros everything costs the same."""
    zeros = {c: dict.fromkeys(Category, 0.0) for c in Category}
    assert ask(item(0.0, 0.2, 0.8, 0.0), settings=PolicySettings(cost=zeros)).category is HAZARDOUS


@pytest.mark.parametrize(
    "probs",
    [
        (math.nan, 0.9, 0.1, 0.0),
        (math.inf, 0.0, 0.0, 0.0),
        (-math.inf, 1.0, 0.0, 0.0),
        (-0.2, 1.0, 0.1, 0.1),
        (0.0, 0.9, 0.0, 0.0),
        (0.0, 0.979, 0.0, 0.0),
        (0.0, 1.021, 0.0, 0.0),
        (0.0, 1.5, 0.0, 0.0),
        (1e308, 1e308, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_what_is_no_distribution_is_unsure(probs: tuple[float, ...]) -> None:
    """A broken model output never opens the lid that it names."""
    decision = ask(item(*probs))
    assert (decision.reason, decision.unsure, decision.category) == (Reason.UNSURE_INVALID.value, True, None)
    assert ask(item(*probs), settings=PolicySettings(unsure_category=None)).command is None


@pytest.mark.parametrize("total", [0.985, 1.015])
def test_rounding_of_a_half_precision_engine_is_no_fault(total: float) -> None:
    """A sum within 2 % of 1 still counts."""
    assert ask(item(0.0, total, 0.0, 0.0)).category is KITCHEN


def test_a_category_that_the_model_does_not_know_has_no_probability() -> None:
    """Three categories that sum to 1 are enough."""
    request = ItemRequest(ID, replace(verdict(*SURE[KITCHEN]), category_probs={KITCHEN: 1.0}))
    assert opened(ask(request)) == 2


def test_a_failed_model_is_unsure_with_its_own_reason() -> None:
    """The text passes on what the model said."""
    failed = ItemRequest(ID, verdict(0.0, 0.0, 0.0, 0.0, category=None, reason="out of memory"))
    decision = ask(failed)
    assert (decision.reason, decision.unsure, opened(decision)) == (Reason.UNSURE_MODEL.value, True, 4)
    assert "out of memory" in decision.text
    assert "could not say" in ask(ItemRequest(ID, verdict(0, 0, 0, 0, category=None))).text


@pytest.mark.parametrize(
    ("familiarity", "familiar", "least", "strange"),
    [
        (0.004, False, None, True),  # the bundle's threshold
        (0.02, True, None, False),
        (0.004, False, 0.0, False),  # switched off
        (0.03, True, 0.03, False),  # the site's own, exactly met and just not
        (0.0299, True, 0.03, True),
        (math.nan, True, 0.03, True),
        (None, True, None, False),  # the model cannot tell
        (None, True, 0.03, False),
    ],
)
def test_an_unfamiliar_item_is_unsure_however_sure_the_label(
    familiarity: float | None, *, familiar: bool, least: float | None, strange: bool
) -> None:
    """A toy is no battery at 0.97: strange items go where doubt goes, with the number that decided."""
    seen = replace(verdict(*SURE[HAZARDOUS]), familiarity=familiarity, familiar=familiar)
    decision = ask(ItemRequest(ID, seen), settings=PolicySettings(min_familiarity=least))
    assert decision.unsure == strange
    assert opened(decision) == (4 if strange else 3)
    assert decision.reason == (Reason.UNSURE_UNFAMILIAR if strange else Reason.SORTED).value
    if strange:
        assert f"familiarity {familiarity:.3f}" in decision.text
        assert ("needs 0.030" in decision.text) == (least is not None)


def test_no_probabilities_are_told_before_strangeness() -> None:
    """A broken model is named as such: its familiarity means nothing."""
    broken = replace(verdict(0.0, 1.5, 0.0, 0.0), familiarity=0.0, familiar=False)
    assert ask(ItemRequest(ID, broken)).reason == Reason.UNSURE_INVALID.value


def test_unsure_goes_where_the_site_says() -> None:
    """Another category's lid, or none."""
    doubt = item(0.4, 0.3, 0.1, 0.2)
    assert opened(ask(doubt, settings=PolicySettings(unsure_category=HAZARDOUS))) == 3
    kept = ask(doubt, settings=PolicySettings(unsure_category=None))
    assert (kept.command, kept.unsure, kept.reason) == (None, True, Reason.UNSURE_PROBABILITY.value)


@pytest.mark.parametrize("sight", [x for x in Sight if x is not Sight.OK])
def test_unusable_sight_keeps_all_shut(sight: Sight) -> None:
    """Whatever the model made of such a picture; not judged yet is not good enough either."""
    decision = ask(item(*SURE[KITCHEN], sight=sight))
    assert (decision.command, decision.category, decision.reason) == (None, None, Reason.SIGHT.value)
    assert sight.value in decision.text


def test_an_item_of_which_no_picture_could_be_read_opens_nothing() -> None:
    """Not even the lid for doubt: nothing was seen, so nobody knows what lies there."""
    unseen = replace(verdict(*SURE[KITCHEN]), category=None, category_probs={}, reason="JPEG cut short", seen=False)
    decision = ask(ItemRequest(ID, unseen))
    assert (decision.command, decision.unsure, decision.reason) == (None, False, Reason.SIGHT.value)
    assert "JPEG cut short" in decision.text


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(Mode.PAUSED, Reason.PAUSED), (Mode.MANUAL, Reason.MANUAL_MODE), (Mode.MAINTENANCE, Reason.MAINTENANCE)],
)
def test_items_open_nothing_outside_auto(mode: Mode, reason: Reason) -> None:
    """The event still tells what the item would have been."""
    decision = ask(item(*SURE[KITCHEN], mode=mode))
    assert (decision.command, decision.reason, decision.category) == (None, reason.value, KITCHEN)
    assert not decision.unsure


LINE_FAULTS = [
    (replace(SHUT, connected=False), Reason.NOT_CONNECTED),
    (replace(SHUT, stopped=True), Reason.STOPPED),
    (replace(SHUT, voltage_ok=False), Reason.LOW_VOLTAGE),
    *(
        (with_lid(3, position=position), Reason.LID_NOT_CLOSED)
        for position in LidPosition
        if position not in (LidPosition.CLOSED, LidPosition.FAULT)
    ),
]


@pytest.mark.parametrize(("state", "reason"), LINE_FAULTS)
def test_what_forbids_every_lid(state: LidsState, reason: Reason) -> None:
    """Items and hands meet the same gate; an open lid elsewhere counts."""
    by_item = ask(item(*SURE[KITCHEN]), state)
    assert (by_item.command, by_item.reason, by_item.category) == (None, reason.value, KITCHEN)
    by_hand = ask(ManualRequest(ID, 2, local=True), state)
    assert (by_hand.command, by_hand.reason, by_hand.unsure) == (None, reason.value, False)


def test_the_first_objection_is_the_one_that_is_told() -> None:
    """Sight before mode before controller before lid."""
    bad = replace(with_lid(2, full_frac=1.0, closed_t_s=100.0), connected=False)
    assert ask(item(*SURE[KITCHEN], mode=Mode.PAUSED, sight=Sight.LOST), bad).reason == Reason.SIGHT.value
    assert ask(item(*SURE[KITCHEN], mode=Mode.PAUSED), bad).reason == Reason.PAUSED.value
    assert ask(item(*SURE[KITCHEN]), bad).reason == Reason.NOT_CONNECTED.value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"position": LidPosition.FAULT}, Reason.LID_FAULT),
        ({"full_frac": 0.95}, Reason.FULL),
        ({"full_frac": 1.0}, Reason.FULL),
        ({"full_frac": math.nan}, Reason.FULL),
    ],
)
def test_an_unusable_lid_diverts_to_other_but_never_hazardous(change: dict[str, object], reason: Reason) -> None:
    """Recyclable and kitchen go to other and say so; hazardous stays on the tray; other has nowhere to go."""
    diverted = ask(item(*SURE[KITCHEN]), with_lid(2, **change))
    assert (opened(diverted), diverted.reason, diverted.category) == (4, Reason.DIVERTED.value, KITCHEN)
    assert "lid 2 is " in diverted.text
    assert diverted.command is not None
    assert diverted.command.category is OTHER
    assert opened(ask(item(*SURE[RECYCLABLE]), with_lid(1, **change))) == 4
    kept = ask(item(*SURE[HAZARDOUS]), with_lid(3, **change))
    assert (kept.command, kept.reason, kept.category) == (None, reason.value, HAZARDOUS)
    assert ask(item(*SURE[OTHER]), with_lid(4, **change)).reason == reason.value


def test_a_site_may_keep_full_compartments_shut() -> None:
    """when_full = keep_shut."""
    settings = PolicySettings(when_full="keep_shut")
    assert ask(item(*SURE[KITCHEN]), with_lid(2, full_frac=1.0), settings=settings).reason == Reason.FULL.value


def test_nothing_diverts_into_an_unusable_other() -> None:
    """The reason is then that of the other lid."""
    state = replace(SHUT, lids={**with_lid(2, full_frac=1.0).lids, 4: LidState(4, LidPosition.FAULT)})
    decision = ask(item(*SURE[KITCHEN]), state)
    assert (decision.command, decision.reason) == (None, Reason.LID_FAULT.value)


def test_unsure_items_never_divert() -> None:
    """What might be a battery stays on the tray when its configured lid is full."""
    settings = PolicySettings(unsure_category=KITCHEN)
    decision = ask(item(0.4, 0.3, 0.1, 0.2), with_lid(2, full_frac=1.0), settings=settings)
    assert (decision.command, decision.reason, decision.unsure) == (None, Reason.FULL.value, True)


def test_a_fault_of_another_lid_stops_only_that_lid() -> None:
    """A bin with one broken lid goes on sorting the rest."""
    assert opened(ask(item(*SURE[KITCHEN]), with_lid(1, position=LidPosition.FAULT))) == 2


def test_almost_full_is_not_full() -> None:
    """Below full_frac the own lid opens."""
    assert opened(ask(item(*SURE[KITCHEN]), with_lid(2, full_frac=0.949))) == 2


def test_a_lid_that_the_controller_does_not_tell_of_stays_shut() -> None:
    """Configured, but not built in."""
    state = replace(SHUT, lids={n: x for n, x in SHUT.lids.items() if n != 3})
    assert ask(item(*SURE[HAZARDOUS]), state).reason == Reason.LID_UNREPORTED.value
    assert ask(ManualRequest(ID, 3), state).reason == Reason.LID_UNREPORTED.value


FIVE = (*LIDS, LidSettings(lid=5, category=KITCHEN, hold_ms=4000))
FIVE_SHUT = replace(SHUT, lids={**SHUT.lids, 5: LidState(5, LidPosition.CLOSED)})


def test_a_fifth_lid_is_one_more_table() -> None:
    """Two lids of one category: the emptier takes the item, the sound one when the other is full or broken."""

    def state(fill_2: float | None, fill_5: float | None) -> LidsState:
        levels = {2: fill_2, 5: fill_5}
        return replace(FIVE_SHUT, lids={n: replace(x, full_frac=levels.get(n)) for n, x in FIVE_SHUT.lids.items()})

    kitchen = item(*SURE[KITCHEN])
    assert opened(ask(kitchen, state(None, None), lids=FIVE)) == 2
    assert opened(ask(kitchen, state(0.5, 0.4), lids=FIVE)) == 5
    assert opened(ask(kitchen, state(0.4, 0.4), lids=FIVE)) == 2
    assert opened(ask(kitchen, state(0.1, None), lids=FIVE)) == 5, "a lid without sensor counts as empty"
    assert opened(ask(kitchen, state(0.0, None), lids=FIVE)) == 2, "but not as emptier than empty"
    second = ask(kitchen, state(0.95, 0.9), lids=FIVE)
    assert second.command is not None
    assert (second.command.lid, second.command.hold_ms, second.reason) == (5, 4000, Reason.SORTED.value)
    assert ask(kitchen, state(0.95, 0.95), lids=FIVE).reason == Reason.DIVERTED.value


def test_a_category_without_lid() -> None:
    """Food of a bin with no food lid goes to other; hazardous stays; unsure_category without lid keeps shut."""
    assert opened(ask(item(*SURE[KITCHEN]), lids=(LIDS[0], LIDS[3]))) == 4
    assert ask(item(*SURE[HAZARDOUS]), lids=(LIDS[0], LIDS[3])).reason == Reason.NO_LID.value
    assert ask(item(0.4, 0.3, 0.1, 0.2), lids=LIDS[:2]).reason == Reason.NO_LID.value
    assert ask(item(*SURE[KITCHEN]), lids=()).reason == Reason.NO_LID.value


@pytest.mark.parametrize(
    ("closed_t_s", "reason"),
    [
        (99.5, Reason.SORTED),
        (99.501, Reason.COOLDOWN),
        (100.0, Reason.COOLDOWN),
        (100.5, Reason.COOLDOWN),  # the report came after the frame was taken
        (math.nan, Reason.COOLDOWN),
        (None, Reason.SORTED),
    ],
)
def test_rest_between_two_openings(closed_t_s: float | None, reason: Reason) -> None:
    """Any lid's last motion counts, for items and hands."""
    state = with_lid(1, closed_t_s=closed_t_s)
    assert ask(item(*SURE[KITCHEN]), state).reason == reason.value
    by_hand = ask(ManualRequest(ID, 2), state)
    assert (by_hand.command is None) == (reason is Reason.COOLDOWN)


def test_the_rest_is_what_the_setting_says() -> None:
    """To the millisecond, also where it is long."""
    settings = PolicySettings(cooldown_ms=3000)
    assert ask(item(*SURE[KITCHEN]), with_lid(1, closed_t_s=97.001), settings=settings).reason == Reason.COOLDOWN.value
    assert ask(item(*SURE[KITCHEN]), with_lid(1, closed_t_s=97.0), settings=settings).reason == Reason.SORTED.value


def test_the_rest_is_told_from_the_latest_of_all_lids() -> None:
    """A technician reads how long ago the last lid shut, not the first."""
    state = replace(
        SHUT, lids={**SHUT.lids, 1: replace(SHUT.lids[1], closed_t_s=99.0), 2: replace(SHUT.lids[2], closed_t_s=99.8)}
    )
    assert "0.20 s since the last motion, needs 0.50 s" in ask(item(*SURE[KITCHEN]), state).text


@pytest.mark.parametrize(("age_ms", "late"), [(-50.0, False), (10_000.0, False), (10_001.0, True), (math.nan, True)])
def test_a_verdict_that_took_too_long_opens_nothing(age_ms: float, late: bool) -> None:  # noqa: FBT001 - a table's column
    """After a model that hung, something else may lie there."""
    decision = ask(replace(item(*SURE[KITCHEN]), age_ms=age_ms))
    assert (decision.command is None) == late
    assert decision.reason == (Reason.TOO_LATE if late else Reason.SORTED).value


def test_a_clock_that_is_no_number_opens_nothing() -> None:
    """NaN as now."""
    assert ask(item(*SURE[KITCHEN]), with_lid(1, closed_t_s=1.0), now_s=math.nan).command is None


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("local", [True, False])
def test_who_may_open_by_hand(mode: Mode, local: bool) -> None:  # noqa: FBT001 - a table's column
    """Only maintenance asks for the local socket: hands may be inside."""
    decision = ask(ManualRequest(ID, 3, mode, local))
    if mode is Mode.MAINTENANCE and not local:
        assert (decision.command, decision.reason) == (None, Reason.MAINTENANCE.value)
        return
    assert decision.command is not None
    assert (decision.command.lid, decision.command.category) == (3, None)
    assert (decision.reason, decision.category, decision.unsure) == (Reason.MANUAL.value, None, False)


@pytest.mark.parametrize(
    ("wanted", "held"), [(None, 2500), (0, 2500), (-5, 1000), (999, 1000), (1000, 1000), (9999, 9999), (10**6, 10000)]
)
def test_hold_time_is_clamped(wanted: int | None, held: int) -> None:
    """A person's wish stays within what the device allows; none means the setting."""
    decision = ask(ManualRequest(ID, 1, hold_ms=wanted))
    assert decision.command is not None
    assert decision.command.hold_ms == held


def test_by_hand_a_full_lid_opens_and_a_broken_or_unknown_one_does_not() -> None:
    """Emptying is what hands are for."""
    assert opened(ask(ManualRequest(ID, 2), with_lid(2, full_frac=1.0))) == 2
    assert ask(ManualRequest(ID, 2), with_lid(2, position=LidPosition.FAULT)).reason == Reason.LID_FAULT.value
    assert ask(ManualRequest(ID, 9)).reason == Reason.NO_LID.value


def test_action_id_is_the_tail_of_the_uuid_and_never_zero() -> None:
    """Random bits of a UUIDv7, stable for the same request; other texts are hashed."""
    assert action_id(ID) == 0x456789AB
    assert action_id(uuid.UUID(ID).hex) == 0x456789AB
    assert action_id("0193a5b0-1234-7abc-8def-012300000000") == 1
    assert action_id("by-hand-7") == action_id("by-hand-7") != action_id("by-hand-8")
    assert 1 <= action_id("") < 2**32


@pytest.mark.parametrize(("rule", "opens"), [("refuse", False), ("unsure_category", True)])
def test_several_items_are_refused_or_in_doubt(
    rule: Literal["refuse", "unsure_category"],
    opens: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """However sure the model is of what it sees in the one box: refused with what mends it, or sent where doubt goes."""
    several = replace(ItemRequest(ID, verdict(*SURE[KITCHEN])), items=2)
    decision = ask(several, settings=PolicySettings(multi_item=rule))
    assert decision.reason == Reason.MULTI_ITEM.value
    assert decision.unsure
    assert (decision.command is not None) == opens
    if decision.command:
        assert decision.command.category is Category.OTHER
    else:
        assert "one at a time" in decision.text


def test_every_reason_is_stable() -> None:
    """Reason codes are stored in journals and read by dashboards: adding is fine, changing is not."""
    assert {x.value for x in Reason} == {
        "sorted", "diverted", "manual",
        "unsure_model", "unsure_invalid", "unsure_unfamiliar", "unsure_probability", "unsure_margin",
        "multi_item",
        "paused", "manual_mode", "maintenance", "sight", "not_connected", "stopped", "low_voltage", "lid_not_closed",
        "no_lid", "lid_unreported", "lid_fault", "full", "cooldown", "too_late",
    }  # fmt: skip
