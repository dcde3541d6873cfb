"""Faults do what their names say, reproducibly; URLs that ask for them are checked."""

from __future__ import annotations

import random

import pytest

from bin_daemon.errors import ConfigError
from bin_daemon.sim.faults import Delay, Drop, Duplicate, Garble, Line, OneByteAtATime, OtherMajor, Truncate, Unplug
from bin_daemon.sim.options import BOUNDS, SimOptions, parse_url
from firmware_protocol.framing import Decoder, encode

STREAM = b"".join(bytes([n, n + 1]) + b"\x00" for n in range(1, 201))


def test_one_byte_at_a_time_keeps_all() -> None:
    """Every byte comes, in order, one a call."""
    fault = OneByteAtATime()
    first = fault.carry(b"abc", 0.0)
    assert [first, fault.carry(b"", 0.0), fault.carry(b"d", 0.0), fault.carry(b"", 0.0)] == [b"a", b"b", b"c", b"d"]
    assert fault.carry(b"", 0.0) == b""


def test_garble_flips_single_bits() -> None:
    """Length stays; each damaged byte differs in one bit; the rate is about what was asked for."""
    out = Garble(random.Random(1), 0.1).carry(bytes(10_000), 0.0)
    assert len(out) == 10_000
    assert {b.bit_count() for b in out} == {0, 1}
    assert 800 < sum(map(bool, out)) < 1200


def test_drop_loses_whole_frames() -> None:
    """What is left are whole frames in order."""
    left = Drop(random.Random(1), 0.5).carry(STREAM, 0.0).split(b"\x00")[:-1]
    assert 60 < len(left) < 140
    assert all(len(frame) == 2 for frame in left)
    assert left == sorted(left)


def test_duplicate_repeats_whole_frames() -> None:
    """A frame fed in two halves comes out twice, whole."""
    fault = Duplicate(random.Random(1), 1.0)
    assert fault.carry(b"ab", 0.0) == b""
    assert fault.carry(b"c\x00", 0.0) == b"abc\x00abc\x00"


def test_truncate_runs_into_the_next_frame() -> None:
    """The cut frame loses its delimiter, too."""
    out = Truncate(random.Random(1), 1.0).carry(b"abcdef\x00", 0.0)
    assert b"abcdef\x00".startswith(out)
    assert b"\x00" not in out


def test_delay_keeps_order() -> None:
    """Nothing before its time, everything after."""
    fault = Delay(0.04)
    assert fault.carry(b"a", 0.0) == b""
    assert fault.carry(b"b", 0.039) == b""
    assert fault.carry(b"", 0.041) == b"a"
    assert fault.carry(b"", 0.1) == b"b"


def test_unplug_cuts_in_the_middle() -> None:
    """After so many bytes nothing comes through, until it is plugged in again."""
    fault = Unplug(after_bytes=4)
    assert fault.carry(b"abc", 0.0) == b"abc"
    assert fault.carry(b"def", 0.0) == b"d"
    assert fault.carry(b"ghi", 0.0) == b""
    fault.plug()
    assert fault.carry(b"jkl", 0.0) == b"jkl"


def test_other_major_keeps_frames_valid() -> None:
    """Checksums fit, only the major differs."""
    out = OtherMajor(3).carry(encode(bytes([0x86, 0x10, 1, 0, 0, 0, 9])), 0.0)
    assert Decoder().feed(out) == [bytes([0x86, 0x30, 1, 0, 0, 0, 9])]


def test_a_line_chains_and_repeats() -> None:
    """The same seed, the same damage; without faults a line is perfect."""
    options = SimOptions(noise=0.05, drop=0.1, double=0.1, seed=5)
    assert (
        options.line(0).carry(STREAM, 0.0) == options.line(0).carry(STREAM, 0.0) != options.line(1).carry(STREAM, 0.0)
    )
    assert Line().carry(STREAM, 0.0) == STREAM


def test_url_fields() -> None:
    """World and options come out of the URL; every field has bounds."""
    assert parse_url("sim://lids") == ("lids", SimOptions())
    assert parse_url("sim://lids?jam=2&latency_ms=40&noise=0.01") == (
        "lids",
        SimOptions(jam=2, latency_ms=40.0, noise=0.01),
    )
    assert set(BOUNDS) == set(SimOptions.__slots__)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sim://lids?jma=2", "jma"),
        ("sim://lids?jam=two", "jam='two'"),
        ("sim://lids?jam=2.5", "jam='2.5'"),
        ("sim://lids?noise=7", "noise='7'"),
        ("sim://lids?noise=nan", "noise='nan'"),
        ("sim://lids?jam=", "jam=''"),
        ("sim://lids?lids=2&jam=3", "jam=3"),
        ("sim://", "no simulator URL"),
    ],
)
def test_a_wrong_url_is_one_clear_error(url: str, said: str) -> None:
    """The error quotes what is wrong and the hint says what is right."""
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert said in str(caught.value)
    assert caught.value.hint
