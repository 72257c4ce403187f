"""Operators of ONNX Runtime's domain (com.microsoft), replaced by standard ones.

ONNX Runtime's optimizer fuses nodes into operators that no other runtime knows. Those that stand
for a few standard ones are replaced by these; tensors keep their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import onnx_ir as ir

from ortcam_export.graph.expansion import Expansion

__all__ = ["CONTRIB", "UnfuseContribOps", "forget_unused_contrib"]

#: The domain of ONNX Runtime's operators.
CONTRIB = "com.microsoft"

_ACTIVATIONS = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}


class UnfuseContribOps(ir.passes.InPlacePass):
    """com.microsoft.Op(...) -> the few standard operators it stands for; others stay.

    The network has opset 18 or later.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the nodes of all graphs."""
        modified = False
        for node in list(model.graph.all_nodes()):
            rule = _RULES.get(node.op_type) if node.domain == CONTRIB else None
            if rule is None:
                continue
            parts = Expansion(node)
            results = rule(parts)
            if results is not None:
                parts.replace(results)
                modified = True
        forget_unused_contrib(model)
        return ir.passes.PassResult(model, modified)


def forget_unused_contrib(model: ir.Model) -> None:
    """Remove the import of ONNX Runtime's domain where no node is of it."""
    if not any(node.domain == CONTRIB for node in model.graph.all_nodes()):
        model.opset_imports.pop(CONTRIB, None)


#: The replacement of each of the node's outputs, None for one that is unused; None where the node
#: stays.
_Results: TypeAlias = "Sequence[ir.Value | None] | None"


def _gelu(p: Expansion) -> _Results:
    x = p.sum(p.input(0), p.input(1))
    normal = p.sum(p.op("Erf", p.scaled(x, math.sqrt(0.5))), p.number(1, x))
    return [p.op("Mul", x, p.scaled(normal, 0.5))]


def _fast_gelu(p: Expansion) -> _Results:
    x = p.sum(p.input(0), p.input(1))
    cube = p.op("Mul", x, p.op("Mul", x, x))
    u = p.scaled(p.sum(x, p.scaled(cube, 0.044715)), math.sqrt(8 / math.pi))
    return [p.op("Mul", x, p.op("Sigmoid", u))]


def _quick_gelu(p: Expansion) -> _Results:
    x = p.input(0)
    return [p.op("Mul", x, p.op("Sigmoid", p.scaled(x, p.attribute("alpha", 1.702))))]


def _fused_mat_mul(p: Expansion) -> _Results:
    factors = []
    for index, name in enumerate("AB"):
        x = p.input(index)
        if p.attribute(f"transBatch{name}", 0):  # its first axis stands before the batch axes
            x = p.op("Einsum", x, equation="i...j->...ij")
        if p.attribute(f"trans{name}", 0):
            x = p.op("Einsum", x, equation="...ij->...ji")
        factors.append(x)
    return [p.scaled(p.op("MatMul", *factors), p.attribute("alpha", 1.0))]


def _fused_gemm(p: Expansion) -> _Results:
    attributes = {
        "alpha": p.attribute("alpha", 1.0),
        "beta": p.attribute("beta", 1.0),
        "transA": p.attribute("transA", 0),
        "transB": p.attribute("transB", 0),
    }
    y = p.op("Gemm", p.input(0), p.input(1), p.input(2), **attributes)
    parameters = {
        name: p.attribute(f"activation_{name}")
        for name in ("alpha", "beta", "gamma")
        if p.attribute(f"activation_{name}") is not None
    }
    return [p.op(p.attribute("activation"), y, **parameters)]


def _fused_conv(p: Expansion) -> _Results:
    activation = p.attribute("activation")
    if activation not in (None, "", *_ACTIVATIONS):
        return None
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    attributes = {name: p.attribute(name) for name in names if p.attribute(name) is not None}
    y = p.sum(p.op("Conv", p.input(0), p.input(1), p.input(2), **attributes), p.input(3))
    if not activation:
        return [y]
    parameters = list(p.attribute("activation_params", []))
    if activation == "Clip":
        return [p.op("Clip", y, *(p.number(value, y) for value in parameters))]
    arguments = dict(zip(_ACTIVATIONS[activation], parameters, strict=False))
    return [p.op(activation, y, **arguments)]


def _skip_layer_normalization(p: Expansion) -> _Results:
    total = p.sum(p.input(0), p.input(1), p.input(4))
    epsilon = p.attribute("epsilon", 1e-5)
    y = p.op("LayerNormalization", total, p.input(2), p.input(3), axis=-1, epsilon=epsilon)
    return _with_sum(p, y, total)


def _skip_simplified_layer_normalization(p: Expansion) -> _Results:
    total = p.sum(p.input(0), p.input(1), p.input(3))
    square = p.op("ReduceMean", p.op("Mul", total, total), p.integers(-1))
    root = p.op("Sqrt", p.sum(square, p.number(p.attribute("epsilon", 1e-5), total)))
    return _with_sum(p, p.op("Mul", p.op("Div", total, root), p.input(2)), total)


def _with_sum(p: Expansion, y: ir.Value, total: ir.Value) -> _Results:
    """The first output and the fourth, the sum; the statistics between are for training."""
    if any(output.uses() or output.is_graph_output() for output in p.node.outputs[1:3]):
        return None
    return [y, None, None, total]


_RULES: dict[str, Callable[[Expansion], _Results]] = {
    "BiasGelu": _gelu,
    "FastGelu": _fast_gelu,
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_mat_mul,
    "Gelu": _gelu,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": _skip_simplified_layer_normalization,
}
