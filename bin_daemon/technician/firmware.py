"""Flashing the lid controller, step by step. Each step says what it does; each error what is on the board now, and what to do.

Every way into the bootloader leads through the same gate: HELLO, all lids shut by telemetry, and the controller's own consent
(ENTER_BOOTLOADER). Only ``recover`` goes around it, for a controller that cannot be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bin_daemon.errors import BinError, ConfigError, DeviceError
from bin_daemon.technician.avrdude_says import CutOffError, VerifyError
from bin_daemon.technician.firmware_gate import (
    SHUT_S,
    Controller,
    check_change,
    enter_bootloader,
    known,
    wait_until_safe,
)
from bin_daemon.technician.firmware_image import Image, image_of
from bin_daemon.technician.link import HELLO_S, OtherProtocolError, SilentError

if TYPE_CHECKING:
    from bin_daemon.technician.avrdude import Avrdude
    from bin_daemon.technician.firmware_image import Identity
    from bin_daemon.technician.firmware_store import FirmwareStore, Kept
    from bin_daemon.technician.link import Link

RECOVER = "bin-daemon firmware flash IMAGE --recover"
ROLL_BACK = "bin-daemon firmware rollback"
UNTOUCHED = "Nothing was written: the controller holds what it held"


class FlashError(DeviceError):
    """Writing began and did not end well. The message says what is on the board, the hint what to do."""

    def __init__(self, message: str, *, hint: str, previous: Kept | None) -> None:
        super().__init__(message, hint=hint)
        self.previous = previous
        """What a rollback would bring back; None: nothing is kept."""


class Person(Protocol):
    """Who stands at the bin."""

    def say(self, text: str) -> None:
        """One line."""

    def agrees(self, plan: Plan) -> bool:
        """Whether to go on; asked once, before anything is touched."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to happen."""

    image: Image
    name: str
    """Of the image, for people."""
    controller: Controller | None
    """None: it cannot be asked, and nor can its lids."""
    silence: str = ""
    """Why not."""
    alive: bool = True
    """Firmware runs on it, though perhaps of another protocol."""


