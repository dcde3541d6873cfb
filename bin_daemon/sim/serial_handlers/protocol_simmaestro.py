"""pyserial's handler of ``simmaestro://``: the Command Port of a simulated Pololu Maestro. Found by pyserial through its module
name; the parameters of a URL are the fields of `bin_daemon.sim.maestro.MaestroOptions`.
"""

from __future__ import annotations

from bin_daemon.sim.far_end import FarEnd
from bin_daemon.sim.maestro import maestro, parse_url
from bin_daemon.sim.serial_handlers.protocol_sim import SimSerial


def serial_class_for_url(url: str) -> tuple[str, type[SimMaestroSerial]]:
    """Tell pyserial which class takes this URL. Raises `bin_daemon.errors.ConfigError` for a wrong one."""
    parse_url(url)
    return url, SimMaestroSerial


class SimMaestroSerial(SimSerial):
    """One open end of a simulated cable."""

    @staticmethod
    def find(url: str) -> FarEnd:
        """The Maestro that this URL names."""
        return maestro(*parse_url(url))
