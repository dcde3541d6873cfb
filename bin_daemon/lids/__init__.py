"""The lids: one controller behind a serial line."""

from bin_daemon.lids.controller import LidController, make_lids
from bin_daemon.lids.maestro import MaestroLids
from bin_daemon.lids.serial_lids import SerialLids
from bin_daemon.lids.snapshot import ControllerInfo

__all__ = ["ControllerInfo", "LidController", "MaestroLids", "SerialLids", "make_lids"]
