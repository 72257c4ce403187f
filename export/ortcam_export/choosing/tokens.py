"""Tokens: features [N, tokens, C] of a transformer, and the rows and columns that they came from.

A transformer flattens the cells of a convolution's output, [N, C, h, w], into tokens, and may put
class or register tokens before them. :func:`token_grids` follows the tokens from there on, so that
their grid is known wherever they still are one each, at any size of the picture. :func:`fold` lays
the picture's tokens out as [N, C, h, w] again, on the way from the layer to the score: what is
folded is what the score is computed from, so its gradient is the tokens', and its mean over space
is that over the picture's tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from ortcam.artifact import Layer
from ortcam.errors import InputError, LayerError
from ortcam.messages import Message, Option
from ortcam_export.choosing.channel_axes import Axes
from ortcam_export.choosing.operator_kinds import is_constant
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.gradient.tape import Tape, is_recorded
from ortcam_export.gradient.tensor import Dim
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import find, unused
from ortcam_export.graph.values import constant_ints, extents, rank

__all__ = ["Grid", "Grids", "fold", "reach_picture", "token_grids"]

#: A Slice that ends here or later goes to the end, whatever the number of tokens.
_TO_THE_END = 2**31 - 1


@dataclass(frozen=True)
class Grid:
    """The position of tokens in a tensor, and the tensor that has their rows and columns.

    Attributes:
        axis: the tokens' axis.
        space: the tensor that was flattened.
        rows, columns: its axes.
        leading, trailing: the numbers of other tokens before and behind the picture's, such as a
            class token or a detector's queries; None if unknown.
    """

    axis: int
    space: ir.Value
    rows: int
    columns: int
    leading: int | None = 0
    trailing: int | None = 0

    @property
    def extents(self) -> tuple[int | str | None, int | str | None]:
        """The rows and columns, as far as inference knows them."""
        assert self.space.shape is not None  # it would not have been followed
        rows, columns = (self.space.shape[axis] for axis in (self.rows, self.columns))
        return (
            rows if isinstance(rows, int) else rows.value,
            columns if isinstance(columns, int) else columns.value,
        )


Grids = dict[ir.Value, Grid]


# ---- Finding --------------------------------------------------------------------------------


def token_grids(model: ir.Model, axes: Axes) -> Grids:
    """The tensors of rank 3 whose elements along one axis are tokens of a picture, one a cell.

    Args:
        model: a prepared network.
        axes: what :func:`ortcam_export.choosing.channel_axes.channel_axes` found.
    """
    grids: Grids = {}
    for node in model.graph:
        for value in node.outputs:
            if rank(value) != 3:
                continue
            grid = _flattened(node, value, axes) or _carried(node, value, grids)
            if grid is not None and _has_all(value, grid):
                grids[value] = grid
    return grids


def _has_all(value: ir.Value, grid: Grid) -> bool:
    """True if a tensor has as many tokens as the picture has, or more, as far as that is known."""
    tokens = None if value.shape is None else value.shape[grid.axis]
    rows, columns = grid.extents
    cells = rows * columns if isinstance(rows, int) and isinstance(columns, int) else 2
    return not isinstance(tokens, int) or tokens >= max(cells, 2)


def _flattened(node: ir.Node, value: ir.Value, axes: Axes) -> Grid | None:
    """Return the grid that begins where rows and columns are merged and the channels stay."""
    x = node.inputs[0] if node.op_type in ("Reshape", "Flatten") else None
    if x is None or x.shape is None or value.shape is None or rank(x) != 4:
        return None
    # [N, C, h, w] to [N, C, tokens], or [N, h, w, C] to [N, tokens, C]
    channels, after = {1: (1, 1), 3: (3, 2)}.get(axes.get(x.name or "") or 0, (0, 0))
    if not channels or axes.get(value.name or "") != after:
        return None
    rows, columns = (axis for axis in (1, 2, 3) if axis != channels)
    merged, cells = value.shape[3 - after], [x.shape[rows], x.shape[columns]]
    extents_of_cells = [extent for extent in (merged, *cells) if isinstance(extent, int)]
    channel_counts = [e for e in (x.shape[channels], value.shape[after]) if isinstance(e, int)]
    if len(set(channel_counts)) > 1 or (
        len(extents_of_cells) == 3
        and extents_of_cells[0] != extents_of_cells[1] * extents_of_cells[2]
    ):
        return None
    return Grid(3 - after, x, rows, columns)


def _carried(node: ir.Node, value: ir.Value, grids: Grids) -> Grid | None:
    """Return the tokens that remain of an operand: all, perhaps with some before or after."""
    source = next((v for v in node.inputs if v is not None and v in grids), None)
    if source is None or node.domain != "":
        return None
    grid = grids[source]
    if node.op_type == "Transpose":
        perm = list(node.attributes.get_ints("perm") or (2, 1, 0))
        axis = perm.index(grid.axis)
        return replace(grid, axis=axis) if axis else None
    if node.op_type == "Concat":
        along = (node.attributes.get_int("axis", 0) or 0) % 3
        if along != grid.axis:
            return grid
        several = sum(v in grids for v in node.inputs if v is not None) > 1
        return None if several else _joined(node, source, grid)
    if node.op_type == "Slice":
        return _sliced(node, grid)
    if node.op_type in ("MatMul", "Gemm"):
        dense = source is node.inputs[0] and is_constant(node.inputs[1])
        return grid if dense and grid.axis == 1 else None
    if node.op_type in ("Flatten", "Gather", "Reshape", "Split", "TopK"):
        return None
    before, now = (v.shape[grid.axis] if v.shape is not None else None for v in (source, value))
    changed = isinstance(before, int) and isinstance(now, int) and before != now
    return None if changed else grid


def _joined(node: ir.Node, source: ir.Value, grid: Grid) -> Grid:
    """Return the grid of tokens that a Concat puts between others."""
    operands = [v for v in node.inputs if v is not None]
    place = operands.index(source)
    return replace(
        grid,
        leading=_total(grid.leading, operands[:place], grid.axis),
        trailing=_total(grid.trailing, operands[place + 1 :], grid.axis),
    )


def _total(number: int | None, operands: Sequence[ir.Value], axis: int) -> int | None:
    for operand in operands:
        extent = operand.shape[axis] if operand.shape is not None else None
        if number is None or not isinstance(extent, int):
            return None
        number += extent
    return number


def _sliced(node: ir.Node, grid: Grid) -> Grid | None:
    """Return the grid of tokens of which a Slice removes no more than those around the picture's.

    A number that is unknown is taken to be large enough, as no other Slice makes sense.
    """
    axes = constant_ints(node.inputs[3]) if len(node.inputs) > 3 else None
    if axes is None:
        return None
    axes = [axis % 3 for axis in axes]
    if grid.axis not in axes:
        return grid
    i = axes.index(grid.axis)
    starts, ends = constant_ints(node.inputs[1]), constant_ints(node.inputs[2])
    steps = constant_ints(node.inputs[4]) if len(node.inputs) > 4 else None
    if ends is None or (steps is not None and steps[i] != 1):
        return None
    start = starts[i] if starts is not None else None
    leading = None if grid.leading is None or start is None else grid.leading - start
    end = 0 if ends[i] >= _TO_THE_END else -ends[i]
    trailing = None if grid.trailing is None else grid.trailing - end
    removes_picture = (start is not None and start < 0) or end < 0
    if removes_picture or (leading or 0) < 0 or (trailing or 0) < 0:
        return None
    return replace(grid, leading=leading, trailing=trailing)


def reach_picture(model: ir.Model, grids: Grids, reached: set[str]) -> set[ir.Value]:
    """Those tokens of which the score depends on the picture's own, not on a class token alone.

    Behind its last attention a transformer that reads its class token treats each token separately
    and then takes that one: the picture's tokens have no gradient there.

    Args:
        model: a prepared network.
        grids: what :func:`token_grids` found.
        reached: names of the tensors that the gradient of the score reaches.
    """
    tokens: set[ir.Value] = set()
    for node in reversed(model.graph):
        for value in node.outputs:
            if value in grids and any(
                _asks_picture(use.node, value, grids, tokens)
                for use in value.uses()
                if any(output.name in reached for output in use.node.outputs)
            ):
                tokens.add(value)
    return tokens


def _asks_picture(node: ir.Node, value: ir.Value, grids: Grids, tokens: set[ir.Value]) -> bool:
    """True if a consumer of tokens, or a node after it, reads the patch tokens."""
    axis = grids[value].axis
    here = [output for output in node.outputs if output in grids]
    if here:
        return any(output in tokens for output in here)
    if node.op_type == "Gather":
        along = (node.attributes.get_int("axis", 0) or 0) % 3
        return along != axis or not is_constant(node.inputs[1])
    if node.op_type == "Slice":  # one that keeps the picture is among the grids
        along_all = constant_ints(node.inputs[3]) if len(node.inputs) > 3 else None
        starts = constant_ints(node.inputs[1])
        return along_all != [axis] or not (
            starts == [0] or _is_behind_picture(value, grids, starts)
        )
    return True


def _is_behind_picture(value: ir.Value, grids: Grids, starts: Sequence[int] | None) -> bool:
    """True if a Slice of tokens starts behind the picture's, at a detector's queries."""
    grid, tokens = grids[value], extents(value)[grids[value].axis]
    if not starts or grid.trailing is None:
        return False
    if starts[0] < 0:
        return -starts[0] <= grid.trailing
    return isinstance(tokens, int) and tokens - starts[0] <= grid.trailing


# ---- Folding --------------------------------------------------------------------------------


def fold(
    network: PreparedNetwork,
    layer: Layer,
    grids: Grids,
    *,
    token_grid: tuple[int, int] | None = None,
    leading_tokens: int | None = None,
) -> Layer:
    """Lays a layer's tokens out as [N, C, h, w], in place.

    The folded tensor takes the layer's name, and the tokens are called ``<name>.tokens`` from then
    on; where the network gives the tokens as an output of its own, that keeps its name, and the
    folded tensor is ``<name>.folded``.

    Args:
        network: a prepared network, changed in place; it computes the same.
        layer: of features [N, tokens, C], or [N, C, tokens].
        grids: what :func:`token_grids` found.
        token_grid: the (width, height) of the picture's tokens, instead of what was found.
        leading_tokens: how many tokens stand before the picture's; by default those that the
            network puts there. What follows the picture's tokens is left out too.

    Returns:
        The layer of the folded tensor.

    Raises:
        InputError: the layer has fewer tokens than that.
        LayerError: the grid cannot be found, or how many tokens stand before the picture's.
    """
    model = network.model
    value = find(model, layer.name)
    axis = 3 - layer.channel_axis
    tape = Tape(model.graph, opset(model), prefix="fold")
    x = tape.wrap(value).moved(axis, 1)
    rows, columns = (
        _found(tape, value, axis, grids) if token_grid is None else _said(token_grid, value)
    )
    count, there = rows * columns, x.dim(1)
    grid = grids.get(value)
    before, ends_there = _leading(value, there - count, grid, leading_tokens)
    _check_count(value, there, count, before)
    end = before + count
    batch, channels = x.dim(0), x.dim(2)
    cells = x.slice(1, before, end).reshape([batch, rows, columns, channels])
    folded = cells.transpose([0, 3, 1, 2])
    parts = [folded.transpose([0, 2, 3, 1]).reshape([batch, count, channels])]
    if not _is_zero(before):
        parts.insert(0, x.slice(1, 0, before))
    if not ends_there and not _is_zero(there - end):
        parts.append(x.slice(1, end, _TO_THE_END))
    whole = tape.concat(parts, 1).moved(1, axis)
    for use in tuple(value.uses()):
        if not is_recorded(use.node):
            use.node.replace_input_with(use.idx, whole.value)
    is_output = value.is_graph_output()
    folded.value.name = unused(model, f"{layer.name}.folded")
    if not is_output:
        tokens = unused(model, f"{layer.name}.tokens")
        folded.value.name, value.name = value.name, tokens
    model.graph.sort()
    after = 0 if ends_there else there - end
    if leading_tokens is None and grid is not None and grid.trailing is not None:
        after = grid.trailing
    network.notes.append(_note(layer.name, folded.value.name or "", (rows, columns), before, after))
    return replace(layer, name=folded.value.name or "", channel_axis=1)


def _leading(
    value: ir.Value, others: Dim, grid: Grid | None, leading_tokens: int | None
) -> tuple[Dim, bool]:
    """Return the number of tokens before the picture's, and True if none follow these.

    Args:
        value: the tokens.
        others: how many of them are not the picture's.
        grid: the position of the picture's, as far as it is known.
        leading_tokens: the number that the user states, or None.

    Raises:
        LayerError: other tokens stand before and behind the picture's, in unknown numbers.
    """
    if leading_tokens is not None:
        return leading_tokens, False
    if grid is None or grid.trailing == 0:
        return others, True
    if grid.leading is None:
        raise LayerError(
            f"other tokens of {value.name!r} stand before and behind the picture's, and how many "
            "stand before is not known; give their number by ",
            Option("leading_tokens"),
        )
    return grid.leading, False


def _found(tape: Tape, value: ir.Value, axis: int, grids: Grids) -> tuple[Dim, Dim]:
    grid = grids.get(value)
    if grid is None or grid.axis != axis:
        raise LayerError(
            f"{value.name!r} is {value.shape}, and the rows and columns of its tokens cannot be "
            "found; say them by ",
            Option("token_grid"),
            ", or choose another layer",
        )
    space = tape.wrap(grid.space)
    return space.dim(grid.rows), space.dim(grid.columns)


def _said(token_grid: Sequence[int], value: ir.Value) -> tuple[Dim, Dim]:
    if len(token_grid) != 2 or min(token_grid) < 1:
        raise InputError(
            f"the token grid of {value.name!r} is {token_grid}; it is a width and a height of 1 "
            "or more"
        )
    return token_grid[1], token_grid[0]


def _check_count(value: ir.Value, there: Dim, count: Dim, before: Dim) -> None:
    if not isinstance(there, int) or not isinstance(count, int) or not isinstance(before, int):
        return
    if before < 0 or before + count > there:
        leading = f" behind {before} others" if before > 0 else ""
        raise InputError(
            f"{value.name!r} is {value.shape}: {there} tokens, too few for a grid of "
            f"{count}{leading}; say another by ",
            Option("token_grid"),
            " and ",
            Option("leading_tokens"),
        )


def _is_zero(dim: Dim) -> bool:
    return isinstance(dim, int) and dim == 0


def _note(name: str, folded: str, grid: tuple[Dim, Dim], before: Dim, after: Dim) -> Message:
    rows, columns = grid
    size = (
        f"{columns} x {rows}"
        if isinstance(rows, int) and isinstance(columns, int)
        else "their grid (width x height, as the picture's size makes it)"
    )
    name_of_folded = "" if folded == name else f" as {folded!r}"
    parts = []
    if not isinstance(before, int):
        parts.append("those before the picture's")
    elif before:
        parts.append(f"the first {before}")
    if not isinstance(after, int):
        parts.append("those behind the picture's")
    elif after:
        parts.append(f"the last {after}")
    omission = f"{' and '.join(parts) or 'none'} left out"
    return Message(
        f"the tokens of {name!r} are folded{name_of_folded} to {size}, {omission}; ",
        Option("token_grid"),
        " and ",
        Option("leading_tokens"),
        " say it otherwise",
    )
