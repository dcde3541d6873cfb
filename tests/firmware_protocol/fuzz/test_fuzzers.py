"""libFuzzer on the frame parser and on the whole core, bounded and repeatable; and proof that it bites.

Long runs: see fuzzing.py. ``BIN_ALL_PLANTS=1`` plants every bug of the list below, one after the other.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.firmware_protocol.fuzz.build import compile_fuzzer, plant
from tests.firmware_protocol.fuzz.fuzzing import fuzz

FRAME_RUNS, CORE_RUNS = 150_000, 4000
FRAME_EDGES, CORE_EDGES = 45, 700
"""Of 54 and about 830 that these runs reach; a fuzzer whose input goes nowhere reaches a tenth."""


def test_frame_parser(built: Path, tmp_path: Path) -> None:
    """Any bytes: the same bodies and counters as the naive decoder, and what is encoded is decoded."""
    fuzzed = fuzz("frame", compile_fuzzer("fuzz_frame", built), tmp_path, FRAME_RUNS)
    assert fuzzed.status == 0, fuzzed.said[-4000:]
    assert fuzzed.edges > FRAME_EDGES


def test_whole_core(built: Path, tmp_path: Path) -> None:
    """Any history: no promise of witness.h is broken, and without a host all lids shut."""
    fuzzed = fuzz("core", compile_fuzzer("fuzz_core", built), tmp_path, CORE_RUNS)
    assert fuzzed.status == 0, fuzzed.said[-4000:]
    assert fuzzed.edges > CORE_EDGES


PRESSED = "core->stop || core->hal->stop_pressed(core->hal->ctx)"
PLANTS = {
    "the mushroom switch is seen at ticks only": ("bin_core.c", PRESSED, "core->stop", "opens only without a stop"),
    "an unknown supply is a good one": (
        "bin_core.c",
        "vin_mv != BIN_UNKNOWN_U16 && vservo_mv",
        "vservo_mv",
        "opens only with supply enough",
    ),
    "the dead-man does not shut": (
        "bin_link.c",
        "        bin_lids_close_all(core);\n        core->host_lost",
        "        core->host_lost",
        "a lid without a host is shut",
    ),
    "21 openings": (
        "bin_core.c",
        "core->opens < BIN_OPENS_MAX ?",
        "core->opens <= BIN_OPENS_MAX ?",
        "opens 20 times a minute",
    ),
    "a hold of any length": ("bin_core.c", "at_most(hold_ms, BIN_HOLD_MAX_MS)", "hold_ms", "shuts after its hold time"),
    "no stagger": ("bin_core.c", "left(core, core->ended_ms, BIN_STAGGER_MS)", "0", "one lid at a time"),
    "a stuck switch is believed": (
        "bin_core.c",
        " && !(lid->unproven && limits == lid->goal)",
        "",
        "a switch that may be stuck proves nothing",
    ),
    "a latch that lets go": (
        "bin_core.c",
        "core->stop &= BIN_STOP_LATCH;",
        "core->stop = 0;",
        "no pulse while stopped",
    ),
}
EVERYDAY = ["the mushroom switch is seen at ticks only"]


@pytest.mark.parametrize("name", PLANTS if os.environ.get("BIN_ALL_PLANTS") else EVERYDAY)
def test_a_planted_bug_is_found(name: str, tmp_path: Path) -> None:
    """In a copy of the core one check is missing: the fuzzer stops and names the promise that is broken."""
    file, sound, broken, promise = PLANTS[name]
    program = compile_fuzzer("fuzz_core", tmp_path, core=plant(tmp_path, file, sound, broken))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    fuzzed = fuzz("core", program, corpus, 20_000)
    assert fuzzed.status != 0
    assert fuzzed.broken == promise
