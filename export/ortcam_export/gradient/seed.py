"""The cotangent of the score, with which a sweep starts.

:class:`Given` takes it as an input, as a vector-Jacobian product does. :class:`Question` is that of
Grad-CAM: y[k, n] = sum of class_weights[k, n, c] * region[k, n, ...] * score[n, c, ...], whose
cotangent is an outer product. Through a softmax or a sigmoid its gradient has a closed form that
does not cancel and, where only the mean is needed, does not grow with the number of questions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Protocol

import onnx_ir as ir

from ortcam_export.gradient.blocks.saturated import complemented, sigmoid_slope
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Dim, Tensor, product
from ortcam_export.gradient.windows import Edged, Ones, Window, Windows

__all__ = ["Given", "Question", "Seed"]

#: The closed form of a softmax is used for one window always, for several up to this many windows
#: times classes; beyond, its products with every window outweigh the plain sweep. For one window on
#: ONNX Runtime's CPU provider it costs less than the plain sweep at any number of classes where the
#: questions share a region; where each has its own, see _MANY_CLASSES.
_CLOSED_FORM_LIMIT = 128

#: From this many classes on, questions with a region each take no product each. ONNX Runtime on two
#: cores, 360 x 480 cells, 150 classes, time beyond inference in inferences: 0.78 instead of 17 for
#: 150 questions, 0.31 instead of 0.95 for 11. With 11 classes and 11 questions both are equal.
_MANY_CLASSES = 32
_UNKNOWN = 2**31


class Seed(Protocol):
    """The cotangent of a tensor, with which a sweep starts."""

    value: ir.Value

    def whole(self) -> Tensor:
        """The cotangent, [K, *shape]."""

    def contracted(self, windows: Windows) -> Tensor:
        """The cotangent contracted with windows."""

    def before(self, n: Node, windows: Windows | None) -> Tensor | None:
        """The cotangent of the input of the tensor's node, in closed form.

        Whole where ``windows`` is None, else contracted; None where there is no closed form.
        """


class Given:
    """A cotangent that is a tensor of the graph."""

    def __init__(self, value: ir.Value, cotangent: Tensor) -> None:
        self.value = value
        self._cotangent = cotangent

    def whole(self) -> Tensor:
        """The cotangent itself."""
        return self._cotangent

    def contracted(self, windows: Windows) -> Tensor:
        """The cotangent contracted with windows."""
        return windows.contract(self._cotangent)

    def before(self, n: Node, windows: Windows | None) -> Tensor | None:
        """None: a given cotangent has no closed form."""
        return None


class Question:
    """The cotangent of a reduced class score: class weights times region.

    Args of the constructor:
        value: the score, [N, C, *space] with the classes on ``class_axis``.
        class_weights: [K, N or 1, C].
        region: [K or 1, N or 1, *space], each extent of space full or 1.
    """

    def __init__(
        self, tape: Tape, value: ir.Value, class_axis: int, class_weights: Tensor, region: Tensor
    ) -> None:
        self.value = value
        self._tape = tape
        score = tape.wrap(value)
        self._dims = score.dims
        self._classes = class_axis
        self._space = [axis for axis in range(1, score.rank) if axis != class_axis]
        self._class_weights = class_weights.leading()
        # [K or 1, N or 1, *space], full in space: a sum over an extent of 1 would miss cells
        space = [self._dims[axis] for axis in self._space]
        self._full_region = region.expand([region.dim(0), region.dim(1), *space])

    @property
    def _weights(self) -> Tensor:
        return self._tape.let_through(self._class_weights)

    @property
    def _region(self) -> Tensor:
        return self._tape.let_through(self._full_region)

    def whole(self) -> Tensor:
        """The outer product, [K, *shape of the score]."""
        return (self._laid_out(self._weights) * self._region_laid_out()).expand(self._dims)

    def contracted(self, windows: Windows) -> Tensor:
        """Class weights times the region's contraction."""
        if self._classes in windows.axes or 0 in windows.axes:
            return windows.contract(self.whole())
        score = self._laid_out(self._weights) * windows.contract(self._region_laid_out())
        return score.expand(self._contracted_dims(windows))

    def before(self, n: Node, windows: Windows | None) -> Tensor | None:
        """The gradient with respect to the logits of a softmax, or a sigmoid."""
        if windows is not None and set(windows.axes) != set(self._space):
            return None
        if n.node.op_type == "Sigmoid":
            return self._before_sigmoid(n, windows)
        if n.node.op_type == "Softmax" and n.axis(-1) == self._classes:
            if windows is None:
                return self._before_softmax(n)
            inner = _inner(windows.axes[axis] for axis in self._space)
            if self._regions_may_cost(windows):
                return self._before_softmax_of_regions(n, windows)
            if inner == 1 or inner * self._class_count() <= _CLOSED_FORM_LIMIT:
                return self._before_softmax_contracted(n, windows)
        return None

    def _before_sigmoid(self, n: Node, windows: Windows | None) -> Tensor:
        """dy/dx = w r s (1 - s)."""
        region = self._asked(self._region, 1).unsqueeze([1 + self._classes]).leading()
        slope = sigmoid_slope(self._asked(n.x, 0)) * region
        weights = self._laid_out(self._asked(self._weights, 0))
        g = weights * (slope if windows is None else windows.contract(slope))
        dims = self._dims if windows is None else self._contracted_dims(windows)
        return g if self._tape.gate is None else g.reshape(dims)

    def _before_softmax(self, n: Node) -> Tensor:
        """dy/dx_c = r s_c (w_c - sum_j w_j s_j), without cancellation (see complemented)."""
        s, weights = self._flat(self._softmax(n)), self._asked(self._weights, 0)
        dominant, others, rest = complemented(s, -2)
        rows = weights.revealed().moved(0, 1)  # [N or 1, K, C]
        d = rows @ dominant
        beside = rows @ others - d * rest
        d, beside = (t.moved(0, 1).leading().unsqueeze([-2]) for t in (d, beside))
        column = weights.unsqueeze([-1])
        gradient = (s * self._flat_region()).leading() * ((column - d) - beside)
        return self._unflat(gradient, [self._dims[axis] for axis in self._space])

    def _before_softmax_contracted(self, n: Node, windows: Windows) -> Tensor:
        """<A, dy/dx_c> = sum_j M_cj (w_c - w_j) with M = S diag(r A) S', S classes x cells.

        No term cancels, and M serves every question. With several windows there is an M for each;
        M is linear in them, so what all windows along an axis share is taken once.
        """
        s = self._softmax(n).transpose([0, self._classes, *self._space])
        s, region = self._asked(s, 0), self._asked(self._full_region, 1)
        m: Tensor | None = None
        for parts in itertools.product(*(_parts(windows.axes[axis]) for axis in self._space)):
            x, r = s, region
            for i, (_, edged) in enumerate(parts):
                if edged is not None:
                    x, r = edged.at_ends(x, 2 + i), edged.at_ends(r, 2 + i)
            part = _products(x, r, [window for window, _ in parts])
            m = part if m is None else m + part
        assert m is not None
        weights = self._asked(self._weights, 0)
        pairs = weights.unsqueeze([-1]) - weights.unsqueeze([-2])
        g = (
            self._tape.let_through(m).leading() * pairs.unsqueeze(range(1, 1 + len(self._space)))
        ).sum([-1])
        g = g.moved(-1, self._classes)
        return g if self._tape.gate is None else g.reshape(self._contracted_dims(windows))

    def _regions_may_cost(self, windows: Windows) -> bool:
        """True if there is one window and an M for each region would be expensive."""
        single = all(windows.count(axis) == 1 for axis in self._space)
        edged = any(isinstance(window, Edged) for window in windows.axes.values())
        return single and not edged and _MANY_CLASSES <= self._class_count() < _UNKNOWN

    def _before_softmax_of_regions(self, n: Node, windows: Windows) -> Tensor:
        """:meth:`_before_softmax_contracted`, with M only where the questions share a region."""
        s, region = self._flat(self._softmax(n)), self._full_region
        for i, axis in enumerate(self._space):
            window = windows.axes[axis]
            if isinstance(window, Tensor):
                behind = range(1, len(self._space) - i)
                region = region * window.squeeze([0]).unsqueeze(behind)
        region = self._asked(region.reshape([*region.dims[:2], self._cells()]), 1)
        weights, tape, branches = self._asked(self._weights, 0), self._tape, []
        regions, each = region.dim(0), tape.let_through(region)
        for name, form, where in (("own", _apart, each), ("shared", _paired, region)):
            branch = ir.Graph([], [], nodes=[], name=name)
            inner = tape.inside(branch)
            branch.outputs.append(form(*(inner.seen(t) for t in (s, where, weights))).value)
            branches.append(branch)
        assert isinstance(regions, Tensor)
        questions = tape.questions if isinstance(tape.questions, int) else tape.questions.symbol
        shape = [questions, s.shape[0], s.shape[1]]
        g = tape.branch((regions.squeeze([0]) > 1).value, branches, s.dtype, shape)
        g = g.unsqueeze(range(2, 2 + len(self._space))).moved(1, self._classes)
        return g if self._tape.gate is None else g.reshape(self._contracted_dims(windows))

    def _softmax(self, n: Node) -> Tensor:
        """The softmax; of a network narrower than float32, in float32 from its logits."""
        if self.value.dtype == n.y.dtype:
            return n.y
        return n.x.apply("Softmax", axis=n.axis(-1))

    def _asked(self, x: Tensor, axis: int) -> Tensor:
        """A tensor, without any picture where the gate is shut: work on the score costs too."""
        gate = self._tape.gate
        return x if gate is None else x.slice(axis, 0, gate * self._dims[0])

    def _class_count(self) -> int:
        count = self._dims[self._classes]
        return count if isinstance(count, int) else _UNKNOWN

    def _laid_out(self, weights: Tensor) -> Tensor:
        """Class weights [N or 1, C] with the score's axes."""
        shaped = weights.unsqueeze(range(2, 2 + len(self._space)))
        return shaped.moved(1, self._classes)

    def _region_laid_out(self) -> Tensor:
        """The region with the score's axes, one on the class axis."""
        return self._region.unsqueeze([1 + self._classes]).leading()

    def _flat(self, score: Tensor) -> Tensor:
        """A tensor of the score's shape as [N, C, cells]."""
        first = score.transpose([0, self._classes, *self._space])
        flat = first.reshape([self._dims[0], self._dims[self._classes], self._cells()])
        return self._asked(flat, 0)

    def _unflat(self, g: Tensor, space: list[Dim]) -> Tensor:
        """A cotangent [N, C, cells] with the score's axes, its space of these extents."""
        shaped = g.reshape([self._dims[0], self._dims[self._classes], *space])
        return shaped.moved(1, self._classes)

    def _flat_region(self) -> Tensor:
        """The region as [K or 1, N or 1, 1, cells]."""
        region = self._asked(self._region, 1)
        return region.reshape([region.dim(0), region.dim(1), 1, self._cells()])

    def _cells(self) -> Dim:
        return product(self._dims[axis] for axis in self._space)

    def _contracted_dims(self, windows: Windows) -> list[Dim]:
        return [
            windows.count(axis) if axis in windows.axes else dim
            for axis, dim in enumerate(self._dims)
        ]


