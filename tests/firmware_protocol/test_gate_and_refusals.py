"""may_open() and every other refusal: what the controller says no to, and that nothing moves then. On all bodies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.hal import Motion
from firmware_protocol.lid_core import default_calibration
from firmware_protocol.messages import Caps, Code, EventKind, LidPhase, ResetCause
from firmware_protocol.reference import SIM_CAPS
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.body import Fitting
from tests.firmware_protocol.bodies.stand import FULL_CYCLE, Stand, shut_stand
from tests.firmware_protocol.conftest import MakeBody

SENSED_MV = 60
"""As fine as an analog input with its divider and reference is."""


def stopped(stand: Stand) -> None:
    """Latch alone."""
    stand.ask(m.StopLatch())


def calibrating(stand: Stand) -> None:
    """Someone's hands are at the lids."""
    stand.ask(m.Calibrate(1))


def other_moves(stand: Stand) -> None:
    """One lid at a time."""
    stand.open(900, lid=3)
    stand.run(300)


def tired(stand: Stand) -> None:
    """This lid has just moved."""
    stand.open(900, hold_ms=1000)
    stand.run_until(lambda: bool(stand.events(EventKind.CLOSED)))


def staggered(stand: Stand) -> None:
    """Another lid has just stopped."""
    stand.open(900, lid=3, hold_ms=1000)
    stand.run_until(lambda: bool(stand.events(EventKind.CLOSED)))


def not_shut(stand: Stand) -> None:
    """It stands open."""
    stand.open(900)
    stand.wait_for(LidPhase.OPEN)
    stand.run(lim.REST_MS)


def halted(stand: Stand) -> None:
    """It was stopped half-way."""
    stand.open(900)
    stand.run(500)
    stand.ask(m.StopNow())
    stand.run(400)


WISHES: list[tuple[Callable[[Stand], None], Code]] = [
    (stopped, Code.STOPPED),
    (calibrating, Code.BUSY),
    (other_moves, Code.BUSY),
    (tired, Code.BUSY),
    (staggered, Code.BUSY),
    (not_shut, Code.BUSY),
    (halted, Code.BUSY),
]


@pytest.mark.parametrize(("spoil", "code"), WISHES)
def test_one_thing_wrong_keeps_it_shut(stand: Stand, spoil: Callable[[Stand], None], code: Code) -> None:
    """Each reason to refuse alone refuses, and lid 0 does not open for that action."""
    spoil(stand)
    opened = stand.openings(0)
    assert stand.open(1)[0] is code
    stand.run(1000)
    assert stand.openings(0) == opened
    assert stand.events(EventKind.OPENED) == [] or stand.events(EventKind.OPENED)[-1].action_id == 900


def mushroom(stand: Stand) -> None:
    """Pressed for a while."""
    stand.inputs.stop = True
    stand.run(100)


def low_vin(stand: Stand) -> None:
    """Below the bound."""
    stand.inputs.vin_mv = lim.VIN_MIN_MV - SENSED_MV
    stand.run(300)


def low_vservo(stand: Stand) -> None:
    """Below the bound."""
    stand.inputs.vservo_mv = lim.VSERVO_MIN_MV - SENSED_MV
    stand.run(300)


def blind_vservo(stand: Stand) -> None:
    """The sense gives nothing."""
    stand.inputs.vservo_mv = None
    stand.run(300)


def faulty(stand: Stand) -> None:
    """Latched fault of this lid."""
    stand.open(900)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.lid.strip = False
    stand.lid.finger_us = 1500
    stand.wait_for(LidPhase.FAULT, ms=20_000)


INPUTS: list[tuple[Callable[[Stand], None], Code]] = [
    (mushroom, Code.STOPPED),
    (low_vin, Code.LOW_VOLTAGE),
    (low_vservo, Code.LOW_VOLTAGE),
    (blind_vservo, Code.LOW_VOLTAGE),
    (faulty, Code.FAULT_LATCHED),
]


@pytest.mark.needs("inputs")
@pytest.mark.parametrize(("spoil", "code"), INPUTS)
def test_one_sensor_wrong_keeps_it_shut(stand: Stand, spoil: Callable[[Stand], None], code: Code) -> None:
    """As above, for what sensors tell."""
    spoil(stand)
    opened = stand.openings(0)
    assert stand.open(1) == (code, 0)
    stand.run(1000)
    assert stand.openings(0) == opened


