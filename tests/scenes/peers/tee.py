"""One rendering of a clip for all: our detector sees each frame, the peers ten a second at the most.

Ten is in the peers' favour: scripts poll once a second or two, Frigate's documentation asks for five frames a second. Poller and
MOG2 get the picture made `WIDTH` wide, as their tutorials do; Frigate gets the luma in full and makes it small itself. All are
told when no lid stands open or moves, as ours is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from tests.scenes.ours import watch
from tests.scenes.peers.frigate import Frigate
from tests.scenes.peers.mog2 import Mog2
from tests.scenes.peers.poller import Poller
from tests.scenes.score import Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bin_daemon.domain import Box, Frame, Image
    from bin_daemon.sim.suite.truth import Clip

OURS = "ours"
PEERS_HZ = 10.0
WIDTH = 480


class Peer(Protocol):
    """Somebody else's way to see a placement."""

    def see(self, picture: Image, t_s: float, *, rest: bool) -> Said | None:
        """Look at one picture; ``rest``: no lid moves or stands open. The box is in pixels of ``picture``."""


def small_bgr(bgr: Image) -> Image:
    """The picture `WIDTH` wide."""
    height = round(bgr.shape[0] * WIDTH / bgr.shape[1])
    return np.asarray(cv2.resize(bgr, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def luma(bgr: Image) -> Image:
    """Grey, in full."""
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)


@dataclass
class Watcher:
    """One peer, the way its pictures are made, and what it has said in full-frame pixels."""

    begin: Callable[[tuple[int, int]], Peer]
    prepare: Callable[[Image], Image]
    said: list[Said] = field(default_factory=list)
    _peer: Peer | None = None

    def see(self, bgr: Image, t_s: float, *, rest: bool) -> None:
        """Look at one full picture."""
        picture = self.prepare(bgr)
        size = picture.shape[1], picture.shape[0]
        self._peer = self._peer or self.begin(size)
        one = self._peer.see(picture, t_s, rest=rest)
        if one is not None and one.box is not None:
            scale = bgr.shape[1] / size[0], bgr.shape[0] / size[1]
            self.said.append(replace(one, box=_scaled(one.box, scale)))


def peers() -> dict[str, Watcher]:
    """All peers by name, each fresh."""
    return {
        "poller": Watcher(Poller, small_bgr),
        "MOG2": Watcher(Mog2, small_bgr),
        "Frigate": Watcher(Frigate, luma),
    }


def watch_all(clip: Clip, *, lid_reports: bool = True) -> dict[str, list[Said]]:
    """What ours and each peer say of ``clip``, which is rendered once. The peers have lid reports always."""
    watchers = peers()

    def play() -> Iterator[Frame]:
        due_s = 0.0
        for frame in clip.frames:
            if frame.t_s >= due_s - 1e-6:
                due_s = (math.floor(frame.t_s * PEERS_HZ + 1e-5) + 1) / PEERS_HZ
                bgr, rest = frame.bgr(), clip.lids_at(frame.t_s).all_closed
                for one in watchers.values():
                    one.see(bgr, frame.t_s, rest=rest)
            yield frame

    ours = list(watch(replace(clip, play=play), lid_reports=lid_reports))
    return {OURS: ours, **{name: one.said for name, one in watchers.items()}}


def _scaled(box: Box, scale: tuple[float, float]) -> Box:
    x, y, w, h = box
    return round(x * scale[0]), round(y * scale[1]), round(w * scale[0]), round(h * scale[1])
