"""A whole simulated controller: the reference firmware on a simulated board, its clock, and the cable with its faults."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from bin_daemon.sim.board import HEADROOM, Board
from bin_daemon.sim.far_end import FarEnd, FarEnds
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.world import LidMotion, World, world
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Pattern, ResetCause
from firmware_protocol.reference import ReferenceController

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_protocol.hal import LidMotion as ControllerMotion

JAM_FRAC = 0.2
"""A stuck lid opens a crack."""
FINGER_FRAC = 0.4
CHATTER = b"$GPGGA,120000.00,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
"""What a GPS receiver, the commonest other device on ttyACM0, prints."""
CHATTER_S = 0.2


class SimulatedController(FarEnd):
    """``opens`` counts, by action id, how often a lid really left its rim for it; `double_opens` should stay 0."""

    def __init__(self, where: World, options: SimOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(where, options.line(0), options.line(1), clock)
        self.options = options
        self.opens: Counter[int] = Counter()
        self.silent = bool(options.silent)
        self._actions: dict[int, int] = {}
        self._chatter_t_s = clock()
        plant = replace(options.plant(), travel_ms=options.travel_ms / HEADROOM)
        self.board = Board(plant, options.travel_ms, options.vin_mv, blank=bool(options.blank))
        self.board.mushroom = bool(options.stop)
        if options.jam:
            self.jam(options.jam)
        if options.full:
            self.board.lids[options.full - 1].fill_mm = plant.full_mm
        self._controller = ReferenceController(
            self.board,
            now_ms=self._now_ms(),
            lids=options.lids,
            cause=ResetCause.POWER_ON,
            uid=options.uid,
            on_motion=self._note_action,
        )

    @property
    def double_opens(self) -> int:
        """Openings beyond the first of each action."""
        return sum(count - 1 for count in self.opens.values())

    @property
    def all_closed(self) -> bool:
        """Whether every lid really rests on its rim."""
        return all(lid.closed_switch for lid in self.board.lids)

    def reset(self, cause: ResetCause = ResetCause.EXTERNAL) -> None:
        """Restart the controller, whatever it is doing."""
        with self._lock:
            self._restart(cause)

    def jam(self, lid: int, *, frac: float | None = JAM_FRAC) -> None:
        """Block lid ``lid`` (from 1) at that share of its way up; None frees it."""
        with self._lock:
            self.board.lids[lid - 1].block_opening = frac

    def finger(self, lid: int, *, frac: float | None = FINGER_FRAC) -> None:
        """Lay something under lid ``lid`` (from 1); None takes it away."""
        with self._lock:
            self.board.lids[lid - 1].block_closing = frac

    def press_stop(self, *, pressed: bool = True) -> None:
        """Press or release the mushroom switch."""
        with self._lock:
            self.board.mushroom = pressed

    def supply(self, vin_mv: int) -> None:
        """Change the supply voltage."""
        with self._lock:
            self.board.vin = vin_mv

    def _restart(self, cause: ResetCause) -> None:
        self.board.lamp.indicate(Pattern.OFF, 0)  # the pins of a board that starts are inputs
        self._controller.reset(cause, self._now_ms())

    def _now_ms(self) -> int:
        return int(self._clock() * 1000) & 0xFFFFFFFF

    def _tick(self) -> None:
        now = self._clock()
        for number, motion in self.board.advance(now - self._last_t_s):
            self._moved(number, motion, now)
        self._last_t_s = now
        self._exchange(b"")
        if self.options.chatter and now - self._chatter_t_s > CHATTER_S and self._deliver:
            self._chatter_t_s = now
            self._deliver(CHATTER)

    def _exchange(self, data: bytes) -> None:
        """Bytes and time in, bytes out."""
        now, now_ms = self._clock(), self._now_ms()
        for arrived in self._to_device.flow(data, now):
            if not self.options.chatter:
                self._controller.receive(arrived, now_ms)
        self._controller.tick(now_ms)
        if self.board.restart_wanted:
            self.board.restart_wanted = False
            self._restart(ResetCause.WATCHDOG)
        for sent in self._to_host.flow(self._controller.take_output(), now):
            if self._deliver and self.plugged and not (self.silent or self.options.chatter):
                self._deliver(sent)

    def _note_action(self, motion: ControllerMotion) -> None:
        self._actions[motion.lid] = motion.action_id

    def _moved(self, number: int, motion: Motion, now_s: float) -> None:
        action_id = self._actions.get(number, 0)
        if motion is Motion.OPENING and action_id:
            self.opens[action_id] += 1
        if number + 1 == self.options.finger and motion in {Motion.OPENING, Motion.REVERSED}:
            self.finger(number + 1, frac=FINGER_FRAC if motion is Motion.OPENING else None)
        self._world.tell(LidMotion(now_s, number + 1, motion, action_id))


_controllers: FarEnds[SimOptions, SimulatedController] = FarEnds(
    lambda name, options: SimulatedController(world(name), options), SimOptions
)


def controller(name: str, options: SimOptions | None = None) -> SimulatedController:
    """The controller of the world ``name``, made at first use; other ``options`` than before make a fresh one in its place."""
    return _controllers.get(name, options)
