"""What a person sees when something goes wrong: one message and an exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

import bin_daemon.cli
from bin_daemon.__main__ import main
from bin_daemon.cli.status import status
from bin_daemon.demo.show import ItemTold, PersonShow
from bin_daemon.service import control

ODD = "heard b'[/bold]' [red]"
"""Looks like rich's markup, as a stranger's bytes on the serial line may."""


def test_a_bug_is_one_message(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit 70 with the place; the traceback is for developers (and for the service's log)."""

    def fail() -> None:
        raise ValueError("impossible")

    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setattr(bin_daemon.cli, "app", fail)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 70
    said = capfd.readouterr().err
    assert said.startswith("bin-daemon: bug: ValueError: impossible (test_command_line_errors.py:")
    assert "Traceback" not in said
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    with pytest.raises(SystemExit):
        main()
    assert "Traceback" in capfd.readouterr().err


def test_status_shows_what_looks_like_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and fault texts come from outside: shown as they are."""
    fault = {"code": "controller_lost", "severity": "error", "text": ODD, "fix": ODD}
    lid = {"lid": 1, "category": "other", "position": "closed", "full_frac": None}
    data: dict[str, Any] = {
        "info": {"name": ODD, "version": "1", "firmware": "", "capabilities": [], "model": {"name": ODD}},
        "state": {"mode": "auto", "sight": "ok", "controller": True, "stopped": False, "stop_pressed": False}
        | {"lids": [lid], "faults": [fault]},
        "health": {"fps": 1.0, "frame_age_ms": 2, "mqtt": {"connected": True, "outbox": 0, "dropped": 0}},
        "lamp": None,
    }
    monkeypatch.setattr(control, "ask", lambda *_, **__: {"ok": True, "data": data})
    (tmp_path / "bin.toml").touch()
    with pytest.raises(typer.Exit):
        status(tmp_path / "bin.toml")
    assert capsys.readouterr().out.count(ODD) == 4


def test_the_demo_shows_a_photo_that_looks_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of photographs may hold any name."""
    fields: dict[str, Any] = dict.fromkeys(ItemTold.__dataclass_fields__)
    fields |= {
        "number": 1,
        "item": ODD,
        "truth": "other",
        "label": ODD,
        "probability": 0.5,
        "text": ODD,
        "latency_ms": {},
    }
    PersonShow(1).item(ItemTold(**fields), 1, 0, 0)
    assert capsys.readouterr().out.count(ODD) == 3
