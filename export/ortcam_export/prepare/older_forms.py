"""Operators that exporters write as several nodes in an older opset, as one node again.

Below opset 13 a Softmax runs over all axes from its own on, so one over channels stands between two
Transposes; below opset 17 there is no LayerNormalization, only its formula. What an artifact
explains must not depend on this: between the Transposes the axes of space may stand in another
order than the picture's, and a layer would be chosen inside the formula.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ortcam_export.graph.expansion import Expansion
from ortcam_export.graph.values import constant_input, constant_ints, rank

__all__ = ["RestoreLayerNormalization", "RestoreSoftmax"]


class RestoreSoftmax(ir.passes.InPlacePass):
    """Transpose(Softmax(Transpose(x, p)), inverse of p) -> Softmax(x, axis = p[last]).

    Only where p changes the order of the other axes. The tensor between becomes the Transpose of
    the new Softmax, so that it keeps its name. The network has opset 13 or later.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Restore the softmax nodes of all graphs."""
        modified = False
        for node in list(model.graph.all_nodes()):
            if not node.domain and node.op_type in ("Softmax", "LogSoftmax"):
                modified |= _restore_softmax(node)
        return ir.passes.PassResult(model, modified)


def _restore_softmax(node: ir.Node) -> bool:
    before, between = _producer(node, 0, "Transpose"), node.outputs[0]
    perm = None if before is None else _perm(before)
    if before is None or perm is None or between.is_graph_output():
        return False
    axis, *others = perm[-1:] + perm[:-1]
    if node.attributes.get_int("axis", -1) not in (-1, len(perm) - 1) or others == sorted(others):
        return False
    inverse = [perm.index(i) for i in range(len(perm))]
    after = [reader for reader in between.consumers() if _perm(reader) == inverse]
    if len(after) != 1:
        return False
    restored = Expansion(after[0])
    y = restored.op(node.op_type, before.inputs[0], axis=axis)
    restored.replace([y])
    moved = Expansion(node)
    moved.replace([moved.op("Transpose", y, perm=perm)])
    return True


def _perm(node: ir.Node) -> list[int] | None:
    """The permutation of a Transpose; None for another node, and for one that reverses all axes."""
    if node.op_type != "Transpose" or node.domain or "perm" not in node.attributes:
        return None
    return list(node.attributes["perm"].as_ints())


class RestoreLayerNormalization(ir.passes.InPlacePass):
    """The formula of a LayerNormalization over the last axes, in float32 -> LayerNormalization.

    (x - mean) / sqrt(mean of (x - mean)^2 + epsilon) * scale + bias, with keepdims. ONNX Runtime
    computes the formula so itself. The network has opset 18 or later.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Restore the normalizations of all graphs."""
        modified = False
        for node in list(model.graph.all_nodes()):
            if not node.domain and node.op_type == "Sqrt":
                modified |= _restore_normalization(node)
        return ir.passes.PassResult(model, modified)


def _restore_normalization(root: ir.Node) -> bool:
    variance = _moved_by_constant(root)
    quotient = _only_reader(root.outputs[0], "Div")
    if variance is None or quotient is None or quotient.inputs[1] is not root.outputs[0]:
        return False
    mean_square, epsilon = variance
    centred = quotient.inputs[0]
    square = _averaged(mean_square)
    if centred is None or square is None or not _is_square(square[0], centred):
        return False
    x, axes = _centred(centred)
    scaled = _with_constant(quotient.outputs[0], "Mul")
    if x is None or axes != square[1] or scaled is None or x.dtype not in (None, ir.DataType.FLOAT):
        return False
    (last, scale), bias = scaled, None
    shifted = _with_constant(last.outputs[0], "Add")
    if shifted is not None:
        last, bias = shifted
    if not all(_is_parameter(value, len(axes)) for value in (scale, bias) if value is not None):
        return False
    restored = Expansion(last)
    inputs = [x, scale] if bias is None else [x, scale, bias]
    y = restored.op("LayerNormalization", *inputs, axis=-len(axes), epsilon=epsilon)
    formula = [node for v in last.inputs if v is not None and (node := v.producer()) is not None]
    restored.replace([y])
    _remove_unread(formula)
    return True


def _is_parameter(value: ir.Value, axes: int) -> bool:
    """True for a constant with a number for each element of the last axes, not broadcast."""
    extents = () if value.const_value is None else value.const_value.shape.numpy()
    return len(extents) == axes and 1 not in extents and value.dtype == ir.DataType.FLOAT


def _moved_by_constant(root: ir.Node) -> tuple[ir.Value, float] | None:
    """The variance and epsilon that a square root reads, if it reads their sum."""
    total = _producer(root, 0, "Add")
    for index in (0, 1) if total is not None else ():
        assert total is not None
        epsilon, value = constant_input(total, index), total.inputs[1 - index]
        if epsilon is not None and epsilon.size == 1 and value is not None:
            return value, float(epsilon.reshape(()))
    return None


def _averaged(value: ir.Value | None) -> tuple[ir.Value, list[int]] | None:
    """The tensor of which a tensor is the mean over its last axes, and these axes, from -1 down."""
    node = None if value is None else value.producer()
    if node is None or node.domain or node.op_type != "ReduceMean" or len(node.inputs) < 2:
        return None
    x, axes = node.inputs[0], constant_ints(node.inputs[1])
    if x is None or not axes or node.attributes.get_int("keepdims", 1) != 1:
        return None
    if any(axis >= 0 for axis in axes) and not rank(x):
        return None
    axes = sorted((axis - rank(x) if axis >= 0 else axis for axis in axes), reverse=True)
    return (x, axes) if axes == [*range(-1, -len(axes) - 1, -1)] else None


def _centred(value: ir.Value) -> tuple[ir.Value | None, list[int]]:
    """The tensor that a tensor is minus its mean, and the axes of the mean."""
    node = value.producer()
    if node is None or node.domain or node.op_type != "Sub":
        return None, []
    x, mean = node.inputs[0], _averaged(node.inputs[1])
    return (x, mean[1]) if mean is not None and mean[0] is x else (None, [])


def _is_square(value: ir.Value, root: ir.Value) -> bool:
    """True if a tensor is the square of another, or of an equal difference."""
    node = value.producer()
    if node is None or node.domain or node.op_type not in ("Pow", "Mul"):
        return False
    base, factor = node.inputs[:2]
    exponent = constant_input(node, 1)
    squared = (
        factor is base
        if node.op_type == "Mul"
        else exponent is not None and np.array_equal(exponent.reshape(-1), [2])
    )
    if not squared or base is None:
        return False
    return base is root or (_centred(base)[0] is not None and _centred(base) == _centred(root))


def _with_constant(value: ir.Value, op_type: str) -> tuple[ir.Node, ir.Value] | None:
    """The only reader of a tensor, if it is of this operator, and the constant it reads beside."""
    node = _only_reader(value, op_type)
    for other in node.inputs if node is not None else ():
        if node is not None and other is not None and other.const_value is not None:
            return node, other
    return None


def _only_reader(value: ir.Value, op_type: str) -> ir.Node | None:
    readers = value.consumers()
    if len(readers) != 1 or value.is_graph_output():
        return None
    return readers[0] if readers[0].op_type == op_type and not readers[0].domain else None


def _producer(node: ir.Node, index: int, op_type: str) -> ir.Node | None:
    """The node of an input, if it is of this operator."""
    value = node.inputs[index]
    producer = None if value is None else value.producer()
    return (
        producer
        if producer is not None and producer.op_type == op_type and not producer.domain
        else None
    )


def _remove_unread(nodes: list[ir.Node]) -> None:
    """Remove the nodes that nothing reads, and those before them that only they read."""
    while nodes:
        node = nodes.pop()
        graph = node.graph
        if graph is None or any(v.uses() or v.is_graph_output() for v in node.outputs):
            continue
        nodes += [p for v in node.inputs if v is not None and (p := v.producer()) is not None]
        graph.remove(node, safe=True)
