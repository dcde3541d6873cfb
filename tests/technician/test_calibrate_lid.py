"""Calibration of one lid by hand: what the person does, what the controller does, and that it ends with the lid shut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bin_daemon.errors import DeviceError
from bin_daemon.sim.plant import PlantSettings
from bin_daemon.technician import calibrate
from bin_daemon.technician.calibrate import LidCalibration
from firmware_protocol.limits import PULSE_MAX_US, PULSE_MIN_US
from firmware_protocol.messages import Calibration, LidPhase, ResetCause
from tests.technician.calibrate_rig import Rig, begun, calibration

ENDS = PlantSettings(closed_us=1000, open_us=1780)
"""Shut where the firmware expects it, open earlier."""


def at_work(rig: Rig) -> LidCalibration:
    """In calibration, the servo at 1300 us: the lid a good third open."""
    run = calibration(rig)
    run.begin()
    assert run.jog(1300) == ""
    run.arrive()
    return run


def test_jogging_shows_pulse_switches_and_current() -> None:
    """The lid follows in steps; each reading is the lid's as it stands."""
    rig = Rig(ENDS)
    with begun(rig) as run:
        run.jog(1000)
        shut = run.arrive()
        assert (shut.pulse_us, shut.shut, shut.open) == (1000, True, False)
        for _ in range(3):
            run.step(50)
            run.arrive()
        assert (run.reading.pulse_us, run.reading.shut, run.reading.open) == (1150, False, False)
        run.jog(1770)
        up = run.arrive()
        assert (up.pulse_us, up.shut, up.open, up.peak_ma, up.current_ma) == (1770, False, True, 220, 8)
        assert (up.vin_mv, up.vservo_mv) == (12_000, 6_000)
    assert rig.board.lids[0].closed_switch


def test_what_was_found_is_stored_and_read_back() -> None:
    """Marks become the draft; SET_CAL, CAL_SAVED and GET_CAL make it the controller's, over a restart too."""
    rig = Rig(ENDS)
    with begun(rig) as run:
        run.jog(1770)
        run.arrive()
        assert run.mark_open() == 1770
        run.jog(990)
        run.arrive()
        assert run.mark_closed() == 990
        run.draft = replace(run.draft, speed_us_per_20ms=14, jam_ma=700)
        assert run.store() == run.stored == Calibration(0, 1770, 990, 14, 700)
    assert rig.board.load_cal(0) == Calibration(0, 1770, 990, 14, 700)
    assert rig.board.load_cal(1) is None


def test_no_pulse_beyond_the_servos_range() -> None:
    """The order is cut off and the person told so; nothing outside 500..2500 us is ever sent."""
    rig = Rig(PlantSettings(closed_us=PULSE_MIN_US, open_us=PULSE_MAX_US))
    with begun(rig) as run:
        assert run.jog(9000) == f"{PULSE_MAX_US} us is as far as the controller goes."
        assert run.arrive().pulse_us == PULSE_MAX_US
        assert run.jog(-7) == f"{PULSE_MIN_US} us is as far as the controller goes."
        assert run.arrive().pulse_us == PULSE_MIN_US


def test_a_key_held_down_does_not_send_the_lid_on() -> None:
    """As fast as a keyboard repeats: the order stays within two steps of the lid, so that it stands soon after the last key."""
    rig = Rig(PlantSettings(closed_us=1000, open_us=2400))
    run = at_work(rig)
    for _ in range(40):
        run.step(50)
        assert run.target_us - (run.reading.pulse_us or 0) <= 100
        run.run(0.01)
        if run.target_us >= 2200:
            break
    run.run(0.2)
    assert run.reading.pulse_us == run.target_us


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (lambda rig: setattr(rig.board.lids[0], "block_opening", 0.4), "stall"),
        (lambda rig: setattr(rig.board, "mushroom", True), "stop"),
        (lambda rig: rig.controller.reset(ResetCause.WATCHDOG, round(rig.now_s * 1000)), "restarted"),
        (lambda rig: setattr(rig, "deaf", True), "lost"),
    ],
)
def test_whatever_ends_it_is_told(happens: Callable[[Rig], None], code: str) -> None:
    """A stall, the stop switch, a restart, a dead line: jogging ends, says why, and moves nothing any more."""
    rig = Rig(ENDS)
    run = at_work(rig)
    happens(rig)
    run.jog(1700)
    run.arrive(4.0)
    assert not run.active
    assert run.ending
    assert run.ending.code == code
    assert run.jog(1500) == run.ending.text
    rig.live(8.0)
    assert rig.board.mushroom or rig.board.lids[0].closed_switch


