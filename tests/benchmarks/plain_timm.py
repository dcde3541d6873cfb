"""``python -m tests.benchmarks.plain_timm BUNDLE``: the script that one would write first; prints its peak memory in MB.

No daemon, no camera, no lids: timm's model with the same weights, one picture, one inference. Imports nothing of ours.
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform  # type: ignore[attr-defined] # exported all the same


def main(bundle: Path) -> None:
    """Load, look once, say so."""
    about = json.loads((bundle / "bundle.json").read_text())
    architecture = about["architecture"]
    model = timm.create_model(architecture["name"], num_classes=len(about["labels"]), **architecture["kwargs"])
    model.load_state_dict(load_file(bundle / "model.safetensors"))
    model.eval()
    transform = create_transform(224, interpolation="bicubic", crop_pct=0.875)
    picture = Image.fromarray(np.full((720, 1280, 3), 114, np.uint8))
    with torch.inference_mode():
        model(transform(picture).unsqueeze(0)).softmax(-1)
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
