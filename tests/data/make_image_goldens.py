"""Makes `image_models.npz`: logits of timm's and torchvision's networks at random weights.

Run with an interpreter that has torch, timm 1.0.31 and torchvision:
`python tests/data/make_image_goldens.py`. It adds what the file lacks; delete the file to make all
of it anew.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
FILE = HERE / "image_models.npz"
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

import image_models as peers  # noqa: E402
from image_cases import CASES  # noqa: E402
from states import image_state, random_array  # noqa: E402

if __name__ == "__main__":
    torch.set_num_threads(1)
    outputs = dict(np.load(FILE)) if FILE.exists() else {}
    for name, case in CASES.items():
        if {f"{name}_{height}x{width}" for height, width in case.sizes} <= outputs.keys():
            continue
        model, _ = peers.build(name, image_state)
        for height, width in case.sizes:
            size = f"{height}x{width}"
            images = random_array(f"images {size}", (2, height, width, 3))
            outputs[f"{name}_{size}"] = peers.first_logits(peers.run(model, images))
    np.savez_compressed(FILE, **outputs)
