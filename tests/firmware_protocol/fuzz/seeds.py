"""Where the fuzzers start: the golden frames as they come over the line, and short histories for the whole core.

A history is written in the language of fuzz_core.c's acts; the fuzzer recombines them.
"""

from __future__ import annotations

import json
from pathlib import Path

import firmware_protocol
from firmware_protocol.framing import encode
from firmware_protocol.messages import Frame, Hello

VECTORS = Path(firmware_protocol.__file__).with_name("vectors.json")
FOUR_LIDS = bytes([0, 0, 0])
"""Number of lids, what the board lacks, where its clock starts."""
HELLO = bytes([11, 60, 0])
CAUGHT, PRESS, JAM = bytes([12, 0, 3]), bytes([12, 0, 7]), bytes([12, 0, 0])
RESET = bytes([13, 1, 0])
STOP, LATCH, CLEAR = (bytes([7, kind, 0, 0]) for kind in (5, 6, 7))
CALIBRATE, JOG = bytes([7, 10, 0, 0, 1]), bytes([7, 9, 0, 0, 3])


def live(steps: int) -> bytes:
    """Steps of 20 ms with a host that does no more than live."""
    return bytes([5, steps - 1])


def opening(lid: int, wait: int = 0) -> bytes:
    """OPEN of a new action, 1 s long; `wait` chooses its patience."""
    return bytes([7, 0, lid, 0, 0, 1, wait])


def fast(lid: int) -> bytes:
    """SET_CAL: from end to end in 80 ms."""
    return bytes([7, 11, lid, 0, 5, 6, 49, 1])


HISTORIES = {
    "one opening": HELLO + opening(0) + live(250),
    "two wait": HELLO + opening(0) + opening(1, 3) + opening(2, 3) + live(250) + live(250),
    "a finger": HELLO + opening(0) + live(120) + CAUGHT + live(100) + CAUGHT + live(250),
    "a finger that stays": HELLO + opening(0) + live(120) + CAUGHT + live(256) + live(256) + CLEAR + live(100),
    "a jam": HELLO + opening(0) + live(20) + JAM + live(40) + JAM + live(250),
    "stop": HELLO + opening(0) + live(20) + STOP + live(250),
    "latch": HELLO + opening(0) + live(20) + LATCH + live(50) + CLEAR + live(100),
    "mushroom": HELLO + opening(0) + live(20) + PRESS + live(20) + PRESS + live(5) + CLEAR + live(100),
    "calibration": HELLO + live(5) + CALIBRATE + JOG + live(100) + STOP + live(200),
    "a reset on the way": HELLO + opening(0) + live(20) + RESET + HELLO + live(200) + opening(0) + live(100),
    "a host that dies": HELLO + opening(0) + live(20) + bytes([4, 10]) + live(100),
    "no supply": HELLO + bytes([12, 0, 5, 6]) + opening(0) + live(5) + bytes([12, 0, 6, 4]) + opening(1) + live(5),
    "often": HELLO + b"".join(map(fast, range(4))) + 6 * (b"".join(opening(n, 3) for n in range(4)) + live(180)),
}


def write_frames(folder: Path) -> None:
    """One file for each golden frame."""
    for n, frame in enumerate(json.loads(VECTORS.read_text("utf-8"))["frames"]):
        (folder / f"frame-{n}").write_bytes(bytes.fromhex(frame["wire"]))


def write_histories(folder: Path) -> None:
    """One file for each history, and one for each golden frame: as raw bytes after a HELLO of its session."""
    for name, acts in HISTORIES.items():
        (folder / name.replace(" ", "-")).write_bytes(FOUR_LIDS + acts)
    for n, frame in enumerate(json.loads(VECTORS.read_text("utf-8"))["frames"]):
        hello = encode(Frame(frame["session"] or 1, 0, Hello(1, 0, 500)).to_body())
        acts = b"".join(bytes([14, 1, len(x)]) + x for x in (hello, bytes.fromhex(frame["wire"])))
        (folder / f"frame-{n}").write_bytes(FOUR_LIDS + acts + live(20))
