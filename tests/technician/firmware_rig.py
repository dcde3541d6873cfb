"""A board with a firmware on it, what flashes it, and somebody who agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bin_daemon.technician.avrdude import Avrdude
from bin_daemon.technician.firmware import Flasher, Plan
from bin_daemon.technician.firmware_image import Image
from bin_daemon.technician.firmware_store import FirmwareStore
from bin_daemon.technician.link import opened_link
from tests.technician.mega_board import UID, MegaBoard, program_image
from tests.technician.mega_bootloader import Faults

OLD, NEW = program_image((1, 0, 0), git=0x0A), program_image((1, 1, 0), git=0x0B, size=5000)


@dataclass
class Somebody:
    """Agrees, and remembers what was said."""

    answer: bool = True
    said: list[str] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    moments: dict[str, Callable[[], object]] = field(default_factory=dict)

    def when(self, word: str, happens: Callable[[], object]) -> None:
        """What happens at the moment when a line that begins so is said."""
        self.moments[word] = happens

    def say(self, text: str) -> None:
        """See `Person`."""
        self.said.append(text)
        self.moments.get(text.split(maxsplit=1)[0], lambda: None)()

    def agrees(self, plan: Plan) -> bool:
        """See `Person`."""
        self.plans.append(plan)
        self.moments.get("agrees", lambda: None)()
        return self.answer


@dataclass
class Rig:
    """A board with OLD on it, as it was flashed from here, and what flashes it."""

    board: MegaBoard
    flasher: Flasher
    person: Somebody

    @property
    def untouched(self) -> bool:
        """Neither flash nor store knows that anybody was here."""
        return self.board.pages_written == 0 and self.flasher.store.manifest().unfinished is None


@contextmanager
def rigged(
    folder: Path,
    faults: Faults | None = None,
    *,
    known: bool = True,
    flashed: Image | None = OLD,
    auto_reset: bool = False,
) -> Iterator[Rig]:
    """``known``: OLD was flashed from here, which saves reading all of the flash."""
    store, person = FirmwareStore(folder / "state"), Somebody()
    if known:
        store.update(flashed=store.keep(OLD, UID.hex()))
    with (
        MegaBoard(folder / "tty", [OLD, NEW], flashed, faults=faults, auto_reset=auto_reset) as board,
        opened_link(board.path, 115200) as link,
    ):
        avrdude = Avrdude(board.path, lambda *_: None, sync_s=3.0, stall_s=1.5)
        yield Rig(board, Flasher(link, avrdude, store, person, hello_s=1.0, shut_s=0.3), person)
