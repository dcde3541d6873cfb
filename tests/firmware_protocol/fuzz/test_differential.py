"""The Python reference and the C core are one controller: the same bytes, pulses, calls, motions, phases and counters, always.

Everyday: some seconds with fixed seeds. `BIN_STORIES=20000 pytest tests/firmware_protocol/fuzz/test_differential.py` runs long;
`BIN_STORIES_FROM` moves the seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from firmware_protocol.messages import Code, ControllerState, EventKind, LidPhase, Type
from tests.firmware_protocol.fuzz.build import compile_program, plant
from tests.firmware_protocol.fuzz.stories import Story, story
from tests.firmware_protocol.fuzz.twins import CoreEnd, difference, shrink

STORIES = int(os.environ.get("BIN_STORIES", "60"))
FIRST = int(os.environ.get("BIN_STORIES_FROM", "0"))
LENGTH = 800
NOT_HEARD = {"ControllerState.NO_HOST", *(f"Type.{x.name}" for x in Type if x < 0x80)}
"""Telemetry goes to a host only; and the controller sends no frames of the host."""


def compare(core: CoreEnd, told: Story) -> None:
    """Fails with the shortest script that shows the difference."""
    if difference(core, told.ops, told.records):
        script = shrink(told.ops, lambda shorter: difference(core, shorter) is not None)
        pytest.fail(str(difference(core, script)))


@pytest.mark.timeout(0 if STORIES > 1000 else 180)
def test_python_and_c_are_one_controller(core_end: CoreEnd) -> None:
    """Random hosts, lids, fingers, supplies, noise and resets: after every op both ends have done the same.

    And all that can happen did happen, so that the agreement means something.
    """
    met: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + STORIES):
        told = story(seed, LENGTH)
        met += told.met
        compare(core_end, told)
    can = {f"{kind.__name__}.{x.name}" for kind in (Code, ControllerState, EventKind, LidPhase, Type) for x in kind}
    assert can - NOT_HEARD - set(met) == set()


STAGGER = "left(core, core->ended_ms, BIN_STAGGER_MS)"


def test_a_planted_difference_is_found(tmp_path: Path) -> None:
    """One millisecond more of stagger in a copy of the core is found, and shrunk."""
    copy = plant(tmp_path, "bin_core.c", STAGGER, STAGGER.replace("_MS", "_MS + 1"))
    core = CoreEnd(compile_program("scripted", tmp_path, core=copy))
    stories = (story(seed, LENGTH) for seed in range(40))
    found = next(d for told in stories if (d := difference(core, told.ops, told.records)))
    script = shrink(found.script, lambda shorter: difference(core, shorter) is not None)
    assert len(script) < len(found.script)
    assert difference(core, script)
