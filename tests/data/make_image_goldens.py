"""Makes `image_models.npz`: logits of timm's and torchvision's networks at random weights.

Run with an interpreter that has torch and timm 1.0.31: `python tests/data/make_image_goldens.py`.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

import image_models as peers  # noqa: E402
from image_cases import CASES  # noqa: E402
from states import image_state, random_array  # noqa: E402

if __name__ == "__main__":
    torch.set_num_threads(1)
    outputs = {}
    for name, case in CASES.items():
        model, _ = peers.build(name, image_state)
        for height, width in case.sizes:
            size = f"{height}x{width}"
            images = random_array(f"images {size}", (2, height, width, 3))
            outputs[f"{name}_{size}"] = peers.first_logits(peers.run(model, images))
    np.savez_compressed(HERE / "image_models.npz", **outputs)
