"""The stored reference: maps of the shipped network on rendered scenes, by float64 autograd.

When the network changes, write it again by

    python tests/support/stored_reference.py

This needs PyTorch; the tests that read the reference do not.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NETWORK = ROOT / "models" / "deeplabv3plus_resnet18_camvid.onnx"
FOLDER = ROOT / "tests" / "stored"
SCENES = tuple(range(500, 505))
LAYERS = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")
CLASSES = {"Road": 3, "Car": 8}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Maps = dict[str, NDArray[Any]]


def scene(seed: int) -> NDArray[np.uint8]:
    """A rendered scene, [360, 480, 3]."""
    return np.asarray(Image.open(FOLDER / f"scene{seed}.png"))


def maps(picture: NDArray[np.uint8]) -> dict[str, Maps]:
    """Weights [classes, C], raw maps and their scale of each layer, by float64 autograd.

    ``raw`` [classes, h, w] is the ReLU of sum_k alpha_k A_k; ``scale`` [classes] is the largest
    value over cells of sum_k |alpha_k A_k|.
    """
    from reference import pooled_gradients

    x = ((picture / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
    weights = np.eye(11)[list(CLASSES.values())][:, None]
    gradients = pooled_gradients(
        onnx.load(NETWORK), {"input": x}, "softmax-out", LAYERS, weights, np.ones((1, 1, 1, 1))
    )
    parts = {}
    for layer, (alpha, features) in gradients.items():
        terms = alpha[:, 0, :, None, None] * features
        parts[layer] = {
            "weights": alpha[:, 0],
            "raw": np.maximum(terms.sum(1), 0),
            "scale": np.abs(terms).sum(1).max((-1, -2)),
        }
    return parts


def stored(seed: int) -> dict[str, Maps]:
    """The stored results of :func:`maps` for a scene."""
    with np.load(FOLDER / "reference.npz", allow_pickle=False) as data:
        return {
            layer: {part: data[f"{seed}/{layer}/{part}"] for part in ("weights", "raw", "scale")}
            for layer in LAYERS
        }


def network_of_reference() -> str:
    """The SHA-256 of the network that the reference belongs to."""
    with np.load(FOLDER / "reference.npz", allow_pickle=False) as data:
        return str(data["network"])


def sha256() -> str:
    """The SHA-256 of the shipped network."""
    return hashlib.sha256(NETWORK.read_bytes()).hexdigest()


def _make() -> None:
    from camvid.scenes import render

    arrays: dict[str, Any] = {"network": np.asarray(sha256())}
    for seed in SCENES:
        picture, _ = render(seed, (480, 360))
        Image.fromarray(picture).save(FOLDER / f"scene{seed}.png", optimize=True)
        for layer, parts in maps(picture).items():
            for part, values in parts.items():
                arrays[f"{seed}/{layer}/{part}"] = values.astype(np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    (FOLDER / "reference.npz").write_bytes(file.getvalue())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "export"))
    _make()
