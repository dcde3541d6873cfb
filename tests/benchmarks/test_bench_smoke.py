"""The benchmarks themselves work; how fast anything is, no test asks."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_quick_run_measures_everything_and_prints_one_object() -> None:
    """`--quick` ends well: every part has figures, each finite and positive where it must be, paired ones with their ratio."""
    command = [sys.executable, "-m", "tests.benchmarks", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["quick"] is True
    assert found["machine"]["cores"] >= 1
    assert set(found["figures"]) == {
        "preprocessing",
        "wire",
        "idle",
        "whole",
        "networks",
        "start",
        "training",
        "memory",
        "firmware",
        "peers",
    }
    assert "worth nothing" in done.stderr
    for part, figures in found["figures"].items():
        for figure in figures:
            assert figure["n"] >= 1, part
            assert math.isfinite(figure["ours"]), figure
            if part == "peers":
                assert figure["peer"] >= 0, figure
            elif figure["peer_name"]:
                assert figure["ours"] > 0, figure
                assert figure["peer"] > 0, figure
                assert figure["ratio"] > 0, figure
    assert found["memory_samples"]["items"] >= 1
    assert found["placement_peers"]["markdown"].startswith("| condition |")
