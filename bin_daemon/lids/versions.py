"""Controller and host speak different protocols: what a technician does about it."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from firmware_protocol.messages import PROTO_MAJOR

if TYPE_CHECKING:
    from firmware_protocol.session import WrongVersion


def mend_version(event: WrongVersion) -> str:
    """The hint. ``--recover``, for a controller of another protocol opens no session: its lids cannot be asked."""
    mine = f"bin-daemon {importlib.metadata.version('bin-daemon')}"
    if event.update == "controller":
        return (
            f"update the controller to an image of protocol {PROTO_MAJOR}: sudo systemctl stop bin-daemon, "
            "then bin-daemon firmware flash IMAGE --recover"
        )
    return (
        f"update the host: {mine} is too old here, install one that speaks protocol {event.major}; or take the controller "
        f"back to an image of protocol {PROTO_MAJOR}: bin-daemon firmware flash IMAGE --recover"
    )
