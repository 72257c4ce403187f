"""Grad-CAM for deployed ONNX networks, in ONNX Runtime itself.

::

    import ortcam

    cam = ortcam.load("network.cam.onnx")
    explanation = cam.explain("street.png", classes=["Road", "Car"])
    explanation.maps  # float32 [layers, classes, H, W]
    explanation.figure(colormap="jet")
"""

from typing import TYPE_CHECKING, Any

from ortcam.cam import Cam, load
from ortcam.errors import (
    ArtifactError,
    ClassError,
    DependencyError,
    InputError,
    LayerError,
    ModelError,
    OperatorError,
    OrtcamError,
    OutputError,
    PictureError,
    PlainNetworkError,
    ProviderError,
    RegionError,
    VerificationError,
)
from ortcam.questions.list_places import Index
from ortcam.questions.question import Question, about
from ortcam.questions.regions import (
    Box,
    Component,
    Labelled,
    Mask,
    Mistaken,
    Pixel,
    Polygon,
    Predicted,
    Where,
)
from ortcam.results.explanation import Explanation
from ortcam.results.scale import common_scale
from ortcam.results.segmentation import Segmentation
from ortcam.version import __version__ as __version__
from ortcam.view import View

if TYPE_CHECKING:
    from ortcam.evaluation.run import Evaluation, evaluate
    from ortcam.report import Report

__all__ = [
    "ArtifactError",
    "Box",
    "Cam",
    "ClassError",
    "Component",
    "DependencyError",
    "Evaluation",
    "Explanation",
    "Index",
    "InputError",
    "Labelled",
    "LayerError",
    "Mask",
    "Mistaken",
    "ModelError",
    "OperatorError",
    "OrtcamError",
    "OutputError",
    "PictureError",
    "Pixel",
    "PlainNetworkError",
    "Polygon",
    "Predicted",
    "ProviderError",
    "Question",
    "RegionError",
    "Report",
    "Segmentation",
    "VerificationError",
    "View",
    "Where",
    "about",
    "common_scale",
    "evaluate",
    "load",
]

_LATER = {
    "Evaluation": "ortcam.evaluation.run",
    "Report": "ortcam.report",
    "evaluate": "ortcam.evaluation.run",
}
"""Imported on first use, since they take a third of the import's time."""


def __getattr__(name: str) -> Any:
    """Imports the names in ``_LATER`` on first use."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
