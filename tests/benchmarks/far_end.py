"""``python -m tests.benchmarks.far_end LINK``: a controller behind a pty that says when an OPEN reached it.

In a process of its own, as the real one is a machine of its own. Prints ``{"port": PATH}``, then one object for each OPEN:
``{"open_t_s": T, "action_id": N}``, with T on the monotonic clock, which all processes of one machine share. Ends with its
standard input.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bin_daemon.sim.controller import SimulatedController
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.serve import PtyController
from bin_daemon.sim.world import World, world
from firmware_protocol.framing import Decoder
from firmware_protocol.messages import Frame, Open

TRAVEL_MS = 120.0
"""Fast lids: their way is not what is measured."""


class Listening(SimulatedController):
    """Looks at the clock first whenever bytes arrive."""

    def __init__(self, where: World, options: SimOptions) -> None:
        super().__init__(where, options)
        self._decoder = Decoder()

    def receive(self, data: bytes) -> None:
        """Bytes of the host."""
        t_s = time.monotonic()
        super().receive(data)
        for body in self._decoder.feed(data):
            message = Frame.from_body(body).message
            if isinstance(message, Open):
                _tell(open_t_s=t_s, action_id=message.action_id)


def _tell(**values: object) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201 - the parent reads it


def main(link: Path) -> None:
    """Serve until standard input ends."""
    where, options = world("far-end"), SimOptions(travel_ms=TRAVEL_MS)
    simulated = PtyController(where, options, link)
    simulated.device = Listening(where, options)
    with simulated:
        _tell(port=simulated.path)
        sys.stdin.read()


class FarEnd:
    """The near side of that process: ``port`` to open, and the OPENs as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._opens: queue.Queue[float] = queue.Queue()
        if process.stdout is None:
            raise ValueError("needs stdout=PIPE")
        self._lines = process.stdout
        self.port = str(json.loads(self._lines.readline())["port"])
        threading.Thread(target=self._read, name="far-end", daemon=True).start()

    def _read(self) -> None:
        for line in self._lines:
            self._opens.put(json.loads(line)["open_t_s"])

    def opened_t_s(self) -> float:
        """When the next OPEN arrived there; raises queue.Empty when none does within 5 s."""
        return self._opens.get(timeout=5.0)


@contextmanager
def far_end(folder: Path) -> Iterator[FarEnd]:
    """Start one, and end it."""
    command = [sys.executable, "-m", "tests.benchmarks.far_end", str(folder / "lids")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield FarEnd(process)
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(10.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
