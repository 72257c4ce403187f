"""A node of the network as a gradient rule sees it."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from ortcam.errors import OperatorError
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor

__all__ = ["Node"]


class Node:
    """A node of the network as a gradient rule sees it.

    A rule sees floating tensors narrower than float32 in float32, in which their cotangents are
    carried.
    """

    def __init__(self, tape: Tape, node: ir.Node, index: int = 0) -> None:
        self.tape = tape
        self.node = node
        self.index = index
        self.cotangents: list[Tensor | None] = []

    @property
    def x(self) -> Tensor:
        """The node's first input."""
        return self.input(0)

    @property
    def y(self) -> Tensor:
        """The node's first output."""
        return self.output(0)

    @property
    def here(self) -> Tensor:
        """The input whose cotangent the rule computes."""
        return self.input(self.index)

    def has(self, index: int) -> bool:
        """True if an optional input is present."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def input(self, index: int) -> Tensor:
        """An input of the node."""
        value = self.node.inputs[index]
        assert value is not None
        return self._carried(value)

    def output(self, index: int) -> Tensor:
        """An output of the node."""
        return self._carried(self.node.outputs[index])

    @property
    def inputs(self) -> list[Tensor]:
        """All inputs that are present."""
        return [self._carried(value) for value in self.node.inputs if value is not None]

    def _carried(self, value: ir.Value) -> Tensor:
        tensor = self.tape.wrap(value)
        if not tensor.dtype.is_floating_point():
            return tensor
        return tensor.cast(cotangent_dtype(tensor.dtype))

    def cotangent(self, output: int) -> Tensor:
        """The cotangent of an output; zeros where the score does not depend on it."""
        g = self.cotangents[output]
        if g is not None:
            return g
        y = self.output(output)
        return self.tape.zeros(y.dims, cotangent_dtype(y.dtype), lead=1)

    def needed(self, output: int) -> bool:
        """True if the score depends on an output."""
        return output < len(self.cotangents) and self.cotangents[output] is not None

    def optional_output(self, output: int, dtype: ir.DataType, shape: ir.Shape | None) -> Tensor:
        """An output that the node may omit, added where it does, of this type and shape."""
        node = self.node
        if len(node.outputs) <= output:
            node.resize_outputs(output + 1)
        value = node.outputs[output]
        if not value.name:
            value.name = f"{node.outputs[0].name}.{output}"
            value.dtype, value.shape = dtype, shape
        return self.output(output)

    @property
    def described(self) -> str:
        """The node, for an error message."""
        domain = f"{self.node.domain}." if self.node.domain else ""
        return f"{domain}{self.node.op_type} (node {self.node.name!r})"

    # Attributes.

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's plain value."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def axis(self, default: int = 0, *, rank: int | None = None) -> int:
        """The attribute ``axis``, counted from the front."""
        return int(self.attribute("axis", default)) % (self.x.rank if rank is None else rank)

    def axes(self, index: int, *, rank: int | None = None) -> list[int] | None:
        """The axes in an input, counted from the front; None where it is absent."""
        axes = self.constants(index)
        rank = self.x.rank if rank is None else rank
        return None if axes is None else sorted({int(axis) % rank for axis in axes})

    def constants(self, index: int) -> list[Any] | None:
        """The numbers in an input that must be constant; None where it is absent.

        Raises:
            OperatorError: the input is computed when the network runs.
        """
        if not self.has(index):
            return None
        const = self.input(index).const
        if const is None:
            raise OperatorError(
                f"input {index} of {self.described} is computed when the network runs, and its "
                "gradient needs it constant; choose a feature layer after it"
            )
        return list(const.reshape(-1).tolist())

    def refuse(self, reason: str) -> OperatorError:
        """The error of a node without a gradient."""
        return OperatorError(f"{self.described} {reason}; choose a feature layer after it")


def cotangent_dtype(dtype: ir.DataType) -> ir.DataType:
    """The element type of a tensor's cotangents: its own, or float32 if that is narrower."""
    return dtype if dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else ir.DataType.FLOAT
