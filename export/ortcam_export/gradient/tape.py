"""The tape: what the arithmetic of :mod:`ortcam_export.gradient.tensor` is recorded on.

A tape appends nodes to a graph. An operation on constants is carried out at once instead, and the
same operation on the same tensors is recorded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ortcam.errors import OperatorError
from ortcam_export.gradient.tensor import Array, Dim, Tensor, content
from ortcam_export.graph.constants import evaluated

__all__ = ["Tape", "is_recorded"]

#: Marks a recorded node, as long as it is in memory. Its name proves nothing: nodes of the network,
#: such as those of a gradient in it, may bear any.
_RECORDED = "ortcam.recorded"


class Tape:
    """Records operations at the end of a graph.

    Attributes:
        graph: the graph that grows.
        gate: int64 [1], 0 where the operations recorded now are not needed and else 1; None where
            they always are.
        opset: the version of ai.onnx of the nodes.
    """

    def __init__(self, graph: ir.Graph, opset: int, *, prefix: str = "grad") -> None:
        """Start recording.

        Args:
            graph: the graph to append nodes to.
            opset: the version of ai.onnx of the nodes.
            prefix: begins the name of everything recorded.
        """
        self.graph = graph
        self.gate: Tensor | None = None
        self.opset = opset
        self._questions: Dim = 1
        self._tape = ir.tape.Tape(graph)
        self._prefix = prefix
        self._recorded: dict[object, list[Tensor]] = {}
        self._constants: dict[object, ir.Value] = {}
        self._names = _names(graph)
        self._count = 0

    @property
    def questions(self) -> Dim:
        """K, the extent of the questions' axis: 0 where the gate is shut."""
        return self._questions if self.gate is None else self.gate * self._questions

    @questions.setter
    def questions(self, extent: Dim) -> None:
        self._questions = extent

    @contextmanager
    def gated(self, gate: Tensor | None) -> Iterator[None]:
        """Record operations that are needed only where a gate is open."""
        before, self.gate = self.gate, gate
        try:
            yield
        finally:
            self.gate = before

    def let_through(self, x: Tensor) -> Tensor:
        """A tensor cut, along its first axis, to the questions that the gate lets through."""
        if self.gate is None:
            return x
        cut = x.revealed().slice(0, 0, self.questions)
        return cut.leading() if x.lead else cut

    def wrap(self, value: ir.Value, *, lead: int = 0) -> Tensor:
        """Return a value of the graph as a tensor.

        Raises:
            OperatorError: its rank or element type is unknown.
        """
        if value.shape is None or value.dtype is None:
            raise OperatorError(
                f"the rank of tensor {value.name!r} cannot be inferred, and its gradient needs it; "
                "declare the shapes of the network's inputs, or choose a later feature layer"
            )
        shape = [d if isinstance(d, int) else d.value for d in value.shape]
        const = None
        if value.const_value is not None and not value.is_graph_input():
            const = value.const_value.numpy()
        return Tensor(self, shape=shape, dtype=value.dtype, value=value, const=const, lead=lead)

    def constant(self, value: npt.ArrayLike, dtype: ir.DataType | None = None) -> Tensor:
        """Return a constant; integers are int64 by default."""
        array = np.asarray(value, None if dtype is None else dtype.numpy())
        kind = ir.DataType.from_numpy(array.dtype)
        return Tensor(self, shape=array.shape, dtype=kind, const=array)

    def shape(self, dims: Sequence[Dim]) -> Tensor:
        """Return extents as one int64 tensor."""
        if all(isinstance(dim, int) for dim in dims):
            return self.constant(np.asarray(dims, np.int64))
        parts = [self.constant([d]) if isinstance(d, int) else d for d in dims]
        return self.concat(parts, 0)

    def zeros(self, dims: Sequence[Dim], dtype: ir.DataType, *, lead: int = 0) -> Tensor:
        """Return zeros, which are made when the graph runs."""
        leading: list[Dim] = [self.questions] if lead else []
        value = ir.tensor(np.zeros(1, dtype.numpy()))
        physical = [*leading, *dims]
        zeros = self.op("ConstantOfShape", self.shape(physical), lead=lead, value=value)
        return zeros.stamped(physical)

    def arange(self, stop: Dim) -> Tensor:
        """Return 0, 1, ... below ``stop``, int64."""
        if isinstance(stop, int):
            return self.constant(np.arange(stop, dtype=np.int64))
        start, step = self.constant(0), self.constant(1)
        return self.op("Range", start, stop.squeeze([0]), step)

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """Join tensors along an axis."""
        if len(tensors) == 1:
            return tensors[0]
        lead = max(t.lead for t in tensors)
        if lead:
            tensors = [t.asked() for t in tensors]
        return self.op("Concat", *tensors, lead=lead, axis=axis % tensors[0].rank + lead)

    def initializer(self, array: Array) -> ir.Value:
        """Return an initializer with this value; equal ones are shared."""
        key = content(array)
        if key not in self._constants:
            name = self._name("const")
            self._constants[key] = self._tape.initializer(ir.tensor(array, name=name))
        return self._constants[key]

    def again(self, value: ir.Value) -> ir.Value:
        """Return a copy of a value, so that it can bear another name."""
        copy = self._tape.op("Identity", [value], name=self._name("Identity"))
        copy.type, copy.shape = value.type, value.shape
        return _marked(copy)

    def inside(self, graph: ir.Graph) -> Tape:
        """Return a tape for a graph inside a node recorded here; its names are made unique."""
        inner = Tape(graph, self.opset, prefix=self._name("inside"))
        for node in graph.all_nodes():
            node.name = f"{inner._prefix}.{node.name}"
        for nested in (graph, *graph.subgraphs()):
            outputs = [value for node in nested for value in node.outputs if value.name]
            for value in (*nested.inputs, *tuple(nested.initializers.values()), *outputs):
                value.name = f"{inner._prefix}.{value.name}"
        questions = self.questions
        inner.questions = questions if isinstance(questions, int) else inner.seen(questions)
        return inner

    def seen(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the outer tape as one of this tape."""
        inner = Tensor(
            self,
            shape=tensor.shape,
            dtype=tensor.dtype,
            value=tensor.value if tensor.const is None else None,
            const=tensor.const,
            lead=tensor.lead,
        )
        inner.symbol = tensor.symbol
        return inner

    def branch(
        self,
        condition: ir.Value,
        branches: Sequence[ir.Graph],
        dtype: ir.DataType,
        physical: Sequence[int | str | None],
    ) -> Tensor:
        """Record an If of two graphs, whose one output has the questions' axis."""
        attributes = dict(zip(("then_branch", "else_branch"), branches, strict=True))
        value = self._tape.op("If", [condition], attributes, name=self._name("If"))
        value.name, value.dtype = self._name("If_out"), dtype
        value.shape = ir.Shape(physical)
        return Tensor(self, shape=physical, dtype=dtype, value=_marked(value), lead=1)

    def op(self, op_type: str, *inputs: Tensor | None, lead: int = 0, **attributes: Any) -> Tensor:
        """Record a standard operator and return its first output."""
        return self.ops(op_type, *inputs, lead=lead, outputs=1, **attributes)[0]

    def ops(
        self,
        op_type: str,
        *inputs: Tensor | None,
        lead: int = 0,
        outputs: int = 1,
        **attributes: Any,
    ) -> list[Tensor]:
        """Record a standard operator and return all its outputs."""
        attributes = {name: value for name, value in attributes.items() if value is not None}
        key = (
            op_type,
            tuple(None if t is None else t.identity for t in inputs),
            lead,
            outputs,
            tuple(sorted((k, str(v)) for k, v in attributes.items())),
        )
        if key not in self._recorded:
            self._recorded[key] = self._record(op_type, inputs, lead, outputs, attributes)
        return self._recorded[key]

    def _record(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        lead: int,
        outputs: int,
        attributes: dict[str, Any],
    ) -> list[Tensor]:
        proto = _proto(op_type, len(inputs), [t is not None for t in inputs], outputs, attributes)
        folded = self._folded(proto, inputs, lead)
        if folded is not None:
            return folded
        types = self._inferred(proto, inputs)
        values = self._tape.op_multi_out(
            op_type,
            [None if t is None else t.value for t in inputs],
            attributes,
            num_outputs=outputs,
            name=self._name(op_type),
        )
        _marked(values[0])
        results = []
        for value, output in zip(values, proto.output, strict=True):
            tensor_type = types[output].tensor_type
            shape = [_extent(d) for d in tensor_type.shape.dim]
            value.name = self._name(f"{op_type}_out")
            dtype = ir.DataType(tensor_type.elem_type)
            value.dtype = dtype
            # where inference gives up the rank is not 0: see Tensor.ranked
            value.shape = ir.Shape(shape) if tensor_type.HasField("shape") else None
            results.append(Tensor(self, shape=shape, dtype=dtype, value=value, lead=lead))
        return results

    def _folded(
        self, proto: onnx.NodeProto, inputs: Sequence[Tensor | None], lead: int
    ) -> list[Tensor] | None:
        """The outputs where all inputs are constants and no output is large."""
        constants = {
            name: t.const
            for name, t in zip(proto.input, inputs, strict=True)
            if t is not None and t.const is not None
        }
        if len(constants) < sum(t is not None for t in inputs) or not constants:
            return None
        if proto.op_type in ("Expand", "ConstantOfShape", "Tile"):
            return None  # a large constant is made when the graph runs, not stored in it
        arrays = evaluated(proto, constants, self.opset)
        if arrays is None:
            return None
        results = []
        for array in arrays:
            array = np.ascontiguousarray(array).reshape(np.shape(array))
            dtype = ir.DataType.from_numpy(array.dtype)
            results.append(Tensor(self, shape=array.shape, dtype=dtype, const=array, lead=lead))
        return results

    def _inferred(
        self, proto: onnx.NodeProto, inputs: Sequence[Tensor | None]
    ) -> dict[str, onnx.TypeProto]:
        types, data = {}, {}
        for name, t in zip(proto.input, inputs, strict=True):
            if t is None:
                continue
            types[name] = onnx.helper.make_tensor_type_proto(int(t.dtype), list(t.shape))
            if t.const is not None and t.dtype == ir.DataType.INT64 and t.const.size <= 64:
                data[name] = onnx.numpy_helper.from_array(t.const)
        schema = onnx.defs.get_schema(proto.op_type, self.opset, "")
        return dict(
            onnx.shape_inference.infer_node_outputs(
                schema,
                proto,
                types,
                data,
                opset_imports=[onnx.helper.make_opsetid("", self.opset)],
                ir_version=10,
            )
        )

    def _name(self, kind: str) -> str:
        while True:
            name = f"{self._prefix}.{kind}_{self._count}"
            self._count += 1
            if name not in self._names:
                return name


def is_recorded(node: ir.Node | None) -> bool:
    """True if a node was recorded on a tape, or is a copy of one that was."""
    return node is not None and _RECORDED in node.meta


def _extent(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return dim.dim_value
    return dim.dim_param or None


def _proto(
    op_type: str, count: int, present: Sequence[bool], outputs: int, attributes: dict[str, Any]
) -> onnx.NodeProto:
    plain = {k: ir.to_proto(v) if isinstance(v, ir.Tensor) else v for k, v in attributes.items()}
    names = [f"i{i}" if present[i] else "" for i in range(count)]
    return onnx.helper.make_node(op_type, names, [f"o{i}" for i in range(outputs)], **plain)


def _marked(value: ir.Value) -> ir.Value:
    node = value.producer()
    assert node is not None
    node.meta[_RECORDED] = True
    return value


def _names(graph: ir.Graph) -> set[str]:
    names: set[str | None] = set()
    for nested in (graph, *graph.subgraphs()):
        names.update(value.name for value in nested.inputs)
        names.update(nested.initializers)
        for node in nested:
            names.add(node.name)
            names.update(value.name for value in node.outputs)
    return {name for name in names if name}
