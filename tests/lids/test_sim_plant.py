"""The simulated mechanics: travel, stops, obstacles, what the sensors say."""

from __future__ import annotations

from bin_daemon.sim.plant import LidPlant, PlantSettings
from firmware_protocol.hal import Motion

SETTINGS = PlantSettings(travel_ms=100.0)


def run(lid: LidPlant, pulse_us: int | None, seconds: float) -> list[Motion]:
    """Hold a pulse for a while, 5 ms at a time."""
    lid.pulse_us = pulse_us
    return [motion for _ in range(round(seconds / 0.005)) for motion in lid.advance(0.005)]


def test_a_whole_cycle() -> None:
    """Up and down again: four motions, switches at both ends, the heap one item higher."""
    lid = LidPlant(SETTINGS)
    assert run(lid, SETTINGS.open_us, 0.2) == [Motion.OPENING, Motion.OPEN]
    assert lid.open_switch
    assert lid.pos_us == SETTINGS.open_us
    assert run(lid, SETTINGS.closed_us, 0.2) == [Motion.CLOSING, Motion.CLOSED]
    assert lid.closed_switch
    assert lid.fill_mm == SETTINGS.empty_mm - SETTINGS.item_mm


def test_travel_takes_its_time() -> None:
    """Half the time, half the way; current shows the motion."""
    lid = LidPlant(SETTINGS)
    run(lid, SETTINGS.open_us, 0.05)
    assert 0.45 <= lid.frac <= 0.55
    assert lid.current_ma == SETTINGS.moving_ma
    run(lid, SETTINGS.open_us, 0.1)
    assert lid.current_ma == SETTINGS.idle_ma


def test_without_a_pulse_it_stays() -> None:
    """No signal, no motion, wherever the lid is."""
    lid = LidPlant(SETTINGS)
    run(lid, SETTINGS.open_us, 0.05)
    before = lid.frac
    assert run(lid, None, 1.0) == []
    assert lid.frac == before


def test_end_stops_hold_any_pulse() -> None:
    """A wild pulse cannot push the lid through its end."""
    lid = LidPlant(SETTINGS)
    run(lid, 2500, 0.5)
    assert lid.frac == 1.0
    run(lid, 500, 0.5)
    assert lid.frac == 0.0


def test_a_stuck_hinge_stalls() -> None:
    """Blocked on its way up: it stops there and draws stall current; going back counts as reversed, not as closing."""
    lid = LidPlant(SETTINGS)
    lid.block_opening = 0.2
    assert run(lid, SETTINGS.open_us, 0.5) == [Motion.OPENING]
    assert lid.frac == 0.2
    assert lid.current_ma == SETTINGS.stall_ma
    assert run(lid, SETTINGS.closed_us, 0.5) == [Motion.REVERSED, Motion.CLOSED]
    assert lid.fill_mm == SETTINGS.empty_mm


def test_a_finger_is_felt_until_the_lid_backs_off() -> None:
    """The pinch sensor acts where the finger is; opening again is a reversal, not a second opening."""
    lid = LidPlant(SETTINGS)
    run(lid, SETTINGS.open_us, 0.2)
    lid.block_closing = 0.4
    assert run(lid, SETTINGS.closed_us, 0.2) == [Motion.CLOSING]
    assert lid.pinched
    assert run(lid, SETTINGS.open_us, 0.2) == [Motion.REVERSED, Motion.OPEN]
    assert not lid.pinched


def test_a_servo_strains_against_its_end_stop() -> None:
    """Told to go further than the lid can by more than its play: it draws stall current, either way round."""
    for settings in (SETTINGS, PlantSettings(closed_us=2000, open_us=1000)):
        lid = LidPlant(settings)
        way = 1 if settings.open_us > settings.closed_us else -1
        for end_us, out in ((settings.open_us, way), (settings.closed_us, -way)):
            run(lid, end_us, 0.5)
            assert lid.current_ma == settings.idle_ma
            run(lid, end_us + 20 * out, 0.1)
            assert lid.current_ma == settings.idle_ma
            run(lid, end_us + 40 * out, 0.1)
            assert lid.current_ma == settings.stall_ma


def test_the_heap_ends_at_the_rim() -> None:
    """A full compartment reads full, never less than nothing."""
    lid = LidPlant(PlantSettings(travel_ms=10.0, empty_mm=130, full_mm=120, item_mm=6))
    for _ in range(4):
        run(lid, SETTINGS.open_us, 0.05)
        run(lid, SETTINGS.closed_us, 0.05)
    assert lid.fill_mm == 120
