"""The reverse sweep: from a score back to the tensors whose cotangents are needed.

Reverse-mode differentiation as a graph-to-graph transformation. The sweep does what all rules have
in common: it finds the tensors between the targets and the score, adds up over consumers, sums
over broadcast axes, and asks for cotangents whole or contracted with windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import onnx_ir as ir

from ortcam.errors import LayerError, OperatorError
from ortcam_export.gradient.blocks.unbroadcast import summed_to
from ortcam_export.gradient.if_branches import through_branches
from ortcam_export.gradient.node import Node, cotangent_dtype
from ortcam_export.gradient.operators import decision
from ortcam_export.gradient.paths import (
    captured_operands,
    consumers,
    dependencies,
    passes,
    unblocked,
    without_rule,
)
from ortcam_export.gradient.seed import Given, Seed
from ortcam_export.gradient.table import broadcasts, lookup, lookup_contracted, lookup_parted
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Dim, Tensor, product
from ortcam_export.gradient.windows import Ones, Windows

__all__ = ["Sweep"]


class Sweep:
    """One reverse sweep through a graph, whose cotangents all targets share."""

    def __init__(
        self, tape: Tape, seed: Seed, gates: Mapping[ir.Value, Tensor | None] | None = None
    ) -> None:
        """Start a sweep.

        Args:
            tape: records the sweep.
            seed: the cotangent it starts with.
            gates: for tensors whose whole cotangent is not always needed, the gate that tells when
                it is (see :attr:`Tape.gate`). A gate is open where one further up is.
        """
        self._tape = tape
        self._seed = seed
        self._gates = gates or {}
        self._on_path = dependencies(tape.graph, seed.value)
        self._order = {node: i for i, node in enumerate(tape.graph)}
        self._whole: dict[ir.Value, Tensor] = {}
        self._in_parts: set[ir.Value] = set()

    def whole(self, value: ir.Value) -> Tensor:
        """The cotangent of a tensor, [K, *shape].

        Raises:
            LayerError: the score does not depend on the tensor.
            OperatorError: an operator on the way has no rule.
        """
        self._require(value)
        missing = self._downstream(value)
        for v in missing:
            if v is not value and self._needed_in_part(v, missing):
                self._in_parts.add(v)
            elif v not in self._whole:
                with self._tape.gated(self._gates.get(v)):
                    self._whole[v] = (
                        self._seed.whole()
                        if v is self._seed.value
                        else _sum(self._through(node, index) for node, index in self._uses(v))
                    )
        return self._whole[value]

    @property
    def carried(self) -> set[ir.Value]:
        """The tensors whose whole cotangents were recorded, or all of them that was needed."""
        return self._in_parts.union(self._whole)

    @property
    def wholes(self) -> list[Tensor]:
        """The whole cotangents that were recorded."""
        return list(self._whole.values())

    def mean(self, value: ir.Value, channel_axis: int) -> Tensor:
        """The mean of a tensor's cotangent over space, [K, N, C]."""
        self._require(value)
        x = self._tape.wrap(value)
        space = [axis for axis in range(1, x.rank) if axis != channel_axis]
        ones = Windows(
            self._tape, cotangent_dtype(x.dtype), {axis: Ones(x.dim(axis)) for axis in space}
        )
        total = self.contracted(value, ones).squeeze(space)
        cells = product(x.dim(axis) for axis in space)
        return total / (cells.cast(total.dtype) if isinstance(cells, Tensor) else cells)

    def contracted(self, value: ir.Value, windows: Windows) -> Tensor:
        """A tensor's cotangent contracted with windows."""
        if value in self._whole:
            return self._let_through(value, windows.contract(self._whole[value]))
        if value is self._seed.value:
            return self._seed.contracted(windows)
        if value not in self._on_path:  # an output of a Split that goes elsewhere
            return self._tape.zeros(windows.dims(self._tape.wrap(value)), windows.dtype, lead=1)
        uses = list(self._uses(value))
        terms = [self._contracted_through(node, index, windows) for node, index in uses]
        if terms == [None]:  # the whole one serves other targets too
            return self._let_through(value, windows.contract(self.whole(value)))
        return _sum(
            windows.contract(self._through(node, index)) if term is None else term
            for term, (node, index) in zip(terms, uses, strict=True)
        )

    def _contracted_through(self, node: ir.Node, index: int, windows: Windows) -> Tensor | None:
        """A consumer's contribution, contracted; None where that needs its outputs' whole ones."""
        n = Node(self._tape, node, index)
        if node.outputs[0] is self._seed.value:
            closed = self._seed.before(n, windows)
            if closed is not None:
                return closed
        contracted = lookup_contracted(node, index)
        if contracted is not None:
            g = contracted(n, windows, self.contracted)
            if g is not None:
                return g
        for output in node.outputs:
            if output in self._on_path:
                self.whole(output)
        return None

    def _through(self, node: ir.Node, index: int) -> Tensor:
        """A consumer's contribution to the cotangent of its input, by those of its outputs."""
        n = Node(self._tape, node, index)
        if node.outputs[0] is self._seed.value:
            closed = self._seed.before(n, None)
            if closed is not None:
                return closed
        if node.outputs[0] in self._in_parts and node.outputs[0] not in self._whole:
            return self._part(n)
        n.cotangents = [
            self._let_through(output, self._whole[output]) if output in self._whole else None
            for output in node.outputs
        ]
        if index < 0:
            value = captured_operands(node)[-1 - index]
            return through_branches(self._tape, node, value, n.cotangents, _inner(value))
        rule = lookup(node, index)
        assert rule is not None
        g = rule(n, n.cotangent(0))
        if broadcasts(node.op_type) and len(node.inputs) > 1:
            g = summed_to(g, n.y.dims, n.here)
        return g

    def _let_through(self, value: ir.Value, g: Tensor) -> Tensor:
        """A function of a tensor's cotangent, for the questions that the gate here lets through."""
        same = self._gates.get(value) is self._tape.gate
        return g if same else self._tape.let_through(g)

    def _needed_in_part(self, value: ir.Value, targets: Sequence[ir.Value]) -> bool:
        """True if of joined channels only some are needed, and all readers have a parted rule."""
        node = value.producer()
        return (
            node is not None
            and node.op_type == "Concat"
            and value is not self._seed.value
            and value not in self._whole
            and Node(self._tape, node).axis(0) == 1
            and sum(operand in targets for operand in node.inputs) == 1
            and all(lookup_parted(reader, index) for reader, index in self._uses(value))
        )

    def _part(self, n: Node) -> Tensor:
        """The cotangent of one input of a Concat, without that of the others."""
        start: Dim = 0
        for x in n.inputs[: n.index]:
            start = x.dim(1) + start
        terms = []
        for reader, index in self._uses(n.node.outputs[0]):
            part = lookup_parted(reader, index)
            assert part is not None
            reading = Node(self._tape, reader, index)
            output = reader.outputs[0]
            g = self._let_through(output, self._whole[output])
            terms.append(part(reading, g, start, n.here.dim(1) + start))
        return _sum(terms)

    def _uses(self, value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
        """The consumers through which the score depends on a tensor.

        Raises:
            OperatorError: the operator of one of them has no rule.
        """
        for node, index in consumers(self._tape.graph, value):
            if any(output in self._on_path for output in node.outputs) and passes(node, index):
                for blocking in without_rule(node):
                    raise self._refusal(node, blocking)
                yield node, index

    def _refusal(self, node: ir.Node, blocking: ir.Node) -> OperatorError:
        after = next(
            (
                output.name
                for later in list(self._tape.graph)[self._order[node] :]
                for output in later.outputs
                if output in self._reachable
                and output is not self._seed.value
                and _has_space(output)
            ),
            None,
        )
        way_out = (
            f"choose a feature layer after it, such as {after!r}"
            if after
            else "no layer between it and the score avoids it"
        )
        described = Node(self._tape, blocking).described
        return OperatorError(f"{described} has no gradient rule{_because(blocking)}; {way_out}")

    @cached_property
    def _reachable(self) -> set[ir.Value]:
        return unblocked(self._tape.graph, self._seed.value)

    def _downstream(self, value: ir.Value) -> list[ir.Value]:
        """The tensors between this one and the score whose cotangents are missing, last first."""
        missing, stack = {value: None}, [value]  # a dict: in an order that every run repeats
        while stack:
            v = stack.pop()
            if v is self._seed.value or v in self._whole:
                continue
            for node, _ in self._uses(v):
                for output in node.outputs:
                    if output in self._on_path and output not in missing:
                        missing[output] = None
                        stack.append(output)
        return sorted(missing, key=self.position, reverse=True)

    def position(self, value: ir.Value) -> int:
        """The position of a tensor's node; -1 for inputs, initializers and outer tensors."""
        producer = value.producer()
        return -1 if producer is None else self._order.get(producer, -1)

    def _require(self, value: ir.Value) -> None:
        if value not in self._on_path:
            raise LayerError(
                f"no gradient reaches {value.name!r}: {self._seed.value.name!r} does not depend "
                "on it through differentiable operators"
            )


def _inner(value: ir.Value) -> Callable[[Tape, ir.Value, Tensor], Tensor | None]:
    """The sweep through a graph inside a node, back to a tensor from outside it."""

    def back(tape: Tape, output: ir.Value, g: Tensor) -> Tensor | None:
        if value not in dependencies(tape.graph, output):
            return None
        return Sweep(tape, Given(output, g)).whole(value)

    return back


def _has_space(value: ir.Value) -> bool:
    """True if a tensor has more axes than pictures and channels, as a feature layer has."""
    return value.shape is not None and len(value.shape) > 2


def _because(node: ir.Node) -> str:
    try:
        reason = decision(node.op_type, node.domain).reason
    except KeyError:
        return ""
    return f" ({reason})" if reason else ""


def _sum(terms: Iterable[Tensor]) -> Tensor:
    total, *rest = terms
    for term in rest:
        total = total + term
    return total
