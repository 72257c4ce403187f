"""The files that docstring examples read: a network, its artifact, whole and split, a picture."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

STORED = Path(__file__).parent / "tests" / "stored"

COPIES = {
    "release_0.1.0.cam.onnx": "network.cam.onnx",
    "release_0.1.0_split.cam.onnx": "split.cam.onnx",
    "release_0.1.0_split.cam.grad.onnx": "release_0.1.0_split.cam.grad.onnx",  # named in the first
}


@pytest.fixture(scope="session")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``network.onnx``, ``network.cam.onnx``, ``split.cam.onnx``, ``street.png``."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("examples")
    for name, copy in COPIES.items():
        shutil.copy(STORED / name, folder / copy)
    with np.load(STORED / "release_0.1.0.npz", allow_pickle=False) as arrays:
        Image.fromarray(arrays["picture"]).save(folder / "street.png")
    if find_spec("onnx") is not None:
        import networks
        import onnx

        onnx.save(networks.unet(), folder / "network.onnx")
    return folder


@pytest.fixture(autouse=True)
def _beside_example_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs docstring examples in that folder."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("example_files"))