def test_a_pinch_is_told_apart_from_a_stall() -> None:
    """The controller says JAM for both; the pinch input tells."""
    rig = Rig(ENDS)
    run = at_work(rig)
    rig.board.lids[0].block_closing = 0.2
    run.jog(1000)
    run.arrive()
    assert run.ending
    assert run.ending.code == "pinch"


def test_after_a_stall_it_goes_on_where_the_lid_stands() -> None:
    """The controller has shut the lid meanwhile; the next order starts from there."""
    rig = Rig(ENDS)
    run = at_work(rig)
    rig.board.lids[0].block_opening = 0.5
    run.jog(1700)
    run.arrive()
    assert not run.active
    rig.board.lids[0].block_opening = None
    told: list[str] = []
    assert run.wait_for_rest(lambda x: told.append(x.text)) is None
    assert told == ["Waiting for lid 1 to be shut."]
    run.begin()
    assert run.ending is None
    assert run.place_us == 1020  # its switch closed there
    run.step(50)
    assert run.arrive().pulse_us == 1070


def test_after_a_stop_it_goes_on_once_cleared() -> None:
    """Released and cleared, two separate acts; the lid has not moved and goes on from where it was."""
    rig = Rig(ENDS)
    run = at_work(rig)
    rig.board.mushroom = True
    run.run(0.2)
    assert not run.active
    with pytest.raises(DeviceError, match="stop switch is pressed"):
        run.begin()
    assert not run.clear()
    rig.board.mushroom = False
    run.run(0.2)
    with pytest.raises(DeviceError, match="latched"):
        run.begin()
    assert run.clear()
    run.begin()
    assert run.place_us == 1300
    assert run.jog(1320) == ""
    assert run.arrive().pulse_us == 1320


def test_after_a_lost_line_it_shakes_hands_again() -> None:
    """The cable came out for 5 s: the lid was shut, and `begin` opens a new session."""
    rig = Rig(ENDS)
    run = at_work(rig)
    rig.deaf = True
    run.run(5.0)
    assert run.ending
    assert rig.board.lids[0].closed_switch
    rig.deaf = False
    assert run.wait_for_rest(lambda _: None) is None
    run.begin()
    run.jog(1100)
    assert run.arrive().pulse_us == 1100


def test_after_a_restart_the_old_place_is_forgotten() -> None:
    """Nobody knows where the servo stands until the controller has shut the lid; that is where it goes on."""
    rig = Rig(ENDS)
    run = at_work(rig)
    rig.controller.reset(ResetCause.BROWN_OUT, round(rig.now_s * 1000))
    run.run(0.1)
    assert run.ending
    assert run.ending.code == "restarted"
    assert run.wait_for_rest(lambda _: None) is None
    run.begin()
    assert run.place_us == 1020


def test_a_broken_port_is_raised() -> None:
    """Unplugged for good: no keys help."""
    rig = Rig(ENDS)
    run = at_work(rig)
    rig.broken = True
    with pytest.raises(DeviceError):
        run.run()


