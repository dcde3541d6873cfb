"""The image of the Mega 2560 in the emulator: what only this board does. What every controller does stands in the other files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from firmware_protocol import messages as m
from firmware_protocol.messages import Code, EventKind, LidPhase, Pattern, ResetCause
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.body import FILLED_MM, Inputs
from tests.firmware_protocol.bodies.stand import Stand, shut_stand

CYCLES_PER_MS = 16_000
FRAME_MS = 20
OLD, NEW = m.SetCal(0, 1900, 1100, 20, 800), m.SetCal(0, 1800, 1200, 25, 700)
STORING_MS = 45
"""A record of 11 bytes, one of them written twice, 3.4 ms each."""
GREEN, YELLOW, RED, BUZZER = 1, 2, 4, 8


@pytest.fixture
def make_board(avr_program: Callable[[], tuple[Path, Path]]) -> Iterator[Callable[..., AvrBody]]:
    """Makes boards, switched on with RAM noise of this seed."""
    made: list[AvrBody] = []

    def make(seed: int = 1) -> AvrBody:
        made.append(AvrBody(*avr_program()))
        made[-1].noise = seed
        return made[-1]

    yield make
    for body in made:
        body.close()


@pytest.fixture
def board(make_board: Callable[..., AvrBody]) -> Stand:
    """A board with a session, all lids shut."""
    return shut_stand(make_board())


def body_of(stand: Stand) -> AvrBody:
    """The emulated board itself."""
    assert isinstance(stand.body, AvrBody)
    return stand.body


def restart(stand: Stand, cause: ResetCause) -> m.HelloAck:
    """Reset and a new session."""
    stand.reset(cause)
    stand.settle()
    stand.session += 1
    return stand.hello()


# ---- identity -----------------------------------------------------------------------------------------------------------


def test_a_board_keeps_the_id_it_made_of_noise(make_board: Callable[..., AvrBody]) -> None:
    """The same id after each reset, also with other noise in the RAM; another board has another one."""
    one, other = shut_stand(make_board(1)), shut_stand(make_board(20))
    assert one.ack
    assert other.ack
    assert one.ack.uid != other.ack.uid
    assert len(set(one.ack.uid)) > 2
    for cause in (ResetCause.POWER_ON, ResetCause.EXTERNAL):
        assert restart(one, cause).uid == one.ack.uid


@pytest.mark.parametrize("cause", list(ResetCause))
def test_the_reset_cause_is_told(board: Stand, cause: ResetCause) -> None:
    """Each bit of MCUSR becomes its code."""
    assert restart(board, cause).reset_cause == cause


def test_a_reset_whose_cause_the_bootloader_kept(board: Stand) -> None:
    """With MCUSR cleared by stk500v2 the RAM decides: what it still holds was no power-on, and the last action is known."""
    board.open(77)
    board.run(200)
    body_of(board).reset(ResetCause._value2member_map_.get(0, 0))  # type: ignore[arg-type]  # no cause at all
    board.settle()
    board.session += 1
    ack = board.hello()
    assert (ack.reset_cause, ack.last_action_id) == (ResetCause.EXTERNAL, 77)


def test_stray_reset_bits_mean_the_worst(board: Stand) -> None:
    """A power-on sets the brown-out's bit too; it counts as power-on, and the memory as noise."""
    board.open(77)
    board.run(200)
    both = ResetCause.POWER_ON | ResetCause.BROWN_OUT
    body_of(board).reset(both)  # type: ignore[arg-type]  # two bits
    board.settle()
    board.session += 1
    ack = board.hello()
    assert (ack.reset_cause, ack.last_action_id) == (ResetCause.POWER_ON, 0)


# ---- servo signals ------------------------------------------------------------------------------------------------------


