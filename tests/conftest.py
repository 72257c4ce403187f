"""What the tests of several folders share: the shipped network and picture, CamVid's frames."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and however long one takes: machines are busy at times.
settings.register_profile("ortcam", deadline=None, derandomize=True)
settings.load_profile("ortcam")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shipped_network() -> Path:
    """The plain network in ``models/``."""
    return ROOT / "models" / "deeplabv3plus_resnet18_camvid.onnx"


@pytest.fixture(scope="session")
def street() -> Path:
    """The rendered street picture in ``models/``, 960x720."""
    return ROOT / "models" / "street.png"


@pytest.fixture(scope="session")
def camvid() -> Path:
    """CamVid's folder: ``$ORTCAM_CAMVID``, or ``../shared/camvid`` beside the repository."""
    folder = Path(os.environ.get("ORTCAM_CAMVID", ROOT.parent / "shared" / "camvid"))
    if not (folder / "test").is_dir():
        pytest.skip("CamVid is not there: set ORTCAM_CAMVID to its folder")
    return folder
