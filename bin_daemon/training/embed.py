"""Features of a frozen network, computed once and kept: training a head on them then takes seconds.

Work is stored in chunks as it is done, so that Ctrl-C or a power cut loses at most one chunk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bin_daemon.domain import Image
from bin_daemon.model.picture import read_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.training.data import Picture

CHUNK = 32
"""Pictures in one stored file: a minute of work at most."""
BATCH = 16
"""Views through the network at once: more gains nothing on a CPU."""
RECIPE_VERSION = 2
"""Counted up when views change, so that stored features of older views are not taken."""

Show = Callable[[Image, np.random.Generator], Sequence[Image]]
"""Photograph (uint8 BGR) and generator -> the views of it."""
Prepare = Callable[[Image], "NDArray[np.float32]"]
"""View -> network input, float32, 1 x 3 x S x S: the runtime's own preprocessing."""
Forward = Callable[[Any], "NDArray[np.float32]"]
"""N x 3 x S x S -> features, float32, N x D."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to embed and how; ``name`` tells network, preprocessing and views apart in the cache."""

    name: str
    show: Show
    prepare: Prepare
    forward: Forward
    seed: int = 0


def embed(pictures: Sequence[Picture], job: Job, cache: Path, advance: Callable[[int], None]) -> NDArray[np.float32]:
    """Features of every view of every picture, float32, N x V x D; ``advance`` is told how many pictures are done."""
    folder = cache / _key(pictures, job)
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[NDArray[np.float32]] = []
    for start in range(0, len(pictures), CHUNK):
        file = folder / f"{start:06d}.npy"
        chunk = pictures[start : start + CHUNK]
        if not file.exists():
            _store(file, np.stack(list(_features(chunk, start, job))))
        parts.append(np.load(file).astype(np.float32))
        advance(len(chunk))
    return np.concatenate(parts)


def read_bgr(path: Path) -> Image:
    """A picture file as uint8 H x W x 3, BGR, upright; ModelError when it cannot be read."""
    return np.ascontiguousarray(np.asarray(read_picture(path), np.uint8)[..., ::-1])


def _features(chunk: Sequence[Picture], start: int, job: Job) -> Iterator[NDArray[np.float16]]:
    """Views are made on a second thread while the network works on the ones before."""

    def inputs(place: int) -> NDArray[np.float32]:
        # A generator of its own per picture: neither order nor threads change what is drawn.
        rng = np.random.default_rng([job.seed, start + place])
        return np.concatenate([job.prepare(view) for view in job.show(read_bgr(chunk[place].path), rng)])

    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(inputs, place) for place in range(len(chunk))]
        for future in ahead:
            tensor = future.result()
            runs = [job.forward(tensor[at : at + BATCH]) for at in range(0, len(tensor), BATCH)]
            yield np.concatenate(runs).astype(np.float16)


def _store(file: Path, array: NDArray[np.float16]) -> None:
    temporary = file.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        np.save(stream, array)
    os.replace(temporary, file)  # noqa: PTH105 - the atomic rename is the point


def _key(pictures: Sequence[Picture], job: Job) -> str:
    digest = hashlib.sha256(f"{RECIPE_VERSION} {job.name} {job.seed}".encode())
    for picture in pictures:
        stat = picture.path.stat()
        digest.update(f"{picture.path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]
