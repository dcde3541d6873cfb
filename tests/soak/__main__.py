"""``make soak``: a million frames through the detector, 100,000 through the whole line: does anything grow?

Prints a line of progress after each stretch and ends with 0, or with 1 and what grew. ``--short`` is for the everyday tests.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator

import cv2

from bin_daemon.service.logs import setup_logs
from tests.soak import line, sight
from tests.soak.samples import Sample, complaints, growth_bytes, types

STRETCHES = 40
SHORT_STRETCHES = 5


def main() -> int:
    """Run both parts, or one."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--only", choices=("detector", "line"))
    parser.add_argument("--frames", type=int, default=1_000_000, help="through the detector")
    parser.add_argument("--line-frames", type=int, default=100_000, help="through the whole line")
    parser.add_argument("--short", action="store_true", help="2,000 and 500 frames")
    arguments = parser.parse_args()
    frames, line_frames, stretches = arguments.frames, arguments.line_frames, STRETCHES
    if arguments.short:
        frames, line_frames, stretches = 2_000, 500, SHORT_STRETCHES
    setup_logs("error")
    cv2.setNumThreads(1)  # threads for pictures of 40 x 23 cells cost more than they bring
    found: list[str] = []
    if arguments.only in {None, "detector"}:
        found += watch(
            "detector", frames, sight.run(frames, stretches, film_frames=min(frames // 10, sight.REEL_FRAMES))
        )
    if arguments.only in {None, "line"}:
        found += watch("line", line_frames, line.run(line_frames, stretches))
    _say("\n".join(found) or "nothing grew")
    return 1 if found else 0


def watch(name: str, frames: int, stretches: Iterator[tuple[Sample, int]]) -> list[str]:
    """Let it run, telling each stretch; what grew in the end."""
    began, samples = time.monotonic(), []
    before: Counter[str] = Counter()
    for sample, items in stretches:
        samples.append(sample)
        before = before or types()
        grown = growth_bytes(samples) / 1e6 if len(samples) > 1 else 0.0
        _say(
            f"{name}: {sample.frames:,} of {frames:,} frames, {items} items, {sample.anonymous_bytes / 1e6:.1f} MB "
            f"({grown:+.2f}), {sample.files} files, {sample.threads} threads, {sample.waiting} waiting, "
            f"{time.monotonic() - began:.0f} s"
        )
    return complaints(name, samples, before, types())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is the result


if __name__ == "__main__":
    sys.exit(main())
