"""`bin-daemon model pull`: from the hub into the model store, or onto a stick for a bin without a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bin_daemon.cli.config_option import ConfigFile
from bin_daemon.cli.print_json import print_json

if TYPE_CHECKING:
    from bin_daemon.config import Settings
    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.hub import Pulled

DEFAULT = "iic/cv_convnext-base_image-classification_garbage"


def pull(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="OWNER/NAME on the hub.")] = DEFAULT,
    *,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="R", help="Tag or branch; default: v1.0.2 of the default model, else master."
        ),
    ] = None,
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="URL", envvar="MODELSCOPE_ENDPOINT", help="The hub, or a mirror of it.")
    ] = "https://www.modelscope.cn",
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE", help="Which weights file, where the model has several.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="DIR becomes the bundle, instead of the model store; with --download-only: the files go there.",
        ),
    ] = None,
    download_only: Annotated[
        bool, typer.Option("--download-only", help="Do not import; for a bin without a network.")
    ] = False,
    activate: Annotated[bool, typer.Option("--activate", help="Then make it the active model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: JSON lines on stdout, with progress.")] = False,
    config: ConfigFile = None,
) -> None:
    """Download a model from ModelScope, check it, and import it.

    An interrupted download goes on where it stopped when the command is given again. A private model needs a token in
    MODELSCOPE_API_TOKEN; a proxy is named by HTTPS_PROXY.
    """
    from bin_daemon.cli.model_progress import progress
    from bin_daemon.config import load_settings
    from bin_daemon.model.hub import Hub, default_revision
    from bin_daemon.model.hub import pull as download
    from bin_daemon.model.importing import check_free

    if activate and (download_only or out):
        raise typer.BadParameter(
            "--activate goes with neither --download-only nor --out: the active model is in the store"
        )
    if out is not None and not download_only:
        check_free(out)  # before hundreds of megabytes come
    settings = load_settings(config)
    hub = Hub(model_id, revision or default_revision(model_id), endpoint)
    folder = _download_folder(model_id, hub.revision, out, settings, download_only=download_only)
    with progress(as_json=as_json) as shown:
        pulled = download(
            hub, folder, shown.update, weights=weights, copies=0 if download_only else 2 if activate else 1
        )
    if download_only:
        words = f"downloaded: {folder}\nlicence of the model: {pulled.licence}\n"
        words += f"next: bin-daemon model import {pulled.weights}{_config_words(config)}"
        event = {"event": "downloaded", "path": str(folder), "weights": str(pulled.weights), "licence": pulled.licence}
        _tell(event, words, as_json=as_json)
        return
    if not as_json:
        typer.echo("importing ...", err=True)
    bundle = _import(pulled, out, settings)
    shutil.rmtree(folder, ignore_errors=True)  # what it held is in the bundle now
    _tell_imported(
        bundle,
        pulled,
        as_json=as_json,
        next_step="" if activate else f"bin-daemon model activate {bundle.path}{_config_words(config)}",
    )
    if activate:
        _activate(bundle, settings, as_json=as_json)


def _config_words(config: Path | None) -> str:
    """The option again, for the next command."""
    return f" --config {config}" if config else ""


def _download_folder(
    model_id: str, revision: str, out: Path | None, settings: Settings, *, download_only: bool
) -> Path:
    """The same for the same model, so that the next call finds what came; on the disk that the bundle goes to."""
    from bin_daemon.model.inventory import downloads_dir

    if out is not None:
        return out if download_only else out.with_name(f"{out.name}.download")
    name = f"{model_id}@{revision}".replace("/", "--")
    return Path(name) if download_only else downloads_dir(settings.service.state_dir) / name


def _import(pulled: Pulled, out: Path | None, settings: Settings) -> Bundle:
    from bin_daemon.model.importing import import_checkpoint

    return import_checkpoint(
        pulled.weights, out, settings.service.state_dir, source=pulled.source, licence=pulled.licence
    )


def _tell_imported(bundle: Bundle, pulled: Pulled, *, as_json: bool, next_step: str) -> None:
    words = [f"imported: {bundle.path}", f"licence of the model: {pulled.licence}"]
    if next_step:
        words.append(f"next: {next_step}")
    _tell(
        {
            "event": "imported",
            "path": str(bundle.path),
            "id": bundle.metadata.id,
            "labels": len(bundle.metadata.labels),
            "source": bundle.metadata.source,
            "licence": pulled.licence,
        },
        "\n".join(words),
        as_json=as_json,
    )


def _activate(bundle: Bundle, settings: Settings, *, as_json: bool) -> None:
    from bin_daemon.cli.model_store import tell_daemon, tell_export
    from bin_daemon.model.store import activate as switch

    stored = switch(
        bundle.path,
        settings.service.state_dir,
        settings.model,
        tell_export,
    )
    _tell({"event": "active", "name": stored.name}, f"active: {stored.name}", as_json=as_json)
    if not as_json:
        tell_daemon(settings, restart=False)


def _tell(event: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(event)
    else:
        print(text, flush=True)