@pytest.mark.needs("no_time")
def test_a_switch_pressed_since_the_last_tick_counts(stand: Stand) -> None:
    """The gate asks the switch itself."""
    stand.inputs.stop = True
    assert stand.open() == (Code.STOPPED, 0)


@pytest.mark.needs("inputs")
def test_an_open_beside_the_mushroom_switch_opens_nothing(stand: Stand) -> None:
    """Pressed while the OPEN is on its way: a board that debounces it takes every signal away at once after."""
    stand.inputs.stop = True
    code, _ = stand.open()
    stand.run(60)
    assert code in (Code.STOPPED, Code.OK_ACCEPTED)
    assert stand.silent()
    assert stand.look().stop & m.Stop.MUSHROOM
    assert all(x.pulse_us is None or x.pulse_us < 1025 for x in stand.pulses(0))
    stand.run(2000)
    assert stand.plant.moved == []


@pytest.mark.needs("inputs")
def test_supply_bounds(stand: Stand) -> None:
    """Just above both bounds it opens."""
    stand.inputs.vin_mv, stand.inputs.vservo_mv = lim.VIN_MIN_MV + SENSED_MV, lim.VSERVO_MIN_MV + SENSED_MV
    stand.run(300)
    assert stand.open() == (Code.OK_ACCEPTED, 0)


@pytest.mark.needs("blind", "fitting")
def test_supply_bounds_are_inclusive_and_only_where_sensed(make_body: MakeBody) -> None:
    """Exactly the least voltage passes, one mV less does not, none at all neither; a board without sense is not asked."""
    for vin_mv, vservo_mv, code in (
        (lim.VIN_MIN_MV, lim.VSERVO_MIN_MV, Code.OK_ACCEPTED),
        (lim.VIN_MIN_MV - 1, lim.VSERVO_MIN_MV, Code.LOW_VOLTAGE),
        (lim.VIN_MIN_MV, lim.VSERVO_MIN_MV - 1, Code.LOW_VOLTAGE),
        (None, lim.VSERVO_MIN_MV, Code.LOW_VOLTAGE),
        (lim.VIN_MIN_MV, None, Code.LOW_VOLTAGE),
    ):
        stand = shut_stand(make_body())
        stand.inputs.vin_mv, stand.inputs.vservo_mv = vin_mv, vservo_mv
        assert stand.open() == (code, 0)
    blind = shut_stand(make_body(Fitting(caps=SIM_CAPS & ~Caps.SUPPLY_SENSE)))
    blind.inputs.vin_mv = None
    assert blind.open() == (Code.OK_ACCEPTED, 0)


@pytest.mark.needs("virtual")
def test_patience_is_enough_or_it_is_not(stand: Stand) -> None:
    """A wait of the told time is accepted and opens; a clearly shorter one is refused."""
    stand.open(900, hold_ms=1000)
    stand.run_until(lambda: bool(stand.events(EventKind.CLOSED)))
    code, wait_ms = stand.open(1)
    assert code is Code.BUSY
    assert stand.open(2, start_within_ms=wait_ms - 100)[0] is Code.BUSY
    assert stand.open(3, start_within_ms=wait_ms) == (Code.OK_ACCEPTED, 0)
    stand.run(6000)
    assert stand.motions_of() == FULL_CYCLE * 2
    assert stand.events(EventKind.OPENED)[-1].action_id == 3


@pytest.mark.needs("inputs")
def test_the_gate_is_asked_again_when_the_motion_begins(stand: Stand) -> None:
    """An accepted OPEN whose supply then sags never begins."""
    stand.open(1, lid=0)
    stand.open(2, lid=1, start_within_ms=3000)
    stand.inputs.vservo_mv = 3000
    stand.run(6000)
    assert stand.motions_of(1) == []
    assert [e.action_id for e in stand.events(EventKind.TIMEOUT)] == [2]


