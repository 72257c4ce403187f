"""The network that sees only a disc, and a folder of pictures for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from disc_network import artifact, scene, score_of
from PIL import Image

import ortcam


@pytest.fixture(scope="session")
def spotted() -> ortcam.Cam:
    """The artifact, opened."""
    return ortcam.load(artifact(), providers="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, and their label images in a folder beside them."""
    for i in range(3):
        for name in ("pictures", "labels"):
            (tmp_path / name).mkdir(exist_ok=True)
        rgb = scene(i)
        Image.fromarray(rgb).save(tmp_path / "pictures" / f"{i}.png")
        labels = np.where(score_of(rgb) >= 0.5, 0, 255).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "labels" / f"{i}.png")
    return tmp_path
