"""The lids of the tests: servos with inertia and little torque, gravity, end stops, fingers, jams, loose horns, cut wires.

It sees servo pulses and time, and says what sensors would say. Places are servo pulses in us (what pulse would hold the lid
there), torques are shares of the servo's stall torque. Much less kind than `bin_daemon.sim.plant`, which has no inertia.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from firmware_protocol.hal import Motion
from firmware_protocol.messages import Limits
from tests.firmware_protocol.bodies.body import Inputs

CLOSED_US, OPEN_US = 1000.0, 2000.0
STOPS_US = (CLOSED_US - 15, OPEN_US + 15)
SWITCH_US = 25.0
"""A limit switch closes this far before its end."""
SPEED_US_PER_S = 4000.0
"""0.25 s from end to end without load: a common 20 kg cm servo."""
ACCELERATION = 100_000.0
"""us per s^2 at stall torque: servo and lid reach full speed in 40 ms."""
FULL_TORQUE_AT_US = 30.0
"""The servo gives all it has from this error on."""
DAMPING = 2 * math.sqrt(ACCELERATION / FULL_TORQUE_AT_US) / ACCELERATION
"""Torque for each us/s: critically damped."""
FRICTION = 0.10
GRAVITY = 0.05
"""Pulls shut; less than friction, so a lid without signal stays where it is."""
FINGER_GIVES_US = 40.0
"""A finger stops the servo's whole torque within this way."""
STRIP_FEELS = 0.1
"""Torque on the pinch strip that closes its contact."""
IDLE_MA, STALL_MA = 8.0, 1500.0
TURNED_US = 30.0
"""A lid that goes back this far has turned back."""
SUBSTEP_MS = 1.0


