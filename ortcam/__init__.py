"""Grad-CAM for deployed ONNX networks, in ONNX Runtime itself.

::

    import ortcam

    cam = ortcam.load("network.cam.onnx")
    explanation = cam.explain("street.png", classes=["Road", "Car"])
    explanation.maps  # float32 [layers, classes, H, W]
    explanation.figure(colormap="jet")
"""

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
from ortcam.results import Explanation, Segmentation
from ortcam.view import View

__all__ = [
    "ArtifactError",
    "Cam",
    "ClassError",
    "DependencyError",
    "Explanation",
    "InputError",
    "LayerError",
    "ModelError",
    "OperatorError",
    "OrtcamError",
    "OutputError",
    "PictureError",
    "PlainNetworkError",
    "ProviderError",
    "RegionError",
    "Segmentation",
    "VerificationError",
    "View",
    "load",
]

__version__ = "0.1.0"
