"""`pytest --port`: what runs on a bench board, shown on the emulated board behind a pty in real time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from firmware_protocol import messages as m
from firmware_protocol.messages import Code, EventKind, LidPhase
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.board_on_pty import BoardOnPty
from tests.firmware_protocol.bodies.port import PortBody
from tests.firmware_protocol.bodies.stand import FULL_CYCLE, Stand, shut_stand

ROOT = Path(__file__).parents[2]


def test_a_bench_board_is_driven_in_real_time(avr_program: Callable[[], tuple[Path, Path]]) -> None:
    """REBOOT to begin with, then an opening as any test asks for it: events, telemetry and the pulses that it tells."""
    with (
        closing(AvrBody(*avr_program())) as body,
        BoardOnPty(Stand(body)) as board,
        closing(PortBody(board.path)) as port,
    ):
        stand = shut_stand(port)
        assert stand.ack
        assert stand.ack.reset_cause == m.ResetCause.WATCHDOG
        assert stand.open(7, hold_ms=1000) == (Code.OK_ACCEPTED, 0)
        stand.run_until(lambda: bool(stand.events(EventKind.CLOSED)))
        stand.run(500)
        assert [(e.kind, e.action_id) for e in stand.events()] == [(EventKind.OPENED, 7), (EventKind.CLOSED, 7)]
        assert stand.phase() is LidPhase.CLOSED
        assert stand.silent()
        assert len(stand.pulses(0)) > 10
        assert board.stand.motions_of() == FULL_CYCLE


def test_lids_move_only_when_somebody_said_so() -> None:
    """Without --lids-may-move nothing is opened, not even the port."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/firmware_protocol", "--port", "/dev/nonexistent"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 4
    assert "--lids-may-move" in done.stderr
