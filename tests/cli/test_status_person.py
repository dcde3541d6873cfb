"""`bin-daemon status` shows a technician what the person at the bin sees: lamp, stop, fill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bin_daemon.cli.status import status
from bin_daemon.service import control


@pytest.mark.parametrize(
    ("changed", "lamp", "lines"),
    [
        ({}, "off", ["stop        none", "lamp        dark"]),
        ({}, None, ["lamp        this controller has none"]),
        ({"stopped": True, "stop_pressed": True}, "fault", ["stop        the switch is pressed", "lamp        fault"]),
        ({"stopped": True}, "fault", ["stop        latched until stop.clear"]),
        ({"controller": False}, "off", ["stop        not known", "lamp        not known"]),
    ],
)
def test_lamp_stop_and_fill(  # noqa: PLR0917 - three fixtures and three columns
    changed: dict[str, Any],
    lamp: str | None,
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each in plain words; what nobody knows is not made up."""
    lid = {"lid": 1, "category": "other", "position": "closed", "full_frac": 0.52}
    state = {"mode": "auto", "sight": "ok", "controller": True, "stopped": False, "stop_pressed": False}
    data: dict[str, Any] = {
        "info": {"name": "bin", "version": "1", "firmware": "1.0.0", "capabilities": [], "model": {"name": "m"}},
        "state": {**state, "lids": [lid], "faults": [], **changed},
        "health": {"fps": 1.0, "frame_age_ms": 2, "mqtt": {"connected": True, "outbox": 0, "dropped": 0}},
        "lamp": lamp,
    }
    monkeypatch.setattr(control, "ask", lambda *_, **__: {"ok": True, "data": data})
    (tmp_path / "bin.toml").touch()
    status(tmp_path / "bin.toml")
    said = capsys.readouterr().out
    assert "52%" in said
    for line in lines:
        assert line in said
