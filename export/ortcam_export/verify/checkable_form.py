"""The form in which a low-precision network is verified.

A network in half precision is verified in float32; a quantized one without its rounding, as two
runs on the same numbers may round them to different steps, depending on what a runtime fuses.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ortcam_export.graph.rewriting import rewrite
from ortcam_export.verify.forms.in_float32 import WidenToFloat32, is_half
from ortcam_export.verify.forms.without_rounding import RemoveRounding, is_quantized

__all__ = ["CheckableForm"]

#: For each kind of network the pass that makes it checkable, and the form's description.
_FORMS: tuple[tuple[Callable[[ir.Model], bool], ir.passes.PassBase, str], ...] = (
    (is_half, WidenToFloat32(), "in float32"),
    (is_quantized, RemoveRounding(), "without the rounding of its quantizers"),
)


class CheckableForm(ir.passes.FunctionalPass):
    """Bring a network, and every model that contains its nodes, into its checkable form.

    Attributes:
        description: such as ``"in float32"``; empty if the network is verified as it is.
    """

    def __init__(self, network: ir.Model) -> None:
        forms = [(form, words) for applies, form, words in _FORMS if applies(network)]
        self.description = " and ".join(words for _, words in forms)
        self._passes = [form for form, _ in forms]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Return the checkable form."""
        if not self._passes:
            return ir.passes.PassResult(model.clone(), modified=False)
        return ir.passes.PassResult(rewrite(model, *self._passes), modified=True)