@dataclass
class PlantLid:
    """One lid. All faults can be set and taken back at any time."""

    at_us: float = CLOSED_US
    speed: float = 0.0
    """us per s, positive = opening."""
    pulse_us: float | None = None
    jam_us: float | None = None
    """It cannot open beyond this."""
    finger_us: float | None = None
    """Something soft lies here under the closing lid."""
    strip: bool = True
    """The pinch strip works."""
    grip: float = 10.0
    """Torque above which the horn slips on the servo's shaft."""
    shut_wire: bool = True
    open_wire: bool = True
    shut_stuck: bool = False
    """The shut switch stays pressed, wherever the lid is."""
    open_stuck: bool = False
    both_switches: bool = False
    """Water in the connector: both read closed."""
    noise_ma: float = 0.0
    fill_mm: int | None = 400
    torque: float = 0.0
    """What the servo gives now."""
    pressed: float = 0.0
    """What the finger feels now."""
    slipped_us: float = 0.0
    """The shaft is ahead of the lid by this."""
    motion: Motion = Motion.CLOSED
    _turn_us: float = CLOSED_US
    """The farthest place of the present motion."""
    _been_above: bool = False

    def __post_init__(self) -> None:
        self._turn_us = self.at_us
        self.motion = Motion.CLOSED if self.on_closed else Motion.OPEN

    @property
    def on_closed(self) -> bool:
        """At its shut end."""
        return self.at_us <= CLOSED_US + SWITCH_US

    @property
    def on_open(self) -> bool:
        """At its open end."""
        return self.at_us >= OPEN_US - SWITCH_US

    @property
    def limits(self) -> int:
        """What the switches say."""
        closed = self.both_switches or self.shut_stuck or (self.on_closed and self.shut_wire)
        opened = self.both_switches or self.open_stuck or (self.on_open and self.open_wire)
        return int(Limits.CLOSED) * closed | int(Limits.OPEN) * opened

    @property
    def pinched(self) -> bool:
        """What the strip says."""
        return self.strip and self.pressed > STRIP_FEELS

    @property
    def asleep(self) -> bool:
        """Nothing can happen to it."""
        return self.pulse_us is None and self.speed == 0.0

    def current_ma(self, rng: random.Random) -> int:
        """Of the servo, with its noise."""
        ma = 0.0 if self.pulse_us is None else IDLE_MA + (STALL_MA - IDLE_MA) * abs(self.torque)
        return max(0, round(ma + rng.uniform(-self.noise_ma, self.noise_ma)))

    def substep(self, dt_s: float, *, powered: bool) -> Motion | None:
        """1 ms of mechanics; the motion that began or ended."""
        self.torque = self._servo() if powered else 0.0
        self.pressed = self._finger()
        given = max(-self.grip, min(self.grip, self.torque))
        self._turn_shaft(given, dt_s)
        self._move(given + self.pressed - GRAVITY, dt_s)
        return self._told()

    def _servo(self) -> float:
        if self.pulse_us is None:
            return 0.0
        error_us = self.pulse_us - (self.at_us + self.slipped_us)
        wanted = error_us / FULL_TORQUE_AT_US - DAMPING * self.speed
        left = 1.0 - min(1.0, abs(self.speed) / SPEED_US_PER_S) * (wanted * self.speed > 0)
        return max(-left, min(left, wanted))

    def _finger(self) -> float:
        if self.finger_us is None:
            self._been_above = False
            return 0.0
        self._been_above |= self.at_us > self.finger_us
        depth_us = self.finger_us - self.at_us
        return max(0.0, depth_us / FINGER_GIVES_US) if self._been_above else 0.0

    def _turn_shaft(self, given: float, dt_s: float) -> None:
        """A horn that slips lets the shaft go where the pulse wants it."""
        if given != self.torque and self.pulse_us is not None:
            ahead_us = self.pulse_us - (self.at_us + self.slipped_us)
            most_us = SPEED_US_PER_S * dt_s
            self.slipped_us += max(-most_us, min(most_us, ahead_us))

    def _move(self, pull: float, dt_s: float) -> None:
        if self.speed == 0.0 and abs(pull) <= FRICTION:
            return
        rubs = FRICTION if (self.speed or pull) > 0 else -FRICTION
        faster = self.speed + (pull - rubs) * ACCELERATION * dt_s
        if faster * self.speed < 0 and abs(pull) <= FRICTION:
            faster = 0.0  # friction stops, it does not push
        self.speed = faster
        wanted = self.at_us + faster * dt_s
        top = STOPS_US[1] if self.jam_us is None or self.at_us > self.jam_us else min(self.jam_us, STOPS_US[1])
        self.at_us = max(STOPS_US[0], min(top, wanted))
        if self.at_us != wanted:
            self.speed = 0.0

    def _told(self) -> Motion | None:
        told = self._next()
        if told is not None:
            self.motion = told
            self._turn_us = self.at_us
        return told

    def _next(self) -> Motion | None:
        if self.motion is Motion.CLOSED:
            return None if self.on_closed else Motion.OPENING
        if self.motion is Motion.OPEN:
            return None if self.on_open else Motion.CLOSING
        if self.on_closed and self.speed <= 0:
            return Motion.CLOSED
        if self.on_open and self.speed >= 0:
            return Motion.OPEN
        return self._turned()

    def _turned(self) -> Motion | None:
        opening = self.motion is Motion.OPENING or (self.motion is Motion.REVERSED and self._goes_up)
        if opening:
            self._turn_us = max(self._turn_us, self.at_us)
            turned = self.at_us < self._turn_us - TURNED_US
        else:
            self._turn_us = min(self._turn_us, self.at_us)
            turned = self.at_us > self._turn_us + TURNED_US
        if turned:
            self._goes_up = not opening
        return Motion.REVERSED if turned else None

    _goes_up: bool = False


@dataclass(frozen=True)
class Moved:
    """A lid began or ended a motion."""

    t_ms: float
    lid: int
    motion: Motion


@dataclass
class Plant:
    """All lids of one bin, and their power."""

    lids: list[PlantLid]
    powered: bool = True
    moved: list[Moved] = field(default_factory=list)
    t_ms: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(4))

    def step(self, ms: float) -> None:
        """Let time pass."""
        for number, lid in enumerate(self.lids):
            if lid.asleep:
                continue
            done_ms = 0.0
            while done_ms < ms:
                part_ms = min(SUBSTEP_MS, ms - done_ms)
                done_ms += part_ms
                motion = lid.substep(part_ms / 1000, powered=self.powered)
                if motion:
                    self.moved.append(Moved(self.t_ms + done_ms, number, motion))
        self.t_ms += ms

    def sense(self, inputs: Inputs) -> None:
        """What the sensors say now."""
        for there, lid in zip(inputs.lids, self.lids, strict=True):
            there.limits = lid.limits
            there.current_ma = lid.current_ma(self.rng) if self.powered else 0
            there.fill_mm = lid.fill_mm
        inputs.pinch = sum(1 << n for n, lid in enumerate(self.lids) if lid.pinched)

    def motions_of(self, lid: int = 0) -> list[Motion]:
        """What one lid did."""
        return [x.motion for x in self.moved if x.lid == lid]

    @property
    def all_shut(self) -> bool:
        """Every lid rests at its shut end."""
        return all(x.on_closed and abs(x.speed) < 5 for x in self.lids)
