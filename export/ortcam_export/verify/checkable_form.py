"""What a network is checked as, where it is too coarse itself for what two ways differ by.

Of half precision, in float32; quantized, without its rounding, whose steps two runs of the same
numbers may take otherwise, by what a runtime fuses.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ortcam_export.verify.in_float32 import is_half, widened
from ortcam_export.verify.without_rounding import is_quantized, unrounded

__all__ = ["form_to_check"]

Rewriting = Callable[[ir.Model], ir.Model]

_FORMS: tuple[tuple[Callable[[ir.Model], bool], Rewriting, str], ...] = (
    (is_half, widened, "in float32"),
    (is_quantized, unrounded, "without the rounding of its quantizers"),
)


def form_to_check(network: ir.Model) -> tuple[Rewriting, str]:
    """What brings a network, and every model that holds its nodes, into the form to check.

    Returns:
        The rewriting, which gives the model itself where it can be checked as it is, and what is
        said of the form: empty there.
    """
    taken = [(rewritten, words) for concerns, rewritten, words in _FORMS if concerns(network)]

    def rewriting(model: ir.Model) -> ir.Model:
        for rewritten, _ in taken:
            model = rewritten(model)
        return model

    return rewriting, " and ".join(words for _, words in taken)
