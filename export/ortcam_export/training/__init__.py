"""The second engine: the gradient graph by ONNX Runtime's own GradientGraphBuilder.

* :mod:`~ortcam_export.training.normalize`: what the builder lacks or gets wrong, rewritten.
* :mod:`~ortcam_export.training.build`: the builder, in a training build of onnxruntime.
* :mod:`~ortcam_export.training.questions`: one question before it, a Loop over all behind it.
* :mod:`~ortcam_export.training.differentiate`: these three in turn.
"""

from ortcam_export.training.build import require
from ortcam_export.training.differentiate import append_gradient

__all__ = ["append_gradient", "require"]
