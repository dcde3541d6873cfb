"""`bin-daemon model list|show|verify|activate|rollback|remove`: what lies in the model store, and which of it judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from bin_daemon.config import Settings
    from bin_daemon.model.inventory import StoredModel

Json = Annotated[bool, typer.Option("--json", help="For scripts: JSON on stdout.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Then restart the running daemon, so that it takes this model now.")
]
Word = Annotated[str, typer.Argument(metavar="ID", help="Name or id in the store; its beginning is enough.")]
WordOrFolder = Annotated[str, typer.Argument(metavar="ID|DIR", help="Name or id in the store, or a bundle's folder.")]


def list_models(config: ConfigFile = None, as_json: Json = False) -> None:
    """List the models in the store: which is active, which a rollback goes to, which are damaged."""
    from bin_daemon.cli.model_show import show_downloads, show_list
    from bin_daemon.model.inventory import list_bundles, list_downloads
    from bin_daemon.model.store import models_dir

    settings = _settings(config)
    store = models_dir(settings.service.state_dir)
    models = list_bundles(store)
    if as_json:
        print_json([_as_dict(x) for x in models])
    else:
        show_list(models, store, settings.model.bundle)
        show_downloads(list_downloads(settings.service.state_dir))


def show(
    word: WordOrFolder,
    labels: Annotated[bool, typer.Option("--labels", help="Each label with its index and category.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show all that a bundle says about itself."""
    from bin_daemon.cli.model_show import show_bundle
    from bin_daemon.model.bundle import read_metadata

    path = find_bundle_folder(word, _settings(config))
    metadata = read_metadata(path)
    if as_json:
        print_json({"path": str(path)} | metadata.model_dump(mode="json"))
    else:
        show_bundle(path, metadata, labels=labels)


def verify(
    word: Annotated[
        str | None,
        typer.Argument(metavar="ID|DIR", help="Default: the model that the daemon runs.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Look closely at a bundle: every byte, every tensor, one run on the configured engine, the export against torch."""
    from bin_daemon.cli.model_show import show_check
    from bin_daemon.model.store import resolve_bundle
    from bin_daemon.model.verify import verify as checks

    settings = _settings(config)
    path = find_bundle_folder(word, settings) if word else resolve_bundle(settings.model, settings.service.state_dir)
    if not as_json:
        _say(str(path))
    done = []
    for check in checks(path, settings.service.state_dir, settings.model):
        done.append(check)
        if not as_json:
            show_check(check)
    sound = all(x.ok is not False for x in done)
    if as_json:
        print_json(
            {
                "path": str(path),
                "ok": sound,
                "checks": [{"name": x.name, "ok": x.ok, "text": x.text, "hint": x.hint} for x in done],
            }
        )
    if not sound:
        raise typer.Exit(1)


def activate(word: WordOrFolder, restart: Restart = False, config: ConfigFile = None) -> None:
    """Make a model the active one: check it, copy it into the store, export it, run it once, then switch.

    A model that fails anywhere leaves the old one active.
    """
    from bin_daemon.model.store import activate as switch

    settings = _settings(config)
    stored = switch(
        find_bundle_folder(word, settings),
        settings.service.state_dir,
        settings.model,
        tell_export,
    )
    _say(f"active: {stored.name}")
    tell_daemon(settings, restart=restart)


def rollback(restart: Restart = False, config: ConfigFile = None) -> None:
    """Go back to the model that was active before. Again: one further back."""
    from bin_daemon.model.store import rollback as switch

    settings = _settings(config)
    stored = switch(
        settings.service.state_dir,
        settings.model,
        tell_export,
    )
    _say(f"active: {stored.name}")
    tell_daemon(settings, restart=restart)


def remove(
    word: Word,
    force: Annotated[bool, typer.Option("--force", help="Also the one that a rollback would go to.")] = False,
    config: ConfigFile = None,
) -> None:
    """Remove a model from the store; never the active one."""
    from bin_daemon.model.inventory import find_bundle
    from bin_daemon.model.store import models_dir
    from bin_daemon.model.store import remove as discard

    settings = _settings(config)
    path = find_bundle(models_dir(settings.service.state_dir), word)
    discard(path, settings.service.state_dir, in_use=settings.model.bundle, force=force)
    _say(f"removed: {path.name}")


def _settings(config: Path | None) -> Settings:
    from bin_daemon.config import load_settings

    return load_settings(config)


def find_bundle_folder(word: str, settings: Settings) -> Path:
    """A folder where the word can only be one (it has a slash, or a bundle lies there), else a name in the store."""
    from bin_daemon.errors import ModelError
    from bin_daemon.model.bundle import METADATA_FILE
    from bin_daemon.model.inventory import find_bundle
    from bin_daemon.model.store import models_dir

    if "/" in word:
        return Path(word)
    try:
        return find_bundle(models_dir(settings.service.state_dir), word)
    except ModelError:
        if (Path(word) / METADATA_FILE).exists():
            return Path(word)
        raise


def tell_export(longest_s: float) -> None:
    """Before an export: it takes long."""
    _say(f"exporting to ONNX; a slow machine may need up to {longest_s / 60:.0f} minutes", stderr=True)


def tell_daemon(settings: Settings, *, restart: bool) -> None:
    """A running daemon keeps its model until it starts again."""
    from bin_daemon.errors import UnreachableError
    from bin_daemon.service.control import ask

    socket = settings.service.runtime_dir / "control.sock"
    if settings.model.bundle is not None:
        _say(f"note: model.bundle of the config is set and wins over the active model: {settings.model.bundle}")
    try:
        answer = ask(socket, {"name": "restart" if restart else "status"})
    except UnreachableError as error:
        if restart:
            raise UnreachableError(
                f"the model is switched, but {error}",
                hint="the daemon takes the model when it starts: systemctl start bin-daemon",
            ) from None
        _say("no daemon runs here; it takes the model when it starts")
        return
    if not restart:
        _say("the running daemon keeps its model until: systemctl restart bin-daemon")
    elif answer.get("ok"):
        _say("the daemon ends in good order; systemd starts it again with this model")
    else:
        raise UnreachableError(
            f"the model is switched, but the daemon refuses to restart: {answer.get('error')}",
            hint="systemctl restart bin-daemon",
        )


def _as_dict(model: StoredModel) -> dict[str, Any]:
    from bin_daemon.cli.model_show import category_counts, test_accuracy

    metadata = model.metadata
    return {
        "name": model.name,
        "path": str(model.path),
        "active": model.active,
        "rollbacks_to_it": model.back_steps,
        "size_bytes": model.size_bytes,
        "damage": model.damage or None,
        "id": metadata.id if metadata else None,
        "title": metadata.name if metadata else None,
        "labels": len(metadata.labels) if metadata else None,
        "categories": category_counts(metadata) if metadata else None,
        "created": metadata.created.isoformat() if metadata else None,
        "test_accuracy": test_accuracy(metadata) if metadata else None,
    }


def _say(text: str, *, stderr: bool = False) -> None:
    typer.echo(text, err=stderr)
