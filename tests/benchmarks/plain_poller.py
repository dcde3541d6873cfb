"""``python -m tests.benchmarks.plain_poller FOLDER FPS``: the motion script that one would write first; runs until killed.

Decodes each JPEG of a folder as `cv2.VideoCapture` does, and compares with the last. Imports nothing of ours.
"""

import sys
import time
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

MOTION_GREY = 12


def main(folder: Path, fps: float) -> None:
    """Watch for ever; says when it has begun."""
    buffers = [np.frombuffer(file.read_bytes(), np.uint8) for file in sorted(folder.glob("*.jpg"))]
    last, due_s = None, time.monotonic()
    for number, buffer in enumerate(cycle(buffers)):
        picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)  # type: ignore[arg-type] # the pictures are good
        if last is not None:
            cv2.countNonZero(cv2.threshold(cv2.absdiff(last, grey), MOTION_GREY, 1, cv2.THRESH_BINARY)[1])
        last = grey
        if number == len(buffers):
            print("watching", flush=True)  # noqa: T201 - the parent waits for it
        due_s += 1 / fps
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
