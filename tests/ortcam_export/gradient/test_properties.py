"""Random shapes and attributes for the operators that have many of them."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check, forward, operator
from hypothesis import HealthCheck, Phase, given, settings
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


def array(draw, shape):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.asarray(random.standard_normal(shape), np.float32)


def several(draw, count, low, high):
    return [draw(st.integers(low, high)) for _ in range(count)]


@st.composite
def convolutions(draw):
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
    return operator("Conv", inputs, fixed=["w"], **attributes), ["x", "w"]


@st.composite
def transposed_convolutions(draw):
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
    case = operator("ConvTranspose", inputs, fixed=["w"], output_padding=more, **attributes)
    return case, ["x", "w"]


@st.composite
def average_pools(draw):
    rank = draw(st.integers(1, 2))
    kernel, gaps = several(draw, rank, 1, 3), several(draw, rank, 1, 2)
    steps = [draw(st.integers(1, k)) for k in kernel]
    pads = [draw(st.integers(0, (k - 1) // 2)) for k in kernel * 2]
    space = [g * (k - 1) + 1 + draw(st.integers(0, 5)) for g, k in zip(gaps, kernel, strict=True)]
    return operator(
        "AveragePool", {"x": array(draw, (2, 1, *space))}, kernel_shape=kernel, strides=steps,
        pads=pads, dilations=gaps, ceil_mode=draw(st.integers(0, 1)),
        count_include_pad=draw(st.integers(0, 1)),
    ), ["x"]  # fmt: skip


@st.composite
def resizes(draw):
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
    inputs["sizes"] = np.array([1, 2, *several(draw, 2, 1, 9)])
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "cubic":
        attributes["exclude_outside"] = draw(st.integers(0, 1))
    if mode == "nearest":
        attributes["nearest_mode"] = draw(
            st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        )
    return operator("Resize", inputs, fixed=["sizes"], **attributes), ["x"]


@st.composite
def pads(draw):
    shape = several(draw, draw(st.integers(1, 3)), 2, 5)
    mode = draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
    low = -1 if mode == "constant" else 0
    amounts = [draw(st.integers(low, extent - 1)) for extent in shape * 2]
    inputs = {"x": array(draw, shape), "pads": np.array(amounts)}
    return operator("Pad", inputs, fixed=["pads"], mode=mode), ["x"]


@st.composite
def slices(draw):
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
def gathers(draw):
    shape = several(draw, draw(st.integers(1, 3)), 1, 4)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    extent = shape[axis]
    of = several(draw, draw(st.integers(0, 2)), 1, 3)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    inputs = {"x": array(draw, shape), "indices": np.asarray(random.integers(-extent, extent, of))}
    return operator("Gather", inputs, fixed=["indices"], axis=axis), ["x"]


@st.composite
def reductions(draw):
    op_type = draw(st.sampled_from(["ReduceSum", "ReduceMean"]))
    shape = several(draw, draw(st.integers(1, 4)), 1, 4)
    axes = draw(
        st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape))
    )
    inputs = {"x": array(draw, shape), "axes": np.array(axes, np.int64)}
    return operator(
        op_type, inputs, fixed=["axes"], keepdims=draw(st.integers(0, 1)),
        noop_with_empty_axes=draw(st.integers(0, 1)),
    ), ["x"]  # fmt: skip


@st.composite
def sums(draw):
    """Two shapes that broadcast."""
    full = several(draw, draw(st.integers(0, 4)), 1, 4)

    def part():
        shape = [draw(st.sampled_from([1, extent])) for extent in full]
        return shape[draw(st.integers(0, len(full))) :]

    inputs = {"a": array(draw, part()), "b": array(draw, part())}
    return operator(draw(st.sampled_from(["Add", "Sub"])), inputs), ["a", "b"]


FAMILIES = {
    "Conv": convolutions(),
    "ConvTranspose": transposed_convolutions(),
    "AveragePool": average_pools(),
    "Resize": resizes(),
    "Pad": pads(),
    "Slice": slices(),
    "Gather": gathers(),
    "reductions": reductions(),
    "broadcasting": sums(),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_linear_operators(family):
    @EXAMPLES
    @given(family)
    def holds(example):
        case, wrt = example
        check(case, wrt=wrt, linear=True, dynamic=["x", "a", "b"])

    holds()


@st.composite
def max_pools(draw):
    case, wrt = draw(average_pools())
    node = case.model.graph.node[0]
    node.op_type = "MaxPool"
    (other,) = [a for a in node.attribute if a.name == "count_include_pad"]
    node.attribute.remove(other)
    return case, wrt


@EXAMPLES
@given(max_pools())
def test_max_pool_gives_each_cotangent_to_one_element(example):
    case, _ = example
    y = forward(case.model, case.feeds, "y")
    u = np.random.default_rng(0).integers(1, 9, y.shape).astype(np.float32)
    g = forward(vjp(case.model, "y", ["x"]), {**case.feeds, "y.cotangent": u}, "x.grad")
    assert g.sum() == u.sum()
    chosen = case.feeds["x"][g != 0]
    assert set(chosen) == set(y.reshape(-1))
