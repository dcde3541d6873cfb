"""`bin-daemon simulate-controller`: a lid controller made of software behind a real serial port."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from types import FrameType


def simulate_controller(  # noqa: PLR0917 - Typer reads its options from the signature
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help='JSON lines: first {"port": PATH}, then one object for each lid motion and each change of the lamp.',
        ),
    ] = False,
    link: Annotated[Path | None, typer.Option(help="Also make this symbolic link to the port, as udev would.")] = None,
    lids: Annotated[int, typer.Option(min=1, max=16, help="Number of lids.")] = 4,
    travel_ms: Annotated[float, typer.Option(min=80, max=20_000, help="Time of a lid from end to end, ms.")] = 350.0,
    closed_us: Annotated[
        int, typer.Option(min=500, max=2500, help="Servo pulse at which a lid meets its rim, us.")
    ] = 1000,
    open_us: Annotated[
        int, typer.Option(min=500, max=2500, help="Servo pulse at which a lid meets its stop at the top, us.")
    ] = 2000,
    blank: Annotated[bool, typer.Option("--blank", help="A new board that has not been calibrated.")] = False,
    board: Annotated[int, typer.Option(min=0, help="Serial number of the board.")] = 0,
    jam: Annotated[int, typer.Option(min=0, max=16, help="This lid is stuck (0: none).")] = 0,
    finger: Annotated[
        int, typer.Option(min=0, max=16, help="Something lies under this lid when it closes (0: none).")
    ] = 0,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of bytes damaged on the line.")] = 0.0,
    latency_ms: Annotated[float, typer.Option(min=0, help="Each direction is this much late, ms.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the random faults.")] = 1,
) -> None:
    """Play a lid controller behind a pseudo terminal until Ctrl-C.

    Any program may open the printed port, speak the protocol of firmware_protocol/SPEC.md, close it and open it again.
    """
    from bin_daemon.sim.options import SimOptions
    from bin_daemon.sim.serve import serve_pty
    from bin_daemon.sim.world import world

    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    options = SimOptions(
        lids=lids,
        travel_ms=travel_ms,
        closed_us=closed_us,
        open_us=open_us,
        blank=int(blank),
        board=board,
        jam=jam,
        finger=finger,
        noise=noise,
        latency_ms=latency_ms,
        seed=seed,
    )
    serve_pty(world("pty"), options, link=link, emit=_print_json if as_json else _print_line, stop=stop)


def _print_json(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _print_line(record: dict[str, Any]) -> None:
    if "port" in record:
        print(f"controller on {record['port']}, Ctrl-C ends it", flush=True)
    elif "lamp" in record:
        print(f"{record['t_s']:9.3f} s  lamp {record['lamp']}", flush=True)
    else:
        print(
            f"{record['t_s']:9.3f} s  lid {record['lid']} {record['motion']:8} action {record['action_id']}", flush=True
        )
