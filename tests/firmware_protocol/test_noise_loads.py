"""Double openings under the published loads of noise and resets: none, on any body.

A sample every day. In full: ``BIN_LOADS=7500 pytest tests/firmware_protocol/test_noise_loads.py`` (the emulated board takes
BIN_AVR_LOADS of them, it runs slower).
"""

from __future__ import annotations

import os
import random

import pytest

from firmware_protocol.messages import ResetCause
from tests.firmware_protocol.conftest import MakeBody
from tests.firmware_protocol.loads import SURVIVES, Loads

LOADS = [(0.009, 0.0), (0.009, 0.02), (0.06, 0.05)]
"""Share of faulty bytes both ways, chance of a reset for each command."""
WANTED = {
    "reference": int(os.environ.get("BIN_LOADS", "120")),
    "host": int(os.environ.get("BIN_LOADS", "150")),
    "avr": int(os.environ.get("BIN_AVR_LOADS", "6")),
}
FORGETFUL = (0.009, 0.5)
"""A load under which a controller that forgets is soon found out."""


def load(
    body_name: str, make_body: MakeBody, noise: float, resets: float, causes: tuple[ResetCause, ...] = SURVIVES
) -> Loads:
    """So many openings, each asked for until it was answered."""
    run = Loads(make_body(), noise, resets, random.Random(12), causes)
    run.start()
    for action in range(1, WANTED[body_name] + 1):
        run.open(action)
    return run


@pytest.mark.needs("resets", "virtual")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("noise", "resets"), LOADS)
def test_no_double_openings(body_name: str, make_body: MakeBody, noise: float, resets: float) -> None:
    """Each action opens its lid once at most (a reset may come between its note and its pulse), and nothing opens unasked."""
    run = load(body_name, make_body, noise, resets)
    wanted = WANTED[body_name]
    for counted in (run.begun, run.left):
        assert [x for x, times in counted.items() if times > 1] == []
        assert counted[0] == 0
        assert wanted >= sum(counted.values()) >= wanted * (0.9 if resets else 1.0)
    assert run.resets_made > 0 or resets == 0 or wanted < 100


@pytest.mark.needs("resets", "virtual", "no_time")  # an image would need many more to be caught
@pytest.mark.timeout(3600)
def test_a_controller_that_forgets_opens_twice(body_name: str, make_body: MakeBody) -> None:
    """The counter-proof: action ids forgotten at each reset, and a host that repeats all the same."""
    run = load(body_name, make_body, *FORGETFUL, causes=(ResetCause.POWER_ON,))
    assert max(run.begun.values()) > 1
