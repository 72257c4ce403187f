"""Gradients checked against finite differences, which use no gradient rule.

The product u' J v of a network's Jacobian is computed in two ways: J v by central differences of
the forward network in double precision, on onnx's ReferenceEvaluator; u' J by
``ortcam_export.vjp``, run in onnxruntime and, where possible, in double precision. Both forward
networks must compute the same. Where onnx's evaluator does not, a test passes a function of its
own, or declares the network linear in the tensor, so that J v = f(v) - f(0) in onnxruntime itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
Function = Callable[[Feeds], Array]

#: Largest error of a float32 gradient, and of a double one, in units of |u| |J v|.
SINGLE, DOUBLE = 1e-4, 1e-7

#: The number of questions in one run.
K = 3

#: Inputs that stay float32 in a double-precision network: (operator, index).
_ALWAYS_SINGLE = {("Resize", 2), ("Upsample", 1)}


@dataclass(frozen=True)
class Case:
    """A network and the values of its inputs."""

    model: onnx.ModelProto
    feeds: Feeds


class NotSmoothError(AssertionError):
    """Two step sizes give different differences: there is no derivative to check against.

    Attributes:
        name: the input that was shifted.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"in {name}: {reason}")
        self.name = name


class ForwardDiffersError(AssertionError):
    """onnxruntime and onnx's ReferenceEvaluator compute different results."""


def operator(
    op_type: str,
    inputs: Mapping[str, Array | None],
    *,
    fixed: Iterable[str] = (),
    outputs: Sequence[str] = ("y",),
    opset: int = 21,
    output_type: int = TensorProto.FLOAT,
    **attributes: Any,
) -> Case:
    """Return a network of one operator.

    Args:
        op_type: the operator.
        inputs: its inputs by name; None for an optional one that is left out.
        fixed: the names of those that are initializers; the others are fed.
        outputs: the names of its outputs; "" for one that is left out.
        opset: the version of ai.onnx.
        output_type: the element type of the first output, the only one that the network returns.
        attributes: the operator's.
    """
    fixed = set(fixed)
    arrays = {name: array for name, array in inputs.items() if array is not None}
    feeds = {name: array for name, array in arrays.items() if name not in fixed}
    names = [name if name in arrays else "" for name in inputs]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op_type, names, list(outputs), **attributes)
    graph = helper.make_graph(
        [node],
        op_type,
        [_info(name, array) for name, array in feeds.items()],
        [helper.make_tensor_value_info(outputs[0], output_type, None)],
        [numpy_helper.from_array(arrays[name], name) for name in arrays if name in fixed],
    )
    imports = [helper.make_opsetid("", opset)]
    return Case(helper.make_model(graph, opset_imports=imports, ir_version=10), feeds)


def check_operator(
    op_type: str,
    inputs: Mapping[str, Array | None],
    *,
    wrt: Sequence[str] | None = None,
    function: Function | None = None,
    linear: bool = False,
    double: bool = True,
    static: bool = True,
    dynamic: Iterable[str] | None = None,
    **options: Any,
) -> None:
    """Call :func:`check` for a network of one operator; see :func:`operator`."""
    case = operator(op_type, inputs, **options)
    if wrt is None:
        wrt = [n for n, a in inputs.items() if a is not None and a.dtype == np.float32]
    check(
        case, wrt=wrt, function=function, linear=linear, double=double, static=static,
        dynamic=dynamic,
    )  # fmt: skip


