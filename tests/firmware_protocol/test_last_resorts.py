"""When all goes wrong: dead, mad or absent hosts, hangs, power that sags, comes and goes. By pulses and lids, on all bodies."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.framing import encode
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Code, EventKind, Frame, LidPhase, ResetCause
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.stand import FULL_CYCLE, Stand, shut_stand
from tests.firmware_protocol.conftest import MakeBody
from tests.firmware_protocol.plant import OPEN_US

TRAVEL_MS = 1000 + 200
"""The slew limit's way, and the lid and a debounced switch behind it."""
LINE_BYTES_PER_MS = 10
"""As fast as 115200 baud can be."""

Host = Callable[[Stand, random.Random], bytes]
"""What a host of this kind says in one ms."""


def absent(_stand: Stand, _rng: random.Random) -> bytes:
    """Nothing."""
    return b""


def noise(_stand: Stand, rng: random.Random) -> bytes:
    """Random bytes as fast as the line takes them."""
    return rng.randbytes(LINE_BYTES_PER_MS)


def wrong_session(stand: Stand, _rng: random.Random) -> bytes:
    """Good frames, each for somebody else: PING and OPEN."""
    other = stand.session ^ 0x0F0F
    return encode(Frame(other, 0, m.Ping(1, 0)).to_body()) if stand.now_ms % 2 == 0 else b""


def device_frames(stand: Stand, _rng: random.Random) -> bytes:
    """The controller's own words, an echo."""
    return stand.frame(m.Pong(1, 1)) if stand.now_ms % 3 == 0 else b""


def stale(stand: Stand, _rng: random.Random) -> bytes:
    """Frames of the session with one bit flipped."""
    wire = bytearray(stand.frame(m.Ping(1, 0)))
    wire[int(stand.now_ms) % (len(wire) - 1)] ^= 0x04
    return bytes(wire) if stand.now_ms % 2 == 0 else b""


def other_major(stand: Stand, _rng: random.Random) -> bytes:
    """HELLO of another major, which is answered but opens no session."""
    return stand.frame(m.Hello(2, 0, 500)) if stand.now_ms % 10 == 0 else b""


@pytest.mark.needs("virtual")
@pytest.mark.parametrize("host", [absent, noise, wrong_session, device_frames, stale, other_major])
def test_a_mad_host_leaves_shut_lids(stand: Stand, host: Host) -> None:
    """A lid stands open with 10 s to go when the host goes mad: shut within 2 s + travel, signal gone, nothing else moved."""
    rng = random.Random(7)
    stand.open(hold_ms=10_000)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    mad_ms = stand.now_ms
    stand.run_until(lambda: stand.plant.all_shut, 5000, ping=False, says=lambda: host(stand, rng))
    assert stand.now_ms - mad_ms <= lim.HOST_SILENCE_MS + TRAVEL_MS
    stand.run(lim.DETACH_MS + 60, ping=False, says=lambda: host(stand, rng))
    assert stand.silent()
    assert stand.motions_of() == FULL_CYCLE
    assert {x.lid for x in stand.plant.moved} == {0}
    stand.session += 1
    stand.step(1, b"\x00")
    stand.run(10, ping=False)
    stand.hello()
    stand.run(1000)
    assert stand.open(2) == (Code.OK_ACCEPTED, 0)  # the link lives, and so does the lid


@pytest.mark.needs("virtual")
@pytest.mark.parametrize("hello", [False, True])
def test_a_host_that_only_babbles_leaves_shut_lids(stand: Stand, hello: bool) -> None:  # noqa: FBT001
    """PINGs (or HELLOs) of the session as fast as the line takes them, and no command: the opening ends by its own hold time."""
    stand.open(hold_ms=2000)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    open_ms = stand.now_ms
    babble = stand.frame(m.Hello(1, 0, 0) if hello else m.Ping(1, 0))
    assert len(babble) < 2 * LINE_BYTES_PER_MS
    stand.run_until(
        lambda: stand.plant.all_shut, 5000, ping=False, says=lambda: babble if stand.now_ms % 2 == 0 else b""
    )
    assert stand.now_ms - open_ms <= 2000 + TRAVEL_MS
    stand.run(lim.DETACH_MS + 60)
    assert stand.silent()
    assert stand.motions_of() == FULL_CYCLE


