"""``firmware/`` in the state directory: what was flashed last, and what was on the controller before, for going back.

Images are named by their SHA-256 and written whole, synced and renamed before ``manifest.json`` tells of them; so a power cut
leaves the old manifest or the new one, never one without its images.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bin_daemon.errors import ConfigError
from bin_daemon.model.durable import replace_durably
from bin_daemon.technician.firmware_image import Identity, Image, read_image, write_hex

MANIFEST = "manifest.json"


class Kept(BaseModel):
    """One image in the store. ``version`` None: it holds no identification block of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int
    version: tuple[int, int, int] | None = None
    git: int = 0
    board: int | None = None
    uid: str = ""
    """Of the controller that it was on; hexadecimal."""
    at: datetime
    """When it was put here, UTC."""

    @property
    def file_name(self) -> str:
        """In the store."""
        return f"{self.sha256[:16]}.hex"

    @property
    def words(self) -> str:
        """What it is, for people."""
        if self.version is None or self.board is None:
            return f"{self.size_bytes} bytes of an unknown firmware"
        return Identity(self.board, self.version, self.git).words


class Manifest(BaseModel):
    """What lies in the store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    flashed: Kept | None = None
    """The last image whose flashing ended well, and was checked."""
    previous: Kept | None = None
    """What was on the controller before: the goal of a rollback."""
    unfinished: Kept | None = None
    """A flashing of this image began and has not ended well."""


class FirmwareStore:
    """Of one bin. All methods raise `ConfigError`: no permission, disk full, or a damaged file."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "firmware"

    def manifest(self) -> Manifest:
        """Empty when nothing was ever flashed from here."""
        file = self.folder / MANIFEST
        try:
            return Manifest.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return Manifest()
        except OSError as error:
            raise self._no_access(error) from error
        except ValidationError as error:
            raise ConfigError(
                f"{file}: damaged: {error.errors()[0]['msg']}",
                hint=f"remove the file, then flash an image from a file; images that were kept: {self.folder}/*.hex",
            ) from None

    def image(self, kept: Kept) -> Image:
        """Read one back; its SHA-256 must be what the manifest says."""
        file = self.folder / kept.file_name
        image = read_image(file)
        if image.sha256 != kept.sha256:
            raise ConfigError(
                f"{file}: damaged, its SHA-256 differs",
                hint="flash an image from a file: bin-daemon firmware flash IMAGE",
            )
        return image

    def keep(self, image: Image, uid: str) -> Kept:
        """Write an image durably; the manifest does not know it yet."""
        identity = image.identity
        kept = Kept(
            sha256=image.sha256,
            size_bytes=len(image.data),
            version=identity.version if identity else None,
            git=identity.git if identity else 0,
            board=identity.board if identity else None,
            uid=uid,
            at=datetime.now(timezone.utc),
        )
        self._write(kept.file_name, write_hex(image))
        return kept

    def update(self, **changes: Kept | None) -> Manifest:
        """Change entries of the manifest (`Manifest`'s fields), then remove images that it no longer names."""
        manifest = self.manifest().model_copy(update=changes)
        self._write(MANIFEST, manifest.model_dump_json(indent=1).encode() + b"\n")
        named = {kept.file_name for kept in (manifest.flashed, manifest.previous, manifest.unfinished) if kept}
        for file in self.folder.glob("*.hex"):
            if file.name not in named:
                file.unlink(missing_ok=True)
        return manifest

    def _write(self, name: str, content: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_durably(self.folder / name, content)
        except OSError as error:
            raise self._no_access(error) from error

    def _no_access(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{self.folder}: {error.strerror}",
            hint="run the command with sudo; service.state_dir in the config names the folder, which needs some free room",
        )
