"""What avrdude says, understood: messages of 6.3, 7.x and 8.x as errors that a technician can act upon."""

from __future__ import annotations

import re
from typing import NamedTuple

from bin_daemon.errors import DeviceError


class NoSyncError(DeviceError):
    """The bootloader does not answer: nothing was read or written."""


class CutOffError(DeviceError):
    """The bootloader answered, and then no more, or refused: what was to be written may be half there."""


class WrongBoardError(DeviceError):
    """Another microcontroller: nothing was written."""


class VerifyError(DeviceError):
    """What was written is not what the flash holds."""


MARKS = 50
"""Its bar has so many."""
_READY = re.compile(r"initialized and ready|device signature", re.IGNORECASE)
_DEAD = re.compile(
    r"(?:error|\)): timeout|timeout communicating|not responding|cannot open port|can't open device"
    r"|input/output error|no such device",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"TIOCM|can't get the DTR|reset attributes")
"""Of a port without modem lines, or one that has just vanished."""
_WRONG = re.compile(r"error|failed|can't|unable", re.IGNORECASE)
_DUMPED = re.compile(r"^(?:avrdude> )?[0-9a-f]{4,8} +((?:[0-9a-f]{2} {1,2}){1,16}) *\|", re.MULTILINE)


class _Meaning(NamedTuple):
    pattern: str
    kind: type[DeviceError]
    text: str
    hint: str


_CABLE = "check the cable and the supply, then try again"
_MEANINGS = (
    _Meaning(
        r"permission denied",
        DeviceError,
        "no permission to open the port",
        "run the command with sudo, or join the group dialout and log in again: sudo usermod -aG dialout $USER",
    ),
    _Meaning(
        r"resource busy",
        DeviceError,
        "another program has the port open",
        "stop the service: sudo systemctl stop bin-daemon; if none runs, this names the program: fuser -v {port}",
    ),
    _Meaning(
        r"device signature = ?(0x\w+|[0-9A-F ]+\b)[\s\S]*(?:expected signature|yikes|invalid device signature)",
        WrongBoardError,
        "no ATmega2560 (signature {0}, wanted 0x1e9801)",
        "check that this is the controller's port: ls /dev/serial/by-id",
    ),
    _Meaning(
        r"verification (?:error|mismatch)(?:[\s\S]*?(?:byte|addr) (0x\w+))?",
        VerifyError,
        "the flash does not hold what was written (first at {0})",
        "try once more; when it fails at the same place again, the board is worn out: replace it",
    ),
)
"""In this order of weight; groups of the pattern fill the text."""


def heard(log: bytes) -> str:
    """Its messages, without those that mean nothing here."""
    lines = log.decode(errors="replace").replace("\r", "\n").splitlines()
    return "\n".join(line for line in lines if not _HARMLESS.search(line))


def synced(text: str) -> bool:
    """Whether the bootloader has answered."""
    return _READY.search(text) is not None


def hopeless(text: str) -> bool:
    """Nothing good comes after this, though avrdude itself would try on for minutes."""
    return _DEAD.search(text) is not None


def bar(text: str) -> tuple[str, float] | None:
    """What it does ("reading" or "writing"), and how much of it is done, 0..1; None before the first bar."""
    start = max(text.rfind("Reading |"), text.rfind("Writing |"))
    if start < 0:
        return None
    word, marks = text[start:].split("|")[:2]
    return word.strip().lower(), min(1.0, marks.count("#") / MARKS)


def dumped(text: str) -> bytes:
    """The bytes of its terminal's ``dump``."""
    return b"".join(bytes.fromhex(row) for row in _DUMPED.findall(text))


def error(text: str, port: str) -> DeviceError:
    """What went wrong, of what it said until it ended or was ended."""
    for meaning in _MEANINGS:
        if found := re.search(meaning.pattern, text, re.IGNORECASE):
            return meaning.kind(
                f"{port}: {meaning.text.format(*found.groups(default='an unknown place'))}",
                hint=meaning.hint.format(port=port),
            )
    wrong = [line.split(":", 1)[-1].strip() for line in text.splitlines() if _WRONG.search(line)]
    what = f"avrdude: {wrong[-1]}" if wrong and not hopeless(text) else ""
    if synced(text):
        return CutOffError(f"{port}: {what or 'the bootloader stopped answering'}", hint=_CABLE)
    if what:
        return DeviceError(f"{port}: {what}", hint=_CABLE)
    if re.search(r"no such (?:file|device)", text, re.IGNORECASE):
        return NoSyncError(
            f"{port}: the port is gone", hint="plug the controller in; this lists the ports: ls /dev/serial/by-id"
        )
    return NoSyncError(
        f"{port}: the bootloader does not answer",
        hint="check that this is the controller's port; switch the controller off and on, then try again",
    )
