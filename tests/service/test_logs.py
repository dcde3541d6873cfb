"""Logs: JSON under systemd, secrets masked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import structlog
from bin_daemon.service.logs import setup_logs
setup_logs("info", "{style}")
log = structlog.get_logger()
log.info("connected", password="hunter2", mqtt_password="hunter2", host="broker")
log.debug("not shown")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("bug")
"""


def stderr_of(style: str) -> str:
    """What a fresh process logs."""
    env = {k: v for k, v in os.environ.items() if k != "JOURNAL_STREAM"}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(style=style)], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout == ""
    return done.stderr


def test_json_lines_without_secrets() -> None:
    """One JSON object a line, level filtered, secret keys masked, traceback inside the line."""
    first, second = (json.loads(line) for line in stderr_of("json").splitlines())
    assert first["event"] == "connected"
    assert {first["password"], first["mqtt_password"]} == {"***"}
    assert first["host"] == "broker"
    assert "ZeroDivisionError" in second["exception"]


def test_human_lines() -> None:
    """A person reads words, not JSON; without a terminal there are no colour codes."""
    text = stderr_of("human")
    assert "connected" in text
    assert "host=broker" in text
    assert "hunter2" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("style", ["json", "human"])
def test_a_log_that_cannot_be_written_costs_nobody_an_error(style: str) -> None:
    """A full disk under stderr: the line is lost, whoever logged goes on."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(style=style) + "print('alive')"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout == "alive\n"
