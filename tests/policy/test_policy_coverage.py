"""The rule tests take every branch of the judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_branch_of_the_policy_is_taken(tmp_path: Path) -> None:
    """100 % of statements and branches of policy.py, by the rule tests alone (no luck of random cases)."""
    report = tmp_path / "coverage.json"
    # a process of its own: a test run under coverage, or one that has imported the policy already, would count nothing
    rules = ["-p", "no:cacheprovider", "-q", "tests/policy/test_policy_rules.py"]
    coverage = ["--cov=bin_daemon.policy", "--cov-branch", f"--cov-report=json:{report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *rules, *coverage],
        cwd=ROOT,
        env={**os.environ, "COVERAGE_FILE": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (measured,) = json.loads(report.read_text("utf-8"))["files"].values()
    assert measured["missing_lines"] == []
    assert measured["missing_branches"] == []
    assert measured["summary"]["num_branches"] > 40, "branches were not measured"
