"""Where frames come from: cameras by scheme, own decoding, and the slot that holds the newest frame."""

from bin_daemon.sensing.camera import Camera, ReadFrame, open_camera
from bin_daemon.sensing.frozen import FrozenCheck
from bin_daemon.sensing.gate import AskPace
from bin_daemon.sensing.slot import Pace, Slot

__all__ = ["AskPace", "Camera", "FrozenCheck", "Pace", "ReadFrame", "Slot", "open_camera"]
