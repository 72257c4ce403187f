"""The gradient engine: reverse-mode differentiation as a transformation of ONNX graphs.

* :mod:`~ortcam_export.gradient.tensor`: arithmetic that records nodes on a
  :mod:`~ortcam_export.gradient.tape`.
* :mod:`~ortcam_export.gradient.rules`: the derivatives, one module per family of operators, which
  register in the :mod:`~ortcam_export.gradient.table`.
* :mod:`~ortcam_export.gradient.windows`: cotangents of which only the mean is needed.
* :mod:`~ortcam_export.gradient.seed`: the cotangent that a sweep starts with.
* :mod:`~ortcam_export.gradient.paths`: the tensors that a gradient reaches.
* :mod:`~ortcam_export.gradient.sweep`: the sweep itself.
"""

from ortcam_export.gradient.paths import reachable

__all__ = ["reachable"]
