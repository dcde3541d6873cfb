"""The ledger: every command ends in exactly one report, whatever happens in between."""

from __future__ import annotations

import pytest

from bin_daemon.domain import LidCommand, LidReport, Outcome
from bin_daemon.lids.ledger import DOUBT_S, SLACK_S, Ledger


def begun() -> Ledger:
    """A ledger with action 7 on lid 2, asked for at 10 s."""
    ledger = Ledger()
    ledger.begin(LidCommand(2, None, hold_ms=1000, start_within_ms=500, action_id=7), 10.0)
    return ledger


def accepted() -> Ledger:
    """The same, accepted at 10.02 s."""
    ledger = begun()
    ledger.accepted(7, "OK_ACCEPTED", 10.02)
    return ledger


def only(ledger: Ledger) -> LidReport:
    """The one report; further news about the action make no second one."""
    (report,) = ledger.take()
    ledger.closed(7, None, 99.0)
    ledger.interrupt("LINK_LOST")
    ledger.expire(1e9)
    assert ledger.take() == ()
    return report


def test_the_good_case() -> None:
    """Accepted, opened, closed: the controller's own open time and ours to acceptance."""
    ledger = accepted()
    ledger.opened(7, 10.5)
    ledger.closed(7, 1234.0, 11.6)
    report = only(ledger)
    assert (report.outcome, report.open_ms) == (Outcome.CLOSED, 1234.0)
    assert report.wire_ms == pytest.approx(20.0)


def test_our_clock_serves_when_the_controller_has_no_measure() -> None:
    """CLOSED without a value: from OPENED heard to CLOSED heard."""
    ledger = accepted()
    ledger.opened(7, 10.5)
    ledger.closed(7, None, 11.5)
    assert only(ledger).open_ms == pytest.approx(1000.0)


def test_shut_without_having_opened_is_a_fault() -> None:
    """A lid that never stood open did not take the item."""
    ledger = accepted()
    ledger.closed(7, None, 11.0)
    assert only(ledger).outcome is Outcome.FAULT


def test_a_jam_decides_the_outcome_later() -> None:
    """JAM is remembered until the lid is shut."""
    ledger = accepted()
    ledger.troubled(7, Outcome.OBSTRUCTED, "JAM")
    assert ledger.take() == ()
    ledger.closed(7, None, 11.0)
    report = only(ledger)
    assert (report.outcome, report.code) == (Outcome.OBSTRUCTED, "JAM")


def test_a_latched_lid_ends_its_own_action_only() -> None:
    """The controller gave up on lid 2; an action that it has not accepted yet, or of another lid, is not concerned."""
    ledger = accepted()
    ledger.begin(LidCommand(2, None, 1000, 500, 8), 11.0)
    ledger.begin(LidCommand(3, None, 1000, 500, 9), 11.0)
    ledger.accepted(9, "OK_ACCEPTED", 11.0)
    ledger.faulted(2)
    (report,) = ledger.take()
    assert (report.action_id, report.outcome) == (7, Outcome.FAULT)


def test_no_answer_is_no_reply() -> None:
    """No RESULT and no sign of the lid in time: NO_REPLY, without times."""
    ledger = begun()
    ledger.unanswered(7, "NO_REPLY")
    ledger.expire(10.0 + 0.5 + DOUBT_S - 0.01)
    assert ledger.take() == ()
    ledger.expire(10.0 + 0.5 + DOUBT_S + 0.01)
    report = only(ledger)
    assert (report.outcome, report.code) == (Outcome.NO_REPLY, "NO_REPLY")
    assert (report.open_ms, report.wire_ms) == (None, None)


@pytest.mark.parametrize("sign", ["began", "opened", "jammed"])
def test_a_sign_of_the_lid_ends_the_doubt(sign: str) -> None:
    """All RESULTs were lost but the command arrived: it then ends as it ends, and a dead line is INTERRUPTED, not NO_REPLY."""
    ledger = begun()
    ledger.unanswered(7, "NO_REPLY")
    if sign == "began":
        ledger.began(7)
    elif sign == "opened":
        ledger.opened(7, 10.5)
    else:
        ledger.troubled(7, Outcome.OBSTRUCTED, "JAM")
    ledger.expire(10.0 + 0.5 + DOUBT_S + 0.01)
    assert ledger.take() == ()
    ledger.interrupt("LINK_LOST")
    assert only(ledger).outcome is Outcome.INTERRUPTED


def test_doubt_ends_with_the_line() -> None:
    """Unanswered and then unplugged: nobody can say more than NO_REPLY."""
    ledger = begun()
    ledger.unanswered(7, "NO_REPLY")
    ledger.interrupt("LINK_LOST")
    assert only(ledger).outcome is Outcome.NO_REPLY


def test_a_late_notice_of_a_reset_spares_newer_actions() -> None:
    """Only what was begun before the new session can have died with the old one."""
    ledger = accepted()
    ledger.interrupt("CONTROLLER_RESET", before_s=10.0)
    assert ledger.take() == ()
    ledger.interrupt("CONTROLLER_RESET", before_s=10.1)
    assert only(ledger).code == "CONTROLLER_RESET"


def test_a_lid_seen_open_outweighs_a_lost_result() -> None:
    """All RESULTs were lost but OPENED came: the action goes on and ends as it ends."""
    ledger = begun()
    ledger.opened(7, 10.5)
    ledger.unanswered(7, "NO_REPLY")
    assert ledger.take() == ()
    ledger.closed(7, 900.0, 11.5)
    assert only(ledger).outcome is Outcome.CLOSED


def test_interrupted_when_the_line_dies() -> None:
    """Nothing is repeated; the report says why."""
    ledger = accepted()
    ledger.interrupt("LINK_LOST")
    report = only(ledger)
    assert (report.outcome, report.code) == (Outcome.INTERRUPTED, "LINK_LOST")


@pytest.mark.parametrize("trouble", [None, Outcome.OBSTRUCTED])
def test_what_never_ends_expires(trouble: Outcome | None) -> None:
    """After start, hold and slack the action is given up, not before."""
    ledger = accepted()
    if trouble:
        ledger.troubled(7, trouble, "JAM")
    ledger.expire(10.0 + 0.5 + 1.0 + SLACK_S - 0.01)
    assert ledger.take() == ()
    ledger.expire(10.0 + 0.5 + 1.0 + SLACK_S + 0.01)
    assert only(ledger).outcome is (trouble or Outcome.NO_REPLY)


def test_news_of_unknown_actions_change_nothing() -> None:
    """An action of an earlier life of this process."""
    ledger = Ledger()
    ledger.accepted(1, "OK_ACCEPTED", 0.0)
    ledger.opened(1, 0.0)
    ledger.troubled(1, None, "HOST_LOST")
    ledger.closed(1, None, 0.0)
    assert ledger.take() == ()
