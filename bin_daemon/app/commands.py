"""Carries out commands between two frames, from MQTT and from the control socket alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bin_daemon.app.mode import StandingMode
from bin_daemon.app.parts import Parts, new_id
from bin_daemon.config import Settings
from bin_daemon.domain import Frame, ManualRequest, Mode
from bin_daemon.errors import DeviceError
from bin_daemon.events import PendingCommand
from bin_daemon.events.commands import LidCloseArgs, LidOpenArgs, ModeArgs
from bin_daemon.pipeline import Pipeline

TIMED_MODES = frozenset({Mode.MANUAL, Mode.MAINTENANCE})
JPEG_QUALITY = 85
RESTART_REST_S = 90.0
"""systemd gives a unit up for good that starts more than 5 times in 300 s: whoever may command must not be able to do that."""


class Commands:
    """Main thread only. ``newest`` gives the last frame; ``send_image`` publishes a JPEG, False without broker."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        pipeline: Pipeline,
        *,
        newest: Callable[[], Frame | None],
        send_image: Callable[[bytes], bool],
        restart: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._pipeline = pipeline
        self._newest = newest
        self._send_image = send_image
        self._restart = restart
        self._clock = clock
        self._standing = StandingMode(pipeline, settings.service.state_dir / "mode.json", clock=clock)
        self._started_t_s = clock()
        self._handlers: dict[str, Callable[[PendingCommand], None]] = {
            "mode": self._mode,
            "lid.open": self._lid_open,
            "lid.close": self._lid_close,
            "stop.clear": self._stop_clear,
            "snapshot": self._snapshot,
            "restart": self._do_restart,
        }

    def run_waiting(self) -> None:
        """Carry out what waits, and end a mode whose time is up."""
        self._standing.end_when_due()
        for pending in self._parts.commands.drain():
            self._handlers[pending.command.name](pending)

    def _mode(self, pending: PendingCommand) -> None:
        args = pending.command.args
        assert isinstance(args, ModeArgs)  # noqa: S101 - the parser chose the model by the name
        for_s = None
        if args.mode in TIMED_MODES:
            for_s = args.for_s or self._settings.policy.manual_timeout_s
        if why_not := self._standing.change(args.mode, for_s, local=pending.command.local):
            pending.refuse("not_allowed", why_not)
        else:
            pending.accept({"mode": args.mode.value, "for_s": for_s})

    def _lid_open(self, pending: PendingCommand) -> None:
        args = pending.command.args
        assert isinstance(args, LidOpenArgs)  # noqa: S101 - the parser chose the model by the name
        request = ManualRequest(
            new_id(), args.lid, self._pipeline.mode, local=pending.command.local, hold_ms=args.hold_ms
        )
        decision = self._pipeline.open_by_hand(request, self._clock())
        if decision.command:
            pending.accept({"event_id": request.id, "lid": decision.command.lid, "hold_ms": decision.command.hold_ms})
        else:
            pending.refuse(decision.reason, decision.text)

    def _lid_close(self, pending: PendingCommand) -> None:
        args = pending.command.args
        assert isinstance(args, LidCloseArgs)  # noqa: S101 - the parser chose the model by the name
        lids = self._parts.lids
        known = lids.state.lids
        wanted = [args.lid] if args.lid else list(known)
        if self._pipeline.mode is Mode.MAINTENANCE and not pending.command.local:
            pending.refuse("maintenance", "Hands may be inside: only the bin's own control socket may move a lid.")
        elif not lids.state.connected:
            pending.refuse(
                "not_connected", "The lid controller does not answer; without a host it shuts its lids by itself."
            )
        elif unknown := [x for x in wanted if x not in known]:
            pending.refuse("no_lid", f"There is no lid {unknown[0]}; there are {', '.join(map(str, known))}.")
        else:
            pending.accept({"accepted": {str(lid): lids.close(lid) for lid in wanted}})

    def _stop_clear(self, pending: PendingCommand) -> None:
        """The switch was released at the bin; this is the second, separate act. It moves no lid."""
        if self._pipeline.mode is Mode.MAINTENANCE and not pending.command.local:
            pending.refuse("maintenance", "Hands may be inside: only the bin's own control socket may clear a stop.")
        elif not self._parts.lids.state.connected:
            pending.refuse("not_connected", "The lid controller does not answer.")
        elif self._parts.lids.clear_stop():
            pending.accept({"next": "Nothing moved. Lids that do not stand shut wait for lid.close."})
        else:
            pending.refuse("refused", "The controller refuses: the stop switch is still pressed.")

    def _snapshot(self, pending: PendingCommand) -> None:
        if not self._settings.privacy.publish_images:
            pending.refuse("not_allowed", "Pictures leave this bin only when privacy.publish_images is true.")
            return
        frame = self._newest()
        if frame is None:
            pending.refuse("no_frame", "The camera gives no picture.")
            return
        try:
            jpeg, width, height = _jpeg(frame, self._settings.placement.roi)
        except DeviceError as error:
            pending.refuse("no_frame", str(error))
            return
        data: dict[str, Any] = {"topic": "image/last", "bytes": len(jpeg), "width": width, "height": height}
        if self._send_image(jpeg):
            pending.accept(data)
        else:
            pending.refuse("no_broker", "The broker is not connected: nobody could receive the picture.")

    def _do_restart(self, pending: PendingCommand) -> None:
        if not pending.command.local and self._clock() - self._started_t_s < RESTART_REST_S:
            pending.refuse("too_soon", f"The daemon was started less than {RESTART_REST_S:g} s ago.")
            return
        pending.accept({"restart": "The daemon ends in good order; systemd starts it again."})
        self._restart()


def _jpeg(frame: Frame, roi: tuple[float, float, float, float]) -> tuple[bytes, int, int]:
    """The tray alone, for people and addresses may stand beside it; the JPEG with its width and height."""
    import numpy as np
    import simplejpeg

    bgr = frame.bgr()
    (height, width), (x, y, w, h) = bgr.shape[:2], roi
    left, top = min(round(x * width), width - 1), min(round(y * height), height - 1)
    tray = bgr[top : max(top + 1, round((y + h) * height)), left : max(left + 1, round((x + w) * width))]
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(tray), quality=JPEG_QUALITY, colorspace="BGR")
    return encoded, tray.shape[1], tray.shape[0]