def test_pulses_are_exact_and_change_at_the_frames_border(board: Stand) -> None:
    """Each pulse is what the core asked for, none is cut or doubled, and all follow one 20 ms grid.

    0.25 us are the emulator's, which looks between two instructions.
    """
    assert board.ask(m.SetCal(1, 1991, 1009, 13, 0))[0] is Code.OK_ACCEPTED
    board.open(1, lid=1)
    board.run(5000)
    pulses = [x for x in board.pulses(1) if x.pulse_us is not None]
    ways = [range(1009, 1991, 13), range(1991, 1009, -13)]
    asked = {1009, 1991}.union(*ways)
    assert len(pulses) > 100
    assert all(min(abs(x.pulse_us - us) for us in asked) <= 0.3 for x in pulses if x.pulse_us)
    grid = [x.t_ms % FRAME_MS for x in pulses]
    assert max(grid) - min(grid) < 0.01
    assert board.silent()


def test_a_stop_in_mid_motion_ends_with_a_whole_pulse(board: Stand) -> None:
    """STOP takes the signal away within two frames and never in the middle of a pulse."""
    board.open(1)
    for ms in range(1, FRAME_MS, 4):
        board.run(200)
        before = board.body.pulse_us(0)
        assert before
        board.step(ms)  # another place in the frame each time
        board.ask(m.StopNow())
        board.run(3 * FRAME_MS)
        assert board.body.pulse_us(0) is None
        last, end = board.pulses(0)[-2:]
        assert end.pulse_us is None
        assert last.pulse_us
        assert abs(last.pulse_us - round(last.pulse_us)) <= 0.3
        assert last.pulse_us >= 1000
        board.wait_for(LidPhase.CLOSED)
        board.run(1200)
        board.open(ms + 2)


# ---- inputs -------------------------------------------------------------------------------------------------------------


def test_a_spike_on_the_pinch_wire_is_not_a_finger(board: Stand) -> None:
    """3 ms turn no lid back, 5 ms do."""
    board.open(1)
    board.wait_for(LidPhase.CLOSING)
    board.run(100)
    for ms, reversals in ((3, 0), (5, 1)):
        board.sensors = _pinched
        board.step(ms)
        board.sensors = lambda _: None
        board.run(50)
        assert len(board.events(EventKind.PINCH_REVERSED)) == reversals


def _pinched(inputs: Inputs) -> None:
    inputs.pinch = 1


def test_cut_wires_and_missing_sensors_are_unknown(board: Stand) -> None:
    """Current, distance and servo supply become null, never 0; a cut strip counts as pinched, a cut mushroom wire as pressed."""

    def cut(inputs: Inputs) -> None:
        inputs.lids[1].current_ma = None
        inputs.lids[2].fill_mm = None
        inputs.vservo_mv = None
        inputs.pinch = 1 << 3  # the pull-up
        inputs.stop = True

    board.run(1000)  # each distance has been looked at
    before = board.look()
    assert None not in (before.vservo_mv, before.slots[1].current_ma, before.slots[2].fill_mm)
    board.sensors = cut
    board.run(1200)
    seen = board.look()
    assert (seen.slots[1].current_ma, seen.slots[2].fill_mm, seen.vservo_mv) == (None, None, None)
    assert seen.slots[0].current_ma == before.slots[0].current_ma
    assert seen.slots[1].fill_mm in around(FILLED_MM)
    assert (seen.pinch, seen.stop) == (8, m.Stop.MUSHROOM | m.Stop.LATCH)
    assert seen.temp_c is None


@pytest.mark.parametrize("ma", [0, 150, 900, 2500, 5000])
def test_currents_within_two_steps_of_the_converter(board: Stand, ma: int) -> None:
    """One step is 26 mA."""

    def draws(inputs: Inputs) -> None:
        inputs.lids[3].current_ma = ma

    board.sensors = draws
    board.run(100)
    seen = board.look().slots[3].current_ma
    assert seen is not None
    assert abs(seen - ma) <= 53


def around(mm: int) -> set[int | None]:
    """An interrupt may be late by 20 us, 3 mm."""
    return set(range(mm - 3, mm + 4))


