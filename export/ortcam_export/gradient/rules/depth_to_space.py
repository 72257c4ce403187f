"""Operators that move elements between channels and space, repeat, drop or reorder them."""

from __future__ import annotations

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Dim, Tensor
from ortcam_export.gradient.windows import Ones, Windows


@rule("DepthToSpace", inputs=[0])
def depth_to_space(n: Node, g: Tensor) -> Tensor:
    """g_x = SpaceToDepth g_y."""
    return _to_depth(n, g)


@rule("SpaceToDepth", inputs=[0])
def space_to_depth(n: Node, g: Tensor) -> Tensor:
    """g_x = DepthToSpace g_y."""
    b = n.attribute("blocksize")
    batch, channels, height, width = g.dims
    depth = channels // (b * b)
    if _block_first(n):
        blocks = g.reshape([batch, b, b, depth, height, width]).transpose([0, 3, 4, 1, 5, 2])
    else:
        blocks = g.reshape([batch, depth, b, b, height, width]).transpose([0, 1, 4, 2, 5, 3])
    return blocks.reshape([batch, depth, height * b, width * b])


@contracted("DepthToSpace")
def depth_to_space_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A_ij, g_y> with A_ij[h b + i, w b + j] = A[h, w], i, j the channel's."""
    if set(windows.axes) != {2, 3}:
        return None
    b = n.attribute("blocksize")
    axes = {}
    for axis in windows.axes:
        phases = n.tape.arange(n.y.dim(axis)).modulo(b)
        phase = n.tape.arange(b).unsqueeze([1]).equals(phases).cast(windows.dtype)
        matrix = windows.matrix(axis)
        repeated = matrix.unsqueeze([2]).expand([*matrix.dims, b])
        row = repeated.reshape([windows.count(axis), 1, n.y.dim(axis)])
        axes[axis] = (row * phase).reshape([windows.count(axis) * b, n.y.dim(axis)])
    return _to_depth(n, ask(n.node.outputs[0], windows.over(axes)))


@contracted("SpaceToDepth")
def space_to_depth_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<1, g_x> = the sum of <1, g_y> over the channels of y that x's becomes."""
    if set(windows.axes) != {2, 3} or not all(isinstance(w, Ones) for w in windows.axes.values()):
        return None
    b = n.attribute("blocksize")
    ones = windows.over({axis: Ones(n.y.dim(axis)) for axis in windows.axes})
    g = ask(n.node.outputs[0], ones)
    shape, block = [n.x.dim(1), b * b], 2
    if _block_first(n):
        shape, block = [b * b, n.x.dim(1)], 1
    return g.reshape([n.x.dim(0), *shape, 1, 1]).sum([block])


@rule("Tile", inputs=[0])
def tile(n: Node, g: Tensor) -> Tensor:
    """g_x = the sum of g_y over the copies."""
    repeats = n.input(1)
    dims: list[Dim] = []
    for axis in range(n.x.rank):
        count = repeats.slice(0, axis, axis + 1)
        dims += [count if count.const is None else int(count.item), n.x.dim(axis)]
    return g.reshape(dims).sum(range(0, 2 * n.x.rank, 2))


@rule("Trilu", inputs=[0])
def trilu(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y in the same triangle, 0 elsewhere."""
    k = n.input(1) if n.has(1) else None
    return n.tape.op("Trilu", g, k, lead=g.lead, upper=n.attribute("upper", 1))


@rule("ReverseSequence", inputs=[0])
def reverse_sequence(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y reversed."""
    batch, time = n.attribute("batch_axis", 1), n.attribute("time_axis", 0)
    count, questions = n.x.dim(batch), n.tape.questions
    lengths = n.input(1).unsqueeze([0]).expand([questions, count])
    if batch == 1:
        g = g.moved(1, 0)
    folded = g.folded()
    lengths = lengths.reshape([folded.dim(0)])
    back = n.tape.op("ReverseSequence", folded, lengths, batch_axis=0, time_axis=1)
    unfolded = back.unfolded(count)
    return unfolded.moved(1, 0) if time == 0 else unfolded


@rule("Col2Im", inputs=[0])
def col2im(n: Node, g: Tensor) -> Tensor:
    """g_x of an element of a column = g_y at the place it was added to."""
    block = n.constants(2)
    assert block is not None
    space = len(block)
    strides = n.attribute("strides", [1] * space)
    dilations = n.attribute("dilations", [1] * space)
    pads = n.attribute("pads", [0] * 2 * space)
    for i, taps in enumerate(block):
        axis = 2 + 2 * i
        before, after = pads[i], pads[space + i]
        reach = dilations[i] * (taps - 1)
        last = g.dim(axis) + (before + after - reach - 1)
        steps = n.tape.arange(last // strides[i] + 1) * strides[i]
        places = n.tape.arange(taps).unsqueeze([1]) * dilations[i] + steps
        g = g.pad(axis, before, after)
        g = n.tape.op("Gather", g, places, lead=1, axis=axis + 1).ranked(g.rank + 1)
    order = [0, 1, *range(2, 2 + 2 * space, 2), *range(3, 3 + 2 * space, 2)]
    return g.transpose(order).reshape(n.x.dims)


def _to_depth(n: Node, g: Tensor) -> Tensor:
    """Blocks of b x b pixels as channels, as DepthToSpace's x has them."""
    b = n.attribute("blocksize")
    batch, channels, height, width = g.dims
    blocks = g.reshape([batch, channels, height // b, b, width // b, b])
    order = [0, 3, 5, 1, 2, 4] if _block_first(n) else [0, 1, 3, 5, 2, 4]
    return blocks.transpose(order).reshape([batch, channels * (b * b), height // b, width // b])


def _block_first(n: Node) -> bool:
    """True if a channel's index counts blocks first: mode DCR."""
    return bool(n.attribute("mode", "DCR") == "DCR")
