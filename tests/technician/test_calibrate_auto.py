"""Calibration by itself: lids of any shape get safe values; where it cannot know, it stops and says so."""

from __future__ import annotations

import random

import pytest

from bin_daemon.errors import DeviceError
from bin_daemon.sim.faults import Garble, Line
from bin_daemon.sim.plant import SWITCH_FRAC, PlantSettings
from bin_daemon.technician.calibrate import LidCalibration
from bin_daemon.technician.calibrate_auto import Proposal, calibrate_by_itself, jam_limit
from bin_daemon.technician.calibrate_start import start
from bin_daemon.technician.calibrate_steps import Steps
from firmware_protocol.limits import PULSE_MAX_US, PULSE_MIN_US
from firmware_protocol.messages import Calibration, Caps, Limits, ResetCause
from firmware_protocol.reference import SIM_CAPS
from tests.technician.calibrate_rig import Rig, calibration


def begun(rig: Rig) -> LidCalibration:
    """In calibration, not yet attached."""
    run = calibration(rig)
    assert run.wait_for_rest(lambda _: None) is None
    run.begin()
    return run


def search(rig: Rig, *, yes: bool = True) -> tuple[LidCalibration, Proposal]:
    """The whole search."""
    run = begun(rig)
    start(Steps(run, lambda _: None), lambda _: yes)
    return run, calibrate_by_itself(run, lambda _: None)


def shapes() -> list[tuple[int, int]]:
    """Named ones, and some of any kind: (shut, open)."""
    rng = random.Random(7)
    named = [(1150, 1780), (800, 2200), (1900, 1100), (1450, 2300), (560, 2440)]
    return named + [(a, a + rng.randint(200, 900)) for a in (rng.randint(700, 1500) for _ in range(3))]


@pytest.mark.parametrize(("closed_us", "open_us"), shapes())
def test_a_board_never_calibrated_learns_its_lid(closed_us: int, open_us: int) -> None:
    """Both marks lie between the point where the switch closes and the end stop's play; with them a cycle works."""
    rig = Rig(PlantSettings(closed_us=closed_us, open_us=open_us))
    run, proposal = search(rig)
    found = proposal.calibration
    span_us = (open_us - closed_us) * SWITCH_FRAC
    way = 1 if open_us > closed_us else -1
    assert -25 <= (found.closed_us - (closed_us + span_us)) * way <= 0
    assert 0 <= (found.open_us - (open_us - span_us)) * way <= 25
    assert found.jam_ma == 860  # midway between 220 and 1500
    assert found.speed_us_per_20ms == round(abs(found.open_us - found.closed_us) / 50)
    assert not proposal.warnings
    run.store()
    assert run.end()
    assert rig.controller.core.lids[0].reversals == 0
    again = begun(rig)
    start(Steps(again, lambda _: None), lambda _: False)
    for opening, pulse_us in ((True, found.open_us), (False, found.closed_us)):
        assert again.travel(pulse_us, opening=opening).arrived
    assert again.end()


