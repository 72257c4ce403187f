"""The export step of ortcam: makes a network's artifact, and differentiates any ONNX graph.

::

    from ortcam_export import export, layers, survey

    layers("network.onnx")  # what there is to explain by, and to explain
    survey("network.onnx", "street.png", "Car").save("layers.png")  # each layer's map
    export("network.onnx", "network.cam.onnx", feature_layers=["dec_relu4"])
"""

from ortcam_export.export import Exported, export
from ortcam_export.layers.candidate import Candidate
from ortcam_export.layers.listing import layers
from ortcam_export.layers.survey import survey
from ortcam_export.layers.survey_result import Survey
from ortcam_export.vjp import vjp

__all__ = ["Candidate", "Exported", "Survey", "export", "layers", "survey", "vjp"]