def check(
    case: Case,
    *,
    wrt: Sequence[str],
    of: str | None = None,
    function: Function | None = None,
    linear: bool = False,
    double: bool = True,
    static: bool = True,
    dynamic: Iterable[str] | None = None,
    tolerance: float = SINGLE,
    fresh: bool = False,
    known: Mapping[str, tuple[Array, Array]] | None = None,
) -> None:
    """Check the gradients of a float32 network, with static and with symbolic shapes.

    Args:
        case: the network and the values of its inputs.
        wrt: the tensors whose gradients are checked: inputs and initializers.
        of: the output to differentiate; the first by default.
        function: the forward network in double precision, where onnx's evaluator and onnxruntime
            disagree: a function of the arrays of inputs and ``wrt`` by name.
        linear: the network is linear (or affine) in each of ``wrt``; take onnxruntime's own
            differences.
        double: check the gradient in double precision too.
        static: check the network with its own shapes; otherwise only with symbolic ones.
        dynamic: the inputs that have symbolic shapes in the second check; all by default. If it is
            empty there is no second check.
        tolerance: the largest error of a float32 gradient, in units of |u| |J v|.
        known: a direction and J v for each of ``wrt``, if they are known.
        fresh: open a new session for each run, so that a seed draws the same numbers again.
    """
    of = of or case.model.graph.output[0].name
    if not static:
        case = Case(symbolic(case.model, dynamic), case.feeds)
    random = np.random.default_rng(0)
    values = {name: _value(case, name) for name in wrt}
    everything = {**case.feeds, **values}
    y = forward(case.model, case.feeds, of)
    u = [_direction(random, y) for _ in range(K)]
    directions = {name: _direction(random, array) for name, array in values.items()}
    if known is not None:
        directions = {name: known[name][0] for name in wrt}
        jv = {name: known[name][1] for name in wrt}
    elif linear:
        plain = lifted(case.model, wrt)
        jv = {name: _linear(plain, everything, of, name, v) for name, v in directions.items()}
    else:
        function = function or evaluated(recast(lifted(case.model, wrt)), of)
        start = recast_feeds(everything)
        agree(y, function(start))
        jv = {
            name: central(function, start, name, v, tolerance / 10)
            for name, v in directions.items()
        }

    # float32, one question at a time, in onnxruntime
    graph = vjp(case.model, of, wrt)
    session = _session(graph)
    single = [
        _gradients(
            _session(graph) if fresh else session, wrt, {**case.feeds, f"{of}.cotangent": row}
        )
        for row in u
    ]
    for name, v in directions.items():
        for row, gradients in zip(u, single, strict=True):
            _compare(name, row, jv[name], gradients[name], v, tolerance)

    # double, so that a small error cannot hide in the rounding
    if double and not linear:
        evaluator = ReferenceEvaluator(vjp(recast(case.model), of, wrt))
        feeds = {**case.feeds, f"{of}.cotangent": u[0]}
        with np.errstate(all="ignore"):
            arrays: Any = evaluator.run([f"{name}.grad" for name in wrt], recast_feeds(feeds))
        for name, g in zip(wrt, arrays, strict=True):
            assert g.dtype == np.float64
            _compare(name, u[0], jv[name], g, directions[name], DOUBLE)

    # K questions at once, and none, of the same network and of one with symbolic shapes
    shapes = [case.model]
    if static and (dynamic is None or list(dynamic)):
        shapes.append(symbolic(case.model, dynamic))
    for model in shapes:
        session = _session(vjp(model, of, wrt, questions=True))
        several = _gradients(session, wrt, {**case.feeds, f"{of}.cotangent": np.stack(u)})
        none = _gradients(session, wrt, {**case.feeds, f"{of}.cotangent": np.stack(u)[:0]})
        for name, v in values.items():
            expected = np.stack([gradients[name] for gradients in single])
            _close(several[name], expected, f"{name}.grad of {K} questions")
            assert none[name].shape == (0, *v.shape)


def forward(model: onnx.ModelProto, feeds: Feeds, of: str) -> Array:
    """Return onnxruntime's output."""
    return np.asarray(_session(model).run([of], dict(feeds))[0])


