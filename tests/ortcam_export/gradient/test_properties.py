"""Random shapes and attributes for the operators that have many of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import Case, NotSmoothError, check, forward, operator
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from ortcam_export.vjp import vjp

EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # an example is small enough to read as it is
    suppress_health_check=list(HealthCheck),
)


def array(draw: Any, shape: Any) -> Any:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.asarray(random.standard_normal(shape), np.float32)


def several(draw: Any, count: Any, low: Any, high: Any) -> Any:
    return [draw(st.integers(low, high)) for _ in range(count)]


def automatic(draw: Any) -> Any:
    return draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))


@st.composite
def convolutions(draw: Any) -> Any:
    rank = draw(st.integers(1, 2))
    group, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    kernel, steps = several(draw, rank, 1, 3), several(draw, rank, 1, 3)
    gaps, pads = several(draw, rank, 1, 2), several(draw, 2 * rank, 0, 2)
    room = [
        max(1, g * (k - 1) + 1 - before - after)
        for g, k, before, after in zip(gaps, kernel, pads[:rank], pads[rank:], strict=True)
    ]
    space = [low + draw(st.integers(0, 4)) for low in room]
    pictures, outputs = draw(st.integers(1, 2)), group * draw(st.integers(1, 2))
    inputs = {
        "x": array(draw, (pictures, group * per_group, *space)),
        "w": array(draw, (outputs, per_group, *kernel)),
    }
    attributes = {"group": group, "strides": steps, "dilations": gaps, "pads": pads}
    if draw(st.booleans()):  # ONNX Runtime wants kernels no farther apart than they are long
        steps = [min(step, k) for step, k in zip(steps, kernel, strict=True)]
        attributes = {"group": group, "strides": steps, "auto_pad": automatic(draw)}
    return operator("Conv", inputs, fixed=["w"], **attributes), ["x", "w"]


@st.composite
def transposed_convolutions(draw: Any) -> Any:
    rank, group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, steps = several(draw, rank, 1, 3), several(draw, rank, 1, 3)
    gaps = several(draw, rank, 1, 2)
    more = [draw(st.integers(0, s - 1)) for s in steps]
    spans = [g * (k - 1) + 1 for g, k in zip(gaps, kernel, strict=True)]
    pads = [draw(st.integers(0, (span - 1) // 2)) for span in spans * 2]
    inputs = {
        "x": array(draw, (draw(st.integers(1, 2)), 2 * group, *several(draw, rank, 1, 4))),
        "w": array(draw, (2 * group, draw(st.integers(1, 2)), *kernel)),
    }
    attributes = {"group": group, "strides": steps, "dilations": gaps, "pads": pads}
    if draw(st.booleans()):
        del attributes["pads"]
        attributes["auto_pad"] = automatic(draw)
    case = operator("ConvTranspose", inputs, fixed=["w"], output_padding=more, **attributes)
    return case, ["x", "w"]


@st.composite
def average_pools(draw: Any) -> Any:
    rank = draw(st.integers(1, 2))
    kernel, gaps = several(draw, rank, 1, 3), several(draw, rank, 1, 2)
    steps = [draw(st.integers(1, k)) for k in kernel]
    pads = [draw(st.integers(0, (k - 1) // 2)) for k in kernel * 2]
    space = [g * (k - 1) + 1 + draw(st.integers(0, 5)) for g, k in zip(gaps, kernel, strict=True)]
    attributes = {"auto_pad": automatic(draw)} if draw(st.booleans()) else {"pads": pads}
    return operator(
        "AveragePool", {"x": array(draw, (2, 1, *space))}, kernel_shape=kernel, strides=steps,
        dilations=gaps, ceil_mode=draw(st.integers(0, 1)),
        count_include_pad=draw(st.integers(0, 1)), **attributes,
    ), ["x"]  # fmt: skip


@st.composite
def resizes(draw: Any) -> Any:
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    coordinates = draw(
        st.sampled_from(
            [
                "half_pixel",
                "half_pixel_symmetric",
                "pytorch_half_pixel",
                "align_corners",
                "asymmetric",
            ]
        )
    )
    x = array(draw, (1, 2, draw(st.integers(1, 6)), draw(st.integers(1, 6))))
    inputs = {"x": x, "roi": None, "scales": None}
    out = several(draw, 2, 1, 9)
    if coordinates != "align_corners" and draw(st.booleans()):
        scales = [size / extent for size, extent in zip(out, x.shape[2:], strict=True)]
        inputs = {"x": x, "roi": None, "scales": np.array([1, 1, *scales], np.float32)}
    else:
        inputs["sizes"] = np.array([1, 2, *out])
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "cubic":
        attributes["exclude_outside"] = draw(st.integers(0, 1))
    if mode == "nearest":
        attributes["nearest_mode"] = draw(
            st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        )
    return operator("Resize", inputs, fixed=["sizes", "scales"], **attributes), ["x"]


@st.composite
def pads(draw: Any) -> Any:
    shape = several(draw, draw(st.integers(1, 3)), 2, 5)
    mode = draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
    low = -1 if mode == "constant" else 0
    amounts = [draw(st.integers(low, extent - 1)) for extent in shape * 2]
    inputs = {"x": array(draw, shape), "pads": np.array(amounts)}
    return operator("Pad", inputs, fixed=["pads"], mode=mode), ["x"]


@st.composite
def slices(draw: Any) -> Any:
    shape = several(draw, draw(st.integers(1, 3)), 1, 6)
    axes = draw(st.permutations(range(-len(shape), 0)))[: draw(st.integers(1, len(shape)))]
    count = len(axes)
    steps = [draw(st.sampled_from([-3, -2, -1, 1, 2, 3])) for _ in range(count)]
    inputs = {
        "x": array(draw, shape),
        "starts": np.array(several(draw, count, -8, 8)),
        "ends": np.array(several(draw, count, -8, 8)),
        "axes": np.array(axes),
        "steps": np.array(steps),
    }
    fixed = ["axes", "steps", *draw(st.sampled_from([[], ["starts", "ends"]]))]
    return operator("Slice", inputs, fixed=fixed), ["x"]


@st.composite
def gathers(draw: Any) -> Any:
    shape = several(draw, draw(st.integers(1, 3)), 1, 4)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    extent = shape[axis]
    of = several(draw, draw(st.integers(0, 2)), 1, 3)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    inputs = {"x": array(draw, shape), "indices": np.asarray(random.integers(-extent, extent, of))}
    return operator("Gather", inputs, fixed=["indices"], axis=axis), ["x"]


@st.composite
def reductions(draw: Any) -> Any:
    op_type = draw(st.sampled_from(["ReduceSum", "ReduceMean"]))
    low = 0 if op_type == "ReduceSum" else 1  # no element has no mean
    shape = several(draw, draw(st.integers(1, 4)), low, 4)
    axes = draw(
        st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape))
    )
    inputs = {"x": array(draw, shape), "axes": np.array(axes, np.int64)}
    return operator(
        op_type, inputs, fixed=["axes"], keepdims=draw(st.integers(0, 1)),
        noop_with_empty_axes=draw(st.integers(0, 1)),
    ), ["x"]  # fmt: skip


@st.composite
def sums(draw: Any) -> Any:
    """Two shapes that broadcast."""
    full = several(draw, draw(st.integers(0, 4)), 0, 4)

    def part() -> Any:
        shape = [draw(st.sampled_from([1, extent])) for extent in full]
        return shape[draw(st.integers(0, len(full))) :]

    inputs = {"a": array(draw, part()), "b": array(draw, part())}
    return operator(draw(st.sampled_from(["Add", "Sub"])), inputs), ["a", "b"]


@st.composite
def joints(draw: Any) -> Any:
    """Parts of any length, also none."""
    shape = several(draw, draw(st.integers(1, 3)), 1, 3)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    inputs = {}
    for name in "abc":
        shape[axis] = draw(st.integers(0, 3))
        inputs[name] = array(draw, shape)
    return operator("Concat", inputs, axis=axis), list(inputs)


@st.composite
def gathered_elements(draw: Any) -> Any:
    shape = several(draw, draw(st.integers(1, 3)), 1, 4)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    taken = [draw(st.integers(0, extent)) for extent in shape]
    random = np.random.default_rng(draw(st.integers(0, 99)))
    indices = np.asarray(random.integers(-shape[axis], shape[axis], taken))
    inputs = {"x": array(draw, shape), "indices": indices}
    return operator("GatherElements", inputs, fixed=["indices"], axis=axis), ["x"]


@st.composite
def gathered_slices(draw: Any) -> Any:
    shape = several(draw, draw(st.integers(1, 4)), 1, 4)
    shared = draw(st.integers(0, len(shape) - 1))
    depth = draw(st.integers(1, len(shape) - shared))
    more = several(draw, draw(st.integers(0, 1)), 1, 4)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    indices = np.stack(
        [
            random.integers(-extent, extent, [*shape[:shared], *more])
            for extent in shape[shared : shared + depth]
        ],
        -1,
    )
    inputs = {"x": array(draw, shape), "indices": indices}
    return operator("GatherND", inputs, fixed=["indices"], batch_dims=shared), ["x"]


FAMILIES = {
    "Conv": convolutions(),
    "ConvTranspose": transposed_convolutions(),
    "AveragePool": average_pools(),
    "Resize": resizes(),
    "Pad": pads(),
    "Slice": slices(),
    "Gather": gathers(),
    "GatherElements": gathered_elements(),
    "GatherND": gathered_slices(),
    "Concat": joints(),
    "reductions": reductions(),
    "broadcasting": sums(),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_linear_operators(family: Any) -> None:
    @EXAMPLES
    @given(family)
    def holds(example: Any) -> None:
        case, wrt = example
        check(case, wrt=wrt, linear=True, dynamic=["x", "a", "b"])

    holds()


@st.composite
def max_pools(draw: Any) -> Any:
    case, wrt = draw(average_pools())
    node = case.model.graph.node[0]
    node.op_type = "MaxPool"
    (other,) = [a for a in node.attribute if a.name == "count_include_pad"]
    node.attribute.remove(other)
    return case, wrt


@EXAMPLES
@given(max_pools())
def test_max_pool_gives_each_cotangent_to_one_element(example: Any) -> None:
    case, _ = example
    y = forward(case.model, case.feeds, "y")
    u = np.random.default_rng(0).integers(1, 9, y.shape)
    feeds = {**case.feeds, "y.cotangent": np.asarray(u, np.float32)}
    g = forward(vjp(case.model, "y", ["x"]), feeds, "x.grad")
    assert g.sum() == u.sum()
    chosen = case.feeds["x"][g != 0]
    assert set(chosen) == set(y.reshape(-1))


@st.composite
def scatters(draw: Any) -> Any:
    """Any reduction; where one element replaces another, no two are put to one place."""
    shape = several(draw, draw(st.integers(1, 3)), 1, 4)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    reduction = draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    taken = [draw(st.integers(1, extent)) for extent in shape]
    if reduction == "none":
        places = np.argsort(
            random.random([*taken[:axis], shape[axis], *taken[axis % len(shape) + 1 :]]), axis
        )
        indices = np.take(places, range(taken[axis]), axis)
    else:
        taken[axis] = draw(st.integers(1, 6))
        indices = np.asarray(random.integers(-shape[axis], shape[axis], taken))
    inputs = {"x": array(draw, shape), "indices": indices, "updates": array(draw, taken)}
    case = operator("ScatterElements", inputs, fixed=["indices"], axis=axis, reduction=reduction)
    return case, ["x", "updates"]


@st.composite
def einsums(draw: Any) -> Any:
    """Two operands, with batch axes, sums over one and over both, and perhaps an ellipsis."""
    extents = dict(zip("abcde", several(draw, 5, 1, 3), strict=True))
    left, right = (draw(st.permutations("abcde"))[: draw(st.integers(1, 4))] for _ in "xy")
    kept = draw(st.permutations(sorted({*left, *right})))
    kept = kept[: draw(st.integers(0, len(kept)))]
    dots, more = ("...", [2]) if draw(st.booleans()) else ("", [])
    equation = f"{dots}{''.join(left)},{dots}{''.join(right)}->{dots}{''.join(kept)}"
    inputs = {
        "a": array(draw, [*more, *(extents[letter] for letter in left)]),
        "b": array(draw, [*more, *(extents[letter] for letter in right)]),
    }
    return operator("Einsum", inputs, equation=equation), ["a", "b"]


@st.composite
def other_reductions(draw: Any) -> Any:
    kinds = ["L1", "L2", "LogSumExp", "Max", "Min", "Prod", "SumSquare"]
    shape = several(draw, draw(st.integers(1, 4)), 1, 4)
    axes = draw(
        st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape))
    )
    inputs = {"x": array(draw, shape), "axes": np.array(axes, np.int64)}
    return operator(
        f"Reduce{draw(st.sampled_from(kinds))}", inputs, fixed=["axes"],
        keepdims=draw(st.integers(0, 1)), noop_with_empty_axes=int(not axes),
    ), ["x"]  # fmt: skip


@st.composite
def products(draw: Any) -> Any:
    """Two shapes that broadcast, in operators that are not linear in both."""
    case, wrt = draw(sums())
    case.model.graph.node[0].op_type = draw(st.sampled_from(["Mul", "Div", "Max", "Min", "Pow"]))
    feeds = {name: np.asarray(1 + np.abs(array), np.float32) for name, array in case.feeds.items()}
    return Case(case.model, feeds), wrt


CURVED = {
    "Scatter": scatters(),
    "Einsum": einsums(),
    "reductions": other_reductions(),
    "broadcasting": products(),
}


@pytest.mark.parametrize("family", CURVED.values(), ids=CURVED)
def test_other_operators(family: Any) -> None:
    @EXAMPLES
    @given(family)
    def holds(example: Any) -> None:
        case, wrt = example
        try:
            check(case, wrt=wrt, double=False, dynamic=["x", "a", "b"])
        except NotSmoothError:
            reject()

    holds()


@st.composite
def ties(draw: Any) -> Any:
    """Operators that choose, on numbers of which many are equal."""
    shape = several(draw, draw(st.integers(1, 3)), 1, 5)
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 3, shape).astype(np.float32)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    op_type = draw(st.sampled_from(["ReduceMax", "ReduceMin", "TopK", "MaxPool", "GlobalMaxPool"]))
    if op_type == "TopK":
        inputs = {"x": x, "k": np.array([draw(st.integers(0, shape[axis]))])}
        largest = draw(st.integers(0, 1))
        return operator("TopK", inputs, fixed=["k"], outputs=("y", "i"), axis=axis, largest=largest)
    if op_type.startswith("Reduce"):
        return operator(op_type, {"x": x, "axes": np.array([axis])}, fixed=["axes"])
    if op_type == "GlobalMaxPool":
        return operator(op_type, {"x": x[None, None]})
    kernel = [draw(st.integers(1, extent)) for extent in shape]
    return operator(op_type, {"x": x[None, None]}, kernel_shape=kernel)


@EXAMPLES
@given(ties())
def test_ties_share_a_cotangent_and_lose_nothing_of_it(case: Any) -> None:
    x, y = case.feeds["x"], forward(case.model, case.feeds, "y")
    u = np.random.default_rng(0).integers(1, 9, y.shape)
    feeds = {**case.feeds, "y.cotangent": np.asarray(u, np.float32)}
    g = forward(vjp(case.model, "y", ["x"]), feeds, "x.grad")
    assert g.sum() == pytest.approx(u.sum())
    assert (g >= 0).all()  # so a mixture of the choices, each of which is a derivative
    assert set(x[g != 0]) <= set(y.reshape(-1))
    # u' y is linear in x as long as the same elements are chosen
    assert (g * x).sum() == pytest.approx((u * y).sum(), rel=1e-4)
