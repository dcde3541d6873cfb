"""May this image go on this controller now? The host's own gate; the controller's (ENTER_BOOTLOADER) is asked after it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.technician.firmware_image import MEGA2560, Identity, board_name
from firmware_protocol.messages import PROTO_MAJOR, Code, ControllerState, EnterBootloader, HelloAck, LidPhase, Stop

if TYPE_CHECKING:
    from bin_daemon.technician.firmware_image import Image
    from bin_daemon.technician.link import Link

NO_PROGRAM = b"\xff\xff"
"""Arduino's bootloader takes this first word for an empty flash."""
BUILD_ONE = "build one with `make firmware`: firmware_protocol/firmware/build/mega2560.hex"
SHUT_S = 10.0
"""After a restart the controller homes its lids one after the other."""


@dataclass(frozen=True, slots=True)
class Controller:
    """Who answered HELLO."""

    ack: HelloAck

    @property
    def identity(self) -> Identity:
        """What runs on it."""
        ack = self.ack
        version = (ack.fw_major, ack.fw_minor, ack.fw_patch)
        return Identity(ack.board, version, ack.git, (ack.proto_major, ack.proto_minor))

    @property
    def uid(self) -> str:
        """Hexadecimal."""
        return self.ack.uid.hex()


class RefusedError(DeviceError):
    """Not now, or not this image; nothing was touched."""


def known(image: Image, name: str) -> Identity:
    """What the image is. Raises ConfigError where it is none of ours, for another board, or speaks another protocol major."""
    identity = image.identity
    if identity is None:
        raise ConfigError(
            f"{name}: holds no identification block: it is no controller firmware of bin-daemon",
            hint=BUILD_ONE,
        )
    if image.data[:2] == NO_PROGRAM:
        raise ConfigError(
            f"{name}: does not begin with a program: the bootloader would never start it",
            hint=BUILD_ONE,
        )
    if identity.board != MEGA2560:
        raise ConfigError(
            f"{name}: is for another board ({board_name(identity.board)}); avrdude is run for {board_name(MEGA2560)}",
            hint="take the image that was built for this controller",
        )
    if identity.protocol and identity.protocol[0] != PROTO_MAJOR:
        raise ConfigError(
            f"{name}: speaks protocol {identity.protocol[0]}, this bin-daemon {PROTO_MAJOR}: the lids would stay shut for ever",
            hint="update bin-daemon first, or take an image of this protocol",
        )
    return identity


def check_change(new: Identity, controller: Controller, *, force: bool) -> None:
    """Raise `RefusedError` for another board's image, and without ``force`` for the same version or an older one."""
    old = controller.identity
    if new.board != old.board:
        raise RefusedError(
            f"the image is for {board_name(new.board)}, the controller is {board_name(old.board)}",
            hint="take the image that was built for this controller",
        )
    if force or new.version > old.version:
        return
    if new.version < old.version:
        raise RefusedError(
            f"the image is older than what the controller runs: {new.words}, {old.words}",
            hint="bin-daemon firmware rollback goes back to what was there before; --force flashes it all the same",
        )
    same = "already runs this firmware" if new.git == old.git else "runs the same version of another build"
    raise RefusedError(
        f"the controller {same}: {old.words}, the image: {new.words}", hint="--force flashes it all the same"
    )


def wait_until_safe(link: Link, controller: Controller, *, shut_s: float = SHUT_S) -> None:
    """Return when all lids are shut and nothing else speaks against it; `RefusedError` at once, or for lids after ``shut_s``."""
    end = time.monotonic() + shut_s
    while True:
        telemetry = link.report()
        _check_state(telemetry.state, telemetry.stop)
        phases = {number + 1: link.slots[number].state for number in range(controller.ack.lids) if number in link.slots}
        open_lids = {number: phase for number, phase in phases.items() if phase != LidPhase.CLOSED}
        if len(phases) == controller.ack.lids and not open_lids:
            return
        _check_faults(open_lids)
        if time.monotonic() >= end:
            words = ", ".join(f"lid {number} is {_phase_name(phase)}" for number, phase in open_lids.items())
            raise RefusedError(
                f"not all lids are shut: {words or 'some do not report'}",
                hint="free what holds them open, or wait until they have shut; then try again",
            )


def enter_bootloader(link: Link) -> None:
    """Ask the controller itself; it restarts into its bootloader when it agrees. Raises `RefusedError` when it does not."""
    answer = link.ask(EnterBootloader())
    if answer.accepted:
        link.hold_bootloader()
        return
    if answer.code == Code.UNSUPPORTED:
        raise RefusedError(
            "this controller has no bootloader: it cannot be flashed over its port", hint="flash it with a programmer"
        )
    name = Code(answer.code).name if answer.code in Code.__members__.values() else str(answer.code)
    raise RefusedError(
        f"the controller refuses to enter its bootloader ({name}): a lid has moved",
        hint="wait until all lids are shut, then try again",
    )


def _check_state(state: int, stop: int) -> None:
    if stop & Stop.MUSHROOM:
        raise RefusedError(
            "the stop switch is pressed", hint="release it, wait until the lids are shut, then try again"
        )
    if stop & Stop.LATCH:
        raise RefusedError(
            "a stop is latched",
            hint="clear it when all is safe, while the service runs: bin-daemon lid clear; then try again",
        )
    if state == ControllerState.CALIBRATING:
        raise RefusedError(
            "a calibration is under way", hint="end it first; it also ends by itself after half a minute"
        )


def _check_faults(open_lids: dict[int, int]) -> None:
    for number, phase in open_lids.items():
        if phase == LidPhase.FAULT:
            raise RefusedError(
                f"lid {number} is in fault", hint=f"free lid {number}, switch the controller off and on, then try again"
            )


def _phase_name(phase: int) -> str:
    return LidPhase(phase).name.lower() if phase in LidPhase.__members__.values() else f"in state {phase}"
