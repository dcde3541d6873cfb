"""`bin-daemon model`: fetch, import, keep and switch models. One file per command or few; this one gathers them."""

from __future__ import annotations

import typer

from bin_daemon.cli.model_export import export
from bin_daemon.cli.model_import import import_
from bin_daemon.cli.model_labels import labels
from bin_daemon.cli.model_pull import pull
from bin_daemon.cli.model_store import activate, list_models, remove, rollback, show, verify

model_app = typer.Typer(no_args_is_help=True, help="Fetch, import, verify and switch models.")

NEW, STORE = "New models", "The store"
model_app.command(rich_help_panel=NEW)(pull)
model_app.command("import", rich_help_panel=NEW)(import_)
model_app.command(rich_help_panel=NEW)(export)
model_app.command("list", rich_help_panel=STORE)(list_models)
model_app.command(rich_help_panel=STORE)(show)
model_app.command(rich_help_panel=STORE)(verify)
model_app.command(rich_help_panel=STORE)(activate)
model_app.command(rich_help_panel=STORE)(rollback)
model_app.command(rich_help_panel=STORE)(remove)
model_app.command(rich_help_panel=STORE)(labels)
