"""What holds for every question that can be put to the policy."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bin_daemon.config import LidSettings, PolicySettings
from bin_daemon.config.settings import HOLD_MS_MAX, HOLD_MS_MIN
from bin_daemon.domain import (
    Category,
    Classification,
    ItemRequest,
    LidPosition,
    LidsState,
    LidState,
    ManualRequest,
    Mode,
    Sight,
)
from bin_daemon.policy import Policy, Reason

OPENING = {"sorted", "diverted", "manual"}
UNSURE = {x.value for x in Reason if x.value.startswith("unsure_")}
NUMBERS = st.floats(0, 1) | st.floats(allow_nan=True, allow_infinity=True)
LIDS = st.lists(
    st.builds(
        LidSettings, lid=st.integers(1, 6), category=st.sampled_from(Category), hold_ms=st.none() | st.just(1300)
    ),
    max_size=6,
    unique_by=lambda x: x.lid,
).map(tuple)
COSTS = st.dictionaries(
    st.sampled_from(Category), st.dictionaries(st.sampled_from(Category), st.floats(0, 20), max_size=4), max_size=4
)
POLICIES = st.builds(
    PolicySettings,
    min_probability=st.dictionaries(st.sampled_from(Category), st.floats(0, 1)),
    min_margin=st.floats(0, 0.5),
    min_familiarity=st.none() | st.just(0.0) | st.floats(0, 1),
    cost=COSTS,
    unsure_category=st.none() | st.sampled_from(Category),
    when_full=st.sampled_from(["other", "keep_shut"]),
    cooldown_ms=st.floats(0, 3000),
)


@st.composite
def distributions(draw: st.DrawFn) -> dict[Category, float]:
    """Probabilities of the four categories."""
    weights = [draw(st.integers(0, 100)) for _ in Category]
    assume(sum(weights))
    return {c: w / sum(weights) for c, w in zip(Category, weights, strict=True)}


ANY_PROBS = distributions() | st.dictionaries(st.sampled_from(Category), NUMBERS)


def verdicts(probs: st.SearchStrategy[dict[Category, float]]) -> st.SearchStrategy[Classification]:
    """Classifications with any word of the model beside them."""
    return st.builds(
        Classification,
        category=st.none() | st.sampled_from(Category),
        category_probs=probs,
        top5=st.just(()),
        margin=NUMBERS,
        agreement=NUMBERS,
        model_id=st.just("m"),
        took_ms=st.just(1.0),
        t_s=st.just(0.0),
        reason=st.sampled_from(["", "broken"]),
        familiarity=st.none() | NUMBERS,
        familiar=st.sampled_from([True, True, True, False]),
    )


ITEMS = st.builds(
    ItemRequest,
    id=st.text(max_size=40),
    verdict=verdicts(ANY_PROBS),
    mode=st.sampled_from(Mode) | st.just(Mode.AUTO),
    sight=st.sampled_from(Sight) | st.just(Sight.OK),
)
HANDS = st.builds(
    ManualRequest,
    id=st.uuids().map(str),
    lid=st.integers(-1, 7),
    mode=st.sampled_from(Mode),
    local=st.booleans(),
    hold_ms=st.none() | st.integers(-10, 100_000),
)


@st.composite
def lid_states(draw: st.DrawFn) -> LidsState:
    """Mostly sound bins, with any single thing wrong often enough."""
    positions = st.just(LidPosition.CLOSED) | st.sampled_from(LidPosition)
    lids = {
        n: LidState(
            n, draw(positions), draw(st.none() | NUMBERS), draw(st.none() | st.floats(0, 101) | st.just(math.nan))
        )
        for n in draw(st.just(range(1, 7)) | st.lists(st.integers(1, 6), unique=True))
    }
    rarely = st.sampled_from([False, False, False, True])
    return LidsState(not draw(rarely), lids, stopped=draw(rarely), voltage_ok=not draw(rarely))


CASES = settings(max_examples=50, deadline=None)


@CASES
@given(ITEMS | HANDS, lid_states(), POLICIES, LIDS, st.just(100.0) | NUMBERS)
def test_no_lid_opens_past_a_guard(
    request: ItemRequest | ManualRequest,
    state: LidsState,
    policy: PolicySettings,
    lids: tuple[LidSettings, ...],
    now_s: float,
) -> None:
    """Each guard, written down a second time, holds for every command; and there is exactly one known reason."""
    judge = Policy(policy, lids)
    decision = judge.decide(request, state, now_s)
    assert judge.decide(request, state, now_s) == decision  # no memory
    assert decision.reason in {x.value for x in Reason}
    assert decision.text
    if decision.command is None:
        assert decision.reason not in OPENING
        return
    assert decision.reason in OPENING | UNSURE
    command = decision.command
    target = state.lids[command.lid]
    assert state.connected
    assert not state.stopped
    assert state.voltage_ok
    assert target.position is LidPosition.CLOSED
    assert all(x.position in (LidPosition.CLOSED, LidPosition.FAULT) for x in state.lids.values())
    assert all(
        now_s - x.closed_t_s >= policy.cooldown_ms / 1000 for x in state.lids.values() if x.closed_t_s is not None
    )
    assert HOLD_MS_MIN <= command.hold_ms <= HOLD_MS_MAX
    assert 1 <= command.action_id < 2**32
    own = next(x for x in lids if x.lid == command.lid)
    if isinstance(request, ManualRequest):
        assert (command.lid, command.category, decision.reason) == (request.lid, None, "manual")
        assert request.mode is not Mode.MAINTENANCE or request.local
        return
    assert request.mode is Mode.AUTO
    assert request.sight is Sight.OK
    assert target.full_frac is None or target.full_frac < policy.full_frac
    assert command.category is own.category
    assert decision.unsure == (decision.category is None) == (decision.reason in UNSURE)


@CASES
@given(ITEMS, lid_states(), POLICIES, LIDS)
def test_where_an_item_may_land(
    request: ItemRequest, state: LidsState, policy: PolicySettings, lids: tuple[LidSettings, ...]
) -> None:
    """Its own lid, or other when it is known to be harmless; unsure only in the configured lid; so hazardous nowhere else."""
    decision = Policy(policy, lids).decide(request, state, 100.0)
    if decision.command is None:
        return
    into = decision.command.category
    if decision.category is None:
        assert into is policy.unsure_category
    elif decision.category is Category.HAZARDOUS:
        assert into is Category.HAZARDOUS
    else:
        assert into is decision.category or (into is Category.OTHER and policy.when_full == "other")


@CASES
@given(distributions(), POLICIES, st.floats(0, 1))
def test_more_of_the_same_never_makes_it_unsure(
    probs: dict[Category, float], policy: PolicySettings, share: float
) -> None:
    """Moving probability from all others to the chosen category keeps the choice, whatever the cost matrix."""
    lids = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, start=1))
    shut = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})
    word = Classification(Category.OTHER, probs, (), 0.0, 1.0, "m", 1.0, 0.0)
    judge = Policy(policy, lids)
    before = judge.decide(ItemRequest("x", word), shut, 100.0)
    assume(before.category is not None)
    more = {c: p * (1 - share) + (share if c is before.category else 0.0) for c, p in probs.items()}
    # a rounding error decides nothing: lean a hair further towards the choice
    near = 1e-9
    more = {c: p * (1 - near) + (near if c is before.category else 0.0) for c, p in more.items()}
    after = judge.decide(ItemRequest("x", replace(word, category_probs=more)), shut, 100.0)
    assert after.category is before.category
