"""Reductions: sums, means, norms, products and extremes over axes."""

from __future__ import annotations

from ortcam_export.gradient.blocks.product_of_others import others
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Tensor, product
from ortcam_export.gradient.windows import Ones, Window, Windows


def _axes(n: Node) -> list[int]:
    """The axes that are reduced: by default all, or none with ``noop_with_empty_axes``."""
    default: list[int] = [] if n.attribute("noop_with_empty_axes", 0) else [*range(n.x.rank)]
    return n.axes(1) or default


def _kept(n: Node, t: Tensor) -> Tensor:
    """A tensor of the output's shape with the reduced axes restored as 1."""
    return t if n.attribute("keepdims", 1) else t.unsqueeze(_axes(n))


def _cells(n: Node) -> Tensor | int:
    cells = product(n.x.dim(axis) for axis in _axes(n))
    return cells.cast(n.x.dtype) if isinstance(cells, Tensor) else cells


@rule("ReduceSum", inputs=[0])
def reduce_sum(n: Node, g: Tensor) -> Tensor:
    """g_x = g, repeated."""
    return _kept(n, g).expand(n.x.dims)


@rule("ReduceMean", inputs=[0])
def reduce_mean(n: Node, g: Tensor) -> Tensor:
    """g_x = g / cells, repeated."""
    return (_kept(n, g) / _cells(n)).expand(n.x.dims)


@contracted("ReduceSum", "ReduceMean")
def reduce_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A', g_y> times the sums of A along the reduced axes, A' along the others."""
    reduced, keepdims = _axes(n), n.attribute("keepdims", 1)
    axes: dict[int, Window] = {}
    for axis, window in windows.axes.items():
        if axis not in reduced:
            axes[axis if keepdims else axis - sum(r < axis for r in reduced)] = window
        elif keepdims:
            axes[axis] = Ones(1)
    g = _kept(n, ask(n.node.outputs[0], windows.over(axes)))
    if n.node.op_type == "ReduceMean":
        g = g / _cells(n)
    for axis in set(reduced).intersection(windows.axes):
        sums = windows.matrix(axis).sum([1])
        g = g * sums.unsqueeze(range(1, n.x.rank - axis))
    return g.expand(windows.dims(n.x))


@rule("ReduceMax", "ReduceMin", inputs=[0])
def reduce_extreme(n: Node, g: Tensor) -> Tensor:
    """The elements that equal y share g evenly."""
    is_extreme = n.x.equals(_kept(n, n.y))
    ties = is_extreme.cast(g.dtype).sum(_axes(n), keepdims=True)
    return (_kept(n, g) / ties).masked(is_extreme)


@rule("ReduceSumSquare", inputs=[0])
def reduce_sum_square(n: Node, g: Tensor) -> Tensor:
    """dy/dx = 2 x."""
    return _kept(n, g) * 2 * n.x


@rule("ReduceL1", inputs=[0])
def reduce_l1(n: Node, g: Tensor) -> Tensor:
    """dy/dx = sign x."""
    return _kept(n, g) * n.x.sign()


@rule("ReduceL2", inputs=[0])
def reduce_l2(n: Node, g: Tensor) -> Tensor:
    """dy/dx = x / |x|, and 0 at x = 0."""
    norm = _kept(n, n.y)
    return _kept(n, g) * n.x / norm.equals(0).where(1, norm)


@rule("ReduceLogSumExp", inputs=[0])
def reduce_log_sum_exp(n: Node, g: Tensor) -> Tensor:
    """dy/dx = exp(x - y)."""
    return _kept(n, g) * (n.x - _kept(n, n.y)).exp()


@rule("ReduceLogSum", inputs=[0])
def reduce_log_sum(n: Node, g: Tensor) -> Tensor:
    """dy/dx = 1 / exp y."""
    return (_kept(n, g) / _kept(n, n.y).exp()).expand(n.x.dims)


@rule("ReduceProd", inputs=[0])
def reduce_prod(n: Node, g: Tensor) -> Tensor:
    """dy/dx = the product of the other elements."""
    axes, zero = _axes(n), n.x.equals(0)
    product = zero.where(1, n.x).prod(axes, keepdims=True)
    zeros = zero.cast(g.dtype).sum(axes, keepdims=True)
    return _kept(n, g) * others(n.x, product, zeros)
