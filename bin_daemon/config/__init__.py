"""The configuration: every setting, where each value came from, and errors that name file, line and remedy."""

from __future__ import annotations

from bin_daemon.config.loading import Loaded, load, load_settings
from bin_daemon.config.settings import (
    BinSettings,
    CalibrationSettings,
    CameraSettings,
    ControllerSettings,
    JournalSettings,
    LidSettings,
    LogSettings,
    ModelSettings,
    MqttSettings,
    PlacementSettings,
    PolicySettings,
    PrivacySettings,
    ServiceSettings,
    Settings,
)

__all__ = [
    "BinSettings",
    "CalibrationSettings",
    "CameraSettings",
    "ControllerSettings",
    "JournalSettings",
    "LidSettings",
    "Loaded",
    "LogSettings",
    "ModelSettings",
    "MqttSettings",
    "PlacementSettings",
    "PolicySettings",
    "PrivacySettings",
    "ServiceSettings",
    "Settings",
    "load",
    "load_settings",
]
