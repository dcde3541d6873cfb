"""Pictures of every kind, made of arithmetic alone, and what ModelScope's own pipeline makes of them.

``python -m tests.model.golden_pictures`` writes ``golden/modelscope.json`` anew. It needs modelscope, mmcls 0.25 and mmcv 1.7
in the environment; the tests do not. Lossy files would depend on the decoder, so none is among them.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GOLDEN = Path(__file__).with_name("golden") / "modelscope.json"
Pixels = NDArray[np.uint8]


def colours(width: int, height: int) -> Pixels:
    """Waves with noise on them."""
    y, x = np.indices((height, width), dtype=np.int64)
    waves = np.dstack([x * x // 7 + y * 3, x * 5 + y * y // 11, (x + 2) * (y + 3) // 9]) % 256
    noise = np.random.PCG64(width * 10_000 + height).random_raw(waves.size).reshape(waves.shape) % 32
    pixels: Pixels = np.clip(waves + noise.astype(np.int64) - 16, 0, 255).astype(np.uint8)
    return pixels


def write_all(folder: Path) -> list[Path]:
    """Write the pictures to ``folder``; their names, sorted."""
    _sizes(folder)
    _modes(folder)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(colours(300, 420)).save(folder / f"exif-{orientation}.png", exif=exif)
    (folder / "interlaced.png").write_bytes(_interlaced(colours(501, 299)))
    (folder / "deep-colour.png").write_bytes(_png(colours(310, 290).astype(">u2") * 257, 16, 2))
    return sorted(folder.iterdir())


def _sizes(folder: Path) -> None:
    sizes = {
        "portrait": (500, 640),
        "landscape": (1280, 720),
        "short-256": (400, 256),
        "crop-sized": (224, 224),
        "small": (100, 80),
        "thin": (300, 1),
        "one": (1, 1),
    }
    for name, size in sizes.items():
        Image.fromarray(colours(*size)).save(folder / f"{name}.png")


def _modes(folder: Path) -> None:
    colour = Image.fromarray(colours(320, 270))
    grey = Image.fromarray(colours(320, 270)[:, :, 0])
    alpha = Image.fromarray(colours(320, 270)[:, :, 1])
    grey.save(folder / "grey.png")
    grey.point([255 * (x > 99) for x in range(256)], "1").save(folder / "black-and-white.png")
    Image.merge("RGBA", (*colour.split(), alpha)).save(folder / "rgba.png")
    Image.merge("RGBA", (*colour.split(), alpha)).save(folder / "rgba.webp", lossless=True, exact=True)
    Image.merge("LA", (grey, alpha)).save(folder / "la.png")
    colour.save(folder / "key-colour.png", transparency=tuple(colours(320, 270)[9, 9].tolist()))
    palette = Image.fromarray(colours(320, 270)[:, :, 0] % 64)
    palette.putpalette(colours(64, 1).reshape(-1).tolist())
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-one.png", transparency=3)
    palette.save(folder / "palette-steps.png", transparency=bytes(range(0, 256, 4)))
    palette.save(folder / "palette.gif")
    Image.merge("CMYK", (*colour.split(), alpha)).save(folder / "cmyk.tiff")
    colour.save(folder / "plain.bmp")
    colour.save(folder / "plain.ppm")


def _png(samples: NDArray[Any], bits: int, kind: int) -> bytes:
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    return _chunks(samples.shape[1], samples.shape[0], bits, kind, 0, rows)


def _interlaced(pixels: Pixels) -> bytes:
    """Adam7, which Pillow reads but does not write."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx])
    return _chunks(pixels.shape[1], pixels.shape[0], 8, 2, 1, rows)


def _chunks(width: int, height: int, *rest: Any) -> bytes:
    bits, kind, interlace, rows = rest
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlace)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(x)) + k + x + struct.pack(">I", zlib.crc32(k + x)) for k, x in parts)
    return b"\x89PNG\r\n\x1a\n" + body


def describe(tensor: NDArray[np.float32]) -> dict[str, Any]:
    """Digest of the bits of a 1 x 3 x S x S input, and three of its values for people."""
    plain = np.ascontiguousarray(tensor, "<f4")
    samples = [float(plain[0, channel, 100, 50]) for channel in range(3)]
    return {"sha256": hashlib.sha256(plain.tobytes()).hexdigest(), "at_100_50": samples}


def main() -> None:
    """Ask the reference."""
    from importlib import metadata

    from mmcv.parallel import collate
    from modelscope.preprocessors import ImageClassificationMmcvPreprocessor
    from modelscope.preprocessors.image import LoadImage

    steps = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "size": [256, -1], "backend": "pillow", "interpolation": "bicubic"},
        {"type": "CenterCrop", "crop_size": 224},
        {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = {"framework": "pytorch", "task": "image-classification", "preprocessor": {"val": steps}}
        (folder / "configuration.json").write_text(json.dumps(configuration | {"model": {"mm_model": {}}}))
        preprocess = ImageClassificationMmcvPreprocessor(name)
        (folder / "pictures").mkdir()
        found = {}
        for file in write_all(folder / "pictures"):
            bgr = LoadImage.convert_to_ndarray(str(file))[
                :, :, ::-1
            ]  # as GeneralImageClassificationPipeline.preprocess
            tensor = collate([preprocess(bgr)], samples_per_gpu=1)["img"].numpy()
            found[file.name] = describe(tensor)
    versions = {x: metadata.version(x) for x in ("modelscope", "mmcls", "mmcv", "pillow", "opencv-python", "numpy")}
    GOLDEN.write_text(json.dumps({"made_with": versions, "inputs": found}, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{len(found)} pictures, {GOLDEN}\n")


if __name__ == "__main__":
    main()
