"""Builds the parts of a bin from its settings: the only place that knows every class."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import structlog
import uuid_utils

from bin_daemon.config import CameraSettings, Settings
from bin_daemon.events import CommandQueue, Journal
from bin_daemon.lids import LidController, make_lids
from bin_daemon.model.ahead import Ahead
from bin_daemon.model.classify import open_as_configured
from bin_daemon.model.store import resolve_bundle
from bin_daemon.placement import Detector
from bin_daemon.policy import Policy
from bin_daemon.sensing import Camera, Pace, Slot, open_camera
from bin_daemon.service import systemd
from bin_daemon.sim import register_serial


def new_id() -> str:
    """A UUIDv7: sorts by time and needs nobody's permission."""
    return str(uuid_utils.uuid7())


@dataclass(slots=True)
class Parts:
    """Everything that an `App` drives. Tests and the demo may replace any of them before the app is made."""

    boot_id: str
    camera: Camera
    detector: Detector
    classifier: Ahead
    policy: Policy
    journal: Journal
    lids: LidController
    commands: CommandQueue
    slot: Slot = field(default_factory=Slot)
    """Between camera and line; hands the line's pace to the camera."""


def make_parts(settings: Settings) -> Parts:
    """Build all parts. The model is loaded and checked; devices are opened later, by their workers.

    Raises ConfigError and ModelError: what a person must mend before the bin can work.
    """
    register_serial()  # sim:// becomes a port like any other
    boot_id = uuid.uuid4().hex
    lids = make_lids(settings.controller, settings.lids, settings.calibration)
    slot = Slot()
    camera = make_camera(settings.camera, slot)
    bundle = resolve_bundle(settings.model, settings.service.state_dir)
    classifier = open_as_configured(bundle, settings.model, settings.service.state_dir, _ask_for_patience)
    return Parts(
        boot_id=boot_id,
        camera=camera,
        detector=Detector(settings.placement, new_id),
        classifier=Ahead(classifier),
        policy=Policy(settings.policy, settings.lids),
        journal=Journal(settings.service.state_dir / "journal.sqlite", settings.journal, boot_id),
        lids=lids,
        commands=CommandQueue(),
        slot=slot,
    )


def _ask_for_patience(longest_s: float) -> None:
    """The first start with a new model exports it, or builds it for the GPU; systemd must not take that for a hang."""
    structlog.get_logger().info("preparing the model for its engine, once", longest_s=longest_s)
    systemd.notify("STATUS=preparing the model for its engine, once", f"EXTEND_TIMEOUT_USEC={int(longest_s * 1e6)}")


def make_camera(settings: CameraSettings, slot: Slot) -> Camera:
    """The camera of these settings; it looks as closely as ``slot.pace`` says. Raises ConfigError."""
    if settings.source.startswith("sim:"):
        from bin_daemon.sim.camera import SimCamera  # the simulator's pictures are not for every start

        return SimCamera(settings, is_idle=lambda: slot.pace is Pace.IDLE)
    return open_camera(settings, lambda: slot.pace)