def lifted(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return the network with these initializers as inputs, so that they can be shifted."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    names = set(names)
    fed = {value.name for value in graph.input}
    for tensor in [t for t in graph.initializer if t.name in names]:
        graph.initializer.remove(tensor)
        if tensor.name not in fed:
            graph.input.append(_info(tensor.name, numpy_helper.to_array(tensor)))
    return changed


def symbolic(model: onnx.ModelProto, names: Iterable[str] | None = None) -> onnx.ModelProto:
    """Return the network with a symbol for every extent of these inputs; of all by default."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    selection = None if names is None else set(names)
    for value in changed.graph.input:
        if selection is None or value.name in selection:
            for i, dim in enumerate(value.type.tensor_type.shape.dim):
                dim.dim_param = f"{value.name}.{i}"
    return changed


def recast(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network in double precision."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    _recast_graph(changed.graph)
    for function in changed.functions:
        for node in function.node:
            _recast_node(node)
    return changed


def _recast_graph(graph: onnx.GraphProto) -> None:
    single = {
        node.input[index]
        for node in graph.node
        for op_type, index in _ALWAYS_SINGLE
        if node.op_type == op_type and len(node.input) > index
    }
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.name not in single:
            _recast_type(value.type)
    for tensor in graph.initializer:
        if tensor.name not in single:
            _recast_tensor(tensor)
    for node in graph.node:
        if not single.intersection(node.output):
            _recast_node(node)


def _recast_type(kind: onnx.TypeProto) -> None:
    if kind.tensor_type.elem_type == TensorProto.FLOAT:
        kind.tensor_type.elem_type = TensorProto.DOUBLE


def _recast_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        array = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _recast_node(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            _recast_graph(attribute.g)
        elif attribute.type == onnx.AttributeProto.TENSOR:
            _recast_tensor(attribute.t)
        elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
        elif attribute.name in ("value_float", "value_floats"):
            value = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            array = np.asarray(np.asarray(value, np.float32), np.float64)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(array)))


def recast_feeds(feeds: Feeds) -> dict[str, Array]:
    return {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in feeds.items()}


def _info(name: str, array: Array) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape)


def _value(case: Case, name: str) -> Array:
    if name in case.feeds:
        return case.feeds[name]
    return numpy_helper.to_array(next(t for t in case.model.graph.initializer if t.name == name))


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _gradients(
    session: onnxruntime.InferenceSession, wrt: Sequence[str], feeds: Feeds
) -> dict[str, Array]:
    gradients = session.run([f"{name}.grad" for name in wrt], dict(feeds))
    return dict(zip(wrt, gradients, strict=True))


def evaluated(model: onnx.ModelProto, of: str) -> Function:
    evaluator = ReferenceEvaluator(model)

    def run(feeds: Feeds) -> Array:
        with np.errstate(all="ignore"):
            outputs: Any = evaluator.run([of], dict(feeds))
        return np.asarray(outputs[0])

    return run


def _direction(random: np.random.Generator, like: Array) -> Array:
    return np.asarray(random.standard_normal(like.shape), np.float32)


def central(
    function: Function,
    feeds: Feeds,
    name: str,
    v: Array,
    agreement: float,
    steps: Sequence[float] | None = None,
) -> Array:
    """Return J v by central differences of two step sizes, extrapolated to step 0.

    Small steps suit a function that bends sharply, large ones an evaluator that rounds coarsely.

    Args:
        function: the network.
        feeds: the point at which it is differentiated.
        name: the input that is shifted.
        v: the direction.
        agreement: the largest relative difference between the two step sizes.
        steps: the step sizes to try; by default those for double precision.

    Raises:
        NotSmoothError: the differences of two step sizes, or to the two sides, agree at no step.
    """
    x, y, v = feeds[name], function(feeds), v.astype(np.float64)

    def sides(step: float) -> tuple[Array, Array]:
        ahead = function({**feeds, name: np.asarray(x + step * v)})
        behind = function({**feeds, name: np.asarray(x - step * v)})
        if not ahead.shape == behind.shape == y.shape:
            raise NotSmoothError(name, "its shape changes")
        return (ahead - y) / step, (y - behind) / step

    for step in steps or (1e-4, 1e-6, 2e-3):
        right, left = sides(step)
        coarse, fine = sum(sides(2 * step)) / 2, (right + left) / 2
        apart = np.abs(right - left).max(initial=0)
        if apart > 0.03 * max(np.abs(right).max(initial=0), np.abs(left).max(initial=0)):
            continue
        if np.linalg.norm(coarse - fine) <= agreement * np.linalg.norm(fine) + 1e-9:
            return (4 * fine - coarse) / 3
    raise NotSmoothError(name, f"{np.linalg.norm(coarse - fine)}, {np.linalg.norm(fine)}, {apart}")


def _linear(model: onnx.ModelProto, feeds: Feeds, of: str, name: str, v: Array) -> Array:
    ahead = forward(model, {**feeds, name: v}, of).astype(np.float64)
    behind = forward(model, {**feeds, name: np.zeros_like(v)}, of).astype(np.float64)
    return ahead - behind


def _compare(name: str, u: Array, jv: Array, g: Array, v: Array, tolerance: float) -> None:
    """Assert <u, J v> = <J' u, v>."""
    assert g.shape == v.shape, f"{name}.grad is {g.shape}, {name} is {v.shape}"
    left = float(np.vdot(u.astype(np.float64), jv))
    right = float(np.vdot(g.astype(np.float64), v.astype(np.float64)))
    scale = np.linalg.norm(u) * max(np.linalg.norm(jv), 1e-3 * np.linalg.norm(v))
    error = abs(left - right) / scale if scale else abs(left - right)
    assert error <= tolerance, f"{name}: <u, J v> = {left}, <J' u, v> = {right}, error {error:.1e}"


def _close(found: Array, expected: Array, what: str) -> None:
    size = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * size, err_msg=what)


def agree(ours: Array, theirs: Array) -> None:
    size = np.abs(theirs).max(initial=0)
    same = ours.shape == theirs.shape and np.allclose(
        ours, theirs, rtol=1e-3, atol=1e-4 * size, equal_nan=True
    )
    if not same:
        raise ForwardDiffersError(
            f"{ours.ravel()[:8]} in onnxruntime, {theirs.ravel()[:8]} in onnx"
        )
