"""Control flow that is decided before a network runs: checked against the network as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from finite_differences import Case, check, forward
from onnx import TensorProto, helper, numpy_helper, parser

from ortcam.errors import OperatorError
from ortcam_export.prepare import control_flow
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

HEAD = '<ir_version: 10, opset_import: ["": 21]> '

FOLDED = {
    "a constant condition": """
        g (float[2, 3] x) => (float[2, 3] y) <bool c = {1}> {
          h = Sigmoid(x)
          t = If(c) <
            then_branch = yes () => (float[2, 3] p) { h2 = Mul(h, h)  p = Tanh(h2) },
            else_branch = no () => (float[2, 3] q) { q = Neg(h) }
          >
          y = Mul(t, h)
        }""",
    "a condition on a static extent": """
        g (float[2, 3] x) => (float[2, 3] y) <int64[1] place = {1}, int64[1] three = {3}> {
          s = Shape(x)
          n = Gather(s, place)
          c = Equal(n, three)
          y = If(c) <
            then_branch = yes () => (float[2, 3] p) { p = Tanh(x) },
            else_branch = no () => (float[2, 3] q) { q = Neg(x) }
          >
        }""",
    "one extent of two is static": """
        g (float[N, 3] x) => (float[N, 3] y) <int64 place = {1}, int64 four = {4}> {
          s = Shape(x)
          n = Gather(s, place)
          c = Less(n, four)
          y = If(c) <
            then_branch = yes () => (float[N, 3] p) { p = Tanh(x) },
            else_branch = no () => (float[N, 3] q) { q = Neg(x) }
          >
        }""",
    "constants and names inside, and one If in another": """
        g (float[2, 3] x) => (float[2, 3] y) <bool c = {0}> {
          k = Exp(x)
          a = If(c) <
            then_branch = yes () => (float[2, 3] p) { p = Tanh(x) },
            else_branch = no () => (float[2, 3] q) {
              two = Constant<value = float {2.0}>()
              d = Not(c)
              q = If(d) <
                then_branch = yes2 () => (float[2, 3] r) { m = Mul(k, two)  r = Mul(m, x) },
                else_branch = no2 () => (float[2, 3] s) { s = Neg(k) }
              >
            }
          >
          b = If(c) <
            then_branch = yes3 () => (float[2, 3] t) { t = Tanh(x) },
            else_branch = no3 () => (float[2, 3] u) { two3 = Sin(x) u = Mul(two3, a) }
          >
          y = Add(b, k)
        }""",
    "a Loop of constant length": """
        g (float[2, 3] x) => (float[2, 3] y, float[4, 3] z) <int64 n = {4}, bool go = {1}> {
          w = Sin(x)
          y, z = Loop(n, go, x) <
            body = b (int64 i, bool going, float[2, 3] s)
                => (bool going2, float[2, 3] s3, float[3] mean) {
              going2 = Identity(going)
              f = Cast<to = 1>(i)
              s1 = Mul(s, w)
              s2 = Add(s1, f)
              s3 = Tanh(s2)
              zero = Constant<value = int64[1] {0}>()
              mean = ReduceMean<keepdims = 0>(s3, zero)
            }
          >
        }""",
    "a Loop whose condition counts": """
        g (float[2, 3] x) => (float[2, 3] y) <bool go = {1}> {
          one = Constant<value = int64 {1}>()
          zero = Constant<value = int64 {0}>()
          y, last = Loop("", go, x, zero) <
            body = b (int64 i, bool going, float[2, 3] s, int64 k)
                => (bool going2, float[2, 3] s2, int64 k2) {
              k2 = Add(k, one)
              three = Constant<value = int64 {3}>()
              going2 = Less(k2, three)
              s1 = Exp(s)
              s2 = Sigmoid(s1)
            }
          >
        }""",
    "a Loop that never runs": """
        g (float[2, 3] x) => (float[2, 3] y) <int64 n = {5}, bool go = {0}> {
          t = Tanh(x)
          y = Loop(n, go, t) <
            body = b (int64 i, bool going, float[2, 3] s) => (bool going2, float[2, 3] s2)
              { going2 = Identity(going)  s2 = Exp(s) }
          >
        }""",
    "a Loop in a Loop, with an If on its counter": """
        g (float[2, 3] x) => (float[2, 3] y) <int64 n = {2}, int64 m = {3}, bool go = {1}> {
          y = Loop(n, go, x) <
            body = outer (int64 i, bool going, float[2, 3] s) => (bool going2, float[2, 3] s2) {
              going2 = Identity(going)
              s2 = Loop(m, go, s) <
                body = inner (int64 j, bool more, float[2, 3] r) => (bool more2, float[2, 3] r2) {
                  more2 = Identity(more)
                  c = Equal(i, j)
                  r2 = If(c) <
                    then_branch = yes () => (float[2, 3] p) { p = Tanh(r) },
                    else_branch = no () => (float[2, 3] q) { q0 = Mul(r, x)  q = Sin(q0) }
                  >
                }
              >
            }
          >
        }""",
    "a body that passes on what it is given": """
        g (float[2, 3] x) => (float[2, 3] y, float[2, 3] z) <int64 n = {3}> {
          a = Sin(x)
          b = Cos(x)
          y, z = Loop(n, "", a, b) <
            body = b (int64 i, bool going, float[2, 3] p, float[2, 3] q)
              => (bool going, float[2, 3] q, float[2, 3] r) { r = Mul(p, q) }
          >
        }""",
    "a Scan": """
        g (float[4, 3] x) => (float[3] y, float[4, 3] z) <float[3] start = {0.1, 0.2, 0.3}> {
          t = Sin(x)
          y, z = Scan<num_scan_inputs = 1>(start, t) <
            body = b (float[3] s, float[3] row) => (float[3] s2, float[3] o)
              { p = Mul(s, row)  s2 = Tanh(p)  o = Add(s2, row) }
          >
        }""".replace(
        "Scan<num_scan_inputs = 1>(start, t) <", "Scan(start, t) < num_scan_inputs = 1, "
    ),
}

FUNCTIONS = {
    ("a body that passes on what it is given", "y"): lambda feeds: (
        np.sin(feeds["x"]) * np.cos(feeds["x"]) ** 2
    ),
    ("a body that passes on what it is given", "z"): lambda feeds: (
        np.sin(feeds["x"]) ** 2 * np.cos(feeds["x"]) ** 3
    ),
}


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    return [forward(model, feeds, value.name) for value in model.graph.output]


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    return ir.to_proto(prepare(load(model)))


def is_flat(model: onnx.ModelProto) -> bool:
    return all(node.op_type not in ("If", "Loop", "Scan") for node in model.graph.node)


@pytest.fixture
def normal() -> Callable[..., np.ndarray[Any, Any]]:
    """Draws float32 arrays of a shape, the same ones in every run."""
    random = np.random.default_rng(0)
    return lambda *shape: random.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", FOLDED)
def test_it_computes_the_same_without_control_flow(normal: Any, name: Any) -> None:
    model = parser.parse_model(HEAD + FOLDED[name])
    onnx.checker.check_model(model)
    x = normal(4, 3) if "Scan" in name else normal(2, 3)
    ready = prepared(model)
    onnx.checker.check_model(ready, full_check=True)
    assert is_flat(ready)
    for ours, theirs in zip(run(ready, {"x": x}), run(model, {"x": x}), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    for output in model.graph.output:
        dynamic = () if "static" in name or "Scan" in name else None
        function = FUNCTIONS.get((name, output.name))  # where onnx's evaluator mistakes names
        check(
            Case(model, {"x": x}), of=output.name, wrt=["x"], dynamic=dynamic, function=function,
            double=function is None,
        )  # fmt: skip


def test_a_branch_taken_keeps_its_names() -> None:
    model = parser.parse_model(HEAD + FOLDED["constants and names inside, and one If in another"])
    names = {value.name for node in prepare(load(model)).graph for value in node.outputs}
    assert {"k", "q", "r", "m", "two3", "u", "a", "b", "y"} <= names


def test_the_runs_of_a_body_are_counted_in_names() -> None:
    model = parser.parse_model(HEAD + FOLDED["a Loop of constant length"])
    names = {value.name for node in prepare(load(model)).graph for value in node.outputs}
    assert {"s1.0", "s1.3", "s3.2", "mean.1", "y", "z"} <= names
    assert "s1.4" not in names


def test_a_name_that_is_used_outside_is_not_used_twice() -> None:
    text = """g (float[2] x) => (float[2] y) <bool c = {1}> {
        a = If(c) <then_branch = yes () => (float[2] p) { h = Sin(x) p = Cos(h) },
                   else_branch = no () => (float[2] q) { q = Cos(x) }>
        b = If(c) <then_branch = yes () => (float[2] p) { h = Exp(x) p = Neg(h) },
                   else_branch = no () => (float[2] q) { q = Cos(x) }>
        y = Add(a, b)
    }"""
    model = parser.parse_model(HEAD + text)
    ready = prepared(model)
    onnx.checker.check_model(ready)
    x = np.array([0.5, 1], np.float32)
    np.testing.assert_allclose(run(ready, {"x": x})[0], np.cos(np.sin(x)) - np.exp(x), rtol=1e-6)


START = np.array([0.1, -0.2, 0.3], np.float32)
MATRICES = np.random.default_rng(3).standard_normal((3, 3, 4)).astype(np.float32)


@pytest.mark.parametrize("output", ["s_last", "r_last", "o1s", "o2s"])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"scan_input_directions": [1, 0], "scan_output_directions": [0, 1]},
        {"scan_output_axes": [1, -1], "scan_output_directions": [1, 1]},
    ],
)
def test_a_scan_of_axes_and_directions(normal: Any, attributes: Any, output: Any) -> None:
    """Two states, two inputs along their last axes, two scanned outputs."""
    info, f = helper.make_tensor_value_info, TensorProto.FLOAT
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["s", "a"], ["s_a"]),
            helper.make_node("Add", ["s_a", "r"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["s2"]),
            helper.make_node("MatMul", ["b", "s2"], ["r2"]),
            helper.make_node("Sin", ["r2"], ["o1"]),
            helper.make_node("Concat", ["s2", "a"], ["o2"], axis=0),
        ],
        "body",
        [*(info(n, f, [3]) for n in ("s", "r", "a")), info("b", f, [3, 3])],
        [*(info(n, f, [3]) for n in ("s2", "r2", "o1")), info("o2", f, [6])],
    )
    node = helper.make_node(
        "Scan", ["start", "start", "x", "matrices"], ["s_last", "r_last", "o1s", "o2s"],
        body=body, num_scan_inputs=2, scan_input_axes=[1, -1], **attributes,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "g",
        [info("x", f, [3, 4])],
        [info(output, f, None)],
        [numpy_helper.from_array(START, "start"), numpy_helper.from_array(MATRICES, "matrices")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert is_flat(prepared(model))

    def scanned(feeds: Any) -> Any:
        back = attributes.get("scan_input_directions", [0, 0])
        reverse = attributes.get("scan_output_directions", [0, 0])
        axes = attributes.get("scan_output_axes", [0, 0])
        s = r = START
        rows = []
        for t in range(4):
            a = feeds["x"][:, 3 - t if back[0] else t]
            b = MATRICES[:, :, 3 - t if back[1] else t]
            s = np.tanh(s * a + r)
            r = b @ s
            rows.append((np.sin(r), np.concatenate([s, a])))
        parts = [list(part) for part in zip(*rows, strict=True)]
        stacked = [
            np.stack(part[::-1] if turned else part, axis)
            for part, turned, axis in zip(parts, reverse, axes, strict=True)
        ]
        return {"s_last": s, "r_last": r, "o1s": stacked[0], "o2s": stacked[1]}[output]

    check(Case(model, {"x": normal(3, 4)}), wrt=["x"], dynamic=(), function=scanned, double=False)


LEFT = {
    "a Loop as long as an input says": """
        g (float[2] x, int64 n) => (float[2] y) <bool go = {1}> {
          y = Loop(n, go, x) <body = b (int64 i, bool going, float[2] s)
            => (bool going2, float[2] s2) { going2 = Identity(going)  s2 = Exp(s) }>
        }""",
    "a Loop until a tensor says": """
        g (float[2] x) => (float[2] y) <bool go = {1}, float big = {9.0}> {
          y = Loop("", go, x) <body = b (int64 i, bool going, float[2] s)
            => (bool going2, float[2] s2)
            { t = ReduceSum<keepdims = 0>(s)  going2 = Less(t, big)  s2 = Exp(s) }>
        }""",
    "a Loop that runs too often": """
        g (float[2] x) => (float[2] y) <int64 n = {1000000}, bool go = {1}> {
          y = Loop(n, go, x) <body = b (int64 i, bool going, float[2] s)
            => (bool going2, float[2] s2) { going2 = Identity(going)  s2 = Sin(s) }>
        }""",
    "a Scan of an axis of unknown extent": """
        g (float[N] x) => (float[N] y) {
          y = Scan(x) <num_scan_inputs = 1, body = b (float s) => (float s2) { s2 = Sin(s) }>
        }""",
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_decided_only_when_the_network_runs_is_left_and_refused(name: Any) -> None:
    model = parser.parse_model(HEAD + LEFT[name])
    assert not is_flat(prepared(model))
    with pytest.raises(
        OperatorError, match=r"has no gradient rule \(its body runs a number of times "
    ):
        vjp(model, "y", ["x"])


@pytest.mark.parametrize("place", ["place", "n"])
def test_a_condition_on_an_open_extent_is_left(normal: Any, place: Any) -> None:
    """Also where the extent is static and which of them is asked for is open."""
    text = """g (float[N, 3] x, int64 n) => (float[N, 3] y) <int64 place = {0}, int64 two = {2}> {
        s = Shape(x)
        extent = Gather(s, PLACE)
        c = Less(extent, two)
        y = If(c) <
          then_branch = yes () => (float[N, 3] p) { p = Tanh(x) },
          else_branch = no () => (float[N, 3] q) { q = Sin(x) }
        >
    }""".replace("PLACE", place)
    if place == "n":
        text = text.replace("float[N, 3]", "float[1, 3]")
    model = parser.parse_model(HEAD + text)
    assert not is_flat(prepared(model))
    for rows in (1, 2) if place == "place" else (1,):
        check(Case(model, {"x": normal(rows, 3), "n": np.array(1)}), wrt=["x"])


def test_an_open_place_picks_nothing_that_is_known() -> None:
    """The open extent of x says which extent of z is asked for: that of 1 or that of 5."""
    text = """
      g (float[N, 3] x, float[1, 5] z) => (float[N, 3] y) <int64 zero = {0}, int64 two = {2}> {
        places = Shape(x)
        place = Gather(places, zero)
        s = Shape(z)
        extent = Gather(s, place)
        c = Less(extent, two)
        y = If(c) <
          then_branch = yes () => (float[N, 3] p) { p = Tanh(x) },
          else_branch = no () => (float[N, 3] q) { q = Sin(x) }
        >
    }"""
    assert not is_flat(prepared(parser.parse_model(HEAD + text)))


def test_loops_may_become_so_many_nodes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model = parser.parse_model(HEAD + LEFT["a Loop that runs too often"].replace("1000000", "10"))
    assert is_flat(prepared(model))
    monkeypatch.setattr(control_flow, "MOST_NODES", 20)
    assert not is_flat(prepared(model))
