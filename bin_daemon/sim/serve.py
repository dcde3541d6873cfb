"""The simulated controller behind a real pseudo terminal, for any program that speaks the protocol's bytes."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bin_daemon.errors import ConfigError
from bin_daemon.sim.controller import SimulatedController
from bin_daemon.sim.far_end import FarEnd
from bin_daemon.sim.pty import PtyPort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bin_daemon.sim.lamp import Shown
    from bin_daemon.sim.options import SimOptions
    from bin_daemon.sim.world import LidMotion, World

READ_S = 0.05
"""How soon the reader notices that it should stop."""
VACANT_S = 0.01
"""How often to look whether somebody has opened the port."""


EndT = TypeVar("EndT", bound=FarEnd)
PtyT = TypeVar("PtyT", bound="PtyEnd[Any]")


class PtyEnd(Generic[EndT]):
    """One simulated device on one pty, a context manager; `unplug` and `plug` move the cable, the board keeps its power."""

    def __init__(self, device: EndT, link: Path | None = None) -> None:
        self.device = device
        self._cable = threading.Lock()
        try:
            self._port = PtyPort(link)
        except OSError as error:
            raise ConfigError(
                f"no serial port: {error}", hint="give a link in a folder that you may write to"
            ) from error
        self._host_there = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="sim-pty", daemon=True)

    @property
    def path(self) -> str:
        """What a program opens; the same across a replug when there is a link."""
        return self._port.path

    def __enter__(self: PtyT) -> PtyT:  # noqa: PYI019 - typing.Self is younger than Python 3.10
        self.device.connect(self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.device.disconnect(self._write)
        self.device.shut_down()
        with self._cable:
            self._port.unplug()

    def unplug(self) -> None:
        """Pull the cable: the port's name vanishes, an open port breaks."""
        with self._cable:
            self._host_there = False
            self._port.unplug()

    def plug(self) -> None:
        """Put it back: a new number behind the same link."""
        with self._cable:
            self._port.plug()

    def _read(self) -> None:
        while not self._stop.is_set():
            with self._cable:
                data = self._port.read(0)
                self._host_there = data is not None
            if data:
                self.device.receive(data)
            elif data is None or not self._port.wait(READ_S):
                self._stop.wait(VACANT_S if data is None else 0)

    def _write(self, data: bytes | None) -> None:
        with self._cable:
            if data and self._host_there:  # without a host, USB throws it away; a pty would keep it for the next one
                self._port.write(data)


class PtyController(PtyEnd[SimulatedController]):
    """Our own firmware's."""

    def __init__(self, world: World, options: SimOptions, link: Path | None = None) -> None:
        super().__init__(SimulatedController(world, options), link)


def serve_pty(
    world: World,
    options: SimOptions,
    *,
    link: Path | None,
    emit: Callable[[dict[str, Any]], None],
    stop: threading.Event,
) -> None:
    """Run until ``stop``. ``emit`` gets ``{"port": PATH}`` first, then one object for each lid motion and change of the lamp."""
    out = threading.Lock()
    start_t_s = time.monotonic()

    def tell(motion: LidMotion) -> None:
        with out, contextlib.suppress(BrokenPipeError):
            emit({
                "t_s": round(motion.t_s - start_t_s, 4),
                "lid": motion.lid,
                "motion": motion.motion.value,
                "action_id": motion.action_id,
            })  # fmt: skip

    def tell_lamp(shown: Shown) -> None:
        with out, contextlib.suppress(BrokenPipeError):
            t_s = round(time.monotonic() - start_t_s, 4)
            emit({"t_s": t_s, "lamp": shown.pattern.name.lower(), "duration_ms": shown.duration_ms})

    with PtyController(world, options, link) as simulated:
        emit({"port": simulated.path})
        simulated.device.board.lamp.on_change = tell_lamp
        forget = world.listen(tell)
        try:
            stop.wait()
        finally:
            forget()