@dataclass(slots=True)
class Flasher:
    """One controller on one port. Methods raise `DeviceError` and `ConfigError`."""

    link: Link
    avrdude: Avrdude
    store: FirmwareStore
    person: Person
    hello_s: float = HELLO_S
    shut_s: float = SHUT_S

    def flash(self, image: Image, name: str, *, force: bool = False, recover: bool = False) -> Controller | None:
        """Put ``image`` on the controller; None when the person does not agree. `RefusedError`: nothing was touched.

        ``recover``: go on although nothing answers HELLO; where something does, it is asked all the same.
        """
        new = known(image, name)
        self.avrdude.check_installed()
        plan = self._plan(image, name, recover=recover)
        if plan.controller:
            check_change(new, plan.controller, force=force)
            wait_until_safe(self.link, plan.controller, shut_s=self.shut_s)
        self.store.manifest()  # a damaged one is told now, not after writing
        if not self.person.agrees(plan):
            return None
        if plan.alive:
            self._keep_present(plan)
        kept = self.store.keep(image, plan.controller.uid if plan.controller else "")
        self.store.update(unfinished=kept)
        self._write(plan)
        controller = self._check(image, new)
        try:
            self._remember(kept.model_copy(update={"uid": controller.uid}))
        except ConfigError as error:
            raise ConfigError(
                f"the controller runs {new.words}, checked; but that could not be noted: {error}", hint=error.hint
            ) from error
        return controller

    def verify(self, image: Image) -> bool:
        """Whether the flash holds ``image``, byte for byte. The controller restarts twice. Ends an unfinished flashing of it."""
        self.avrdude.check_installed()
        same = self._holds(image)
        unfinished = self.store.manifest().unfinished
        if same and unfinished and unfinished.sha256 == image.sha256:  # this end died while avrdude finished its work
            self._remember(unfinished)
        return same

    def _holds(self, image: Image) -> bool:
        self._into_bootloader()
        self.person.say(f"reading {len(image.data)} bytes ...")
        there = image_of(self.avrdude.read(len(image.data)))
        self.link.reset_board()
        if there.sha256 != image.sha256:
            return False  # whatever runs there
        self._hello()
        return True

    def _plan(self, image: Image, name: str, *, recover: bool) -> Plan:
        try:
            return Plan(image, name, self._hello())
        except (SilentError, OtherProtocolError) as error:
            if recover:
                return Plan(image, name, None, str(error), alive=isinstance(error, OtherProtocolError))
            if isinstance(error, SilentError):
                hint = f"{error.hint}; a controller that has lost its firmware is mended by --recover"
                raise SilentError(str(error), hint=hint) from error
            raise

    def _hello(self) -> Controller:
        return Controller(self.link.hello(self.hello_s))

    def _into_bootloader(self) -> Controller:
        """Through the gate."""
        controller = self._hello()
        wait_until_safe(self.link, controller, shut_s=self.shut_s)
        enter_bootloader(self.link)
        return controller

    def _keep_present(self, plan: Plan) -> None:
        """Read what is on the controller and keep it for going back, before a byte of it is lost."""
        try:
            present = self._present(plan.controller)
        except DeviceError as error:
            raise DeviceError(f"{error}. {UNTOUCHED}", hint=error.hint) from error
        if not present.data:
            raise DeviceError(
                f"{self.link.url}: the flash reads as empty, though firmware runs on it", hint="try again"
            )
        if present.sha256 != plan.image.sha256:  # the same once more: going back still leads to what was before
            self.store.update(previous=self.store.keep(present, plan.controller.uid if plan.controller else ""))

    def _present(self, controller: Controller | None) -> Image:
        """The whole flash takes half a minute; what was flashed from here needs only to be compared."""
        flashed = self.store.manifest().flashed
        if (
            controller
            and flashed
            and (flashed.version, flashed.git) == (controller.identity.version, controller.identity.git)
        ):
            self.person.say("comparing the present firmware with what was flashed last ...")
            self._into_bootloader()
            present = image_of(self.avrdude.read(flashed.size_bytes))
            self.link.reset_board()
            if present.sha256 == flashed.sha256:
                return present
        if controller:
            self._into_bootloader()
        self.person.say("reading the present firmware, to keep it (about half a minute) ...")
        present = image_of(self.avrdude.read_all())
        self.link.reset_board()
        return present

    def _write(self, plan: Plan) -> None:
        try:
            if plan.controller:
                self._into_bootloader()
            self.person.say(f"writing {len(plan.image.data)} bytes: do not unplug ...")
            self.avrdude.write(plan.image)
        except (CutOffError, VerifyError) as error:
            raise self._failed(
                f"{error}. The controller holds half a firmware and runs none: its lids get no signal and stay as they are",
                f"{error.hint}, with --recover",
            ) from error
        except BinError as error:
            self.store.update(unfinished=None)
            raise DeviceError(f"{error}. {UNTOUCHED}", hint=error.hint) from error
        self.link.reset_board()

    def _check(self, image: Image, new: Identity) -> Controller:
        """After writing: who answers must be the image, and what the flash holds too."""
        self.person.say("starting the new firmware ...")
        try:
            controller = self._hello()
        except DeviceError as error:
            raise self._failed(f"{error}. The firmware was written and compared, but does not run") from error
        if not new.same_build(controller.identity):
            raise self._failed(
                f"{self.link.url}: the controller runs {controller.identity.words} instead of {new.words}"
            )
        try:
            same = self._holds(image)
        except DeviceError as error:
            raise self._failed(f"{error}. The new firmware runs, but what the flash holds is not known") from error
        if not same:
            raise self._failed(
                f"{self.link.url}: the new firmware runs, but the flash does not hold the image (SHA-256 differs)"
            )
        return controller

    def _remember(self, kept: Kept) -> None:
        previous = self.store.manifest().previous
        if previous and previous.sha256 == kept.sha256:
            previous = None  # a rollback over a broken firmware: nothing lies behind it
        self.store.update(flashed=kept, previous=previous, unfinished=None)

    def _failed(self, message: str, first: str = "") -> FlashError:
        previous = self.store.manifest().previous
        back = f"go back to {previous.words}: {ROLL_BACK} --recover" if previous else ""
        return FlashError(
            message,
            hint="; or ".join(filter(None, (first, back))) or f"flash an image that works: {RECOVER}",
            previous=previous,
        )


def previous_image(store: FirmwareStore) -> tuple[Image, Kept]:
    """What a rollback flashes. Raises ConfigError when nothing is kept, or nothing of ours."""
    previous = store.manifest().previous
    if previous is None:
        raise ConfigError(
            f"{store.folder}: no previous firmware is kept here",
            hint="flash an image from a file: bin-daemon firmware flash IMAGE",
        )
    if previous.version is None:
        raise ConfigError(
            f"{store.folder / previous.file_name}: what was on the controller before is no firmware of bin-daemon",
            hint="flash an image from a file: bin-daemon firmware flash IMAGE",
        )
    return store.image(previous), previous
