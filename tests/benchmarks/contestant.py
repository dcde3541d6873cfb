"""``python -m tests.benchmarks.contestant NAME BUNDLE PICTURE THREADS``: judges a picture file in a process of its own.

Judges once and prints its peak of memory in kB; then, for each line on stdin, judges again and prints the milliseconds that took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main(name: str, bundle: Path, picture: Path, threads: int) -> None:
    """Serve until stdin ends."""
    judge = _timm(bundle, picture, threads) if name == "timm" else _ours(name, bundle, picture, threads)
    judge()
    status = Path("/proc/self/status").read_text("utf-8")
    print(next(x.split()[1] for x in status.splitlines() if x.startswith("VmHWM")), flush=True)  # noqa: T201
    for _ in sys.stdin:
        began = time.perf_counter()
        judge()
        print((time.perf_counter() - began) * 1000, flush=True)  # noqa: T201


def _ours(engine: str, bundle: Path, picture: Path, threads: int) -> Callable[[], object]:
    from bin_daemon.model.classify import open_classifier

    classifier = open_classifier(bundle, engine=engine, threads=threads)
    return lambda: classifier.classify_picture(picture)


def _timm(bundle: Path, picture: Path, threads: int) -> Callable[[], object]:
    """The script that one would write first: timm's model and its own transform, channels_last."""
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from timm.data import create_transform  # type: ignore[attr-defined] # exported all the same

    torch.set_num_threads(threads)
    about = json.loads((bundle / "bundle.json").read_text("utf-8"))
    network = about["architecture"]
    model = timm.create_model(network["name"], num_classes=len(about["labels"]), **network["kwargs"])
    model.load_state_dict(load_file(bundle / "model.safetensors"))
    model = model.eval().to(memory_format=torch.channels_last)
    transform = create_transform(224, interpolation="bicubic", crop_pct=0.875)

    def judge() -> object:
        with torch.inference_mode():
            image = transform(Image.open(picture).convert("RGB")).unsqueeze(0)
            return model(image.contiguous(memory_format=torch.channels_last)).softmax(-1).topk(5)

    return judge


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