@pytest.mark.needs("virtual")
def test_a_host_that_was_never_there(make_body: MakeBody) -> None:
    """Noise on the line from the power-up on, shut lids: no servo gets any signal in 5 s."""
    stand = Stand(make_body())
    rng = random.Random(3)
    stand.run(5000, ping=False, says=lambda: noise(stand, rng))
    assert stand.no_signal()
    assert stand.plant.moved == []


@pytest.mark.needs("resets")
@pytest.mark.parametrize("cause", list(ResetCause))
def test_no_reset_gives_a_shut_lid_a_signal(stand: Stand, cause: ResetCause) -> None:
    """Whatever the cause: lids on their closed switches are not touched, and the cause is told."""
    stand.reset(cause)
    begin_ms = stand.now_ms
    stand.settle()
    stand.run(1500, ping=False)
    assert stand.no_signal(begin_ms)
    assert stand.plant.moved == []
    assert stand.hello().reset_cause == cause


@pytest.mark.needs("inputs", "resets")
@pytest.mark.parametrize("way", ["opening", "open", "closing"])
def test_a_power_cut_leaves_shut_lids(stand: Stand, way: str) -> None:
    """Power away in any part of an opening, memory gone, no host: the lid is homed shut, and told to nobody as an opening."""
    stand.open(action_id=7)
    part = {"opening": Motion.OPENING, "open": Motion.OPEN, "closing": Motion.CLOSING}[way]
    stand.run_until(lambda: stand.lid.motion is part)
    stand.run(300)
    stand.reset(ResetCause.POWER_ON)
    begin_ms = stand.now_ms
    stand.settle()
    stand.run(3 * TRAVEL_MS, ping=False)
    assert stand.plant.all_shut
    first = next(x.pulse_us for x in stand.pulses(0, begin_ms + 1) if x.pulse_us is not None)
    assert first == pytest.approx(OPEN_US, abs=21)  # toward open first: that pinches nobody
    assert stand.hello().last_action_id == 0
    stand.run(400)
    assert stand.events(EventKind.OPENED) == [x for x in stand.events(EventKind.OPENED) if x.action_id == 7]
    assert stand.openings() == 1


@pytest.mark.needs("hang")
@pytest.mark.parametrize("interrupts", [True, False])
@pytest.mark.parametrize("part", [Motion.OPENING, Motion.CLOSING])
def test_a_hang_in_mid_motion_ends_in_shut_lids(make_body: MakeBody, part: Motion, interrupts: bool) -> None:  # noqa: FBT001
    """The loop stands still with a lid in mid-air: the watchdog resets within 300 ms, the lid is homed, nothing is repeated."""
    body = make_body()
    assert isinstance(body, AvrBody)
    stand = shut_stand(body)
    stand.open(action_id=99)
    stand.run_until(lambda: stand.lid.motion is part)
    stand.run(300)
    hung_ms = stand.now_ms
    body.hang(interrupts=interrupts)
    while not body.seen.resets:
        assert stand.now_ms - hung_ms < 300
        stand.step(1)
    held = [x for x in stand.pulses(0, hung_ms) if x.t_ms < stand.now_ms - 2]
    assert len(held) <= 1  # the timer holds the last pulse meanwhile; one may have been on its way
    stand.reset_decoder()
    assert body.seen.resets[0][1] == ResetCause.WATCHDOG
    stand.run(3 * TRAVEL_MS, ping=False)
    assert stand.plant.all_shut
    assert stand.silent()
    ack = stand.hello()
    assert (ack.reset_cause, ack.last_action_id) == (ResetCause.WATCHDOG, 99)
    assert stand.open(action_id=99) == (Code.DUPLICATE, 0)
    stand.run(2000)
    assert stand.openings() == 1
    assert len(body.seen.resets) == 1


@pytest.mark.needs("hang")
def test_a_controller_that_hangs_again_and_again_opens_nothing(make_body: MakeBody) -> None:
    """Ten hangs with all lids shut: no signal at any time, and afterwards it works."""
    body = make_body()
    assert isinstance(body, AvrBody)
    stand = shut_stand(body)
    begin_ms = stand.now_ms
    for n in range(10):
        body.hang(interrupts=n % 2 == 0)
        stand.run(330, ping=False)
        stand.reset_decoder()
    assert len(body.seen.resets) == 10
    assert stand.no_signal(begin_ms)
    stand.settle()
    stand.hello()
    assert stand.open() == (Code.OK_ACCEPTED, 0)


