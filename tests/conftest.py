"""What the tests of several folders share: the shipped network and picture, CamVid's frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples in every run, and however long one takes: machines are busy at times.
settings.register_profile("ortcam", deadline=None, derandomize=True)
settings.load_profile("ortcam")

# Of several runners each takes one core, or all their threads wait for one another.
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

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
def cuda(shipped_network: Path) -> None:
    """Skipped where CUDA does not start."""
    from ortcam.errors import ProviderError
    from ortcam.inference.session import Session

    try:
        Session(shipped_network, "cuda")
    except ProviderError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def camvid() -> Path:
    """CamVid's folder: ``$ORTCAM_CAMVID``, or ``../shared/camvid`` beside the repository."""
    folder = Path(os.environ.get("ORTCAM_CAMVID", ROOT.parent / "shared" / "camvid"))
    if not (folder / "test").is_dir():
        pytest.skip("CamVid is not there: set ORTCAM_CAMVID to its folder")
    return folder


@pytest.fixture(scope="session")
def pytorch_grad_cam() -> Iterator[Any]:
    """The package grad-cam; skipped where it is not installed."""
    torch = pytest.importorskip("torch")
    if find_spec("pytorch_grad_cam") is None:
        pytest.skip("grad-cam is not installed")
    library = None  # what it declares ends with it
    try:
        import torchvision  # noqa: F401 - the package imports it
    except RuntimeError:
        # torchvision built for another PyTorch loads none of its operators, and nobody here needs
        # one; but it does not import unless these are declared.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import pytorch_grad_cam

    yield pytorch_grad_cam
    del library
