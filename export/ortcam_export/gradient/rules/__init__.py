"""The gradient rules, a module for each family of operators.

Importing this package fills the table in :mod:`ortcam_export.gradient.table`.
"""

from ortcam_export.gradient.rules import (
    activation,
    arithmetic,
    convolution,
    cumulative,
    deformable,
    determinants,
    einsum,
    framing,
    gathering,
    indexing,
    layer_normalization,
    linear,
    normalization,
    norms,
    padding,
    pooling,
    quantization,
    reduction,
    resampling,
    sampling,
    scattering,
    smooth_activation,
    softmax,
    trigonometry,
)
from ortcam_export.gradient.rules import (
    depth_to_space as rearrangement,
)
from ortcam_export.gradient.rules import (
    fourier as spectral,
)
from ortcam_export.gradient.rules import (
    non_differentiable as none,
)
from ortcam_export.gradient.rules import (
    one_hot_and_range as generation,
)
from ortcam_export.gradient.rules import (
    reshape_and_expand as shaping,
)
from ortcam_export.gradient.rules import (
    roi_pooling as regions,
)
from ortcam_export.gradient.rules import (
    rotary_embedding as rotary,
)

__all__ = [
    "activation",
    "arithmetic",
    "convolution",
    "cumulative",
    "deformable",
    "determinants",
    "einsum",
    "framing",
    "gathering",
    "generation",
    "indexing",
    "layer_normalization",
    "linear",
    "none",
    "normalization",
    "norms",
    "padding",
    "pooling",
    "quantization",
    "rearrangement",
    "reduction",
    "regions",
    "resampling",
    "rotary",
    "sampling",
    "scattering",
    "shaping",
    "smooth_activation",
    "softmax",
    "spectral",
    "trigonometry",
]