def test_a_lost_echo_changes_nothing(board: Stand) -> None:
    """The median of three: one wrong look is not seen, a new distance is after the second look."""
    board.run(1000)
    wrong, began = 1500, len(board.told)

    def jumps(inputs: Inputs) -> None:
        inputs.lids[0].fill_mm = wrong

    board.sensors = jumps
    board.run(300)  # one look at each lid
    board.sensors = lambda _: None
    board.run(1000)
    assert {x.slots[0].fill_mm for x in board.told[began:]} <= around(FILLED_MM)
    board.sensors = jumps
    board.run(700)
    assert board.look().slots[0].fill_mm in around(wrong)


# ---- lamp and buzzer ----------------------------------------------------------------------------------------------------


def _levels(board: Stand, since_ms: float, span_ms: int) -> list[int]:
    """Pins of lamp and buzzer, every ms."""
    changes = [(0.0, 0), *board.body.seen.lamps]
    return [[level for t_ms, level in changes if t_ms <= since_ms + ms][-1] for ms in range(span_ms)]


def test_patterns_differ_by_colour_rhythm_and_sound(board: Stand) -> None:
    """Of two patterns no rhythm is alike, so that no colour need be seen; each sounds once and ends on time."""
    lights: dict[Pattern, tuple[bool, ...]] = {}
    sounds: dict[Pattern, int] = {}
    colours: dict[Pattern, set[int]] = {}
    for pattern in [x for x in Pattern if x is not Pattern.OFF]:
        board.run(100)
        assert board.ask(m.Indicate(pattern, 2200))[0] is Code.OK_ACCEPTED
        began = board.body.seen.lamps[-1][0]
        board.run(2400)
        levels = _levels(board, began, 2400)
        lights[pattern] = tuple(bool(x & ~BUZZER) for x in levels[2:1026])
        colours[pattern] = {x & ~BUZZER for x in levels} - {0}
        sounds[pattern] = sum(1 for a, b in pairwise([0, *levels]) if b & BUZZER and not a & BUZZER)
        assert not any(x & BUZZER for x in levels[1100:]), "it sounds once"
        assert lights[pattern] == tuple(bool(x & ~BUZZER) for x in levels[1026:2050]), "the rhythm repeats"
        assert not any(levels[2210:]), "dark at the end"
        assert any(levels[2048:2150])
    assert colours == {
        Pattern.ACCEPTED: {GREEN},
        Pattern.UNSURE: {YELLOW},
        Pattern.FULL: {RED},
        Pattern.WAIT: {YELLOW},
        Pattern.FAULT: {RED},
    }
    flashes = {p: [(on, len(list(run))) for on, run in groupby(x)] for p, x in lights.items()}
    assert len({str(x) for x in flashes.values()}) == len(flashes)
    assert sounds == {
        Pattern.ACCEPTED: 1,
        Pattern.UNSURE: 2,
        Pattern.FULL: 1,
        Pattern.WAIT: 0,
        Pattern.FAULT: 4,
    }


def test_a_repeated_pattern_goes_on_without_a_sound(board: Stand) -> None:
    """The same pattern again only moves its end; duration 0 has none; OFF darkens at once."""
    board.ask(m.Indicate(Pattern.UNSURE, 1500))
    board.run(1200)
    board.body.seen.lamps.clear()
    board.ask(m.Indicate(Pattern.UNSURE, 1500))
    board.run(1000)
    assert board.body.seen.lamps, "still shown after the first one's end"
    assert not any(x & BUZZER for _, x in board.body.seen.lamps)
    board.run(1000)
    assert board.body.seen.lamps[-1][1] == 0
    board.ask(m.Indicate(Pattern.ACCEPTED, 0))
    board.run(5000)
    assert board.body.seen.lamps[-1][1] == GREEN
    board.ask(m.Indicate(Pattern.OFF, 0))
    assert board.body.seen.lamps[-1][1] == 0


# ---- memory -------------------------------------------------------------------------------------------------------------


def as_stored(wish: m.SetCal) -> m.Calibration:
    """What GET_CAL says of it."""
    return m.Calibration(wish.lid, wish.open_us, wish.closed_us, wish.speed_us_per_20ms, wish.jam_ma)


