"""A stand in real time behind a pseudo terminal: to the daemon, or to `--port`, a board at a serial port."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

from bin_daemon.sim.pty import PtyPort
from firmware_protocol.framing import Decoder
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Event, EventKind, Frame, MessageError
from tests.firmware_protocol.bodies.stand import STEP_MS, Stand

LAG_S = 0.25
"""A machine this far behind forgets the time that it lost: the board must not catch up in a leap."""


class BoardOnPty:
    """A context manager. ``stand`` may be looked at and troubled from outside under ``lock``."""

    def __init__(self, stand: Stand, link: Path | None = None) -> None:
        self.stand = stand
        self.lock = threading.Lock()
        self.lag_s = 0.0
        """The most that it was ever behind."""
        self._port = PtyPort(link)
        self._opened: Counter[int] = Counter()
        self._seen: set[tuple[int, int]] = set()
        self._decoder = Decoder()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="board-on-pty", daemon=True)

    @property
    def path(self) -> str:
        """What a program opens."""
        return self._port.path

    def __enter__(self) -> BoardOnPty:  # noqa: PYI034  # typing.Self is younger than Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        self._port.unplug()
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        due_t_s = time.monotonic()
        try:
            while not self._stop.is_set():
                heard = self._port.read(0)
                with self.lock:
                    said = self.stand.exchange(STEP_MS, heard or b"")
                self._note(said)
                if said and heard is not None:  # without a host, USB throws it away
                    self._port.write(said)
                due_t_s += STEP_MS / 1000
                behind_s = time.monotonic() - due_t_s
                self.lag_s = max(self.lag_s, behind_s)
                due_t_s += behind_s if behind_s > LAG_S else 0.0
                self._stop.wait(max(0.0, -behind_s))
        except BaseException as error:  # noqa: BLE001  # raised again where somebody sees it
            self._failure = error

    def _note(self, said: bytes) -> None:
        for body in self._decoder.feed(said):
            try:
                message = Frame.from_body(body).message
            except MessageError:
                continue
            if isinstance(message, Event) and (message.event_seq, message.action_id) not in self._seen:
                self._seen.add((message.event_seq, message.action_id))
                self._opened[message.action_id] += message.kind == EventKind.OPENED

    def openings(self) -> dict[int, int]:
        """How often the controller reported a lid open, by action id."""
        return {action: times for action, times in self._opened.items() if times}

    def lids(self) -> set[int]:
        """Which lids left their shut end, from 1."""
        with self.lock:
            return {x.lid + 1 for x in self.stand.plant.moved}

    def count(self, motion: Motion) -> int:
        """How often a lid began or ended such a motion."""
        with self.lock:
            return sum(x.motion is motion for x in self.stand.plant.moved)

    def all_shut(self) -> bool:
        """Every lid rests at its shut end."""
        with self.lock:
            return self.stand.plant.all_shut

    def any_open(self) -> bool:
        """A lid stands open now."""
        with self.lock:
            return any(x.motion is Motion.OPEN for x in self.stand.plant.lids)

    def silent(self) -> bool:
        """No servo has a signal."""
        with self.lock:
            return self.stand.silent()
