"""onnx's own node tests as gradient checks: cases, values and forward code from elsewhere.

Each case's verdict is computed, not written down: the inputs in which the function is smooth,
whether onnxruntime runs it, and whether <u, J v> by central differences equals <vjp(u), v>.
"""

from __future__ import annotations

import enum
import functools
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from finite_differences import (
    Case,
    Feeds,
    Function,
    agree,
    central,
    check,
    evaluated,
    forward,
    recast,
    recast_feeds,
)
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from ortcam.errors import ModelError, OrtcamError
from ortcam_export.gradient.function_bodies import expand
from ortcam_export.gradient.operators import Kind, decision
from ortcam_export.gradient.paths import dependencies, undecided
from ortcam_export.graph.names import tensor
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

__all__ = [
    "BY_OURS",
    "IN_SOME",
    "PAGE",
    "TOLERANCE",
    "Judgement",
    "Verdict",
    "cases",
    "judge",
    "operator_of",
    "recorded",
]

#: The verdicts of the last run of docs/scripts/node_tests.py.
PAGE = Path(__file__).parents[2] / "docs" / "node_tests.md"

#: The largest error, in units of |u| |J v|.
TOLERANCE = 1e-3

#: The page's headings for cases that pass with a qualification.
BY_OURS = "pass by onnxruntime's own differences"
IN_SOME = "pass in some of their inputs, and are not smooth in others"

#: Differences in single precision take larger steps than those in double, and agree less closely.
_COARSE = (3e-3, 1e-2, 3e-2, 1e-1)

#: A smaller change of the output along a direction counts as none.
_STILL = 1e-6


class Verdict(enum.Enum):
    """The verdict on a case."""

    PASSED = "passed"
    # No gradient to check.
    NOT_RUN = "onnxruntime does not run it"
    NOT_FINITE = "its output is not finite"
    NOT_SMOOTH = "it is not smooth at the values given"
    # A gradient that is not confirmed.
    REFUSED = "its operator is refused"
    FAILED = "the gradient is wrong, or there is none"

    @property
    def outside(self) -> bool:
        """True if there is no gradient to check: the case says nothing about the engine."""
        return self in (Verdict.NOT_RUN, Verdict.NOT_FINITE, Verdict.NOT_SMOOTH)


@dataclass(frozen=True)
class Judgement:
    """The verdict on a case, its reason, and the source of the differences.

    Attributes:
        verdict: the verdict.
        measured: the reason if it did not pass: an operator or the first line of an error.
        ours: the differences are onnxruntime's own in single precision, since onnx's evaluator
            does not run the case in double, or computes another result.
        bends: the inputs that are not checked, as the function is not smooth in them.
    """

    verdict: Verdict
    measured: str = ""
    ours: bool = False
    bends: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if the gradient is confirmed."""
        return self.verdict is Verdict.PASSED


@functools.cache
def cases() -> dict[str, Any]:
    """The cases by name that have only tensors, a float32 input and a float32 first output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in collect_testcases(None) if _is_float(case)}


def _is_float(case: Any) -> bool:
    graph, ((inputs, _), *_) = case.model.graph, case.data_sets
    tensors = all(isinstance(array, np.ndarray | np.generic | float) for array in inputs)
    return (
        tensors
        and any(np.asarray(array).dtype == np.float32 for array in inputs)
        and graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
        and any(not imported.domain for imported in case.model.opset_import)
    )


def operator_of(name: str) -> str:
    """The operator that a case tests; for a case of a function body, the function's operator."""
    whole = cases().get(name.split("_expanded")[0], cases()[name])
    nodes = whole.model.graph.node
    return str((nodes[-1] if "_expanded" in whole.name else nodes[0]).op_type)


