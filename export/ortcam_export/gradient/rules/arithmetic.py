"""Arithmetic and elementary functions: of each element x an output y, with g_x = g y'(x)."""

from __future__ import annotations

import math

import onnx_ir as ir

from ortcam_export.gradient.blocks.unbroadcast import summed_to
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, elementwise, rule
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Windows

# ---- One operand ----

elementwise("Identity", lambda g, y, x: g)
elementwise("Neg", lambda g, y, x: -g)
elementwise("Abs", lambda g, y, x: g * x.sign())
elementwise("Reciprocal", lambda g, y, x: -g * y * y)
elementwise("Sqrt", lambda g, y, x: g * 0.5 / y)
elementwise("Exp", lambda g, y, x: g * y)
elementwise("Log", lambda g, y, x: g / x)
elementwise("Erf", lambda g, y, x: g * (2 / math.sqrt(math.pi)) * (-x * x).exp())

elementwise("Sin", lambda g, y, x: g * x.apply("Cos"))
elementwise("Cos", lambda g, y, x: -g * x.apply("Sin"))
elementwise("Tan", lambda g, y, x: g * (1 + y * y))
elementwise("Asin", lambda g, y, x: g / ((1 - x) * (1 + x)).sqrt())
elementwise("Acos", lambda g, y, x: -g / ((1 - x) * (1 + x)).sqrt())
elementwise("Atan", lambda g, y, x: g / (1 + x * x))

elementwise("Sinh", lambda g, y, x: g * x.apply("Cosh"))
elementwise("Cosh", lambda g, y, x: g * x.apply("Sinh"))
elementwise("Asinh", lambda g, y, x: g / (1 + x * x).sqrt())
elementwise("Acosh", lambda g, y, x: g / ((x - 1) * (x + 1)).sqrt())
elementwise("Atanh", lambda g, y, x: g / ((1 - x) * (1 + x)))

# ---- Two operands and more; the sweep sums over broadcast axes ----

