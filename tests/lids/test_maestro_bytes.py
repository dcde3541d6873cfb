"""The Maestro's bytes: examples printed in its User's Guide, and the simulated board that is held against them."""

from __future__ import annotations

import itertools
import random

import pytest

from bin_daemon.lids.maestro_bytes import Command, Dialect, Errors, crc7, names, speed_units
from bin_daemon.sim.maestro_board import CRC, PROTOCOL, TIMEOUT, Channel, MaestroBoard, Mode, _crc7

COMPACT = Dialect()


def board(channels: int = 12, **settings: float) -> MaestroBoard:
    """Channels as a wide-open servo output each, at rest, without pulses."""
    rows = [Channel(low=256, high=0x3FFF, home=6000) for _ in range(channels)]
    made = MaestroBoard(rows, 0.0, **settings)  # type: ignore[arg-type]
    for row in rows:
        row.target = row.position = 0
    return made


def test_set_target_as_printed() -> None:
    """5.c: servo 0 to 1500 us, in both protocols; 5.e: channel 2."""
    assert COMPACT.valued(Command.SET_TARGET, 0, 6000) == bytes.fromhex("84 00 70 2e")
    assert Dialect(device=12).valued(Command.SET_TARGET, 0, 6000) == bytes.fromhex("aa 0c 04 00 70 2e")
    assert COMPACT.valued(Command.SET_TARGET, 2, 6000) == bytes([0b10000100, 0b00000010, 0b01110000, 0b00101110])


def test_set_speed_as_printed() -> None:
    """5.e: speed 140 on channel 5 is 3.5 us per ms, which is 70 us in 20 ms."""
    assert COMPACT.valued(Command.SET_SPEED, 5, speed_units(70)) == bytes.fromhex("87 05 0c 01")


def test_crc_as_printed() -> None:
    """The worked message of Pololu's CRC-7 (d1 01 64 00 -> 68), and the simulator's long division agrees on all two-byte ones."""
    assert crc7(bytes.fromhex("d1 01 64 00")) == 0x68
    for pair in itertools.product(range(0, 256, 5), repeat=2):
        assert crc7(bytes(pair)) == _crc7(bytes(pair)) < 128


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(12), Dialect(crc=True), Dialect(12, crc=True)])
def test_every_dialect_is_understood(dialect: Dialect) -> None:
    """Compact and Pololu protocol, with and without CRC: targets arrive, positions and errors come back."""
    maestro = board(crc=dialect.crc)
    for channel, target in ((0, 4000), (11, 0x3FFF), (5, 300)):
        maestro.receive(dialect.valued(Command.SET_TARGET, channel, target), 0.0)
        answer = maestro.receive(dialect.packet(Command.GET_POSITION, channel), 0.0)
        assert int.from_bytes(answer, "little") == target
    assert maestro.receive(dialect.packet(Command.GET_ERRORS), 0.0) == b"\0\0"
    assert maestro.receive(dialect.packet(Command.GET_SCRIPT_STATUS), 0.0) == b"\x01"


def test_another_device_is_left_alone() -> None:
    """5.c: a Pololu packet for another device number moves nothing and is no error."""
    maestro = board()
    maestro.receive(Dialect(13).valued(Command.SET_TARGET, 0, 4000), 0.0)
    assert (maestro.channels[0].target, maestro.errors) == (0, 0)
    maestro.receive(COMPACT.valued(Command.SET_TARGET, 0, 4000), 0.0)
    assert maestro.channels[0].target == 4000


def test_mini_ssc_moves_a_channel() -> None:
    """5.c: ff 00 7f is the neutral of servo 0; 254 is neutral plus range (4.b)."""
    maestro = board()
    maestro.receive(b"\xff\x00\x7f", 0.0)
    assert maestro.channels[0].target == 6000
    maestro.receive(b"\xff\x01\xfe", 0.0)
    assert maestro.channels[1].target == 6000 + 1905
    assert maestro.errors == 0


@pytest.mark.parametrize(
    ("data", "bit"),
    [
        ("84 00 70 a1", PROTOCOL),  # cut short by the next command
        ("84 84 00 70 2e", PROTOCOL),
        ("70", PROTOCOL),  # data without a command
        ("b5", PROTOCOL),  # no such command
        ("aa 0c 35", PROTOCOL),
        ("84 7f 70 2e", PROTOCOL),  # no such channel
    ],
)
def test_nonsense_is_an_error_that_sends_all_home(data: str, bit: int) -> None:
    """4.e: the bit is set, and every channel goes to its home position."""
    maestro = board()
    answers = maestro.receive(bytes.fromhex(data), 0.0)
    assert int.from_bytes(answers or maestro.receive(b"\xa1", 0.0), "little") == bit
    assert {round(x.position) for x in maestro.channels} == {6000}


