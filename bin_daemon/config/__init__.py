"""The configuration: every setting, where each value came from, and errors that name file, line and remedy."""

from __future__ import annotations

from bin_daemon.config.loading import Loaded, load, load_settings
from bin_daemon.config.settings import (
    BinSettings,
    CalibrationSettings,
    CameraSettings,
    ControllerSettings,
    FillSettings,
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
    SignalsSettings,
)

__all__ = [
    "BinSettings",
    "CalibrationSettings",
    "CameraSettings",
    "ControllerSettings",
    "FillSettings",
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
    "SignalsSettings",
    "load",
    "load_settings",
]
