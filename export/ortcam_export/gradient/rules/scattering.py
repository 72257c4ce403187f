"""Operators that write elements at indices, or combine them with the elements there.

All are reduced to one form: ScatterElements.
"""

from __future__ import annotations

from dataclasses import dataclass

from ortcam_export.gradient.blocks.product_of_others import others
from ortcam_export.gradient.blocks.scatter_add import flat_places
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor, product


@rule("ScatterElements", "ScatterND", inputs=[0])
def scatter_data(n: Node, g: Tensor) -> Tensor:
    """g_x = g where nothing is written (none); g (add); g times the updates (mul).

    max, min: g where x is the extreme, shared evenly with the updates that are.
    """
    s = _scatter(n)
    g = g.reshape(s.dims)
    if s.reduction == "add":
        gradient = g
    elif s.reduction == "none":
        gradient = s.put(g, s.zeros(g, lead=1), reduction="none")
    elif s.reduction == "mul":
        gradient = g * s.onto(s.data.equals(s.data).cast(g.dtype), s.updates)
    else:
        gradient = (g / s.ties()).masked(s.data.equals(s.y))
    return gradient.reshape(n.x.dims)


@rule("ScatterElements", "ScatterND", inputs=[2])
def scatter_updates(n: Node, g: Tensor) -> Tensor:
    """g_u = g from its place (none, add); g times the other factors there (mul).

    max, min: g where the update is the extreme, shared evenly with the others that are.
    """
    s = _scatter(n)
    g = g.reshape(s.dims)
    if s.reduction in ("none", "add"):
        gradient = s.taken(g)
    elif s.reduction == "mul":
        gradient = s.taken(g) * s.others()
    else:
        gradient = s.taken(g / s.ties()).masked(s.updates.equals(s.taken(s.y)))
    return gradient.reshape(n.here.dims)


@rule("TensorScatter", inputs=[0])
def tensor_scatter_data(n: Node, g: Tensor) -> Tensor:
    """g_x = g where nothing is written, 0 elsewhere."""
    written = _written(n)
    ones = n.tape.constant(1, g.dtype).expand(n.input(1).dims)
    zeros = n.tape.zeros(n.x.dims, g.dtype)
    covered = n.tape.op("ScatterElements", zeros, written, ones, axis=n.axis(-2))
    return g.masked(covered.equals(0))


@rule("TensorScatter", inputs=[1])
def tensor_scatter_update(n: Node, g: Tensor) -> Tensor:
    """g_u = g from its place."""
    return n.tape.op("GatherElements", g, _written(n).asked(), lead=1, axis=n.axis(-2) + 1)


def _written(n: Node) -> Tensor:
    """The place along the axis of each element of the update: indices of the update's shape."""
    axis, update = n.axis(-2), n.input(1)
    steps = n.tape.arange(update.dim(axis)).unsqueeze(range(1, update.rank - axis))
    if n.has(2):
        starts = n.input(2)
        steps = steps + starts.unsqueeze(range(1, update.rank))
    if n.attribute("mode", "linear") == "circular":
        steps = steps.modulo(n.x.dim(axis))
    return steps.expand(update.dims)


@dataclass(frozen=True)
class _Scatter:
    """A scattering along one axis: indices and updates of one shape, data and result of another."""

    data: Tensor
    indices: Tensor
    updates: Tensor
    y: Tensor
    axis: int
    reduction: str

    @property
    def dims(self) -> list[Dim]:
        """The shape of the data."""
        return self.data.dims

    def zeros(self, like: Tensor, *, lead: int = 0) -> Tensor:
        """Zeros of the updates' shape."""
        return self.data.tape.zeros(self.updates.dims, like.dtype, lead=lead)

    def put(self, data: Tensor, updates: Tensor, *, reduction: str) -> Tensor:
        """Updates written to data."""
        indices = self.indices.asked() if data.lead else self.indices
        return data.tape.op(
            "ScatterElements",
            data,
            indices,
            updates,
            lead=data.lead,
            axis=self.axis + data.lead,
            reduction=reduction,
        )

    def onto(self, data: Tensor, updates: Tensor) -> Tensor:
        """Updates written to data by the node's reduction."""
        return self.put(data, updates, reduction=self.reduction)

    def taken(self, t: Tensor) -> Tensor:
        """The elements at the updates' places."""
        indices = self.indices.asked() if t.lead else self.indices
        return t.tape.op("GatherElements", t, indices, lead=t.lead, axis=self.axis + t.lead)

    def ties(self) -> Tensor:
        """The number of elements, of data and updates, that equal the extreme of a place."""
        data = self.data.equals(self.y).cast(self.data.dtype)
        updates = self.updates.equals(self.taken(self.y)).cast(self.data.dtype)
        return self.put(data, updates, reduction="add")

    def others(self) -> Tensor:
        """For each update the product of the other updates and the data at its place."""
        data_zero, update_zero = self.data.equals(0), self.updates.equals(0)
        data, updates = data_zero.where(1, self.data), update_zero.where(1, self.updates)
        factors = self.put(data, updates, reduction="mul")
        dtype = self.data.dtype
        zeros = self.put(data_zero.cast(dtype), update_zero.cast(dtype), reduction="add")
        return others(self.updates, self.taken(factors), self.taken(zeros))


def _scatter(n: Node) -> _Scatter:
    data, indices, updates = n.inputs
    reduction = n.attribute("reduction", "none")
    if n.node.op_type == "ScatterElements":
        return _Scatter(data, indices, updates, n.y, n.axis(0), reduction)
    places, indexed = flat_places(data, indices)
    shape: list[Dim] = [product(data.dims[:indexed]), product(data.dims[indexed:])]
    rows = updates.reshape([places.dim(0), shape[1]])
    spread = places.unsqueeze([1]).expand(rows.dims)
    return _Scatter(data.reshape(shape), spread, rows, n.y.reshape(shape), 0, reduction)