elementwise("Add", lambda g, y, a, b: g, lambda g, y, a, b: g)
elementwise("Sub", lambda g, y, a, b: g, lambda g, y, a, b: -g)
elementwise("Mul", lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
elementwise("Div", lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
elementwise(
    "Pow",
    # b a^(b-1), which is 0 where b is 0, even at a = 0
    lambda g, y, a, b: g * _real(b, a) * b.equals(0).where(0, b.equals(0).where(1, _power(a, b))),
    # y log a, which tends to 0 with y at a = 0
    lambda g, y, a, b: g * (a > 0).where(y * (a > 0).where(a, 1).log(), 0),
)
elementwise(
    "Mod",  # y = a - q b, q an integer
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * ((a - y) / b).apply("Round"),
)
elementwise(
    "Where",
    None,
    lambda g, y, c, a, b: g.masked(c),
    lambda g, y, c, a, b: g.masked(~c),
)


def _real(exponent: Tensor, base: Tensor) -> Tensor:
    """An exponent in the base's element type; Pow also takes integers."""
    return exponent.cast(base.dtype)


def _power(a: Tensor, b: Tensor) -> Tensor:
    return a ** (_real(b, a) - 1)


@rule("Sum", "Mean")
def mean(n: Node, g: Tensor) -> Tensor:
    """g_x = g, or g / operands for a mean."""
    share = 1 / len(n.inputs) if n.node.op_type == "Mean" else 1
    return summed_to(g * share, n.y.dims, n.here)


@rule("Max", "Min")
def extreme(n: Node, g: Tensor) -> Tensor:
    """The operands that equal y share g evenly."""
    ties = n.inputs[0].equals(n.y).cast(g.dtype)
    for x in n.inputs[1:]:
        ties = ties + x.equals(n.y).cast(g.dtype)
    return summed_to((g / ties).masked(n.here.equals(n.y)), n.y.dims, n.here)


@rule("Clip", inputs=[0])
def clip(n: Node, g: Tensor) -> Tensor:
    """y = min(max(x, low), high): y' = 1 inside the range, bounds included, and 0 outside."""
    if n.has(1):
        g = g.passed(n.x >= n.input(1))
    return g.passed(n.x <= n.input(2)) if n.has(2) else g


@rule("Clip", inputs=[1])
def clip_low(n: Node, g: Tensor) -> Tensor:
    """g_low = the sum of g over the elements below it."""
    low = n.x < n.input(1)
    if n.has(2):
        low = low & (n.input(1) < n.input(2))
    return g.masked(low).sum(range(g.rank)).reshape(n.here.dims)


@rule("Clip", inputs=[2])
def clip_high(n: Node, g: Tensor) -> Tensor:
    """g_high = the sum of g over the elements above it."""
    high = n.x > n.input(2)
    if n.has(1):
        high = high | (n.input(1) > n.input(2))
    return g.masked(high).sum(range(g.rank)).reshape(n.here.dims)


@rule("Cast", "CastLike", inputs=[0])
def cast(n: Node, g: Tensor) -> Tensor:
    """g_x = g, in the element type of x's cotangents."""
    return g.cast(n.x.dtype)


@rule("Dropout", inputs=[0])
def dropout(n: Node, g: Tensor) -> Tensor:
    """g_x = g mask / (1 - ratio); a deployed network drops nothing."""
    if not _drops(n):
        return g
    mask = n.optional_output(1, ir.DataType.BOOL, n.node.outputs[0].shape)
    ratio = n.input(1) if n.has(1) else 0.5
    return g.masked(mask) / (1 - ratio)


@rule("Dropout", inputs=[1])
def dropout_ratio(n: Node, g: Tensor) -> Tensor:
    """g_ratio = the sum of g y / (1 - ratio)."""
    if not _drops(n):
        return n.tape.zeros(n.here.dims, g.dtype, lead=1)
    return (g * n.y).sum(range(g.rank)).reshape(n.here.dims) / (1 - n.here)


def _drops(n: Node) -> bool:
    return n.has(2) and any(n.constants(2) or [0])


# ---- Contracted rules: <A, J'g> = <JA, g> ----


@contracted("Dropout")
def dropout_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_y>, unless elements are dropped."""
    return None if _drops(n) else passed_on(n, windows, ask)


@contracted("Identity", "Cast", "CastLike")
def passed_on(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A, g_y>."""
    return ask(n.node.outputs[0], windows).cast(n.x.dtype)


@contracted("Neg")
def negated(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = -<A, g_y>."""
    return -ask(n.node.outputs[0], windows)


@contracted("Add", "Sub", "Sum", "Mean", inputs=None)
def added(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = c <A, g_y>: c = 1, -1 for a subtrahend, 1 / operands for a mean."""
    if not _keeps_shape(n):
        return None
    g = ask(n.node.outputs[0], windows)
    if n.node.op_type == "Mean":
        return g * (1 / len(n.inputs))
    return -g if n.node.op_type == "Sub" and n.index == 1 else g


@contracted("Mul", inputs=[0, 1])
def scaled(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = c <A, g_y> for y = c x, c the same all over the windows."""
    factor = n.input(1 - n.index)
    if not _keeps_shape(n) or not _uniform(factor, n.here.rank, windows):
        return None
    return ask(n.node.outputs[0], windows) * factor


@contracted("Div", inputs=[0])
def divided(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_y> / c for y = x / c, c the same all over the windows."""
    divisor = n.input(1)
    if not _keeps_shape(n) or not _uniform(divisor, n.here.rank, windows):
        return None
    return ask(n.node.outputs[0], windows) / divisor


def _keeps_shape(n: Node) -> bool:
    """True if the input is certainly not broadcast to the output."""
    x, y = n.here, n.y
    others = [t for i, t in enumerate(n.inputs) if i != n.index]

    def keeps(axis: int) -> bool:
        if x.extent(axis) is not None and x.extent(axis) == y.extent(axis):
            return True
        behind = axis - x.rank
        return all(-behind > t.rank or t.extent(behind) == 1 for t in others)

    return x.rank == y.rank and all(keeps(axis) for axis in range(x.rank))


def _uniform(factor: Tensor, rank: int, windows: Windows) -> bool:
    """True if a factor is certainly the same along every axis of the windows."""
    missing = rank - factor.rank
    return all(axis < missing or factor.extent(axis - missing) == 1 for axis in windows.axes)