REFUSED: list[tuple[m.Command, Code]] = [
    (m.Open(4, 1, 1000, 0), Code.BAD_ARG),
    (m.Open(255, 1, 1000, 0), Code.BAD_ARG),
    (m.Open(0, 0, 1000, 0), Code.BAD_ARG),
    (m.Close(4, 1), Code.BAD_ARG),
    (m.Close(0, 0), Code.BAD_ARG),
    (m.StopClear(0), Code.BAD_ARG),
    (m.Jog(4, 1500), Code.BAD_ARG),
    (m.Jog(0, 499), Code.BAD_ARG),
    (m.Jog(0, 2501), Code.BAD_ARG),
    (m.Jog(0, 1500), Code.BUSY),
    (m.Calibrate(2), Code.BAD_ARG),
    (m.SetCal(4, 2000, 1000, 20, 900), Code.BAD_ARG),
    (m.SetCal(0, 2501, 1000, 20, 900), Code.BAD_ARG),
    (m.SetCal(0, 2000, 499, 20, 900), Code.BAD_ARG),
    (m.SetCal(0, 1099, 1000, 20, 900), Code.BAD_ARG),
    (m.SetCal(0, 2000, 1000, 0, 900), Code.BAD_ARG),
    (m.SetCal(0, 2000, 1000, 20, 5001), Code.BAD_ARG),
    (m.GetCal(4), Code.BAD_ARG),
    (m.SetTelemetry(49), Code.BAD_ARG),
    (m.SetTelemetry(10_001), Code.BAD_ARG),
    (m.Indicate(6, 100), Code.BAD_ARG),
    (m.Reboot(1), Code.BAD_ARG),
]


def test_bad_arguments_are_named_and_move_nothing(stand: Stand) -> None:
    """Each command with a value out of bounds gets its code, and neither a lid nor the board notices."""
    begin_ms = stand.now_ms
    stand.body.seen.lamps.clear()
    assert stand.ack
    bootloader = stand.ack.caps & Caps.BOOTLOADER
    for command, code in [*REFUSED, (m.EnterBootloader(1), Code.BAD_ARG if bootloader else Code.UNSUPPORTED)]:
        assert stand.ask(command)[0] is code, command
    stand.run(500)
    seen = stand.body.seen
    assert stand.pulses(since_ms=begin_ms) == []
    assert (seen.shown, seen.lamps, seen.restarts, seen.resets) == ([], [], [], [])
    assert stand.events() == []


@pytest.mark.needs("fitting")
def test_a_board_without_bootloader_says_so(make_body: MakeBody) -> None:
    """Whatever the magic."""
    stand = shut_stand(make_body())
    assert stand.ask(m.EnterBootloader()) == (Code.UNSUPPORTED, 0)
    assert stand.body.seen.restarts == []


CAL = m.Calibration(2, 1900, 1100, 10, 700)


@pytest.mark.needs("damage")
def test_calibration_is_stored_and_read_back(stand: Stand) -> None:
    """Stored, told, and given back; a repeated question gets the whole answer again."""
    assert stand.calibration(2) == default_calibration(2)
    assert stand.ask(m.SetCal(*CAL_FIELDS)) == (Code.OK_ACCEPTED, 0)
    stand.run(50)
    assert [e.lid for e in stand.events(EventKind.CAL_SAVED)] == [2]
    assert stand.calibration(2) == CAL
    frames = stand.raw(stand.frame(m.GetCal(2), stand.seq))
    assert [x.message for x in frames if isinstance(x.message, m.Calibration)] == [CAL]


CAL_FIELDS = (CAL.lid, CAL.open_us, CAL.closed_us, CAL.speed_us_per_20ms, CAL.jam_ma)


@pytest.mark.needs("shown")
def test_indicate_reaches_the_board(stand: Stand) -> None:
    """Pattern and time."""
    assert stand.ask(m.Indicate(m.Pattern.WAIT, 700)) == (Code.OK_ACCEPTED, 0)
    assert stand.body.seen.shown == [(m.Pattern.WAIT, 700)]


def test_telemetry_can_be_silent(stand: Stand) -> None:
    """Period 0."""
    assert stand.ask(m.SetTelemetry(0)) == (Code.OK_ACCEPTED, 0)
    stand.run(100)
    before = len(stand.told)
    stand.run(2000)
    assert len(stand.told) == before


@pytest.mark.needs("no_time")
def test_reboot_restarts_after_its_answer(stand: Stand) -> None:
    """The answer is out, then the board is told."""
    assert stand.ask(m.Reboot()) == (Code.OK_ACCEPTED, 0)
    assert stand.body.seen.restarts == [False]