def test_a_supply_cut_while_storing_leaves_the_old_or_the_new(board: Stand) -> None:
    """At any moment of the writing: one of the two whole records, never the defaults and never a mixture."""
    for wish in (NEW, OLD):  # both slots have been written
        board.ask(wish)
        board.run(STORING_MS)
    found = []
    for cut_ms in range(0, STORING_MS, 3):
        assert restart(board, ResetCause.POWER_ON)
        assert board.calibration(0) == as_stored(OLD)
        board.seq += 1
        board.step(2, board.frame(NEW, board.seq))  # 21 bytes: taken in after 2 ms
        board.step(cut_ms + 0.3)
        restart(board, ResetCause.POWER_ON)
        found.append(board.calibration(0))
        board.ask(OLD)
        board.run(STORING_MS)
    assert set(found) == {as_stored(OLD), as_stored(NEW)}
    assert found == sorted(found, key=lambda x: x == as_stored(NEW)), "old before some moment, new after it"


def test_each_lid_keeps_its_own_record(board: Stand) -> None:
    """Four calibrations stored at once, over several rounds, come back after a power-on."""
    rng = random.Random(5)
    for _ in range(3):
        wishes = [
            m.SetCal(n, rng.randint(1600, 2500), rng.randint(500, 1400), rng.randint(1, 255), n) for n in range(4)
        ]
        for wish in wishes:
            assert board.ask(wish)[0] is Code.OK_ACCEPTED
        board.run(4 * STORING_MS)
        restart(board, ResetCause.POWER_ON)
        assert [board.calibration(n) for n in range(4)] == [as_stored(x) for x in wishes]


def test_a_reboot_waits_for_the_answer_and_the_memory(board: Stand) -> None:
    """REBOOT right behind SET_CAL: its RESULT comes, the record is whole, and the cause is the watchdog."""
    board.ask(NEW)
    assert board.ask(m.Reboot())[0] is Code.OK_ACCEPTED
    board.run(200, ping=False)
    board.settle()
    board.session += 1
    assert board.hello().reset_cause == ResetCause.WATCHDOG
    assert board.calibration(0) == as_stored(NEW)


def test_the_bootloader_gets_a_quiet_board(board: Stand) -> None:
    """ENTER_BOOTLOADER: the RESULT is out first, then servo signals and lamp are off, and the line is silent."""
    board.open(1)
    board.wait_for(LidPhase.CLOSED)  # its servo still has a signal
    board.ask(m.Indicate(Pattern.FAULT, 0))
    assert board.body.pulse_us(0) is not None
    assert board.ask(m.EnterBootloader())[0] is Code.OK_ACCEPTED
    board.run(200, ping=False)
    assert board.body.seen.restarts == [True]
    assert board.silent()
    assert board.body.seen.lamps[-1][1] == 0
    assert board.run(3000) == []
    assert board.body.seen.resets == []


# ---- time ---------------------------------------------------------------------------------------------------------------


def test_the_worst_tick_fits_its_millisecond(board: Stand) -> None:
    """With all events unacknowledged, telemetry at its fastest and a command in every few ms; and the stack stays small."""
    body = body_of(board)
    board.hello(50)
    for number in range(8):
        board.ask(m.SetCal(number % 4, 2000, 1000, 20, 900))
    body.work()
    rng = random.Random(1)
    for action in range(1, 150):
        lid = rng.randrange(4)
        board.seq += 1
        command = rng.choice([m.Open(lid, action, 1000, 60_000), m.Close(lid, action), m.StopNow(), m.GetCal(lid)])
        board.run(rng.choice((3, 7, 11, 20, 50)), ping=False, step_ms=10)
        board.step(2, board.frame(command, board.seq))
        if action % 20 == 0:
            board.step(2, board.frame(m.Ping(0, 0)))
    work = body.work()
    assert work.longest_cycles < CYCLES_PER_MS
    assert work.stack_bytes < 512
