"""pyserial URL handlers of the simulator. Call `register_serial` once and ``serial_for_url("sim://bin")`` works, as does ``simmaestro://``."""

from __future__ import annotations


def register_serial() -> None:
    """Put this package on pyserial's list; calling it again changes nothing."""
    import serial

    # pyserial takes an ImportError inside a handler for "protocol not known": let it be seen here instead.
    import bin_daemon.sim.serial_handlers.protocol_sim
    import bin_daemon.sim.serial_handlers.protocol_simmaestro  # noqa: F401

    if __name__ not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.append(__name__)
