"""The gradient engine: reverse-mode differentiation as a transformation of ONNX graphs.

* :mod:`~ortcam_export.gradient.tensor`: expressions that record nodes.
* :mod:`~ortcam_export.gradient.rules`: the table of derivatives, a module for each family.
* :mod:`~ortcam_export.gradient.windows`: pooled cotangents, demanded rather than repaired.
* :mod:`~ortcam_export.gradient.seed`: where a sweep starts.
* :mod:`~ortcam_export.gradient.sweep`: the driver.
"""

from ortcam_export.gradient.paths import reachable

__all__ = ["reachable"]
