"""Operators that put elements to places given by indices, by themselves or together with others.

All are brought to one form: ScatterElements.
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
    """What was there counts by the reduction.

    none: where nothing was put; add: all; mul: times what was put there; max, min: where it is the
    extreme, shared with the updates that are.
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
    """What was put counts by the reduction.

    none, add: all; mul: times the others that were put there; max, min: where it is the extreme,
    shared with the others that are.
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
    """g where nothing was put."""
    written = _written(n)
    ones = n.tape.constant(1, g.dtype).expand(n.input(1).dims)
    zeros = n.tape.zeros(n.x.dims, g.dtype)
    covered = n.tape.op("ScatterElements", zeros, written, ones, axis=n.axis(-2))
    return g.masked(covered.equals(0))


@rule("TensorScatter", inputs=[1])
def tensor_scatter_update(n: Node, g: Tensor) -> Tensor:
    """g from its place."""
    return n.tape.op("GatherElements", g, _written(n).asked(), lead=1, axis=n.axis(-2) + 1)


def _written(n: Node) -> Tensor:
    """Where along the axis each element of the update is put: indices of the update's shape."""
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
        """Updates put onto data."""
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
        """Updates put onto data as the node does it."""
        return self.put(data, updates, reduction=self.reduction)

    def taken(self, t: Tensor) -> Tensor:
        """What stands at the updates' places."""
        indices = self.indices.asked() if t.lead else self.indices
        return t.tape.op("GatherElements", t, indices, lead=t.lead, axis=self.axis + t.lead)

    def ties(self) -> Tensor:
        """How many, data and updates, are the extreme of a place."""
        own = self.data.equals(self.y).cast(self.data.dtype)
        theirs = self.updates.equals(self.taken(self.y)).cast(self.data.dtype)
        return self.put(own, theirs, reduction="add")

    def others(self) -> Tensor:
        """For each update the product of the others put there and of what was there."""
        gone, none = self.data.equals(0), self.updates.equals(0)
        factors = self.put(gone.where(1, self.data), none.where(1, self.updates), reduction="mul")
        dtype = self.data.dtype
        zeros = self.put(gone.cast(dtype), none.cast(dtype), reduction="add")
        return others(self.updates, self.taken(factors), self.taken(zeros))


def _scatter(n: Node) -> _Scatter:
    data, indices, updates = n.inputs
    reduction = n.attribute("reduction", "none")
    if n.node.op_type == "ScatterElements":
        return _Scatter(data, indices, updates, n.y, n.axis(0), reduction)
    places, taken = flat_places(data, indices)
    shape: list[Dim] = [product(data.dims[:taken]), product(data.dims[taken:])]
    rows = updates.reshape([places.dim(0), shape[1]])
    spread = places.unsqueeze([1]).expand(rows.dims)
    return _Scatter(data.reshape(shape), spread, rows, n.y.reshape(shape), 0, reduction)
