"""`bin-daemon model`: fetch, import, keep and switch models. One file per command or few; this one gathers them."""

from __future__ import annotations

import typer

model_app = typer.Typer(no_args_is_help=True, help="Fetch, import, verify and switch models.")
