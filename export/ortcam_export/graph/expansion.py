"""The expansion of a node: standard nodes that replace it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

__all__ = ["Expansion", "contents"]


class Expansion:
    """Standard nodes that are to replace a node."""

    #: Part of their names: parts of one kind may replace those of another.
    kind = "part"

    def __init__(self, node: ir.Node) -> None:
        self.node = node
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []

    def input(self, index: int) -> ir.Value | None:
        """An input of the node, or None where it is omitted."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's plain value."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Add a standard operator and return its first output."""
        name = f"{self.node.outputs[0].name or self.node.name}.{self.kind}.{len(self.nodes)}"
        attrs = ir.convenience.convert_attributes(attributes)
        node = ir.Node("", op_type, inputs, attrs, name=name)
        node.outputs[0].name = name
        self.nodes.append(node)
        return node.outputs[0]

    def integers(self, *values: int) -> ir.Value:
        """Add a constant of integers."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float, like: ir.Value | None) -> ir.Value:
        """Add a constant of a tensor's element type."""
        return self.op("CastLike", self.constant(np.array(value, np.float32)), like)

    def constant(self, array: NDArray[Any]) -> ir.Value:
        """Add a constant."""
        name = f"{self.node.outputs[0].name}.{self.kind}.constant.{len(self.constants)}"
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
            const_value=ir.tensor(array, name=name),
        )
        self.constants.append(value)
        return value

    def sum(self, *terms: ir.Value | None) -> ir.Value:
        """Add up the terms that are present."""
        first, *rest = (term for term in terms if term is not None)
        for term in rest:
            first = self.op("Add", first, term)
        return first

    def scaled(self, x: ir.Value | None, factor: float) -> ir.Value:
        """Multiply a tensor by a number."""
        return self.op("Mul", x, self.number(factor, x))

    def replace(self, results: Sequence[ir.Value | None]) -> None:
        """Replace the node.

        Args:
            results: the replacement of each of the node's outputs, which keep their names; None
                for one that is unused.
        """
        graph = self.node.graph
        assert isinstance(graph, ir.Graph)
        pairs = [(o, n) for o, n in zip(self.node.outputs, results, strict=False) if n is not None]
        for value in self.constants:
            graph.register_initializer(value)
        ir.convenience.replace_nodes_and_values(
            graph,
            self.node,
            [self.node],
            self.nodes,
            [old for old, _ in pairs],
            [new for _, new in pairs],
        )


def contents(values: Iterable[ir.Value | None]) -> list[Any]:
    """Keys that are equal for equal constants, and for the same tensor."""
    return [
        value
        if value is None or value.const_value is None
        else (value.dtype, value.const_value.size, value.const_value.numpy().tobytes())
        for value in values
    ]