def test_a_wrong_crc_is_not_obeyed() -> None:
    """5.d: every single flipped bit of a Set Target with CRC is refused, none moves a channel by itself but by going home."""
    good = Dialect(crc=True).valued(Command.SET_TARGET, 3, 4000)
    for bit in range(8 * len(good)):
        maestro = board(crc=True)
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        maestro.receive(bytes(damaged) + Dialect(crc=True).packet(Command.GET_POSITION, 0), 0.0)
        assert maestro.errors & (CRC | PROTOCOL)
        assert {x.target for x in maestro.channels} == {6000}


def test_speed_is_in_the_guides_units() -> None:
    """5.e: at speed 140, from 1000 to 1350 us takes 100 ms; from off, and without a limit, the pulse jumps."""
    maestro = board()
    maestro.receive(COMPACT.valued(Command.SET_SPEED, 0, 140) + COMPACT.valued(Command.SET_TARGET, 0, 4000), 0.0)
    assert maestro.channels[0].position == 4000
    maestro.receive(COMPACT.valued(Command.SET_TARGET, 0, 5400), 0.0)
    maestro.tick(0.0501)
    assert maestro.channels[0].position == 4000 + 5 * 140
    maestro.tick(0.1001)
    assert maestro.channels[0].position == 5400


def test_acceleration_is_in_the_guides_units() -> None:
    """5.e: at acceleration 1, from 1 to 2 ms takes about 3 seconds."""
    maestro = board()
    maestro.receive(COMPACT.valued(Command.SET_ACCELERATION, 0, 1) + COMPACT.valued(Command.SET_TARGET, 0, 4000), 0.0)
    maestro.receive(COMPACT.valued(Command.SET_TARGET, 0, 8000), 0.0)
    maestro.tick(2.6)
    assert maestro.channels[0].position < 8000
    maestro.tick(4.2)
    assert maestro.channels[0].position == 8000


def test_the_time_out_runs_from_the_last_valid_command() -> None:
    """5.a: any valid command restarts it, other devices' commands do not; it tells and sends home again and again."""
    maestro = board(timeout_s=2.0)
    for second in (1.0, 2.5, 4.0):
        maestro.receive(b"\xa1", second)
    maestro.receive(Dialect(13).packet(Command.GET_ERRORS), 5.9)
    assert maestro.errors == 0
    maestro.tick(6.0)
    assert maestro.errors == TIMEOUT
    assert maestro.channels[0].position == 6000
    assert maestro.receive(b"\xa1", 6.1) == bytes([TIMEOUT, 0])
    maestro.tick(8.0)
    assert maestro.errors == 0
    maestro.tick(8.1)
    assert maestro.errors == TIMEOUT


def test_an_input_reads_and_does_not_move() -> None:
    """4.b: an input's position is its voltage, 0..1023; a target means nothing to it."""
    maestro = board()
    maestro.channels[4] = Channel(mode=Mode.INPUT, reading=1023)
    maestro.receive(COMPACT.valued(Command.SET_TARGET, 4, 4000), 0.0)
    assert maestro.receive(COMPACT.packet(Command.GET_POSITION, 4), 0.0) == b"\xff\x03"


def test_random_bytes_never_break_the_board() -> None:
    """30 000 random bytes: no exception, targets stay within Min and Max or off, and a good packet is obeyed right after."""
    rng, maestro = random.Random(4), board()
    for _ in range(300):
        maestro.receive(rng.randbytes(100), 0.0)
        assert all(x.target == 0 or x.low <= x.target <= x.high for x in maestro.channels)
    maestro.receive(b"\xa1\xa1" + COMPACT.valued(Command.SET_TARGET, 2, 5000), 0.0)
    assert maestro.channels[2].target == 5000


def test_error_bits_have_their_names() -> None:
    """4.e, bits 0 to 8."""
    assert names(Errors(0b1_0011_0001)) == ["SIGNAL", "PROTOCOL", "TIMEOUT", "SCRIPT_COUNTER"]
    assert names(Errors(0)) == []
