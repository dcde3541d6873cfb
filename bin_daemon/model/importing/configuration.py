"""What says how pictures are prepared: ``configuration.json`` beside the checkpoint, else the config inside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bin_daemon.errors import ModelError
from bin_daemon.model.importing.pipeline import read_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Preprocessing

CONFIGURATION_FILE = "configuration.json"
"""ModelScope's, which its pipeline reads ``preprocessor.val`` from."""
MAX_BYTES = 4 << 20


def read_configuration(folder: Path) -> tuple[Preprocessing, str] | None:
    """Preprocessing by ``configuration.json`` in ``folder`` and where in it; None where it is not there or does not say.

    ModelError names file, key and value of what is wrong or not implemented.
    """
    file = folder / CONFIGURATION_FILE
    if not file.exists():
        return None
    section = _read(file).get("preprocessor")
    if not isinstance(section, Mapping):
        return None
    for key in ("val", "test", "eval"):
        if key in section:
            place = f"preprocessor.{key}"
            return read_pipeline(f"{file}: {place}", section[key]), f"{CONFIGURATION_FILE}, {place}"
    return None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ModelError(f"{file}: more than {MAX_BYTES} bytes", hint="this is no model's configuration")
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}", hint="check that this user may read it") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not JSON: {error}", hint="download it again") from None
    if not isinstance(found, Mapping):
        raise ModelError(f"{file}: not a JSON object", hint="download it again")
    return found