def _paired(s: Tensor, region: Tensor, weights: Tensor) -> Tensor:
    """sum_j M_cj (w_c - w_j) with M = S diag(r) S', one M a region.

    Args:
        s: the softmax, [N, C, cells].
        region: [1, N or 1, cells].
        weights: [K, N or 1, C], K the questions' axis.

    Returns:
        [K, N, C].
    """
    m = (s * region.unsqueeze([2])) @ s.mT
    pairs = weights.unsqueeze([-1]) - weights.unsqueeze([-2])
    return (m.leading() * pairs).sum([-1])


def _apart(s: Tensor, region: Tensor, weights: Tensor) -> Tensor:
    """:func:`_paired` without M, for a region each: K C cells instead of K C^2.

    With o the classes but the dominant one, d the weight of the dominant one and
    b = sum_j (w_j - d) o_j, the sum over cells of r s_c (w_c - d - b) is
    w_c sum(r o_c) - sum(r d o_c) - sum(r b s_c): at the dominant class w_c - d is exactly 0.
    """
    dominant, others, rest = complemented(s, -2)
    w, r = weights.revealed().moved(0, 1), region.moved(0, 1)
    d = w @ dominant  # [N or 1, K, cells]
    b = w @ others - d * rest
    g = w * (r @ others.mT) - (r * d) @ others.mT - (r * b) @ s.mT
    return g.moved(0, 1).leading()


