"""The second engine: the gradient graph by ONNX Runtime's own GradientGraphBuilder.

* :mod:`~ortcam_export.append.ort_training.rewrites`: what the builder lacks or gets wrong,
  rewritten.
* :mod:`~ortcam_export.append.ort_training.builder`: the builder, in a training build of
  onnxruntime.
* :mod:`~ortcam_export.append.ort_training.loop_over_questions`: one question before it, a Loop
  over all behind it.
* :mod:`~ortcam_export.append.ort_training.gradient`: these three in turn.
"""

from ortcam_export.append.ort_training.builder import require
from ortcam_export.append.ort_training.gradient import append_gradient

__all__ = ["append_gradient", "require"]