def judge(name: str) -> Judgement:
    """Compute the verdict on a case."""
    case = _network(name)
    of = case.model.graph.output[0].name
    try:
        y = forward(case.model, case.feeds, of)
    except Exception as error:  # onnxruntime raises many types
        return Judgement(Verdict.NOT_RUN, _line(error))
    if not np.isfinite(y).all():
        return Judgement(Verdict.NOT_FINITE)
    function = _reference(case, of, y)
    ours = function is None
    known = _differences(function or _onnxruntime(case, of), case, ours)
    bends = tuple(sorted(case.feeds.keys() - known.keys()))
    if not known:
        return Judgement(Verdict.NOT_SMOOTH, "", ours, bends)
    try:
        network = expand(prepare(load(case.model)), [of])
    except ModelError as error:
        return Judgement(Verdict.REFUSED, _line(error), ours, bends)
    try:
        y_ = tensor(network, of)
        for node in undecided(network.graph, y_):
            if not node.domain and decision(node.op_type).kind == Kind.REFUSED:
                return Judgement(Verdict.REFUSED, node.op_type, ours, bends)
        reached = {value.name for value in dependencies(network.graph, y_)}
        moving = [n for n, (_, jv) in known.items() if np.abs(jv).max(initial=0) > _STILL]
        unreached = ", ".join(n for n in moving if n not in reached)
        if unreached:
            return Judgement(Verdict.FAILED, f"no gradient reaches {unreached}", ours, bends)
        wrt = [n for n in known if n in reached]
        if wrt:
            check(
                case, of=of, wrt=wrt, double=False, dynamic=(), tolerance=TOLERANCE, fresh=ours,
                known=known,
            )  # fmt: skip
    except (AssertionError, OrtcamError) as error:
        return Judgement(Verdict.FAILED, _line(error), ours, bends)
    return Judgement(Verdict.PASSED, "", ours, bends)


def recorded() -> dict[str, Judgement] | None:
    """The verdict on each case according to :data:`PAGE`.

    None if other versions of onnx or onnxruntime are installed than the page was written with.
    """
    text = PAGE.read_text(encoding="utf-8")
    versions = f"onnx {onnx.__version__} and onnxruntime {onnxruntime.__version__}"
    if f"\nMeasured with {versions}." not in text:
        return None
    judged = dict.fromkeys(sorted(cases()), Judgement(Verdict.PASSED))
    _, *sections = re.split(r"^## \d+:? ", text, flags=re.MULTILINE)
    for section in sections:
        heading, *lines = section.splitlines()
        for line in filter(None, lines):
            match = re.fullmatch(r"- `(\w+)`(.*)", line)
            assert match is not None
            name, rest = match.groups()
            if heading == BY_OURS:
                judged[name] = replace(judged[name], ours=True)
            elif heading == IN_SOME:
                judged[name] = replace(judged[name], bends=tuple(rest[2:].split(", ")))
            else:
                judged[name] = Judgement(Verdict(heading), rest[2:-1])
    return judged


def _network(name: str) -> Case:
    """Return a case with every input as an initializer that cannot be differentiated."""
    case = cases()[name]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph, arrays = model.graph, map(np.asarray, case.data_sets[0][0])
    feeds = dict(zip([value.name for value in graph.input], arrays, strict=True))
    amounts = {n for node in graph.node if node.op_type == "Resize" for n in node.input[1:]}
    for value in list(graph.input):
        if feeds[value.name].dtype != np.float32 or value.name in amounts:
            graph.initializer.append(numpy_helper.from_array(feeds.pop(value.name), value.name))
            graph.input.remove(value)
    return Case(model, feeds)


def _reference(case: Case, of: str, y: Any) -> Function | None:
    """Return the network in double precision, if it runs and agrees with onnxruntime there.

    Values nearby are compared too: some of onnx's evaluators are right only at the case's own.
    """
    random = np.random.default_rng(1)
    try:
        function = evaluated(recast(case.model), of)
        agree(y, function(recast_feeds(case.feeds)))
        for step in (1e-2, -1e-2):
            nearby = {n: _shifted(a, step * random.random(a.shape)) for n, a in case.feeds.items()}
            there = forward(case.model, nearby, of)
            if there.shape == y.shape:
                agree(there, function(recast_feeds(nearby)))
    except Exception:  # both raise many types
        return None
    return function


def _shifted(array: Any, step: Any) -> Any:
    return np.asarray(array + step, np.float32)


def _onnxruntime(case: Case, of: str) -> Function:
    def run(feeds: Feeds) -> Any:
        single = {name: np.asarray(array, np.float32) for name, array in feeds.items()}
        return forward(case.model, single, of).astype(np.float64)

    return run


def _differences(function: Function, case: Case, ours: bool) -> dict[str, tuple[Any, Any]]:
    """A direction and J v for each input in which the network is smooth."""
    random, differences = np.random.default_rng(0), {}
    steps, agreement = (_COARSE, 2 * TOLERANCE) if ours else (None, TOLERANCE / 10)
    for name, array in case.feeds.items():
        v = np.asarray(random.standard_normal(array.shape), np.float32)
        try:
            jv = central(function, recast_feeds(case.feeds), name, v, agreement, steps)
        except Exception:  # it is not smooth, or does not take the values
            continue
        differences[name] = v, jv
    return differences


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else repr(error)