def test_it_waits_while_somebody_thinks_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller would end it 30 s after the last order; a key now and then keeps it. Without any the lid is shut."""
    monkeypatch.setattr(calibrate, "PATIENCE_S", 45.0)
    rig = Rig(ENDS)
    run = at_work(rig)
    for _ in range(2):
        run.run(40.0)
        assert run.active
        assert run.reading.pulse_us == 1300
        run.touch()
    run.run(85.0)
    assert run.ending
    assert run.ending.code == "timed_out"
    assert rig.board.lids[0].closed_switch


def test_a_dead_program_leaves_a_shut_lid() -> None:
    """Killed: silence, and the controller shuts the lid after 2 s."""
    rig = Rig(ENDS)
    at_work(rig)
    rig.live(4.0)
    assert rig.board.lids[0].closed_switch
    assert rig.controller.core.lids[0].phase is LidPhase.CLOSED


def test_the_end_shuts_the_lid_by_the_pulse_that_was_found() -> None:
    """Not stored, and the stored pulse would press: the lid goes down by the mark first, and is reported shut."""
    rig = Rig(PlantSettings(closed_us=1100, open_us=1780))
    run = calibration(rig)
    run.begin()
    run.jog(1200)
    run.arrive()
    run.jog(1110)
    run.arrive()
    run.mark_closed()
    run.jog(1700)
    run.arrive()
    assert run.end()
    assert rig.controller.core.lids[0].reversals == 0


def test_other_lids_must_rest_first() -> None:
    """A lid on its way is waited for, once told; until then the controller would refuse."""
    rig = Rig(ENDS)
    rig.board.lids[2].frac = 0.5  # found ajar after power-on
    rig.controller.reset(ResetCause.POWER_ON, round(rig.now_s * 1000))
    run = calibration(rig)
    with pytest.raises(DeviceError, match="Waiting for lid 3"):
        run.begin()
    told: list[str] = []
    assert run.wait_for_rest(lambda x: told.append(x.text)) is None
    assert told == ["Waiting for lid 3 to be shut."]
    run.begin()
    assert run.active


def test_a_lid_in_fault_can_be_calibrated_once_cleared() -> None:
    """Wrong ends are the commonest reason for such a fault."""
    rig = Rig(PlantSettings(closed_us=1500, open_us=2200))
    rig.board.lids[0].frac = 0.5
    rig.controller.reset(ResetCause.POWER_ON, round(rig.now_s * 1000))
    rig.board.lids[0].block_closing = rig.board.lids[0].block_opening = 0.5
    run = calibration(rig)
    found = run.wait_for_rest(lambda _: None)
    assert found
    assert (found.text, found.clear) == ("Lid 1 is in fault after three tries.", True)
    assert run.clear()
    run.begin()
    assert run.active


def test_a_low_supply_moves_nothing() -> None:
    """Said before, and said when it sags while jogging; calibration itself goes on."""
    rig = Rig(ENDS)
    rig.board.vin = 5_000
    run = calibration(rig)
    with pytest.raises(DeviceError, match=r"servo supply 4\.0 V \(at least 4\.6 V\)"):
        run.begin()
    rig.board.vin = 12_000
    run.run(0.2)
    run.begin()
    rig.board.vin = 5_000
    assert "supply is too low" in run.jog(1200)
    assert run.active


def test_a_lid_that_is_not_there() -> None:
    """Named, with what there is."""
    with pytest.raises(DeviceError, match="no lid 7: this controller has 4"):
        calibration(Rig(ENDS), 7)


def test_values_that_the_controller_refuses_are_not_stored() -> None:
    """The device's own bounds count."""
    rig = Rig(ENDS)
    with begun(rig) as run:
        before = run.stored
        run.draft = replace(run.draft, open_us=run.draft.closed_us + 50)
        with pytest.raises(DeviceError, match="refuses these values"):
            run.store()
        assert run.stored == before


def test_a_memory_that_keeps_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read back is what counts."""
    rig = Rig(ENDS)
    with begun(rig) as run:
        monkeypatch.setattr(rig.controller, "_calibration", lambda lid: Calibration(lid, 1900, 1000, 20, 900))
        run.draft = replace(run.draft, open_us=1770)
        with pytest.raises(DeviceError, match=r"has stored: open 1900 us.*; not: open 1770 us"):
            run.store()


def test_the_fifth_lid_of_a_larger_bin() -> None:
    """Its readings come in TELEMETRY_MORE."""
    rig = Rig(PlantSettings(lids=6, closed_us=1000, open_us=1780))
    with begun(rig, 5) as run:
        run.jog(1700)
        assert run.arrive().pulse_us == 1700
        run.jog(1770)
        assert run.arrive().open
    assert rig.board.lids[4].closed_switch
