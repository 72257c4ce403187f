"""Concat, Split, Slice and Gather."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import Case, check, check_operator, operator
from onnx import TensorProto, helper, parser


def ints(*values: Any) -> Any:
    return np.array(values, np.int64)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_concat(normal: Any, axis: Any) -> None:
    shapes = [[2, 3, 4] for _ in range(3)]
    for i, extent in enumerate((1, 5, 2)):
        shapes[i][axis] = extent
    inputs = {name: normal(*shape) for name, shape in zip("abc", shapes, strict=True)}
    check_operator("Concat", inputs, axis=axis)


def test_concat_of_a_tensor_with_itself(normal: Any) -> None:
    case = operator("Concat", {"a": normal(2, 3), "b": normal(2, 3)}, axis=1)
    case.model.graph.node[0].input[1] = "a"
    check(Case(case.model, case.feeds), wrt=["a"])


def split(x: Any, used: Any, **options: Any) -> Any:
    """A Split whose used outputs are multiplied by numbers of their own and concatenated."""
    case = operator("Split", x, outputs=["p", "q", "r"], fixed=["split"], **options)
    graph = case.model.graph
    factors = [helper.make_tensor(f"{n}.factor", 1, [1], [2.0 + i]) for i, n in enumerate(used)]
    graph.initializer.extend(factors)
    graph.node.extend(helper.make_node("Mul", [n, f"{n}.factor"], [f"{n}.scaled"]) for n in used)
    axis = options.get("axis", 0)
    graph.node.append(helper.make_node("Concat", [f"{n}.scaled" for n in used], ["y"], axis=axis))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return case


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("used", ["pqr", "q", "rp"])
def test_split(normal: Any, axis: Any, used: Any) -> None:
    shape = [2, 3, 2]
    shape[axis] = 9
    x = {"x": normal(*shape)}
    check(split(x, used, axis=axis, num_outputs=3), wrt=["x"])
    check(split({**x, "split": ints(2, 4, 3)}, used, axis=axis), wrt=["x"])


def test_split_into_parts_that_are_not_equal(normal: Any) -> None:
    check(split({"x": normal(2, 8)}, "pr", axis=1, num_outputs=3), wrt=["x"])


SLICES = {
    "one axis": ([1], [4], [2], None),
    "two axes": ([1, 0], [4, 3], [2, 1], None),
    "all axes, none named": ([0, 1, 1], [2, 3, 4], None, None),
    "steps": ([0, 1], [3, 7], [1, 2], [2, 3]),
    "negative bounds": ([-3], [-1], [2], None),
    "overlong bounds": ([-100], [100], [2], [1]),
    "overlong bounds, steps": ([1], [2**31], [2], [3]),
    "to the end": ([1], [2**63 - 1], [2], None),
    "negative step": ([5], [1], [2], [-1]),
    "negative steps": ([-1, -1], [-5, -100], [2, 1], [-2, -1]),
    "reversed": ([-1], [-(2**63)], [2], [-1]),
    "from beyond the end": ([100], [0], [2], [-3]),
    "negative axes": ([1, 0], [6, 2], [-1, -2], None),
    "axes out of order": ([1, 1], [5, 3], [2, 0], None),
    "nothing": ([3], [3], [2], None),
}


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES.values(), ids=SLICES)
@pytest.mark.parametrize("known", [True, False], ids=["constant bounds", "fed bounds"])
def test_slice(normal: Any, starts: Any, ends: Any, axes: Any, steps: Any, known: Any) -> None:
    inputs = {
        "x": normal(3, 4, 7),
        "starts": ints(*starts),
        "ends": ints(*ends),
        "axes": None if axes is None else ints(*axes),
        "steps": None if steps is None else ints(*steps),
    }
    fixed = ["axes", "steps", *(["starts", "ends"] if known else [])]
    check_operator("Slice", inputs, fixed=fixed, dynamic=["x"])


def test_slice_of_opset_9(normal: Any) -> None:
    check_operator("Slice", {"x": normal(3, 7)}, opset=9, starts=[1, -4], ends=[3, 9], axes=[0, 1])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize(
    "indices",
    [
        ints(1, 0),
        ints(1, 1, 0, 1),
        ints(-1, 0, -2),
        ints([0, 1], [1, -1]),
        np.int64(1),
        np.int64(-1),
    ],
    ids=["each once", "repeated", "negative", "a matrix", "a scalar", "a negative scalar"],
)
def test_gather(normal: Any, axis: Any, indices: Any) -> None:
    inputs = {"x": normal(3, 2, 4), "indices": np.asarray(indices)}
    check_operator("Gather", inputs, fixed=["indices"], axis=axis)
    check_operator("Gather", inputs, axis=axis, dynamic=["x"])


def test_gather_by_32_bit_indices(normal: Any) -> None:
    inputs = {"x": normal(4, 3), "indices": np.array([0, -1, 0], np.int32)}
    check_operator("Gather", inputs)


def test_a_slice_between_transposes(normal: Any) -> None:
    """ONNX Runtime moves Transposes past a Pad, and misreads one that names its axes."""
    model = parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        g (float[2, 3, 4] x) => (float[2, 3, 2] y) <int64[1] s = {1}, int64[1] e = {3}> {
            t = Transpose <perm = [0, 2, 1]> (x)
            cut = Slice (t, s, e, s)
            y = Transpose <perm = [0, 2, 1]> (cut)
        }""")
    check(Case(model, {"x": normal(2, 3, 4)}), wrt=["x"])
