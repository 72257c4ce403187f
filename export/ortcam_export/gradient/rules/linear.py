"""Matrix products."""

from __future__ import annotations

from ortcam_export.gradient.table import Ask, Node, contracted, rule, summed_to
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Windows


@rule("MatMul", inputs=[0, 1])
def matmul(n: Node, g: Tensor) -> Tensor:
    """y = A B: g_A = g B', g_B = A' g; a vector is a matrix of one row or column."""
    a, b = n.input(0), n.input(1)
    if a.rank == 1:
        g, a = g.unsqueeze([g.rank - 1 if b.rank > 1 else 0]), a.unsqueeze([0])
    if b.rank == 1:
        g, b = g.unsqueeze([g.rank]), b.unsqueeze([1])
    own = (a, b)[n.index]
    full = g @ b.mT if n.index == 0 else a.mT @ g
    dims = [*(full.dim(axis) for axis in range(full.rank - 2)), own.dim(-2), own.dim(-1)]
    return summed_to(full, dims, own).reshape(n.here.dims)


@rule("Gemm", inputs=[0, 1, 2])
def gemm(n: Node, g: Tensor) -> Tensor:
    """y = alpha A B + beta C, with A or B transposed on demand."""
    if n.index == 2:
        return summed_to(g * n.attribute("beta", 1.0), n.y.dims, n.here)
    a, b = n.input(0), n.input(1)
    g = g * n.attribute("alpha", 1.0)
    if n.index == 0:
        full = g @ (b if n.attribute("transB", 0) else b.mT)
        return full.mT if n.attribute("transA", 0) else full
    full = (a if n.attribute("transA", 0) else a.mT) @ g
    return full.mT if n.attribute("transB", 0) else full


@contracted("MatMul", inputs=[0])
def matmul_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_y> B' for y = x B, windows over axes that the product leaves alone."""
    b = n.input(1)
    if b.rank != 2 or n.x.rank < 3 or n.x.rank - 1 in windows.axes:
        return None
    return ask(n.node.outputs[0], windows) @ b.mT


@contracted("MatMul", inputs=[1])
def matmul_contracted_right(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A B', g_y> for y = B x, A the windows over the rows of x."""
    b, rows = n.input(0), n.here.rank - 2
    if b.rank != 2 or rows < 1 or rows not in windows.axes:
        return None
    seen = windows.matrix(rows) @ b.mT
    return ask(n.node.outputs[0], windows.over({**windows.axes, rows: seen}))
