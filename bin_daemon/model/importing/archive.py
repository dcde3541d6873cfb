"""Look at a checkpoint file before torch does: what kind it is, and whether it can be what it claims.

torch writes its zip archives without compression. One with compressed records could unfold to any size, and one whose records
are larger than the file lies; both are refused here, before anything is unpacked.
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""A pickle of torch's magic number 0x1950a86a20f9469cfc6c: the format before torch 1.6."""
HEAD_BYTES = 512
MAX_INDEX_BYTES = 64 << 20
"""``data.pkl`` names the tensors: 40 kB for ConvNeXt-Base, a few MB with a long training log."""
TEXTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights: the download did not fetch the file itself"),
    (b"<!doctype html", "a web page, not weights: the download met an error page or a login"),
    (b"<html", "a web page, not weights: the download met an error page or a login"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras), not a torch checkpoint"),
    (b"\x08", "an ONNX or other protobuf file, not a checkpoint"),
)
AGAIN = "download or copy it again, and compare its sha256 with the source's"


def kind_of(file: Path) -> str:
    """'zip', 'legacy' or 'safetensors', by content; ModelError tells what it is instead, or why it cannot be read."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}", hint="check that this user may read it") from None
    if head.startswith(ZIP_MAGIC):
        return "zip"
    if head.startswith(LEGACY_MAGIC):
        return "legacy"
    if head[8:9] == b"{":
        _check_safetensors(file, int.from_bytes(head[:8], "little"), size)
        return "safetensors"
    for start, what in TEXTS:
        if head.lower().lstrip(b" \r\n").startswith(start):
            raise ModelError(f"{file}: {what}", hint=AGAIN)
    if not any(head):
        raise ModelError(f"{file}: begins with zeros: space was reserved, the content never came", hint=AGAIN)
    if head.startswith(b"\x80"):
        raise ModelError(
            f"{file}: a plain Python pickle, not a torch checkpoint",
            hint="save it with torch.save on the machine where it was made",
        )
    raise ModelError(f"{file}: neither a torch checkpoint nor safetensors (begins with {head[:8]!r})", hint=AGAIN)


def check_zip(file: Path) -> None:
    """A torch archive that is whole and is what it claims; ModelError otherwise. Reads all of it once, for its checksums."""
    size = file.stat().st_size
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            _check_records(file, size, records)
            damaged = None if all(x.CRC == 0 for x in records) else archive.testzip()
    except zipfile.BadZipFile as error:
        raise ModelError(
            f"{file}: {size} bytes of a torch checkpoint whose end is missing or damaged ({error})", hint=AGAIN
        ) from None
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{file}: a damaged torch checkpoint ({error})", hint=AGAIN) from None
    if damaged is not None:
        raise ModelError(f"{file}: damaged: record {damaged} differs from its checksum", hint=AGAIN)


def _check_records(file: Path, size: int, records: list[zipfile.ZipInfo]) -> None:
    names = [x.filename for x in records]
    if any("/code/" in x or x.endswith("/constants.pkl") for x in names):
        raise ModelError(
            f"{file}: a TorchScript archive, which holds program code",
            hint="save the state dict instead: torch.save(model.state_dict(), ...)",
        )
    if not any(x.endswith("data.pkl") for x in names):
        raise ModelError(f"{file}: a zip archive, but no torch checkpoint (no data.pkl in it)", hint=AGAIN)
    for x in records:
        if x.compress_type != zipfile.ZIP_STORED:
            raise ModelError(
                f"{file}: record {x.filename} is compressed ({x.compress_size} to {x.file_size} bytes), as torch never does",
                hint="do not use this file: it may be made to fill the memory",
            )
        if x.filename.endswith("data.pkl") and x.file_size > MAX_INDEX_BYTES:
            raise ModelError(
                f"{file}: {x.filename} has {x.file_size} bytes, more than {MAX_INDEX_BYTES}",
                hint="save state_dict and meta alone",
            )
    if (claimed := sum(x.file_size for x in records)) > size:
        raise ModelError(f"{file}: records of {claimed} bytes in a file of {size}", hint=AGAIN)


def _check_safetensors(file: Path, header: int, size: int) -> None:
    """Whole to the last byte: the header tells where the last tensor ends. The library says only 'invalid'."""
    if header + 8 > size:
        raise ModelError(f"{file}: cut off: its header alone has {header} bytes, the file {size}", hint=AGAIN)
    try:
        with file.open("rb") as stream:
            stream.seek(8)
            entries = json.loads(stream.read(header))
        ends = [int(x["data_offsets"][1]) for name, x in entries.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file}: damaged safetensors header ({error})", hint=AGAIN) from None
    wanted = 8 + header + max(ends, default=0)
    if size != wanted:
        what = "cut off" if size < wanted else "has bytes after its end"
        raise ModelError(f"{file}: {what}: {size} bytes, its header tells of {wanted}", hint=AGAIN)
