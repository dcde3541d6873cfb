"""Run a network over pictures and say what it is worth: photographs as they are, and their items laid on the bin's tray.

Threads decode and resize ahead of the network (Pillow and numpy let go of Python's lock); answers keep the pictures' order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import ModelError
from bin_daemon.model.labels import CategorySums, probabilities
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import prepare_array, prepare_picture
from bin_daemon.training.cutout import cut_out_any
from bin_daemon.training.dataset import BadPicture
from bin_daemon.training.embed import read_bgr
from bin_daemon.training.views import altered, on_bin_tray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.model.bundle import LabelInfo, Preprocessing
    from bin_daemon.training.dataset import Picture
    from bin_daemon.training.kept import KeptAnswers

BATCH = 8
"""Inputs a run of the network: on a CPU more is no faster."""
TRAY_SEED = 7
"""Of the composed scenes that models are compared on: the same picture always lies on the same tray."""
VIEW_SEED = 11
"""Of the further views of a picture."""
AHEAD = 3
"""Batches that are prepared while the network works on one: bounds the memory, 5 MB a batch of 8."""
MAX_WORKERS = 8

Logits = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]
"""float32 N x 3 x S x S -> float32 N x L."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network said: logits N x L, the pictures it saw in that order, and those that could not be read."""

    logits: NDArray[np.float32]
    pictures: tuple[Picture, ...]
    bad: tuple[BadPicture, ...]
    views: NDArray[np.float32] | None = None
    """N x V x L, logits of every view where there are several; the first is the picture itself, as in ``logits``."""


@dataclass(frozen=True, slots=True)
class _Show:
    """How a picture becomes inputs of the network."""

    how: Preprocessing
    on_tray: bool
    views: int

    def inputs(self, picture: Picture, place: int) -> NDArray[np.float32]:
        """float32 V x 3 x S x S; ModelError when the picture cannot be read."""
        if self.on_tray:
            item = cut_out_any(read_bgr(picture.path))
            first = prepare_array(on_bin_tray(item, np.random.default_rng([TRAY_SEED, place])), self.how)
        else:
            first = prepare_picture(read_picture(picture.path), self.how)
        if self.views == 1:
            return first
        bgr, rng = read_bgr(picture.path), np.random.default_rng([VIEW_SEED, place])
        return np.concatenate([first, *(prepare_array(altered(bgr, rng), self.how) for _ in range(self.views - 1))])


def ask(
    pictures: Sequence[Picture],
    how: Preprocessing,
    run: Logits,
    *,
    on_tray: bool,
    advance: Callable[[int], None],
    views: int = 1,
    batch: int = BATCH,
    kept: KeptAnswers | None = None,
    check: Callable[[list[BadPicture]], None] = lambda _bad: None,
) -> Answers:
    """Show every picture to a network, exactly as at run time.

    Args:
        pictures: What to show.
        how: The network's preprocessing.
        run: The network.
        on_tray: Lay each picture's item on the bin's tray first.
        advance: Told how many more pictures are done.
        views: Show each picture so often: as it is, then altered as a camera on another day would.
        batch: Inputs a run of the network.
        kept: Answers of an earlier run are taken from here, new ones are put there.
        check: Told all bad pictures so far whenever there are more; may raise.

    Raises:
        ModelError: Not one picture could be read, or the network cannot run.
    """
    show, size = _Show(how, on_tray, views), max(1, batch // views)
    found: list[NDArray[np.float32]] = []
    good: list[Picture] = []
    bad: list[BadPicture] = []
    with ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1)) as pool:
        for chunk in _chunks(pictures, size, show, pool, kept):
            logits = chunk.logits
            if logits is None:
                logits, damaged = chunk.judge(run)
                if damaged:
                    bad += damaged
                    check(bad)
                elif kept is not None and chunk.key and logits is not None:
                    kept.put(chunk.key, logits)
            if logits is not None:
                found.append(logits)
                good += chunk.readable()
            advance(len(chunk.pictures))
    if not found:
        raise ModelError(f"not one of {len(pictures)} pictures could be read", hint="check the data set's folder")
    logits = np.concatenate(found)
    every = logits.reshape(len(good), views, -1)
    return Answers(every[:, 0], tuple(good), tuple(bad), every if views > 1 else None)


def category_probabilities(
    logits: NDArray[np.float32], temperature: float, labels: Sequence[LabelInfo]
) -> NDArray[np.float64]:
    """Logits N x L -> N x 4 in the order of `Category`: summed label probabilities, without any site's overrides."""
    return CategorySums(labels).sums(probabilities(logits, temperature))


@dataclass(slots=True)
class _Chunk:
    """One batch on its way: either its logits are known already, or its inputs are being prepared."""

    pictures: Sequence[Picture]
    key: bytes
    logits: NDArray[np.float32] | None
    inputs: list[Future[NDArray[np.float32]]]

    def judge(self, run: Logits) -> tuple[NDArray[np.float32] | None, list[BadPicture]]:
        """Logits of the readable pictures (None when there is none), and the others."""
        tensors: list[NDArray[np.float32]] = []
        bad: list[BadPicture] = []
        for picture, future in zip(self.pictures, self.inputs, strict=True):
            try:
                tensors.append(future.result())
            except ModelError as error:  # noqa: PERF203 - a bad picture is one of many
                reason = str(error).removeprefix(f"{picture.path}: ")
                bad.append(BadPicture(picture.path, f"{picture.where}: {reason}" if picture.where else reason))
        return (run(np.concatenate(tensors)) if tensors else None), bad

    def readable(self) -> list[Picture]:
        """The pictures that ``logits`` are of."""
        if not self.inputs:
            return list(self.pictures)
        return [p for p, f in zip(self.pictures, self.inputs, strict=True) if f.exception() is None]


def _chunks(
    pictures: Sequence[Picture], size: int, show: _Show, pool: ThreadPoolExecutor, kept: KeptAnswers | None
) -> Iterator[_Chunk]:
    """Batches in order, each given out when the next `AHEAD` are on their way."""
    waiting: deque[_Chunk] = deque()
    try:
        for start in range(0, len(pictures), size):
            waiting.append(_begin(pictures[start : start + size], start, show, pool, kept))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for future in (f for chunk in waiting for f in chunk.inputs):
            future.cancel()


def _begin(
    batch: Sequence[Picture], start: int, show: _Show, pool: ThreadPoolExecutor, kept: KeptAnswers | None
) -> _Chunk:
    key = _key(batch, start, kept)
    known = kept.get(key) if kept is not None and key else None
    if known is not None and len(known) == len(batch) * show.views:
        return _Chunk(batch, key, known, [])
    return _Chunk(batch, key, None, [pool.submit(show.inputs, p, start + i) for i, p in enumerate(batch)])


def _key(batch: Sequence[Picture], start: int, kept: KeptAnswers | None) -> bytes:
    try:
        return b"" if kept is None else kept.key(batch, start)
    except OSError:
        return b""
