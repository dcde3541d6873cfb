"""What a ``sim://WORLD?key=value&...`` URL may say: one frozen dataclass, whose fields are the keys."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from bin_daemon.errors import ConfigError
from bin_daemon.sim.faults import Drop, Duplicate, Fault, Line, OtherMajor, Truncate, cable_faults
from bin_daemon.sim.plant import PlantSettings
from firmware_protocol.limits import CAL_TRAVEL_MIN_US, PULSE_MAX_US, PULSE_MIN_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class SimOptions:
    """How the simulated controller, its bin and its cable behave. Lids count from 1; 0 is none. Rates are 0..1."""

    lids: int = 4
    travel_ms: float = 350.0
    """Time of a lid from end to end; the bounds are those of the controller's slew limit."""
    closed_us: int = 1000
    """Pulse at which a lid meets its rim."""
    open_us: int = 2000
    """Pulse at which a lid meets its stop at the top; less than closed_us where servos are mounted the other way round."""
    blank: int = 0
    """1: a new board, never calibrated: it moves its lids by the firmware's default pulses, wherever the lids' ends are."""
    board: int = 0
    """Serial number of the board; another one is another board."""
    jam: int = 0
    """This lid's hinge is stuck: it opens a crack and no further."""
    finger: int = 0
    """Something lies under this lid whenever it closes, until the lid has backed off once."""
    full: int = 0
    """This lid's compartment is full."""
    stop: int = 0
    """1: the mushroom switch is pressed."""
    vin_mv: int = 12_000
    """Supply voltage."""
    silent: int = 0
    """1: receives and never answers."""
    chatter: int = 0
    """1: no controller at all but some other device, which prints text lines."""
    major: int = 0
    """Claim this protocol major instead of the true one; 0: the true one."""
    latency_ms: float = 0.0
    """Each direction is this much late."""
    noise: float = 0.0
    """Share of bytes that arrive with one bit flipped, each direction."""
    drop: float = 0.0
    """Share of frames lost, each direction."""
    double: float = 0.0
    """Share of frames delivered twice, each direction."""
    truncate: float = 0.0
    """Share of frames cut short, each direction."""
    dribble: int = 0
    """1: bytes arrive one at a time."""
    seed: int = 1
    """Of the random faults."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a lid that is not there."""
        for key in ("jam", "finger", "full"):
            if (lid := getattr(self, key)) > self.lids:
                raise ConfigError(
                    f"{key}={lid}, but there are {self.lids} lids", hint=f"name a lid from 1 to {self.lids}"
                )

        if abs(self.open_us - self.closed_us) < CAL_TRAVEL_MIN_US:
            raise ConfigError(
                f"open_us={self.open_us} and closed_us={self.closed_us} are too near to each other",
                hint=f"give pulses at least {CAL_TRAVEL_MIN_US} us apart",
            )

    @property
    def uid(self) -> bytes:
        """What the board calls itself, 6 bytes."""
        return self.board.to_bytes(6, "big")

    def plant(self) -> PlantSettings:
        """The bin's mechanics."""
        return PlantSettings(lids=self.lids, travel_ms=self.travel_ms, closed_us=self.closed_us, open_us=self.open_us)

    def line(self, direction: int) -> Line:
        """One direction of the cable, 0 to the controller, 1 to the host: its faults, reproducible."""
        faults = list(self._faults(random.Random(2 * self.seed + direction)))
        return Line([OtherMajor(self.major), *faults] if self.major and direction else faults)

    def _faults(self, rng: random.Random) -> Iterator[Fault]:
        if self.drop:
            yield Drop(rng, self.drop)
        if self.double:
            yield Duplicate(rng, self.double)
        if self.truncate:
            yield Truncate(rng, self.truncate)
        yield from cable_faults(rng, noise=self.noise, latency_ms=self.latency_ms, dribble=self.dribble)


BOUNDS: dict[str, tuple[float, float]] = {
    "lids": (1, 16),
    "travel_ms": (80, 20_000),
    "closed_us": (PULSE_MIN_US, PULSE_MAX_US),
    "open_us": (PULSE_MIN_US, PULSE_MAX_US),
    "blank": (0, 1),
    "board": (0, 2**31),
    "jam": (0, 16),
    "finger": (0, 16),
    "full": (0, 16),
    "stop": (0, 1),
    "vin_mv": (0, 30_000),
    "silent": (0, 1),
    "chatter": (0, 1),
    "major": (0, 15),
    "latency_ms": (0, 10_000),
    "noise": (0, 1),
    "drop": (0, 1),
    "double": (0, 1),
    "truncate": (0, 1),
    "dribble": (0, 1),
    "seed": (0, 2**31),
}


OptionsT = TypeVar("OptionsT")


def parse_url(url: str) -> tuple[str, SimOptions]:
    """World name and options of ``sim://WORLD?key=value``. Raises `ConfigError` naming the key that is wrong."""
    return parse(url, "sim", SimOptions, BOUNDS)


def parse(
    url: str, scheme: str, options: Callable[..., OptionsT], bounds: Mapping[str, tuple[float, float]]
) -> tuple[str, OptionsT]:
    """World name and options of ``scheme://WORLD?key=value``, for a dataclass of numbers. Raises `ConfigError`."""
    parts = urlsplit(url)
    name = parts.netloc + parts.path
    if parts.scheme.lower() != scheme or not name or parts.fragment:
        raise ConfigError(
            f"controller port {url!r} is no simulator URL",
            hint=f"write {scheme}://WORLD?key=value, as in {scheme}://bin?jam=2",
        )
    defaults = options()
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    chosen = dict(_checked(url, key, text, bounds, defaults) for key, text in pairs)
    try:
        return name, options(**chosen)
    except ConfigError as error:
        raise ConfigError(f"controller port {url!r}: {error}", hint=error.hint) from error


def _checked(
    url: str, key: str, text: str, bounds: Mapping[str, tuple[float, float]], defaults: object
) -> tuple[str, Any]:
    if key not in bounds:
        raise ConfigError(f"controller port {url!r}: unknown parameter {key!r}", hint=f"known are: {', '.join(bounds)}")
    kind = type(getattr(defaults, key))
    low, high = bounds[key]
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"controller port {url!r}: {key}={text!r} will not do", hint=f"give {key} {wanted} from {low} to {high}"
        )
    return key, value
