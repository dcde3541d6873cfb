"""A bin whose lids hang on a simulated Pololu Maestro: the board, the mechanics, and the cable with its faults."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.sim.far_end import FarEnd, FarEnds
from bin_daemon.sim.faults import Fault, Line, Lose, cable_faults
from bin_daemon.sim.maestro_board import INPUT_MAX, Channel, MaestroBoard, Mode
from bin_daemon.sim.options import parse
from bin_daemon.sim.plant import LidPlant, PlantSettings
from bin_daemon.sim.world import LidMotion, World, world
from firmware_protocol.hal import Motion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEME = "simmaestro"
IGNORE = -1
JAM_FRAC = 0.2


@dataclass(frozen=True, slots=True)
class MaestroOptions:
    """Settings of the Maestro, its bin and its cable. Lid n is on channel n - 1; lids count from 1, 0 is none."""

    lids: int = 4
    channels: int = 12
    travel_ms: float = 350.0
    """Of a servo at its own speed, end to end; the Maestro may be told to go slower."""
    closed_us: int = 1000
    open_us: int = 2000
    home_us: int = 1000
    """"On startup or error" of the lids' channels; 0: Off, -1: Ignore."""
    min_us: int = 992
    max_us: int = 2000
    timeout_ms: int = 2000
    """0: none, as in a new Maestro."""
    device: int = 12
    crc: int = 0
    uart: int = 0
    """1: serial mode UART, as in a new Maestro: the Command Port is not listened to."""
    script: int = 0
    """1: a script runs from start-up on."""
    stop_channel: int = -1
    """Channel of a stop switch, -1: none."""
    jam: int = 0
    """This lid's hinge is stuck."""
    latency_ms: float = 0.0
    noise: float = 0.0
    """Share of bytes that arrive with one bit flipped, each direction."""
    lose: float = 0.0
    """Share of bytes lost, each direction."""
    dribble: int = 0
    seed: int = 1

    def line(self, direction: int) -> Line:
        """One direction of the cable, 0 to the Maestro, 1 to the host: its faults, reproducible."""
        return Line(list(self._faults(random.Random(2 * self.seed + direction))))

    def _faults(self, rng: random.Random) -> Iterator[Fault]:
        if self.lose:
            yield Lose(rng, self.lose)
        yield from cable_faults(rng, noise=self.noise, latency_ms=self.latency_ms, dribble=self.dribble)


BOUNDS: dict[str, tuple[float, float]] = {
    "lids": (1, 16),
    "channels": (6, 24),
    "travel_ms": (80, 20_000),
    "closed_us": (64, 3280),
    "open_us": (64, 3280),
    "home_us": (-1, 3280),
    "min_us": (64, 3280),
    "max_us": (64, 3280),
    "timeout_ms": (0, 655_350),
    "device": (0, 127),
    "crc": (0, 1),
    "uart": (0, 1),
    "script": (0, 1),
    "stop_channel": (-1, 23),
    "jam": (0, 16),
    "latency_ms": (0, 10_000),
    "noise": (0, 1),
    "lose": (0, 1),
    "dribble": (0, 1),
    "seed": (0, 2**31),
}


def parse_url(url: str) -> tuple[str, MaestroOptions]:
    """World name and options of ``simmaestro://WORLD?key=value``. Raises `ConfigError` naming the key that is wrong."""
    return parse(url, SCHEME, MaestroOptions, BOUNDS)


class SimulatedMaestro(FarEnd):
    """``opens`` counts, by lid from 1, how often a lid really left its rim."""

    def __init__(self, where: World, options: MaestroOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(where, options.line(0), options.line(1), clock)
        self.options = options
        self.opens: Counter[int] = Counter()
        settings = PlantSettings(
            lids=options.lids, closed_us=options.closed_us, open_us=options.open_us, travel_ms=options.travel_ms
        )
        self.lids = [LidPlant(settings) for _ in range(options.lids)]
        if options.jam:
            self.jam(options.jam)
        self.power_on()

    def power_on(self) -> None:
        """Switch the Maestro off and on: it forgets all but its settings."""
        with self._lock:
            options = self.options
            channels = [Channel() for _ in range(max(options.channels, options.lids))]
            for channel in channels[: options.lids]:
                channel.low, channel.high = options.min_us * 4, options.max_us * 4
                channel.home = None if options.home_us == IGNORE else options.home_us * 4
            if options.stop_channel >= 0:
                channels[options.stop_channel] = Channel(mode=Mode.INPUT, reading=INPUT_MAX)
            now, timeout_s = self._clock(), options.timeout_ms / 1000
            self.board = MaestroBoard(channels, now, timeout_s=timeout_s, device=options.device, crc=bool(options.crc))
            self.board.script_runs = bool(options.script)

    @property
    def all_closed(self) -> bool:
        """Whether every lid really rests on its rim."""
        return all(lid.closed_switch for lid in self.lids)

    def away(self) -> list[int]:
        """Lids that do not rest on their rims now."""
        return [number for number, lid in enumerate(self.lids, 1) if not lid.closed_switch]

    def jam(self, lid: int, *, frac: float | None = JAM_FRAC) -> None:
        """Block lid ``lid`` (from 1) at that share of its way up; None frees it."""
        with self._lock:
            self.lids[lid - 1].block_opening = frac

    def press_stop(self, *, pressed: bool = True) -> None:
        """Press or release the stop switch; its wire breaks in the same way."""
        with self._lock:
            self.board.channels[self.options.stop_channel].reading = 0 if pressed else INPUT_MAX

    def set_target(self, lid: int, pulse_us: int) -> None:
        """Somebody else moves a lid: over USB from the Control Center, or a script."""
        with self._lock:
            self.board.channels[lid - 1].aim(pulse_us * 4)

    def pulse_us(self, lid: int) -> float | None:
        """What the servo of that lid is told now; None without pulses."""
        with self._lock:
            return self.board.channels[lid - 1].told / 4 or None

    def fail(self, bit: int) -> None:
        """The Maestro detects an error."""
        with self._lock:
            self.board.fail(bit)

    def _tick(self) -> None:
        now = self._clock()
        self._exchange(b"")
        for number, (lid, channel) in enumerate(zip(self.lids, self.board.channels, strict=False), 1):
            lid.pulse_us = round(channel.told / 4) or None
            for motion in lid.advance(now - self._last_t_s):
                if motion is Motion.OPENING:
                    self.opens[number] += 1
                self._world.tell(LidMotion(now, number, motion, 0))
        self._last_t_s = now

    def _exchange(self, data: bytes) -> None:
        now = self._clock()
        answer = b""
        for arrived in self._to_device.flow(data, now):
            answer += b"" if self.options.uart else self.board.receive(arrived, now)
        self.board.tick(now)
        for sent in self._to_host.flow(answer, now):
            if self._deliver and self.plugged:
                self._deliver(sent)


_maestros: FarEnds[MaestroOptions, SimulatedMaestro] = FarEnds(
    lambda name, options: SimulatedMaestro(world(name), options), MaestroOptions
)


def maestro(name: str, options: MaestroOptions | None = None) -> SimulatedMaestro:
    """The Maestro of the world ``name``, made at first use; other ``options`` than before make a fresh one in its place."""
    return _maestros.get(name, options)