@pytest.mark.needs("resets", "damage")
def test_calibration_outlives_a_power_on(stand: Stand) -> None:
    """A stored calibration is loaded at the next start."""
    stand.ask(m.SetCal(*CAL_FIELDS))
    stand.run(300)
    stand.reset(ResetCause.POWER_ON)
    stand.settle()
    stand.hello()
    assert stand.calibration(2) == CAL


@pytest.mark.needs("resets", "damage")
@pytest.mark.parametrize("bad", [m.Calibration(0, 2000, 1000, 0, 900), m.Calibration(0, 65535, 1000, 20, 900)])
def test_a_damaged_calibration_is_not_used(stand: Stand, bad: m.Calibration) -> None:
    """What the memory gives back is judged like what a host sends."""
    stand.body.damage_calibration(bad)
    stand.reset(ResetCause.POWER_ON)
    stand.settle()
    stand.hello()
    assert stand.calibration(0) == default_calibration(0)


@pytest.mark.needs("pins", "damage")
def test_no_byte_of_a_stored_calibration_may_change(make_body: MakeBody) -> None:
    """Each of the first bytes of the memory damaged in turn: the lid has what was stored, or the defaults, never a mixture."""
    body = make_body()
    assert isinstance(body, AvrBody)
    stand = shut_stand(body)
    stored, lost = m.Calibration(0, 1900, 1100, 10, 700), 0
    for address in range(64):
        if stand.calibration(0) != stored:
            assert stand.ask(m.SetCal(0, 1900, 1100, 10, 700)) == (Code.OK_ACCEPTED, 0)
            stand.run(100)
        body.write_eeprom(address, b"\x0b")
        stand.reset(ResetCause.EXTERNAL)
        stand.settle()
        stand.hello()
        assert stand.calibration(0) in (stored, default_calibration(0)), f"byte {address}"
        lost += stand.calibration(0) != stored
    assert lost > 8


@pytest.mark.needs("virtual")
def test_calibration_of_a_moving_lid_is_refused(stand: Stand) -> None:
    """The pulses of a lid under way do not change under it; its neighbour's may."""
    stand.open()
    assert stand.ask(m.SetCal(0, 1900, 1100, 10, 700))[0] is Code.BUSY
    assert stand.ask(m.SetCal(1, 1900, 1100, 10, 700))[0] is Code.OK_ACCEPTED
    assert stand.ask(m.Calibrate(1))[0] is Code.BUSY


@pytest.mark.needs("inputs")
def test_jog_needs_supply(stand: Stand) -> None:
    """A sagging supply refuses JOG as it refuses OPEN."""
    stand.ask(m.Calibrate(1))
    stand.inputs.vservo_mv = 3000
    stand.run(300)
    assert stand.ask(m.Jog(0, 1200)) == (Code.LOW_VOLTAGE, 0)


@pytest.mark.needs("virtual")
def test_the_bootloader_only_with_all_lids_shut(make_body: MakeBody) -> None:
    """With the capability: BUSY while a lid is open, else the board is told."""
    stand = shut_stand(make_body(Fitting(caps=SIM_CAPS | Caps.BOOTLOADER)))
    assert stand.ask(m.EnterBootloader(5))[0] is Code.BAD_ARG
    stand.open()
    stand.run(200)
    assert stand.ask(m.EnterBootloader())[0] is Code.BUSY
    stand.run(6000)
    assert stand.body.seen.restarts == []
    assert stand.ask(m.EnterBootloader()) == (Code.OK_ACCEPTED, 0)
    stand.run(500)
    assert stand.body.seen.restarts == [True]
    assert stand.motions_of() == FULL_CYCLE


@pytest.mark.needs("fitting")
def test_a_board_without_lamp_says_so(make_body: MakeBody) -> None:
    """INDICATE without the capability is UNSUPPORTED."""
    stand = shut_stand(make_body(Fitting(caps=SIM_CAPS & ~Caps.INDICATOR)))
    assert stand.ask(m.Indicate(1, 1))[0] is Code.UNSUPPORTED


