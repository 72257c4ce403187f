"""The second engine: the gradient graph of ONNX Runtime's own GradientGraphBuilder.

* :mod:`~ortcam_export.append.ort_training.rewrites`: replaces operators that the builder lacks or
  gets wrong.
* :mod:`~ortcam_export.append.ort_training.builder`: calls the builder, in a training build of
  onnxruntime.
* :mod:`~ortcam_export.append.ort_training.loop_over_questions`: appends one question before the
  builder runs, and a Loop over all of them after it.
* :mod:`~ortcam_export.append.ort_training.gradient`: runs these three in turn.
"""

from ortcam_export.append.ort_training.builder import require
from ortcam_export.append.ort_training.gradient import append_gradient

__all__ = ["append_gradient", "require"]
