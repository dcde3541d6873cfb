"""The C core built for this machine as a body."""

from __future__ import annotations

from pathlib import Path

from tests.firmware_protocol.bodies.body import ALL_NEEDS, Fitting
from tests.firmware_protocol.bodies.lockstep import LockstepBody


class HostBody(LockstepBody):
    """`program` is what `compile_host_body` made. Any complaint of a sanitizer ends it and fails the test."""

    name = "host"
    can = ALL_NEEDS - {"pins", "hang"}

    def __init__(self, program: Path, fitting: Fitting | None = None) -> None:
        super().__init__([str(program)], fitting or Fitting())