def test_the_same_action_twice(stand: Stand) -> None:
    """Same id: DUPLICATE while it waits, while it moves and afterwards; TOO_OLD once another has followed."""
    stand.open(1, lid=0)
    assert stand.open(1, lid=0)[0] is Code.DUPLICATE
    assert stand.open(1, lid=2)[0] is Code.DUPLICATE
    stand.open(2, lid=1, start_within_ms=9000)
    assert stand.open(2, lid=3)[0] is Code.DUPLICATE
    assert stand.open(3, lid=1)[0] is Code.BUSY  # the lid waits already
    stand.run(8000)
    assert stand.open(2, lid=2)[0] is Code.DUPLICATE
    assert stand.open(1, lid=2)[0] is Code.TOO_OLD
    assert [(x.lid, x.motion) for x in stand.plant.moved if x.motion is Motion.OPENING] == [
        (0, Motion.OPENING),
        (1, Motion.OPENING),
    ]


@pytest.mark.needs("fitting")
def test_large_bins_tell_of_all_their_lids(make_body: MakeBody) -> None:
    """TELEMETRY_MORE for lids 4 and 5, with their own pinch bits."""
    stand = shut_stand(make_body(Fitting(lids=6)), 6)
    stand.run(600)
    more = [x.message for x in stand.frames if isinstance(x.message, m.TelemetryMore)]
    assert more[-1].first_lid == 4
    assert [slot.state for slot in more[-1].slots] == [LidPhase.CLOSED] * 2 + [LidPhase.ABSENT] * 2

    def caught(inputs: object) -> None:
        stand.inputs.pinch = 0b100001

    stand.sensors = caught
    stand.run(600)
    assert [x.message.pinch for x in stand.frames if isinstance(x.message, m.TelemetryMore)][-1] == 0b10
    assert stand.told[-1].pinch == 0b01
    assert stand.open(1, lid=5) == (Code.OK_ACCEPTED, 0)


@pytest.mark.needs("fitting")
def test_sixteen_lids(make_body: MakeBody) -> None:
    """The largest bin opens its last lid."""
    stand = shut_stand(make_body(Fitting(lids=16)), 16)
    assert stand.open(1, lid=15) == (Code.OK_ACCEPTED, 0)
    assert stand.open(2, lid=16)[0] is Code.BAD_ARG
    stand.run(6000)
    assert stand.motions_of(15) == FULL_CYCLE


@pytest.mark.needs("fitting")
def test_few_lids_leave_slots_absent(make_body: MakeBody) -> None:
    """A bin with two lids says ABSENT for the rest and refuses lid 2."""
    stand = shut_stand(make_body(Fitting(lids=2)), 2)
    assert stand.look().slots[2:] == (m.ABSENT, m.ABSENT)
    assert stand.open(1, lid=2)[0] is Code.BAD_ARG


@pytest.mark.needs("inputs")
def test_telemetry_tells_states_and_rates(stand: Stand) -> None:
    """2 Hz idle, 10 Hz moving; the state names what asks for a person first."""
    stand.hello(telemetry_ms=500)
    stand.plant.lids[1].fill_mm = None
    stand.told.clear()
    stand.run(2000)
    assert 3 <= len(stand.told) <= 5
    stand.told.clear()
    stand.open()
    stand.run(1000)
    told = list(stand.told)
    assert 9 <= len(told) <= 11
    assert {x.state for x in told} == {m.ControllerState.MOVING}
    assert told[-1].slots[0].fill_mm == pytest.approx(400, abs=10)
    assert told[-1].slots[1].fill_mm is None
    stand.ask(m.StopLatch())
    stand.run(600)
    assert stand.told[-1].state == m.ControllerState.STOPPED


@pytest.mark.needs("inputs")
def test_sensors_are_told_in_their_units(stand: Stand) -> None:
    """Each value reaches telemetry within what the sensor can resolve."""

    def sensors(inputs: object) -> None:
        for n, lid in enumerate(stand.inputs.lids):
            lid.current_ma, lid.fill_mm = 300 * n, 150 + 300 * n
        stand.inputs.pinch = 0b1010
        stand.inputs.vin_mv, stand.inputs.vservo_mv = 4800, 6100

    stand.sensors = sensors
    stand.run(1000)
    t = stand.look()
    assert [x.current_ma for x in t.slots] == [pytest.approx(300 * n, abs=35) for n in range(4)]
    assert [x.fill_mm for x in t.slots] == [pytest.approx(150 + 300 * n, abs=5) for n in range(4)]
    assert t.pinch == 0b1010
    assert t.vin_mv == pytest.approx(4800, abs=25)
    assert t.vservo_mv == pytest.approx(6100, abs=40)
    assert t.temp_c is None
    assert (t.state, t.stop) == (m.ControllerState.IDLE, 0)
