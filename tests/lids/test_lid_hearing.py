"""What the session hears becomes state and reports; hand-made session events, no port."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bin_daemon.config.settings import LidSettings
from bin_daemon.domain import Category, LidCommand, LidPosition, LidReport, Outcome
from bin_daemon.lids.hearing import Hearing, code_name
from bin_daemon.lids.snapshot import full_frac
from firmware_protocol.messages import (
    ABSENT,
    NO_LID,
    Boot,
    Caps,
    Code,
    Event,
    EventKind,
    HelloAck,
    LidPhase,
    LidTelemetry,
    Limits,
    Open,
    StopNow,
    Telemetry,
    TelemetryMore,
    TimeoutReason,
)
from firmware_protocol.session import Answered, Connected, Happened, Lost, Rebooted, Reported, Unanswered

LIDS = [LidSettings(lid=n, category=Category.OTHER, empty_mm=400, full_mm=100) for n in range(1, 6)]
ACK = HelloAck(1, 0, 1, 2, 3, 0xABC, 1, b"\x01\x02\x03\x04\x05\x06", Caps.PINCH, 5, 8, 7)
SHUT = LidTelemetry(LidPhase.CLOSED, None, 1, 0, 250)
TELEMETRY = Telemetry(1000, 0, 0, 12000, 6000, (SHUT, SHUT, SHUT, SHUT), 0, None, 0, 0, 0, 0)
OPEN = Open(1, 7, 1000, 500)


def listening() -> Hearing:
    """A hearing with a session, all lids shut, and action 7 on lid 2 asked for at 10 s."""
    hearing = Hearing(LIDS, "test")
    hearing.begin(9.0)
    hearing.take(Connected(ACK, frozenset({"pinch"})), 9.1)
    hearing.take(Reported(TELEMETRY), 9.2)
    hearing.ledger.begin(LidCommand(2, None, 1000, 500, 7), 10.0)
    return hearing


def answered(hearing: Hearing, code: Code | int = Code.OK_ACCEPTED) -> None:
    """The RESULT of action 7."""
    hearing.take(Answered(1, OPEN, code, 0, 0.02), 10.02)


def happened(hearing: Hearing, kind: EventKind, *, lid: int = 1, value: int | None = None) -> None:
    """An EVENT of action 7."""
    hearing.take(Happened(Event(1, kind, lid, 7, value)), 11.0)


def only(hearing: Hearing) -> LidReport:
    """The one report."""
    (report,) = hearing.ledger.take()
    return report


def test_the_handshake_in_words() -> None:
    """Numbers become what the info topic shows."""
    hello = listening().hello
    assert hello is not None
    assert (hello.firmware, hello.protocol, hello.reset_cause) == ("1.2.3", "1.0", "watchdog")
    assert (hello.uid, hello.git, hello.last_action_id) == ("010203040506", "00000abc", 7)
    assert hello.capabilities == {"pinch"}


def test_events_outrun_telemetry() -> None:
    """Position follows RESULT and EVENT at once; `closed_t_s` is when CLOSED was heard."""
    hearing = listening()
    positions = [hearing.snapshot.state.lids[2].position]
    answered(hearing)
    positions.append(hearing.snapshot.state.lids[2].position)
    happened(hearing, EventKind.OPENED)
    positions.append(hearing.snapshot.state.lids[2].position)
    happened(hearing, EventKind.CLOSED, value=1100)
    positions.append(hearing.snapshot.state.lids[2].position)
    assert positions == [LidPosition.CLOSED, LidPosition.OPENING, LidPosition.OPEN, LidPosition.CLOSED]
    assert hearing.snapshot.state.lids[2].closed_t_s == 11.0
    report = only(hearing)
    assert (report.outcome, report.open_ms) == (Outcome.CLOSED, 1100)


@pytest.mark.parametrize("code", [Code.BUSY, Code.STOPPED, Code.TOO_OLD, 99])
def test_refusals_carry_the_controllers_word(code: Code | int) -> None:
    """Also a word that this version does not know."""
    hearing = listening()
    answered(hearing, code)
    report = only(hearing)
    assert (report.outcome, report.code) == (Outcome.REFUSED, code_name(code))
    assert hearing.snapshot.state.lids[2].position is LidPosition.CLOSED


def test_an_open_that_could_not_start_is_refused() -> None:
    """TIMEOUT with NOT_STARTED: nothing moved, nothing will."""
    hearing = listening()
    answered(hearing)
    happened(hearing, EventKind.TIMEOUT, value=TimeoutReason.NOT_STARTED)
    report = only(hearing)
    assert (report.outcome, report.code) == (Outcome.REFUSED, "NOT_STARTED")


def test_a_travel_timeout_is_an_obstruction() -> None:
    """TIMEOUT on the way: told once the lid is shut again."""
    hearing = listening()
    answered(hearing)
    happened(hearing, EventKind.TIMEOUT, value=TimeoutReason.TRAVEL)
    happened(hearing, EventKind.CLOSED)
    assert only(hearing).outcome is Outcome.OBSTRUCTED


def test_a_shut_switch_that_did_not_let_go_is_remembered_until_it_does() -> None:
    """Its own word in the report; a controller that is shut, or does not know, takes nothing back; a switch seen open does."""
    hearing = listening()
    answered(hearing)
    happened(hearing, EventKind.TIMEOUT, value=TimeoutReason.SHUT_SWITCH)
    happened(hearing, EventKind.CLOSED)
    report = only(hearing)
    assert (report.outcome, report.code) == (Outcome.OBSTRUCTED, "SHUT_SWITCH")
    hearing.take(Reported(TELEMETRY), 12.0)
    hearing.take(Reported(replace(TELEMETRY, slots=(SHUT, replace(SHUT, limits=None), SHUT, SHUT))), 12.5)
    assert hearing.held_switches == {2}
    hearing.take(Reported(replace(TELEMETRY, slots=(SHUT, replace(SHUT, limits=Limits.OPEN), SHUT, SHUT))), 13.0)
    assert hearing.held_switches == frozenset()


def test_a_latched_lid_is_a_fault() -> None:
    """Telemetry says FAULT: no CLOSED will come, the report is due; other lids are not concerned."""
    hearing = listening()
    answered(hearing)
    happened(hearing, EventKind.JAM)
    fault = replace(SHUT, state=LidPhase.FAULT)
    hearing.take(Reported(replace(TELEMETRY, slots=(fault, SHUT, SHUT, SHUT))), 12.0)
    assert hearing.ledger.take() == ()
    hearing.take(Reported(replace(TELEMETRY, slots=(SHUT, fault, SHUT, SHUT))), 13.0)
    report = only(hearing)
    assert (report.outcome, report.code) == (Outcome.FAULT, "JAM")


def test_a_lost_session_is_not_a_lost_controller() -> None:
    """Noise broke the session: positions are unknown until told again, the action goes on and ends as it ends."""
    hearing = listening()
    answered(hearing)
    hearing.take(Lost("silence"), 10.5)
    state = hearing.snapshot.state
    assert not state.connected
    assert {x.position for x in state.lids.values()} == {LidPosition.UNKNOWN}
    assert hearing.lost_t_s == 10.5
    hearing.take(Lost("still silence"), 11.5)
    assert hearing.lost_t_s == 10.5
    hearing.take(Connected(ACK, frozenset()), 12.0)
    happened(hearing, EventKind.OPENED)
    happened(hearing, EventKind.CLOSED)
    assert only(hearing).outcome is Outcome.CLOSED


def test_a_boot_interrupts() -> None:
    """The controller says that it restarted."""
    hearing = listening()
    answered(hearing)
    hearing.take(Rebooted(Boot(1, 0, 0, 2, 7)), 10.5)
    report = only(hearing)
    assert (report.outcome, report.code) == (Outcome.INTERRUPTED, "CONTROLLER_RESET")


def test_an_unheard_boot_interrupts_too() -> None:
    """BOOT was lost on the line; its clock that runs backward gives the reset away. Newer actions live on."""
    hearing = listening()
    answered(hearing)
    hearing.take(Lost("no session"), 10.5)
    hearing.take(Connected(ACK, frozenset()), 10.6)
    hearing.ledger.begin(LidCommand(3, None, 1000, 500, 8), 10.7)
    hearing.take(Reported(replace(TELEMETRY, uptime_ms=200)), 10.8)
    report = only(hearing)
    assert (report.action_id, report.code) == (7, "CONTROLLER_RESET")


def test_unanswered_and_begun() -> None:
    """No RESULT, but the next handshake names the action: the doubt is over."""
    hearing = listening()
    hearing.take(Unanswered(1, OPEN, "no answer", sent=True), 10.4)
    hearing.take(Lost("no answer"), 10.4)
    hearing.take(Connected(ACK, frozenset()), 10.5)
    hearing.ledger.expire(16.0)
    assert hearing.ledger.take() == ()


def test_unanswered_and_never_sent() -> None:
    """It never left: NO_REPLY at once."""
    hearing = listening()
    hearing.take(Unanswered(1, OPEN, "no session", sent=False), 10.4)
    report = only(hearing)
    assert (report.outcome, report.code) == (Outcome.NO_REPLY, "NOT_SENT")


def test_stop_ends_what_is_under_way() -> None:
    """STOP accepted, or the mushroom switch: INTERRUPTED with the reason."""
    hearing = listening()
    answered(hearing)
    hearing.take(Answered(2, StopNow(), Code.OK_ACCEPTED, 0, 0.01), 10.5)
    assert only(hearing).code == "STOPPED"
    hearing = listening()
    answered(hearing)
    hearing.take(Happened(Event(1, EventKind.STOP_PRESSED, NO_LID, 0, None)), 10.5)
    assert only(hearing).code == "STOP_PRESSED"
    assert hearing.snapshot.state.stopped


def test_a_fifth_lid_comes_in_the_next_frame() -> None:
    """TELEMETRY_MORE: its first slot is lid 5; lids that nobody configured are ignored."""
    hearing = listening()
    before = hearing.snapshot.state
    opened = replace(SHUT, state=LidPhase.OPEN, fill_mm=None)
    hearing.take(Reported(TelemetryMore(4, (opened, SHUT, ABSENT, ABSENT), 0)), 10.0)
    after = hearing.snapshot.state
    assert (before.lids[5].position, after.lids[5].position) == (LidPosition.UNKNOWN, LidPosition.OPEN)
    assert after.lids[5].full_frac is None
    assert set(after.lids) == {1, 2, 3, 4, 5}


def test_a_lid_that_the_controller_has_not() -> None:
    """The config names lid 5, the controller has four: that lid is in fault, the others work."""
    hearing = Hearing(LIDS, "test")
    hearing.take(Connected(replace(ACK, lids=4), frozenset()), 9.1)
    hearing.take(Reported(TELEMETRY), 9.2)
    positions = [lid.position for lid in hearing.snapshot.state.lids.values()]
    assert positions == [*[LidPosition.CLOSED] * 4, LidPosition.FAULT]


def test_supply_and_unknown_supply() -> None:
    """A low servo supply is told; a board that cannot measure it is trusted."""
    hearing = listening()
    said = []
    for vservo_mv in (6000, 4000, None):
        hearing.take(Reported(replace(TELEMETRY, vservo_mv=vservo_mv)), 10.0)
        said.append(hearing.snapshot.state.voltage_ok)
    assert said == [True, False, True]


@pytest.mark.parametrize(("fill_mm", "frac"), [(400, 0.0), (250, 0.5), (100, 1.0), (50, 1.0), (900, 0.0), (None, None)])
def test_fill_levels(fill_mm: int | None, frac: float | None) -> None:
    """Linear between the calibrated ends, clamped; unknown stays unknown."""
    assert full_frac(fill_mm, LIDS[0]) == frac


def test_fill_without_calibration_is_unknown() -> None:
    """Nobody said what empty is."""
    assert full_frac(200, LidSettings(lid=1, category=Category.OTHER)) is None
