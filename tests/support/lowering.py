"""Networks of opset 18 written in an older opset, as exporters of its time did.

onnx's converter lowers a network to opset 16 at most: below it lacks the step down for Relu and
Identity. The rules here cover the operators of the tests' networks; another one is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, version_converter

__all__ = ["UnwrittenError", "lowered"]


class UnwrittenError(Exception):
    """A network that cannot be written so; the text gives the reason."""


def lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a network of opset 18 or lower in opset 17 or lower, its tensors' names the same.

    Raises:
        UnwrittenError: an operator has no form in that opset.
    """
    model = inliner.inline_local_functions(model)
    first = max(opset, min(17, model.opset_import[0].version))
    try:
        model = version_converter.convert_version(model, first)
    except RuntimeError as error:
        reason = str(error).split("failed: ")[-1].strip()
        raise UnwrittenError(f"onnx's converter to opset {first}: {reason}") from error
    if opset < first:
        model = _Lowering(model, opset).model
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    return model


class _Lowering:
    """The nodes of a network, one after the other, in forms of the opset."""

    def __init__(self, model: onnx.ModelProto, opset: int) -> None:
        self.model, self.opset = model, opset
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self.ranks = {
            info.name: len(info.type.tensor_type.shape.dim)
            for info in (*known.input, *known.value_info, *known.output)
        }
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.count = 0
        nodes = [new for node in model.graph.node for new in self._forms(node)]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.opset_import[0].version = opset

    def _forms(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        since = onnx.defs.get_schema(node.op_type, 17).since_version
        rule = _RULES.get(node.op_type)
        if since <= self.opset or (rule is None and node.op_type in _SAME):
            yield node
        elif rule is None:
            raise UnwrittenError(f"{node.op_type} has no form in opset {self.opset} here")
        else:
            yield from rule(self, node)

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        """Add an initializer and return its name."""
        self.count += 1
        name = f"lowered.{self.count}"
        self.model.graph.initializer.append(
            numpy_helper.from_array(np.asarray(values, dtype), name)
        )
        return name

    def name(self) -> str:
        """Return a name for a new tensor."""
        self.count += 1
        return f"lowered.{self.count}"


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _shape(at: _Lowering, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Shape(x, start, end) -> Slice(Shape(x), start, end)."""
    options = _attributes(node)
    start, end = options.get("start", 0), options.get("end", 2**31 - 1)
    whole, (x,), (y,) = at.name(), node.input, node.output
    yield helper.make_node("Shape", [x], [whole])
    limits = [at.constant([start]), at.constant([end]), at.constant([0])]
    yield helper.make_node("Slice", [whole, *limits], [y], node.name)


def _softmax(at: _Lowering, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Softmax(x, axis) -> Transpose(Softmax(Transpose(x), last axis)), as PyTorch writes it."""
    (x,), (y,) = node.input, node.output
    rank = at.ranks[x]
    axis = _attributes(node).get("axis", -1) % rank
    if axis == rank - 1:
        yield helper.make_node("Softmax", [x], [y], node.name, axis=axis)
        return
    order = list(range(rank))
    order[axis], order[-1] = order[-1], axis
    last, soft = at.name(), at.name()
    yield helper.make_node("Transpose", [x], [last], perm=order)
    yield helper.make_node("Softmax", [last], [soft], node.name, axis=rank - 1)
    yield helper.make_node("Transpose", [soft], [y], perm=order)


def _with_axes(at: _Lowering, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Op(x, axes) -> Op(x) with an attribute."""
    x, axes = node.input
    options = {**_attributes(node), "axes": [int(axis) for axis in at.constants[axes]]}
    yield helper.make_node(node.op_type, [x], list(node.output), node.name, **options)


def _layer_normalization(at: _Lowering, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """LayerNormalization(x, scale, bias) over the last axis -> its formula."""
    x, scale, bias = node.input
    options = _attributes(node)
    if options.get("axis", -1) not in (-1, at.ranks[x] - 1):
        raise UnwrittenError("LayerNormalization over several axes has no form here")
    mean, centred, square, variance, moved, root, unit, scaled = (at.name() for _ in range(8))
    epsilon = at.constant(options.get("epsilon", 1e-5), np.float32)
    op = helper.make_node
    yield op("ReduceMean", [x], [mean], axes=[-1], keepdims=1)
    yield op("Sub", [x, mean], [centred])
    yield op("Mul", [centred, centred], [square])
    yield op("ReduceMean", [square], [variance], axes=[-1], keepdims=1)
    yield op("Add", [variance, epsilon], [moved])
    yield op("Sqrt", [moved], [root])
    yield op("Div", [centred, root], [unit])
    yield op("Mul", [unit, scale], [scaled])
    yield op("Add", [scaled, bias], list(node.output), node.name)


def _resize(at: _Lowering, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Resize(x, "", "", sizes) -> Resize(x, roi, scales, sizes), both empty."""
    x, *others = node.input
    roi, scales, *sizes = (*others, "", "")[: max(2, len(others))]
    empty = [name or at.constant([], np.float32) for name in (roi, scales)]
    names = [name for name in sizes if name]
    yield helper.make_node(
        "Resize", [x, *empty, *names], list(node.output), node.name, **_attributes(node)
    )


_RULES: dict[str, Callable[[_Lowering, onnx.NodeProto], Iterator[onnx.NodeProto]]] = {
    "LayerNormalization": _layer_normalization,
    "Resize": _resize,
    "Shape": _shape,
    "Softmax": _softmax,
    "Squeeze": _with_axes,
    "Unsqueeze": _with_axes,
}

#: Operators whose later versions only take further types, or attributes not used here.
_SAME = frozenset(
    {
        *("Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Div"),
        *("Erf", "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "Identity", "MatMul"),
        *("MaxPool", "Mul", "Pow", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Slice", "Sqrt"),
        *("Sub", "Transpose"),
    }
)
