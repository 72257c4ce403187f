"""The export step of ortcam: makes a network's artifact, and differentiates any ONNX graph.

::

    from ortcam_export import export, layers

    layers("network.onnx")  # what there is to explain by, and to explain
    export("network.onnx", "network.cam.onnx", feature_layers=["dec_relu4"])
"""

from ortcam_export.export import Exported, export
from ortcam_export.layers import Candidate, layers
from ortcam_export.vjp import vjp

__all__ = ["Candidate", "Exported", "export", "layers", "vjp"]
