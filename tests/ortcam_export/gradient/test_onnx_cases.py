"""The gradients of onnx's own node tests: all pass but those of the operators that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from onnx_cases import Verdict, cases, judge, operator_of, recorded

#: Of every other case the gradient passes, or the measured function has none. Scan: of opset 8.
REFUSED = {"GRU", "LSTM", "RNN"}
REFUSED_CASES = {"test_scan_sum"}

#: The cases that do not pass may be no more than these.
MOST_LISTED = 19


def listed() -> Any:
    return [n for n in cases() if operator_of(n) in REFUSED or n in REFUSED_CASES]


@pytest.fixture(scope="module")
def before() -> Any:
    """The results in docs/node_tests.md, if they are of the installed versions."""
    return recorded() or {}


#: Pools of volumes, whose reference is a loop over every window: ten seconds each.
SLOW = {"test_averagepool_3d_default", "test_lppool_3d_default", "test_maxpool_3d_default"}


def _is_slow(name: str) -> bool:
    """True for those, and for functions written out, whose operators have cases of their own."""
    return name in SLOW or "_expanded" in name or "linear_attention" in name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if _is_slow(name) else ())
        for name in sorted(cases())
    ],
)
def test_case(name: Any, before: Any) -> None:
    judged = judge(name)
    if name in before:  # nothing may drop out of what is checked unseen
        assert judged.passed >= before[name].passed, judged
    if not judged.verdict.outside:
        expected = Verdict.REFUSED if name in listed() else Verdict.PASSED
        assert judged.verdict is expected, judged.measured


def test_few_are_listed() -> None:
    run = [name for name in listed() if "batchwise" not in name]  # which ONNX Runtime does not run
    assert len(run) <= MOST_LISTED


def test_the_page_lists_what_is_listed_here(before: Any) -> None:
    refused = {name for name, judged in before.items() if judged.verdict is Verdict.REFUSED}
    assert refused <= set(listed())
    assert not any(judged.verdict is Verdict.FAILED for judged in before.values())
