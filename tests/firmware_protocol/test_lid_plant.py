"""The physical lids of these tests behave as lids do; else what the controller does with them says little."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from firmware_protocol.hal import Motion
from tests.firmware_protocol.plant import (
    CLOSED_US,
    FINGER_GIVES_US,
    OPEN_US,
    SPEED_US_PER_S,
    STALL_MA,
    STOPS_US,
    Plant,
    PlantLid,
)


def ramp(plant: Plant, to_us: float, ms: int, speed: float = 1.0) -> None:
    """The first lid's pulse goes there at 1 us per ms, or faster."""
    lid = plant.lids[0]
    for _ in range(0, ms, 5):
        pulse = lid.at_us if lid.pulse_us is None else lid.pulse_us
        lid.pulse_us = pulse + max(-5 * speed, min(5 * speed, to_us - pulse))
        plant.step(5)


def test_it_follows_behind_and_comes_to_rest() -> None:
    """A slewed pulse is followed within the servo's error; at its end the lid rests near it, and draws little."""
    plant = Plant([PlantLid()])
    lid = plant.lids[0]
    ramp(plant, OPEN_US, 500)
    assert 10 < lid.pulse_us - lid.at_us < 60 if lid.pulse_us else False
    ramp(plant, OPEN_US, 1000)
    assert lid.at_us == pytest.approx(OPEN_US, abs=8)
    assert lid.speed == pytest.approx(0, abs=1)
    assert lid.current_ma(random.Random(0)) < STALL_MA / 4
    assert plant.motions_of() == [Motion.OPENING, Motion.OPEN]


def test_it_has_inertia_and_a_top_speed() -> None:
    """A jump of the pulse takes the lid's own time, and stops at the end stop."""
    plant = Plant([PlantLid()])
    lid = plant.lids[0]
    lid.pulse_us = OPEN_US + 400
    plant.step(10)
    assert 0 < lid.at_us - CLOSED_US < SPEED_US_PER_S * 0.01 / 2
    plant.step(1000 * (OPEN_US - CLOSED_US) / SPEED_US_PER_S - 10)
    assert not lid.on_open
    plant.step(300)
    assert lid.at_us == STOPS_US[1]
    assert lid.current_ma(random.Random(0)) == pytest.approx(STALL_MA, rel=0.05)  # it strains against the stop


def test_without_signal_it_stays() -> None:
    """Gravity is weaker than friction; a moving lid coasts to rest."""
    plant = Plant([PlantLid()])
    lid = plant.lids[0]
    ramp(plant, OPEN_US, 500)
    lid.pulse_us = None
    plant.step(400)
    rest_us = lid.at_us
    assert lid.asleep
    plant.step(5000)
    assert lid.at_us == rest_us
    assert CLOSED_US + 300 < rest_us < CLOSED_US + 600


def test_a_finger_gives_and_stops_it() -> None:
    """The closing lid sinks in, the strip closes first, the servo stalls; a lid that lies below is not lifted."""
    plant = Plant([PlantLid(OPEN_US)])
    lid = plant.lids[0]
    lid.finger_us = 1500
    ramp(plant, CLOSED_US, 1500)
    assert 1500 - 1.2 * FINGER_GIVES_US < lid.at_us < 1500
    assert lid.pinched
    assert lid.current_ma(random.Random(0)) > 0.9 * STALL_MA
    assert not replace(lid, strip=False).pinched
    shut = Plant([PlantLid()])
    shut.lids[0].finger_us = 1500
    ramp(shut, 1600, 1500)
    ramp(shut, CLOSED_US, 1500)
    assert shut.lids[0].pressed > 0.9  # it was passed on the way up, and is there on the way down
    low = Plant([PlantLid()])
    low.lids[0].finger_us = 1500
    ramp(low, 1300, 1500)
    assert low.lids[0].pressed == 0.0


def test_a_jam_holds_it_from_below_only() -> None:
    """It cannot open beyond the jam, and shuts from there."""
    plant = Plant([PlantLid()])
    lid = plant.lids[0]
    lid.jam_us = 1400
    ramp(plant, OPEN_US, 1200)
    assert lid.at_us == 1400
    ramp(plant, CLOSED_US, 2500)
    assert lid.on_closed
    assert plant.motions_of() == [Motion.OPENING, Motion.REVERSED, Motion.CLOSED]


def test_a_loose_horn_leaves_the_lid_behind() -> None:
    """The shaft goes where the pulse says, the lid does not, and the current tells nothing."""
    plant = Plant([PlantLid(grip=0.05)])
    lid = plant.lids[0]
    ramp(plant, OPEN_US, 1500)
    assert lid.on_closed
    assert lid.at_us + lid.slipped_us == pytest.approx(OPEN_US, abs=30)
    assert lid.current_ma(random.Random(0)) < STALL_MA / 4


def test_cut_wires_and_water() -> None:
    """A cut wire reads as not there; water reads as both."""
    assert PlantLid().limits == 1
    assert PlantLid(OPEN_US).limits == 2
    assert PlantLid(1500).limits == 0
    assert PlantLid(shut_wire=False).limits == 0
    assert PlantLid(OPEN_US, open_wire=False).limits == 0
    assert PlantLid(1500, both_switches=True).limits == 3
    assert PlantLid(1500, shut_stuck=True).limits == 1
    assert PlantLid(1500, open_stuck=True).limits == 2


def test_without_power_nothing_pulls() -> None:
    """The mushroom switch: whatever the pulse says."""
    plant = Plant([PlantLid()], powered=False)
    plant.lids[0].pulse_us = OPEN_US
    plant.step(1000)
    assert plant.lids[0].at_us == CLOSED_US
