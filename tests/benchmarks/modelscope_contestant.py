"""``PYTHON modelscope_contestant.py make|run FOLDER ...`` in a Python with modelscope and mmcls 0.25: the card's own pipeline.

``make FOLDER DEPTHS DIMS`` writes a model folder of random weights, as the hub ships it; ``run FOLDER PICTURE THREADS`` serves as
`tests.benchmarks.contestant` does. Imports nothing of ours, and runs where nothing of ours is installed.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

LABELS = 265
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def make(folder: Path, depths: list[int], dims: list[int]) -> None:
    """Configuration and checkpoint."""
    import torch
    from mmcls.models import build_classifier

    arch = {"depths": depths, "channels": dims}
    network = {
        "type": "ImageClassifier",
        "pretrained": None,
        "backbone": {"type": "ConvNeXt", "arch": arch, "out_indices": [3], "drop_path_rate": 0.5},
        "head": {"type": "LinearClsHead", "num_classes": LABELS, "in_channels": dims[-1], "cal_acc": False},
    }
    folder.mkdir(parents=True)
    val = [
        {"type": "Resize", "size": [256, -1], "backend": "pillow", "interpolation": "bicubic"},
        {"type": "CenterCrop", "crop_size": 224},
        {"type": "Normalize", "mean": MEAN, "std": STD, "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    about = {
        "framework": "pytorch",
        "task": "image-classification",
        "pipeline": {"type": "convnext-base_image-classification_garbage"},
        "model": {"type": "ClassificationModel", "mm_model": network},
        "preprocessor": {"type": "image-classification-mmcv-preprocessor", "train": [], "val": val},
    }
    (folder / "configuration.json").write_text(json.dumps(about))
    classes = [f"label {i}" for i in range(LABELS)]
    checkpoint = {"meta": {"CLASSES": classes}, "state_dict": build_classifier(network).state_dict()}
    torch.save(checkpoint, folder / "pytorch_model.pt")


def run(folder: Path, picture: Path, threads: int) -> None:
    """Serve until stdin ends."""
    with contextlib.redirect_stdout(sys.stderr):
        import torch
        from modelscope.pipelines import pipeline

        torch.set_num_threads(threads)
        judge = pipeline("image-classification", model=str(folder), device="cpu")
        judge(str(picture))
    status = Path("/proc/self/status").read_text()
    print(next(x.split()[1] for x in status.splitlines() if x.startswith("VmHWM")), flush=True)  # noqa: T201
    for _ in sys.stdin:
        began = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            judge(str(picture))
        print((time.perf_counter() - began) * 1000, flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        run(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