@pytest.mark.needs("hang")
def test_reboot_is_a_clean_reset(stand: Stand) -> None:
    """Answer, calibrations stored, then the watchdog's reset; the session is gone and the id of the last action is not."""
    stand.open(action_id=5)
    stand.run(4500)
    for lid in range(4):
        assert stand.ask(m.SetCal(lid, 1900, 1100, 10, 700)) == (Code.OK_ACCEPTED, 0)
    assert stand.ask(m.Reboot()) == (Code.OK_ACCEPTED, 0)
    stand.run(900, ping=False)
    assert [x for _, x in stand.body.seen.resets] == [ResetCause.WATCHDOG]
    boot = [x.message for x in stand.frames if isinstance(x.message, m.Boot)][-1]
    assert (boot.reset_cause, boot.last_action_id) == (ResetCause.WATCHDOG, 5)
    assert stand.ask_raw(m.Open(0, 6, 1000, 0), 9)[0] is Code.NO_SESSION
    stand.hello()
    assert [stand.calibration(lid) for lid in range(4)] == [m.Calibration(n, 1900, 1100, 10, 700) for n in range(4)]


@pytest.mark.needs("inputs")
@pytest.mark.parametrize("part", [Motion.OPENING, Motion.CLOSING])
def test_the_mushroom_switch_in_mid_motion(stand: Stand, part: Motion) -> None:
    """No signal within two servo frames, the lid stays; nobody moves it until STOP_CLEAR and CLOSE, not even the dead-man."""
    stand.open()
    stand.run_until(lambda: stand.lid.motion is part)
    stand.run(300)
    stand.inputs.stop = True
    stand.run(60)
    assert stand.silent()
    stand.run(300)
    at_us = stand.lid.at_us
    stand.inputs.stop = False
    stand.run(6000, ping=False)
    assert stand.silent()
    assert stand.lid.at_us == at_us
    stand.session += 1
    stand.hello()
    assert stand.open(2, lid=1) == (Code.STOPPED, 0)
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    assert stand.phase() is LidPhase.HALTED
    assert stand.ask(m.Close(0, 3)) == (Code.OK_ACCEPTED, 0)
    stand.run(3000)
    assert stand.plant.all_shut


@pytest.mark.needs("inputs")
def test_a_sagging_supply_still_shuts(stand: Stand) -> None:
    """Below both bounds with a lid open: nothing opens any more, what is open shuts."""
    stand.open(hold_ms=2000)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.inputs.vin_mv, stand.inputs.vservo_mv = 4300, 4200
    stand.run(300)
    assert stand.open(2, lid=1) == (Code.LOW_VOLTAGE, 0)
    stand.run(2000 + TRAVEL_MS)
    assert stand.motions_of() == FULL_CYCLE
    assert stand.motions_of(1) == []


@pytest.mark.needs("inputs", "resets")
def test_a_supply_that_comes_and_goes_opens_once(stand: Stand) -> None:
    """Brown-outs during each tenth of an opening, whose host repeats itself after each: one opening, and shut in the end."""
    stand.open(action_id=42)
    for _ in range(10):
        stand.run(150, ping=False)
        stand.reset(ResetCause.BROWN_OUT)
        stand.settle()
        ack = stand.hello()
        assert (ack.reset_cause, ack.last_action_id) == (ResetCause.BROWN_OUT, 42)
        assert stand.open(action_id=42, start_within_ms=5000) == (Code.DUPLICATE, 0)
    stand.run(3 * TRAVEL_MS)
    assert stand.openings() == 1
    assert stand.plant.all_shut


@pytest.mark.needs("pins")
def test_a_lost_host_is_shown(stand: Stand) -> None:
    """The red lamp by itself, until the next HELLO."""
    lamps = stand.body.seen.lamps
    lamps.clear()
    stand.run(lim.HOST_SILENCE_MS - 200, ping=False)
    assert lamps == []
    stand.run(400, ping=False)
    assert any(level & 4 for _, level in lamps)
    stand.session += 1
    stand.hello()
    stand.run(20)
    assert lamps[-1][1] == 0