def _parts(window: Window) -> list[tuple[Tensor | Ones, Edged | None]]:
    """The terms of the windows along an axis: over all of it, and over its ends."""
    if isinstance(window, Edged):
        return [(window.common, None), (window.ends, window)]
    return [(window, None)]


def _several(window: Window) -> bool:
    return isinstance(window, Tensor) and window.shape[0] != 1


def _inner(windows: Iterable[Window]) -> int:
    """The windows of the last axis with several, which :func:`_products` multiplies out."""
    counts = [w.shape[0] for w in windows if isinstance(w, Tensor) and _several(w)]
    inner = counts[-1] if counts else 1
    assert isinstance(inner, int)
    return inner


def _products(s: Tensor, region: Tensor, windows: Sequence[Tensor | Ones]) -> Tensor:
    """S diag(r A) S' for each window A.

    A single window is multiplied into the region; the last axis with several is multiplied out;
    along the axes before it the products stay apart until they are summed with its windows. In ONNX
    Runtime on the CPU, for 3 x 3 windows over 360 x 480 cells, that takes a third of the time of
    nine outer products.

    Args:
        s: [N, C, *space].
        region: [K or 1, N or 1, *space].
        windows: for each axis of space, [windows, extent].

    Returns:
        [K or 1, N, *windows, C, C].
    """
    count = len(windows)
    several = [i for i, window in enumerate(windows) if _several(window)]
    for i, window in enumerate(windows):
        if isinstance(window, Tensor) and i not in several:
            region = region * window.squeeze([0]).unsqueeze(range(1, count - i))
    batch, inner = several[:-1], several[-1:]
    others = [i for i in range(count) if i not in batch]
    s = s.transpose([0, *(2 + i for i in batch), 1, *(2 + i for i in others)])
    space = s.dims[len(batch) + 2 :]
    cells = product(space)
    s = s.reshape([*s.dims[: len(batch) + 2], cells]).unsqueeze([1 + len(batch)])
    mask = region.transpose([0, 1, *(2 + i for i in batch), *(2 + i for i in others)])
    mask = mask.unsqueeze([2 + len(batch)])
    for i in inner:
        window = windows[i]
        assert isinstance(window, Tensor)
        after = len(others) - 1 - others.index(i)
        before = len(others) - 1 - after
        mask = mask * window.unsqueeze(
            [*range(1, 1 + before), *range(2 + before, 2 + before + after)]
        )
    mask = mask.reshape([*mask.dims[: 3 + len(batch)], cells]).unsqueeze([3 + len(batch)])
    m = (s * mask) @ s.mT  # [K or 1, N, *batch, inner, C, C]
    for at, i in enumerate(batch):
        window = windows[i]
        assert isinstance(window, Tensor)
        m = m.along(2 + at, window)
    if not inner:
        m = m.squeeze([2])
    return m.unsqueeze([2 + i for i in range(count) if i not in several])
