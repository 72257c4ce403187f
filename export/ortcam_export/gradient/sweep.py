"""The reverse sweep: from a score back to the tensors whose cotangents are wanted.

Reverse-mode differentiation as a graph-to-graph transformation. What is common to all rules is
done here: which tensors lie between the targets and the score, adding up over consumers, summing
over broadcast axes, and whether a cotangent is wanted whole or contracted with windows.
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
    _captured,
    _unblocked,
    _without_rule,
    consumers,
    dependencies,
    passes,
)
from ortcam_export.gradient.seed import Given, Seed
from ortcam_export.gradient.table import broadcasts, lookup, lookup_contracted, lookup_parted
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Dim, Tensor, product
from ortcam_export.gradient.windows import Ones, Windows

__all__ = ["Sweep"]


class Sweep:
    """One reverse sweep through a graph; the cotangents it makes are shared by all targets."""

    def __init__(
        self, tape: Tape, seed: Seed, gates: Mapping[ir.Value, Tensor | None] | None = None
    ) -> None:
        """Starts a sweep.

        Args:
            tape: where it is recorded.
            seed: where it starts.
            gates: for tensors whose whole cotangent is not always wanted, the gate that says
                whether it is (see :attr:`Tape.gate`). A gate is open where one further up is.
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
        wanted = self._downstream(value)
        for v in wanted:
            if v is not value and self._wanted_in_part(v, wanted):
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
        """The tensors whose whole cotangents were made, or all of them that was wanted."""
        return self._in_parts.union(self._whole)

    @property
    def wholes(self) -> list[Tensor]:
        """The whole cotangents that were made."""
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
        if terms == [None]:  # whole, it serves others too
            return self._let_through(value, windows.contract(self.whole(value)))
        return _sum(
            windows.contract(self._through(node, index)) if term is None else term
            for term, (node, index) in zip(terms, uses, strict=True)
        )

    def _contracted_through(self, node: ir.Node, index: int, windows: Windows) -> Tensor | None:
        """A consumer's contribution without its own whole; None where it needs its outputs'."""
        n = Node(self._tape, node, index)
        if node.outputs[0] is self._seed.value:
            closed = self._seed.before(n, windows)
            if closed is not None:
                return closed
        second = lookup_contracted(node, index)
        if second is not None:
            answer = second(n, windows, self.contracted)
            if answer is not None:
                return answer
        for output in node.outputs:
            if output in self._on_path:
                self.whole(output)
        return None

    def _through(self, node: ir.Node, index: int) -> Tensor:
        """What one consumer contributes to the cotangent of its input, given its outputs' own."""
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
            value = _captured(node)[-1 - index]
            return through_branches(self._tape, node, value, n.cotangents, _inner(value))
        rule = lookup(node, index)
        assert rule is not None
        g = rule(n, n.cotangent(0))
        if broadcasts(node.op_type) and len(node.inputs) > 1:
            g = summed_to(g, n.y.dims, n.here)
        return g

    def _let_through(self, value: ir.Value, g: Tensor) -> Tensor:
        """What was made of a tensor's cotangent, with the questions that are asked here."""
        same = self._gates.get(value) is self._tape.gate
        return g if same else self._tape.let_through(g)

    def _wanted_in_part(self, value: ir.Value, wanted: Sequence[ir.Value]) -> bool:
        """Whether of channels joined only some are wanted, and all readers can tell them apart."""
        node = value.producer()
        return (
            node is not None
            and node.op_type == "Concat"
            and value is not self._seed.value
            and value not in self._whole
            and Node(self._tape, node).axis(0) == 1
            and sum(operand in wanted for operand in node.inputs) == 1
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
            OperatorError: nobody has decided about the operator of one of them.
        """
        for node, index in consumers(self._tape.graph, value):
            if any(output in self._on_path for output in node.outputs) and passes(node, index):
                for blocking in _without_rule(node):
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
        return _unblocked(self._tape.graph, self._seed.value)

    def _downstream(self, value: ir.Value) -> list[ir.Value]:
        """The tensors between this one and the score whose cotangents are missing, last first."""
        found, stack = {value}, [value]
        while stack:
            v = stack.pop()
            if v is self._seed.value or v in self._whole:
                continue
            for node, _ in self._uses(v):
                for output in node.outputs:
                    if output in self._on_path and output not in found:
                        found.add(output)
                        stack.append(output)
        return sorted(found, key=self.position, reverse=True)

    def position(self, value: ir.Value) -> int:
        """Where in the graph a tensor is made; -1 for inputs, initializers and what is outside."""
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
    """Whether a tensor has more axes than pictures and channels: a feature layer needs some."""
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
