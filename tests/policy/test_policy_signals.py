"""What the person at the bin is shown for each word of the policy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bin_daemon.config import LidSettings, PolicySettings, SignalsSettings
from bin_daemon.config.settings import SHOW, SHOW_MS
from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    ItemRequest,
    LidPosition,
    LidsState,
    LidState,
    Mode,
    Pattern,
    Reason,
    Sight,
)
from bin_daemon.lamp import Lamp, standing_reason
from bin_daemon.policy import Policy
from firmware_protocol import messages

LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1))
SURE = dict.fromkeys(Category, 0.01) | {Category.KITCHEN: 0.97}
FULL = PolicySettings().full_frac
CASES = settings(max_examples=80, deadline=None)
RARELY = st.sampled_from([False, False, False, True])


@st.composite
def states(draw: st.DrawFn) -> LidsState:
    """Connected bins, sound or with anything wrong."""
    positions = st.just(LidPosition.CLOSED) | st.sampled_from(LidPosition)
    levels = st.none() | st.floats(0, 1) | st.just(1.0) | st.just(math.nan)
    lids = {n: LidState(n, draw(positions), draw(levels)) for n in range(1, 5)}
    return LidsState(connected=True, lids=lids, stopped=draw(RARELY), voltage_ok=not draw(RARELY))


def item(mode: Mode, sight: Sight, probs: dict[Category, float]) -> ItemRequest:
    """An item that the model is sure of, or not."""
    verdict = Classification(Category.KITCHEN, probs, (), 0.9, 1.0, "m", 1.0, 0.0)
    return ItemRequest("0190a0b0-0000-7000-8000-000000000001", verdict, mode, sight)


def test_every_reason_has_a_pattern_and_every_pattern_a_time() -> None:
    """A new reason or pattern without a default would leave a person without a word."""
    assert set(SHOW) == set(Reason)
    assert set(SHOW_MS) == set(Pattern) - {Pattern.OFF}
    assert Pattern.OFF not in SHOW.values()


def test_patterns_are_the_protocols() -> None:
    """The config's words are the wire's names in lower case, all of them."""
    assert [x.value for x in Pattern] == [x.name.lower() for x in messages.Pattern]


def test_what_opened_is_accepted_and_what_did_not_is_not() -> None:
    """Green stands for an opened lid of a sure item; doubt has its own word although its lid may open."""
    accepted = {reason for reason, pattern in SHOW.items() if pattern is Pattern.ACCEPTED}
    assert accepted == {Reason.SORTED, Reason.DIVERTED, Reason.MANUAL}
    unsure = {reason for reason, pattern in SHOW.items() if pattern is Pattern.UNSURE}
    assert unsure == {reason for reason in Reason if reason.value.startswith("unsure_")} | {Reason.MULTI_ITEM}


@CASES
@given(states(), st.sampled_from(Mode), st.sampled_from(Sight), st.sampled_from([SURE, dict.fromkeys(Category, 0.25)]))
def test_every_decision_is_shown(lids: LidsState, mode: Mode, sight: Sight, probs: dict[Category, float]) -> None:
    """Whatever is decided of an item, its pattern is the next thing that is sent, for as long as the site says."""
    decision = Policy(PolicySettings(), LIDS).decide(item(mode, sight, probs), lids, 100.0)
    lamp = Lamp(SignalsSettings(), FULL, clock=lambda: 5.0)
    lamp.decided(decision)
    signal = lamp.due(mode, sight, lids)
    assert signal is not None
    assert signal.pattern is SHOW[Reason(decision.reason)]
    assert signal.duration_ms == SHOW_MS[signal.pattern]
    assert (signal.pattern is Pattern.ACCEPTED) <= (decision.command is not None)


@CASES
@given(states(), st.sampled_from(Mode), st.sampled_from(Sight))
def test_a_standing_signal_tells_the_truth(lids: LidsState, mode: Mode, sight: Sight) -> None:
    """What the lamp says of the bin is what the policy would say of any item; a faulty lid is told although others work."""
    reason = standing_reason(mode, sight, lids, FULL)
    decision = Policy(PolicySettings(), LIDS).decide(item(mode, sight, SURE), lids, 100.0)
    if reason not in {None, Reason.LID_FAULT}:
        assert decision.command is None
    if reason is Reason.LID_FAULT:
        assert LidPosition.FAULT in {x.position for x in lids.lids.values()}
    passing = {Reason.LID_NOT_CLOSED, Reason.FULL, Reason.LID_FAULT}
    if reason is None and sight is not Sight.UNKNOWN:
        assert decision.command is not None or Reason(decision.reason) in passing


def test_the_sites_choice_counts_and_the_rest_keeps_its_default() -> None:
    """One reason switched off, one moved, one pattern longer."""
    signals = SignalsSettings.model_validate(
        {"show": {"paused": "off", "diverted": "unsure"}, "duration_ms": {"unsure": 9000}}
    )
    lids = LidsState(connected=True, lids={n: LidState(n, LidPosition.CLOSED) for n in range(1, 5)})

    def shown(reason: Reason) -> tuple[str, int] | None:
        lamp = Lamp(signals, FULL, clock=lambda: 5.0)
        lamp.decided(Decision(reason.value, "", None))
        signal = lamp.due(Mode.AUTO, Sight.OK, lids)
        return (signal.pattern.value, signal.duration_ms) if signal else None

    assert shown(Reason.PAUSED) is None
    assert shown(Reason.DIVERTED) == ("unsure", 9000)
    assert shown(Reason.SORTED) == ("accepted", SHOW_MS[Pattern.ACCEPTED])


@pytest.mark.parametrize(
    "wrong",
    [
        {"show": {"sortd": "accepted"}},
        {"show": {"sorted": "green"}},
        {"duration_ms": {"off": 1000}},
        {"duration_ms": {"fault": 0}},
        {"duration_ms": {"fault": 65_536}},
    ],
)
def test_what_no_board_can_show_is_refused(wrong: dict[str, dict[str, object]]) -> None:
    """Unknown reasons and patterns, a time for darkness, and times that the wire cannot carry."""
    with pytest.raises(ValidationError):
        SignalsSettings.model_validate(wrong)
