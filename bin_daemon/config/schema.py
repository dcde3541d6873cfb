"""The JSON Schema of the config file: for editors (``#:schema`` line), and pinned so that no key changes unnoticed.

``python -m bin_daemon.config.schema > configs/bin.schema.json`` writes it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bin_daemon.config.settings import Settings


def config_schema() -> dict[str, Any]:
    """Draft 2020-12."""
    schema = Settings.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bin-daemon configuration",
        **{k: v for k, v in schema.items() if k != "title"},
    }


def schema_text() -> str:
    """As it is written to configs/bin.schema.json."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
