"""What the control socket answers of the lids at once, on its own thread: the list, and the stop. Neither waits for the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from bin_daemon.config import Settings
from bin_daemon.lids import LidController


def lid_queries(settings: Settings, lids: LidController) -> dict[str, Callable[[], dict[str, Any]]]:
    """``lids``: all that is known of each. ``lid.stop``: halt every lid and latch that; safer, so any thread may."""

    def tell() -> dict[str, Any]:
        state, details = lids.state, lids.details
        categories = {x.lid: x.category.value for x in settings.lids}
        return {
            "controller": state.connected,
            "stopped": state.stopped,
            "lids": [
                {
                    "lid": x.lid,
                    "category": categories.get(x.lid),
                    "position": x.position.value,
                    "full_frac": None if x.full_frac is None else round(x.full_frac, 2),
                    **(asdict(details[x.lid]) if x.lid in details else {}),
                }
                for x in state.lids.values()
            ],
        }

    def stop() -> dict[str, Any]:
        accepted, state = lids.stop(latch=True), lids.state
        return {"stopped": accepted, "connected": state.connected, "unconfirmed": "unconfirmed" in state.capabilities}

    return {"lids": tell, "lid.stop": stop}