def test_no_pulse_ever_leaves_the_servos_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is searched for."""
    rig = Rig(PlantSettings(closed_us=520, open_us=2480))
    sent: list[int] = []
    send = rig.board.set_pulse_us

    def set_pulse_us(lid: int, pulse_us: int | None) -> None:
        sent.extend([] if pulse_us is None else [pulse_us])
        send(lid, pulse_us)

    monkeypatch.setattr(rig.board, "set_pulse_us", set_pulse_us)
    search(rig)
    assert min(sent) >= PULSE_MIN_US
    assert max(sent) <= PULSE_MAX_US


def test_a_blocked_lid_ends_the_search() -> None:
    """Held up where no end is: nothing is proposed, the lid is shut, and the pulse is named."""
    rig = Rig(PlantSettings(closed_us=1050, open_us=1800))
    rig.board.lids[0].block_opening = 0.4
    run = begun(rig)
    start(Steps(run, lambda _: None), lambda _: False)
    with pytest.raises(DeviceError, match=r"held up at 13[4-9]\d us and no switch says"):
        calibrate_by_itself(run, lambda _: None)
    assert run.end()


def test_something_under_the_lid_ends_the_search() -> None:
    """A pinch is no end stop."""
    rig = Rig(PlantSettings(closed_us=1000, open_us=1800))
    run = begun(rig)
    run.jog(1500)
    run.arrive()
    rig.board.lids[0].block_closing = 0.3
    with pytest.raises(DeviceError, match="Something is caught under the lid"):
        calibrate_by_itself(run, lambda _: None)


@pytest.mark.parametrize("stop_after_s", [0.5, 5.0, 14.0])
def test_the_stop_switch_ends_the_search_at_any_moment(stop_after_s: float) -> None:
    """Pressed in any phase: said, and nothing moves."""
    rig = Rig(PlantSettings(closed_us=1000, open_us=1800))
    rig.later(stop_after_s, lambda: setattr(rig.board, "mushroom", True))
    with pytest.raises(DeviceError, match="stop switch is pressed"):
        search(rig)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (lambda _: 0, "no switch closes up to 500 us|held up"),
        (lambda _: int(Limits.CLOSED | Limits.OPEN), "both limit switches are closed at once"),
        (lambda true: true & Limits.CLOSED, "held up"),
        (lambda true: true and int(Limits.CLOSED), "both ends close the shut switch"),
    ],
)
def test_broken_switches_are_named(monkeypatch: pytest.MonkeyPatch, limits: object, said: str) -> None:
    """Torn off, bridged, one torn off, both on one wire."""
    rig = Rig(PlantSettings(closed_us=1000, open_us=1800))
    run = begun(rig)
    true = rig.board.limits
    monkeypatch.setattr(rig.board, "limits", lambda lid: limits(true(lid)))  # type: ignore[operator]
    start(Steps(run, lambda _: None), lambda _: False)
    with pytest.raises(DeviceError, match=said):
        calibrate_by_itself(run, lambda _: None)


def test_a_servo_mounted_the_other_way_round_needs_a_yes() -> None:
    """The controller would open this lid to shut it: asked first; no means that nothing is stored."""
    rig = Rig(PlantSettings(closed_us=1900, open_us=1100))
    run = begun(rig)
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    with pytest.raises(DeviceError, match="opens this lid when it means to shut it"):
        start(Steps(run, lambda _: None), no)
    assert asked[0].startswith("This servo is mounted the other way round: shorter pulses open it.")
    assert rig.board.load_cal(0) is None


def test_without_switches_the_ends_are_where_the_servo_strains() -> None:
    """A little before; and a person has to look, for nothing tells open from shut."""
    rig = Rig(PlantSettings(lids=1, closed_us=1150, open_us=1780), blank=False, caps=SIM_CAPS & ~Caps.LIMIT_SWITCHES)
    _, proposal = search(rig)
    assert abs(proposal.calibration.closed_us - 1150) <= 40
    assert abs(proposal.calibration.open_us - 1780) <= 40
    assert any("look yourself" in x for x in proposal.warnings)


def test_without_current_sense_the_jam_limit_stays() -> None:
    """And that is said."""
    rig = Rig(PlantSettings(closed_us=1150, open_us=1780), caps=SIM_CAPS & ~Caps.CURRENT_SENSE)
    _, proposal = search(rig)
    assert proposal.calibration.jam_ma == 900
    assert any("cannot measure the current" in x for x in proposal.reasons)


def test_a_board_that_measures_nothing_is_calibrated_by_hand() -> None:
    """Neither switches nor current."""
    rig = Rig(PlantSettings(lids=1), caps=Caps.SUPPLY_SENSE)
    run = begun(rig)
    start(Steps(run, lambda _: None), lambda _: False)
    with pytest.raises(DeviceError, match="neither switches nor current") as caught:
        calibrate_by_itself(run, lambda _: None)
    assert caught.value.hint == "calibrate by hand: bin-daemon lid calibrate 1"


def test_a_slow_servo_is_given_time() -> None:
    """A lid that arrives half a second after its pulse gets a lower speed than one second from end to end."""
    rig = Rig(PlantSettings(closed_us=1000, open_us=1800, travel_ms=1600.0))
    _, proposal = search(rig)
    assert proposal.calibration.speed_us_per_20ms < 16
    assert any("does not keep up" in x for x in proposal.reasons)


def test_a_noisy_line_makes_no_wrong_values() -> None:
    """Two bytes in a thousand damaged each way: commands are repeated, lost reports waited for, the same values found."""
    rig = Rig(PlantSettings(closed_us=1100, open_us=1400))
    to_controller, to_host = (Line([Garble(random.Random(seed), 0.002)]) for seed in (1, 2))
    receive, take_output = rig.controller.receive, rig.controller.take_output

    def receive_damaged(data: bytes, now_ms: int) -> None:
        for arrived in to_controller.flow(data, rig.now_s):
            receive(arrived, now_ms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.controller, "receive", receive_damaged)
        patch.setattr(rig.controller, "take_output", lambda: b"".join(to_host.flow(take_output(), rig.now_s)))
        run, proposal = search(rig)
        assert proposal.calibration == Calibration(0, 1415, 1085, 7, 860)
        assert run.store() == proposal.calibration
        assert run.end()
    assert rig.controller.errors.crc > 0


def test_a_stall_that_was_never_seen_is_guessed_with_a_warning() -> None:
    """Twice the running current, 200 mA above it at least; never beyond what the device takes."""
    assert jam_limit(300, None, 900)[0] == 600
    assert jam_limit(50, None, 900)[0] == 250
    assert jam_limit(4000, None, 900)[0] == 5000
    assert jam_limit(300, 1500, 900)[0] == 900


def test_a_board_that_watches_no_jams_is_watched_from_here() -> None:
    """Stored jam limit 0: the controller would never let go; this end does, and proposes a limit."""
    rig = Rig(PlantSettings(closed_us=1100, open_us=1600))
    rig.board.save_cal(Calibration(0, 2000, 1000, 20, 0))
    rig.controller.reset(ResetCause.EXTERNAL, round(rig.now_s * 1000))
    run, proposal = search(rig)
    assert (proposal.calibration.jam_ma, proposal.calibration.closed_us) == (860, 1095)
    assert run.end()
    rig.board.lids[0].block_opening = 0.5
    again = begun(rig)
    start(Steps(again, lambda _: None), lambda _: False)
    with pytest.raises(DeviceError, match="held up"):
        calibrate_by_itself(again, lambda _: None)
    assert again.end()
