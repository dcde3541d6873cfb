"""What `bin-daemon firmware` prints for people: who the controller is, what an image holds, what is about to happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bin_daemon.technician.firmware_image import board_name
from firmware_protocol.messages import Caps, ResetCause
from firmware_protocol.version import FIRMWARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.technician.firmware import Plan
    from bin_daemon.technician.firmware_gate import Controller
    from bin_daemon.technician.firmware_image import Identity, Image
    from bin_daemon.technician.firmware_store import Manifest


def show_facts(title: str, rows: Iterator[tuple[str, str]]) -> None:
    """A heading, and one fact a line."""
    console = Console(highlight=False)
    console.print(Text(title, "bold"), soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"  {name}", Text(value))
    console.print(grid)


def controller_rows(controller: Controller) -> Iterator[tuple[str, str]]:
    """HELLO_ACK in people's words."""
    ack = controller.ack
    yield "firmware", controller.identity.words
    yield "board", board_name(ack.board)
    yield "uid", controller.uid
    yield "protocol", f"{ack.proto_major}.{ack.proto_minor}"
    yield "lids", str(ack.lids)
    yield "can do", ", ".join(capabilities(ack.caps))
    yield "last start", reset_words(ack.reset_cause)
    yield "last action", str(ack.last_action_id) if ack.last_action_id else "none since it was switched on"


def image_rows(image: Image) -> Iterator[tuple[str, str]]:
    """What the file holds."""
    identity = image.identity
    yield "firmware", identity.words if identity else "none of bin-daemon's: no identification block"
    if identity:
        yield "board", board_name(identity.board)
        if identity.protocol:
            yield "protocol", "{}.{}".format(*identity.protocol)
    yield "size", f"{len(image.data)} bytes"
    yield "sha256", image.sha256


def store_rows(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What was flashed from here."""
    if manifest.flashed:
        yield "flashed", f"{manifest.flashed.words}, {manifest.flashed.at:%Y-%m-%d %H:%M} UTC"
    if manifest.previous:
        yield "rollback to", manifest.previous.words
    if manifest.unfinished:
        unfinished = manifest.unfinished
        at = f"{unfinished.at:%Y-%m-%d %H:%M} UTC"
        yield (
            "unfinished",
            f"flashing {unfinished.words} at {at} did not end well: bin-daemon firmware verify looks what is there",
        )


def plan_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """What goes on what: one line each."""
    image, controller = plan.image, plan.controller
    words = image.identity.words if image.identity else ""
    yield "goes on", f"{words}, {len(image.data)} bytes: {plan.name}"
    if controller:
        ack = controller.ack
        yield (
            "is on it",
            f"{controller.identity.words}; {board_name(ack.board)}, uid {controller.uid}, all {ack.lids} lids shut",
        )
    else:
        yield "is on it", f"not known, it cannot be asked: {plan.silence}"


def compared_with_host(controller: Identity) -> str:
    """Whether the controller's firmware is the one that this host was released with."""
    mine = ".".join(map(str, FIRMWARE))
    if controller.version == FIRMWARE:
        return f"This is the firmware version that belongs to this bin-daemon ({mine})."
    if controller.version < FIRMWARE:
        return f"The controller is older than the firmware that belongs to this bin-daemon ({mine})."
    return f"The controller is newer than the firmware that belongs to this bin-daemon ({mine})."


def compared(image: Identity, controller: Identity) -> str:
    """Which side is older, in one sentence."""
    if image.board != controller.board:
        return f"The image is for another board: {board_name(image.board)}, not {board_name(controller.board)}."
    if image.version > controller.version:
        return "The controller is older than the image."
    if image.version < controller.version:
        return "The image is older than the controller."
    if image.git != controller.git:
        return "Both are the same version, of different builds."
    return "The controller runs this firmware."


def capabilities(caps: int) -> list[str]:
    """`Caps` by name, as a person reads them."""
    return [cap.name.lower().replace("_", " ") for cap in Caps if cap.name and caps & cap]


def reset_words(cause: int) -> str:
    """`ResetCause` by name."""
    return (
        ResetCause(cause).name.lower().replace("_", "-")
        if cause in ResetCause.__members__.values()
        else f"unknown ({cause})"
    )


def identity_dict(identity: Identity) -> dict[str, Any]:
    """For scripts."""
    return {
        "version": ".".join(map(str, identity.version)),
        "git": f"{identity.git:08x}",
        "board": board_name(identity.board),
        "protocol": "{}.{}".format(*identity.protocol) if identity.protocol else None,
    }


def controller_dict(controller: Controller) -> dict[str, Any]:
    """For scripts."""
    ack = controller.ack
    return identity_dict(controller.identity) | {
        "uid": controller.uid,
        "lids": ack.lids,
        "capabilities": [x.replace(" ", "_") for x in capabilities(ack.caps)],
        "reset_cause": reset_words(ack.reset_cause),
        "last_action_id": ack.last_action_id,
    }


def image_dict(image: Image | None) -> dict[str, Any] | None:
    """For scripts; None without an image."""
    if image is None:
        return None
    identity = identity_dict(image.identity) if image.identity else {}
    return {**identity, "size_bytes": len(image.data), "sha256": image.sha256}
